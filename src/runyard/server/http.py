"""The socket and what reads HTTP from it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from math import ceil

import uvicorn

from runyard.gateway.socket import LARGEST_MESSAGE
from runyard.model.errors import RunyardError
from runyard.server.connections import BoundedHttp, BoundedWebSocket
from runyard.server.settings import Settings
from runyard.server.short_ways import KnownHeads, ShortHttp
from runyard.web.asgi import App

_BACKLOG = 2048
_KEEP_ALIVE = timedelta(seconds=75)
_LOOK_EVERY = 10
"""Pulses of a tenth of a second between two looks at what connections wait for."""


class AddressTaken(RunyardError):
    """Something else listens at this address."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to this address; raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        # Before anybody is told the address: whoever connects early waits instead of being refused.
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise AddressTaken(f"cannot listen on {host} port {port}: {error.strerror}") from error
    found.settimeout(0)
    return found


class HttpServer(uvicorn.Server):
    """Uvicorn inside a program of its own: signals are the program's business."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.has_started = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(ShortHttp, KnownHeads()),  # type: ignore[arg-type]
                ws=BoundedWebSocket,
                ws_max_size=LARGEST_MESSAGE,
                ws_ping_interval=None,  # workers give signs of life of their own
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trust_proxy),
                forwarded_allow_ips=list(settings.trust_proxy),
                limit_concurrency=settings.connections_limit,
                timeout_keep_alive=int(_KEEP_ALIVE.total_seconds()),
                timeout_graceful_shutdown=ceil(settings.drain.total_seconds()),
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
        )

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn's pulse, ten times a second: look after connections now and then."""
        if counter % _LOOK_EVERY == 0:
            now = timedelta(seconds=asyncio.get_running_loop().time())
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, BoundedHttp | BoundedWebSocket):
                    connection.end_if_stuck(now)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self.has_started.set()
