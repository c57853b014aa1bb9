"""A server whose only endpoint leaves shortcuts, and a connection to it whose packets a test cuts.

The endpoint says which way a request has taken, and what its body was: `ordinary:BODY`, `short:BODY`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runyard.server.http import HttpServer, listening_socket
from runyard.server.short_ways import KnownHeads, ShortHttp
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.shortcuts import REMEMBER, Exchange
from tests.support.server import settings_of

HEAD = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n"


def request(body: bytes, more: bytes = b"") -> bytes:
    """A request with this body. `more`: lines of headers."""
    return HEAD % (len(body), more) + body


class Echo:
    """An ASGI app that answers with bodies; what it leaves for a head is one shortcut for all heads."""

    def __init__(self) -> None:
        self.declines = False
        """Whether the shortcut takes nothing."""
        self.is_slow = False
        """Whether the shortcut answers only when `answer` is called."""
        self.reads = True
        """Whether the ordinary way reads a body before it answers."""
        self.more = b""
        """What short answers have after the body that they echo."""
        self.waiting: list[tuple[Exchange, bytes]] = []
        self.arrived = asyncio.Event()
        """Set when something waits."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer on the ordinary way."""
        body, more = b"", self.reads
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if REMEMBER in scope:
            scope[REMEMBER](self)
        answer = b"ordinary:" + body
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def take(self, body: bytes, exchange: Exchange) -> bool:
        """Answer on the short way."""
        if self.declines:
            return False
        self.waiting.append((exchange, body))
        self.arrived.set()
        if not self.is_slow:
            self.answer()
        return True

    def answer(self) -> None:
        """Answer whoever waits longest."""
        exchange, body = self.waiting.pop(0)
        exchange.answer(200, b"", b"short:" + body + self.more)

    async def has_waiting(self) -> None:
        """Return once somebody waits."""
        async with asyncio.timeout(20):
            while not self.waiting:
                self.arrived.clear()
                await self.arrived.wait()


class Line(asyncio.Transport):
    """The server's side of a connection: what is sent to it are exactly the packets of the test."""

    def __init__(self, protocol: ShortHttp) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.is_read = True
        self._is_closing = False
        self._changed = asyncio.Event()
        protocol.connection_made(self)

    # ---- what the server does

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self._is_closing
        self.written += bytes(data)
        self._changed.set()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._changed.set()
            self.protocol.connection_lost(None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True
        self._changed.set()

    def get_write_buffer_size(self) -> int:
        return 0

    # ---- what the test does

    async def send(self, packets: Iterable[bytes]) -> None:
        """Each as one packet, as soon as the server reads, in the turns that the loop takes."""
        for packet in packets:
            await self._until(lambda: self.is_read or self._is_closing)
            if self._is_closing:
                return
            self.protocol.data_received(packet)
            await asyncio.sleep(0)  # noqa: TID251 - the next packet comes in another turn

    async def answers(self, count: int) -> list[bytes]:
        """The bodies of so many answers, or of all before the server closed the connection."""
        await self._until(lambda: len(bodies_of(self.written)) >= count or self._is_closing)
        return bodies_of(self.written)

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


def bodies_of(written: bytes) -> list[bytes]:
    """The bodies of these answers; of those that were refused, their first lines."""
    found = []
    while b"\r\n\r\n" in written:
        head, _, rest = written.partition(b"\r\n\r\n")
        if head == b"HTTP/1.1 100 Continue":
            written = rest
            continue
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(lines[b"content-length"])
        if len(rest) < size:
            break
        is_good = head.startswith(b"HTTP/1.1 200 ")
        found.append(rest[:size] if is_good else head.partition(b"\r\n")[0])
        written = rest[size:]
    return found


class Exchanges:
    """The server, its endpoint, the heads that it knows."""

    def __init__(self, folder: Path, **given: object) -> None:
        self.echo = Echo()
        self.http = HttpServer(self.echo, settings_of(folder, None, **given))
        self.port = 0

    @property
    def heads(self) -> KnownHeads:
        """The heads that have a shortcut."""
        heads: KnownHeads = self.http.config.http.args[0]  # type: ignore[union-attr]
        return heads

    def line(self) -> Line:
        """A new connection, of which the test makes the packets."""
        if not self.http.config.loaded:
            self.http.config.load()
        made: Any = self.http.config.http_protocol_class
        return Line(
            made(config=self.http.config, server_state=self.http.server_state, app_state={})
        )

    async def knows(self, *requests: bytes) -> None:
        """Let it learn the heads of these."""
        line = self.line()
        for each, sent in enumerate(requests):
            await line.send([sent])
            assert (await line.answers(each + 1))[-1].startswith(b"ordinary:")
            end = sent.find(b"\r\n\r\n") + 4
            assert self.heads.find(sent[:end]) is not None
        line.close()


@asynccontextmanager
async def serving(folder: Path, **given: object) -> AsyncIterator[Exchanges]:
    """It listens on a port, until it is told to stop or the block ends."""
    exchanges = Exchanges(folder, **given)
    listening = listening_socket("127.0.0.1", 0)
    exchanges.port = listening.getsockname()[1]
    served = asyncio.ensure_future(exchanges.http.serve(sockets=[listening]))
    await exchanges.http.has_started.wait()
    try:
        yield exchanges
    finally:
        exchanges.http.should_exit = True
        await served
