"""Connections: what reads HTTP and WebSockets from them, within limits of our own."""

import asyncio
from datetime import timedelta

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LONGEST_HEAD = 64 * 1024
"""Bytes of request line and headers."""

_PATIENCE = timedelta(seconds=30)
"""How long a client may take to send a head, to send or to read on."""
LEAST_PROGRESS = 1024
"""Bytes of a body that count as progress."""
_ONE_HOST = "Send exactly one Host header."
_HEAD_REFUSED = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 38\r\nconnection: close\r\n\r\n"
    b"The request line and headers are long."
)


class _HeadTooLong(Exception):
    """The parser is to stop: the head that it has just read is too long."""


class _HostUnclear(Exception):
    """The parser is to stop: whom the request is for is not said, or said twice."""


class HeadWithBody:
    """What an answer is written to: its head waits for the body if that follows at once.

    One packet instead of two: half the system calls here, and the client wakes once. A head that
    nothing follows leaves in the loop's next turn, so that streams are not held up.
    """

    __slots__ = ("_head", "_is_begun", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Write this, after what waits; the first of all waits."""
        if self._is_begun:
            head, self._head = self._head, b""
            self._transport.write(head + data if head else data)
        else:
            self._is_begun = True
            self._head = data
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close the connection once everything is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's HTTP, with limits that it and its parser do not have: to the lines before a body
    and after it, and to the time that a client lets the server wait.
    """

    _head = 0
    """Bytes that arrived of a head that is not complete; -1 outside of heads."""
    _between = 0
    """Bytes that arrived since the last ones that were a body's: chunk extensions, trailers."""
    _heads = 0
    """Heads that are complete."""
    _arrived = 0
    _complaint = ""
    """What is wrong with a request that its parser was content with."""
    _mark: tuple[object, ...] = ()
    _marked_at = timedelta()

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is no body becomes too long."""
        size = len(data)
        self._arrived += size
        if self._head >= 0:
            self._head += size
        else:
            self._between += size
        super().data_received(data)
        if max(self._head, self._between) > LONGEST_HEAD and not self.transport.is_closing():
            self.transport.write(_HEAD_REFUSED)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = max(self._head, 0)
        self._between = 0

    def on_headers_complete(self) -> None:
        """A head is complete; one that came in few large pieces may be too long all the same."""
        if self._head > LONGEST_HEAD and self._head_size() > LONGEST_HEAD:
            raise _HeadTooLong
        if not self._has_one_host():
            self._complaint = _ONE_HOST
            raise _HostUnclear
        self._head = -1
        self._heads += 1
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = HeadWithBody(self.transport, self.loop)  # type: ignore[assignment]
        if not self.parser.should_upgrade():
            # What comes after the body is no header of the request, whatever it calls itself.
            self.headers = []

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser has given up, a head that is too long for what it is."""
        if self._head > LONGEST_HEAD:
            self.transport.write(_HEAD_REFUSED)
            self.transport.close()
        else:
            super().send_400_response(self._complaint or msg)

    def _has_one_host(self) -> bool:
        """Whether the request is for one host, as RFC 9112 (3.2) wants it."""
        hosts = [name for name, _ in self.headers].count(b"host")
        return hosts == 1 or (hosts == 0 and self.parser.get_http_version() == "1.0")

    def _head_size(self) -> int:
        """Bytes of the head alone: what arrived may have been a body's, too."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._between = 0
        super().on_body(body)

    def end_if_stuck(self, now: timedelta) -> None:
        """Break the connection off when its client has kept the server waiting for too long."""
        mark = self._waiting_for()
        if mark != self._mark:
            self._mark, self._marked_at = mark, now
        elif mark and now - self._marked_at >= _PATIENCE:
            self.transport.abort()

    def _waiting_for(self) -> tuple[object, ...]:
        """What the client owes, with what changes as soon as it moves; empty: nothing."""
        if self.transport.is_closing():
            return ("to take the last bytes",)
        if self.flow.write_paused:
            return ("to read", self.transport.get_write_buffer_size())
        if self.cycle is None or self.cycle.response_complete:
            is_timed = self.timeout_keep_alive_task is not None
            return () if is_timed else ("to complete a head", self._heads)
        if self.cycle.more_body and not self.flow.read_paused:
            return ("to send a body", self._heads, self._arrived // LEAST_PROGRESS)
        return ()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket, with a limit to the time that a client may take to read."""

    _mark: tuple[object, ...] = ()
    _marked_at = timedelta()

    async def send(self, message: ASGISendEvent) -> None:
        """Pass a message on; whoever answers instead of accepting has answered all the same."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def end_if_stuck(self, now: timedelta) -> None:
        """Break the connection off when its client has not read for too long."""
        mark = self._waiting_for()
        if mark != self._mark:
            self._mark, self._marked_at = mark, now
        elif mark and now - self._marked_at >= _PATIENCE:
            self.transport.abort()

    def _waiting_for(self) -> tuple[object, ...]:
        if self.transport.is_closing() or self.close_sent:
            return ("to take the last bytes",)
        if not self.writable.is_set():
            return ("to read", self.transport.get_write_buffer_size())
        return ()
