"""Clients that send or read badly: what they cost is bounded, and others go on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.model.tokens import Role
from runyard.server.app import Server
from tests.support.server import a_secret, administrator_secret, running_server

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


@asynccontextmanager
async def connected(
    server: Server,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection."""
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runyard.server.connections._PATIENCE", timedelta(milliseconds=300))
    monkeypatch.setattr("runyard.server.http._LOOK_EVERY", 1)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT"])
async def test_a_client_that_sends_no_request_loses_its_connection(
    memory_path: Path, sent: bytes
) -> None:
    # Such connections stayed for ever; as many as are allowed locked everybody out.
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        writer.write(sent)

        assert await rest(reader) == b""


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("first", "later"),
    [
        (HEALTH, b"\r\n"),
        (HEALTH, b"GET /healthz HTTP/1.1\r\nhost:"),
        (b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", b"abc"),
    ],
)
async def test_a_client_that_does_not_go_on_loses_its_connection(
    memory_path: Path, first: bytes, later: bytes
) -> None:
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        writer.write(first)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(later)

        assert b"HTTP/1.1" not in await rest(reader)


@pytest.mark.usefixtures("_impatient")
async def test_a_body_that_trickles_is_not_waited_for(memory_path: Path) -> None:
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        secret = administrator_secret(server)
        head = f"POST /runyard/v1/companies HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}"
        writer.write(
            f"{head}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n".encode()
        )
        ended = asyncio.ensure_future(rest(reader))
        async with asyncio.timeout(20):
            while not ended.done():
                writer.write(b" ")
                await asyncio.wait([ended], timeout=0.05)

        assert ended.result() == b""


@pytest.mark.usefixtures("_impatient")
async def test_head_and_body_of_an_answer_come_in_one_packet(memory_path: Path) -> None:
    async with running_server(memory_path) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        loop = asyncio.get_running_loop()
        with socket.create_connection((host, int(port))) as connection:
            connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
            await loop.sock_sendall(connection, HEALTH)
            async with asyncio.timeout(20):
                packet = await loop.sock_recv(connection, 65536)

    head, _, body = packet.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body


async def test_a_client_that_waits_for_its_answer_is_waited_for(memory_path: Path) -> None:
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        await server.engine.companies.create("acme")
        secret = await a_secret(server, "acme", Role.VIEWER)
        head = "GET /runyard/v1/companies/acme/events HTTP/1.1\r\nhost: x"
        writer.write(f"{head}\r\nauthorization: Bearer {secret}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await reader.read(1)


@pytest.mark.usefixtures("_impatient")
async def test_a_client_that_never_reads_its_file_loses_its_connection(memory_path: Path) -> None:
    async def zeros() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield bytes(100_000)

    async with running_server(memory_path) as server:
        company = await server.engine.companies.create("acme")
        file = await server.engine.files.keep(company.id, "zeros", "", zeros(), limit=2**30)
        secret = await a_secret(server, "acme", Role.VIEWER)
        async with connected(server) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            head = f"GET /runyard/v1/companies/acme/files/{file.id}/content HTTP/1.1\r\nhost: x"
            writer.write(f"{head}\r\nauthorization: Bearer {secret}\r\n\r\n".encode())
            async with asyncio.timeout(20):
                await asyncio.wait([asyncio.ensure_future(gone(server))])
            writer.transport.resume_reading()  # type: ignore[attr-defined]

            assert len(await rest(reader)) < 30_000_000


async def gone(server: Server) -> None:
    """Returns once the server has answered a file, whole or not."""
    while not any(name == "download_file" for name, _ in server.house.answered):
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.05)


@pytest.mark.parametrize(
    "endless",
    [
        [b"0\r\n", *[b"a: " + b"x" * 60_000 + b"\r\n"] * 20],
        [b"0\r\n", b"a: ", *[b"x" * 60_000] * 20],
        [b"3;", *[b"x" * 60_000] * 20],
    ],
)
async def test_what_stands_around_a_body_is_bounded(
    memory_path: Path, endless: list[bytes]
) -> None:
    # The parser keeps trailers without a limit, before anybody has shown a token.
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        writer.write(
            b"POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        ended = asyncio.ensure_future(rest(reader))
        for part in endless:
            writer.write(part)
            await asyncio.wait([ended], timeout=0.02)

        assert len(await ended) < 1000


async def test_a_trailer_is_no_header(memory_path: Path) -> None:
    # It came to count as one when the whole request arrived at once.
    async with running_server(memory_path) as server, connected(server) as (reader, writer):
        secret = administrator_secret(server)
        writer.write(
            b"GET /runyard/v1/companies HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\nauthorization: Bearer "
            + secret.encode()
            + b"\r\n\r\n"
        )

        assert (await rest(reader)).startswith(b"HTTP/1.1 401")
