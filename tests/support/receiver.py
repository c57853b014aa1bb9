"""Servers on loopback that answer as a test wants it, byte by byte."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answering = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request that arrived, and the connection to answer it on."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.body = body
        self.writer = writer

    async def answer(self, status: str = "200 OK", body: bytes = b"", **headers: str) -> None:
        """Answer whole. Names of headers have underscores instead of hyphens."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)

    async def write(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()


class Receiver:
    """A server that keeps what arrives."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self.arrived: list[Exchange] = []
        self._has_arrived = asyncio.Event()
        self.connections = 0
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def allowance(self) -> str:
        """The entry that opens it."""
        return f"127.0.0.1:{self.port}"

    async def has(self, count: int) -> list[Exchange]:
        """What has arrived, once that is so many requests."""
        async with asyncio.timeout(30):
            while len(self.arrived) < count:
                self._has_arrived.clear()
                await self._has_arrived.wait()
        return self.arrived

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    exchange = await self._next(reader, writer)
                    self.arrived.append(exchange)
                    self._has_arrived.set()
                    await self._answering(exchange)
        except asyncio.CancelledError:
            writer.transport.abort()  # nobody waits until the other side has read
            raise
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        exchange = Exchange(head, b"", writer)
        exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", "0")))
        return exchange


@asynccontextmanager
async def receiving(
    answering: Answering, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A server for the duration of the block."""
    receiver = Receiver(answering)
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=trust)
    receiver.port = server.sockets[0].getsockname()[1]
    receiver.scheme = "http" if trust is None else "https"
    try:
        yield receiver
    finally:
        server.close()
        await asyncio.sleep(0)  # noqa: TID251 - lets in what was accepted just now
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # noqa: TID251 - lets aborted connections end
