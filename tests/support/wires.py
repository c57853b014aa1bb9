"""A kept-alive HTTP connection whose bytes a test writes itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from runyard.server.app import Server


@dataclass(frozen=True)
class Answer:
    """What came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> tuple[int, dict[str, str], bytes]:
        """What any two answers to the same request have in common: all but the date, and which
        execution it was.
        """
        body = self.body
        execution = self.headers.get("x-execution-id")
        if execution is not None:
            body = body.replace(execution.encode(), b"ID")
        own = {"date": "", "x-execution-id": "", "content-length": ""}
        return self.status, {**self.headers, **{n: own[n] for n in own if n in self.headers}}, body


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, head: bytes, body: bytes, *, before: bytes = b"") -> Answer:
        """Send a request in one packet. An empty line before it is passed over, and makes the
        server read the head anew.
        """
        self._writer.write(before + head + body)
        return await self.answer()

    async def answer(self) -> Answer:
        """The next one."""
        async with asyncio.timeout(60):
            lines = (await self._reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
            pairs = [line.split(": ", 1) for line in lines[1:]]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), lines
            size = int(headers["content-length"])
            return Answer(int(lines[0].split()[1]), headers, await self._reader.readexactly(size))


@contextlib.asynccontextmanager
async def a_wire(server: Server) -> AsyncIterator[Wire]:
    """A new connection to a server."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def head_of(url: str, token: str, size: int, more: str = "") -> bytes:
    """The head of an execution."""
    path = "/" + url.split("/", 3)[3] if "://" in url else url
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-authorization: {token}\r\n"
        f"content-type: application/json\r\n{more}content-length: {size}\r\n\r\n"
    ).encode()
