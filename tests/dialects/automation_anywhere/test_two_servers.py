"""Tokens of one server at another of the same database: accepted, and ended with little delay."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from runyard.server.app import Server
from tests.dialects.automation_anywhere.conftest import Room, furnished, refused
from tests.support.server import running_runyard

ZIP = "Zip Code API Task"
INPUT = {"botInput": {"iStrZipCode": "76131"}}
PATIENCE = 10
"""Seconds within which another server must know; it knows within one, unless the machine is busy."""


@asynccontextmanager
async def two(dsn: str, folder: Path) -> AsyncIterator[tuple[Room, Server]]:
    async with (
        running_runyard(folder / "one", dsn, server_name="one") as one,
        running_runyard(
            folder / "two", dsn, server_name="two", master_key=folder / "one/master.key", slots=0
        ) as other,
        furnished(one) as room,
    ):
        yield room, other


async def asked(server: Server, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        return await http.post("/v2/devices/list", headers={"x-authorization": token})


async def ended(ask: Callable[[], Awaitable[httpx.Response]]) -> str:
    """What a token's refusal says, once it is refused."""
    deadline = time.monotonic() + PATIENCE
    while (answer := await ask()).status_code == 200:
        assert time.monotonic() < deadline, "the token still opens"
        await asyncio.sleep(0.02)  # noqa: TID251 - nothing tells when a server has heard
    return str(refused(answer, 401, "auth.token.invalid")["message"])


async def test_sessions_are_valid_and_end_at_every_server(
    postgres_dsn: str, memory_path: Path
) -> None:
    async with two(postgres_dsn, memory_path) as (room, other):
        user = await room.user()
        first = await room.token(user)
        assert (await asked(other, first)).status_code == 200

        second = await room.token(user)
        told = [await ended(lambda: asked(other, first))]
        assert (await asked(other, second)).status_code == 200

        async with httpx.AsyncClient(base_url=other.url, trust_env=False) as http:
            answer = await http.post("/v2/authentication/token", json={"token": second})
        third = answer.json()["token"]
        told.append(await ended(lambda: asked(room.server, second)))
        assert (await asked(room.server, third)).status_code == 200

        await room.send("POST", "/v1/authentication/logout", None, third)
        refused(await asked(room.server, third), 401, "auth.token.invalid")
        told.append(await ended(lambda: asked(other, third)))

        several = [await room.token(user, multipleLogin=True) for _ in range(2)]
        assert [(await asked(other, token)).status_code for token in several] == [200, 200]

    assert "logged in again" in told[0]
    assert "refreshed" in told[1]
    assert "logged out" in told[2]


@pytest.mark.parametrize("way", ["disabled", "role taken away"])
async def test_a_user_who_may_no_more_executes_nothing_anywhere(
    postgres_dsn: str, memory_path: Path, way: str
) -> None:
    async with two(postgres_dsn, memory_path) as (room, other):
        await room.allocate(ZIP)
        user = await room.user()
        body = {"botRepositoryPath": [room.path(ZIP)]}
        token = await room.token(user)
        found = await room.ok("POST", "/orchestrator/v1/hotbot/config/accessdetails", body, token)
        [access] = found["accessDetails"].values()
        there = other.url + httpx.URL(access["url"]).path

        async def executed() -> httpx.Response:
            return await room.http.post(there, headers=access["headers"], json=INPUT)

        async with asyncio.timeout(30):
            while (await executed()).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # noqa: TID251 - nothing tells when it knows the task

        if way == "disabled":
            await room.server.engine.users.disable(user)
        else:
            await room.server.engine.users.withdraw(user, room.company)
        here = await room.http.post(access["url"], headers=access["headers"], json=INPUT)
        told = await ended(executed)

    refused(here, 401, "auth.token.invalid")
    assert "may not do anything" in told
