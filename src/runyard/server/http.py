"""The socket and what reads HTTP from it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from math import ceil

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runyard.model.errors import RunyardError
from runyard.server.settings import Settings
from runyard.web.asgi import App

_BACKLOG = 2048
_KEEP_ALIVE = timedelta(seconds=75)
LONGEST_HEAD = 64 * 1024
"""Bytes of request line and headers."""

_HEAD_REFUSED = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 38\r\nconnection: close\r\n\r\n"
    b"The request line and headers are long."
)


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


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's HTTP, with a limit to the lines before a body: the parser itself has none."""

    _head = 0
    """Bytes that arrived of a head that is not complete; -1 outside of heads."""

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head becomes too long."""
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.transport.write(_HEAD_REFUSED)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = max(self._head, 0)

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._head = -1
        super().on_headers_complete()


class HttpServer(uvicorn.Server):
    """Uvicorn inside a program of its own: signals are the program's business."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.has_started = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                ws="websockets-sansio",
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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self.has_started.set()
