"""The address for workers: who is let in, and what becomes of what cannot be understood."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runyard.model.tokens import Role, TokenKind
from runyard.protocol.codec import FRAME_LIMIT, decode_from_server, encode
from runyard.protocol.frames import FromServer, FromWorker, Welcome
from runyard.server.app import Server
from tests.gateway.conftest import hello
from tests.support.fleet import a_worker_token
from tests.support.server import a_secret, running_server


class Visit:
    """A WebSocket to a server, frame by frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def says(self, frame: FromWorker) -> None:
        await self.connection.send(encode(frame))

    async def hears(self, kind: type[FromServer]) -> FromServer:
        async with asyncio.timeout(20):
            while True:
                message = await self.connection.recv()
                assert isinstance(message, bytes)
                if isinstance(frame := decode_from_server(message), kind):
                    return frame

    async def is_closed(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(20):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed:
                return self.connection.close_code, self.connection.close_reason


@pytest.fixture
async def server(memory_path: Path) -> AsyncIterator[Server]:
    async with running_server(memory_path, lease=timedelta(seconds=10)) as found:
        await found.engine.companies.create("acme")
        yield found


@pytest.fixture
async def visit(server: Server) -> AsyncIterator[Visit]:
    token = await a_worker_token(server, "acme")
    async with connected(server, token) as connection:
        yield Visit(connection)


def connected(server: Server, token: str | None, path: str = "/worker") -> connect:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return connect(
        server.url.replace("http", "ws", 1) + path,
        additional_headers=headers,
        compression=None,
        proxy=None,
        ping_interval=None,
        max_size=FRAME_LIMIT,
    )


async def refused(server: Server, token: str | None, path: str = "/worker") -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refusal:
        await connected(server, token, path)
    answer = refusal.value.response
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, json.loads(answer.body)["detail"]


async def test_nobody_is_let_in_before_a_token_was_judged(server: Server) -> None:
    native = await a_secret(server, "acme")
    expired = await a_secret(server, None, kind=TokenKind.WORKER, lasting=timedelta(microseconds=1))

    assert await refused(server, None) == (401, "send Authorization: Bearer <token>")
    assert (await refused(server, "nonsense"))[0] == 401
    assert await refused(server, expired) == (401, "this token has expired")
    status, detail = await refused(server, native)
    assert (status, "lets no worker in" in detail) == (403, True)


async def test_a_revoked_token_is_told_so(server: Server) -> None:
    created = await server.engine.tokens.create(TokenKind.WORKER, None, role=Role.OPERATOR)
    await server.engine.tokens.revoke(None, created.token.id)

    assert await refused(server, created.secret) == (401, "this token was revoked")


@pytest.mark.parametrize("path", ["/worker/", "/worker/x", "/Worker", "/worker%2f", "/healthz"])
async def test_only_the_exact_address_is_the_gateways(server: Server, path: str) -> None:
    token = await a_secret(server, None, kind=TokenKind.WORKER)

    with pytest.raises(InvalidStatus) as refusal:
        await connected(server, token, path)

    assert refusal.value.response.status_code in {403, 404}


async def test_a_browser_is_told_what_the_address_is_for(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        answer = await client.get("/worker")
        elsewhere = await client.get("/worker/x")

    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["status"] == 426
    assert elsewhere.status_code == 404


async def test_a_worker_is_welcomed_with_its_address(server: Server, visit: Visit) -> None:
    await visit.says(hello())
    await visit.hears(Welcome)

    [view] = await server.engine.workers.list()
    assert (view.worker.name, view.worker.address, view.online) == ("wire", "127.0.0.1", True)


async def test_what_is_no_frame_ends_the_conversation_and_says_why(
    server: Server, visit: Visit
) -> None:
    await visit.says(hello())
    await visit.hears(Welcome)

    await visit.connection.send(b"\xc1 nonsense")

    code, reason = await visit.is_closed()
    assert code == 1002
    assert "protocol violation" in str(reason)


async def test_text_is_no_frame(visit: Visit) -> None:
    await visit.connection.send("hello")

    code, reason = await visit.is_closed()
    assert (code, "text" in str(reason)) == (1002, True)


async def test_a_frame_that_is_too_large_is_refused_before_it_has_come(visit: Visit) -> None:
    """R12"""
    await visit.says(hello())
    await visit.hears(Welcome)

    sending = asyncio.ensure_future(visit.connection.send(b"\0" * (FRAME_LIMIT + 1)))
    code, _ = await visit.is_closed()
    await asyncio.wait({sending})
    sending.exception()

    assert code == 1009
