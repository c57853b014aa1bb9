"""Connections that are kept between requests, by where they lead.

The library's own pool walks through all its connections at every step of every request. Here whoever
sends bounds how many are under way, so what is left to do is little: take one that is idle and
alive, or open one; put it back when its answer has been read to the end.
"""

import importlib.util
import ssl
import sys
from typing import TypeAlias

import httpcore

if importlib.util.find_spec("sniffio") is None:
    # httpcore looks for this package several times a request, through all folders of the path each
    # time. Now it is known not to be there.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

Where: TypeAlias = tuple[bytes, bytes, int]
"""Scheme, host and port."""

IDLE_SECONDS = 15.0
MOST_IDLE = 64


class Connections:
    """Opens and keeps connections through one network."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, trust: ssl.SSLContext) -> None:
        self._network = network
        self._trust = trust
        self._idle: dict[Where, list[httpcore.AsyncHTTPConnection]] = {}
        self._count = 0
        self._is_closed = False

    async def take(self, origin: Where) -> httpcore.AsyncHTTPConnection:
        """A connection that leads there, or will."""
        while idle := self._idle.get(origin):
            connection = idle.pop()
            self._count -= 1
            if not connection.has_expired():
                return connection
            await connection.aclose()
        self._idle.pop(origin, None)
        return httpcore.AsyncHTTPConnection(
            httpcore.Origin(*origin),
            ssl_context=self._trust,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._network,
        )

    async def give_back(self, origin: Where, connection: httpcore.AsyncHTTPConnection) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if self._is_closed or connection.is_closed() or not connection.is_idle():
            await connection.aclose()
            return
        if self._count >= MOST_IDLE:
            await self._drop_oldest()
        self._idle.setdefault(origin, []).append(connection)
        self._count += 1

    async def _drop_oldest(self) -> None:
        origin, idle = next(iter(self._idle.items()))
        oldest = idle.pop(0)
        self._count -= 1
        if not idle:
            del self._idle[origin]
        await oldest.aclose()

    async def close(self) -> None:
        """Close what is idle, and what is given back from now on."""
        self._is_closed = True
        kept, self._idle = self._idle, {}
        for idle in kept.values():
            for connection in idle:
                await connection.aclose()
