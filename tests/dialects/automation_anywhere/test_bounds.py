"""What the operator bounds for a company: calls at once, tasks kept warm, calls in a month."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dialects.automation_anywhere.conftest import CONFIG, Room, furnished, refused
from tests.support.server import running_runyard

ZIP = "Zip Code API Task"


@asynccontextmanager
async def bounded(
    folder: Path, database: str | None = None, **settings: Any
) -> AsyncIterator[Room]:
    async with running_runyard(folder, database, **settings) as server, furnished(server) as room:
        yield room


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


async def test_a_company_executes_so_many_calls_at_once(memory_path: Path) -> None:
    async with bounded(memory_path, realtime_pool="2") as room:
        await room.allocate("Sleep", 2)
        await room.allocate("Nothing")
        body = {"fileId": room.ids["Add"], "concurrencyLimit": 3}
        above = await room.send("PUT", f"{CONFIG}/create", body)
        url, token = await room.access("Sleep")
        long = {"botInput": {"seconds": 3}}
        calls = [asyncio.ensure_future(room.send("POST", url, long, token)) for _ in range(2)]
        await room.in_flight("Sleep", 2)

        beyond = await room.execute("Nothing")
        ended = [answer.status_code for answer in await asyncio.gather(*calls)]
        after = await room.execute("Nothing")

    assert "allowed: 1 to 2" in str(refused(above, 400, "request.invalid"))
    problem = refused(beyond, 429, "hotbot.concurrency.exceeded")
    assert "realtime_pool" in problem["message"]
    assert beyond.headers["retry-after"] == "1"
    assert ended == [200, 200]
    assert after.status_code == 200


async def test_a_company_keeps_so_many_tasks_warm(memory_path: Path) -> None:
    async with bounded(memory_path, realtime_allocations="1") as room:
        await room.allocate("Nothing")
        another = await room.send("PUT", f"{CONFIG}/create", {"fileId": room.ids["Add"]})
        again = await room.send("PUT", f"{CONFIG}/create", {"fileId": room.ids["Nothing"]})
        await room.send("DELETE", f"{CONFIG}/{room.ids['Nothing']}")
        instead = await room.send("PUT", f"{CONFIG}/create", {"fileId": room.ids["Add"]})

    assert "realtime_allocations" in refused(another, 409, "resource.conflict")["message"]
    assert (again.status_code, instead.status_code) == (200, 200)


async def test_the_allowance_of_a_month_holds_over_a_restart(
    memory_path: Path, database: str | None
) -> None:
    async with bounded(memory_path, database, realtime_monthly_limit="3") as room:
        await room.allocate(ZIP)
        url, token = await room.access(ZIP)
        wrong = await room.execute(ZIP, {"botInput": {"zip": 1}})
        good = [await room.execute(ZIP, {"botInput": {"iStrZipCode": "1"}}) for _ in range(2)]
    async with running_runyard(memory_path, database, realtime_monthly_limit="3") as server:
        path = httpx.URL(url).path
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
            third = await _executed(http, path, token, "bad")
            fourth = await _executed(http, path, token, "1")

    refused(wrong, 400, "hotbot.input.invalid")
    assert [answer.status_code for answer in good] == [200, 200]
    refused(third, 500, "hotbot.run.failed")
    problem = refused(fourth, 429, "hotbot.quota.exceeded")
    assert "realtime_monthly_limit" in problem["message"]
    assert 0 < int(fourth.headers["retry-after"]) <= 31 * 24 * 3600


async def _executed(
    http: httpx.AsyncClient, path: str, token: str, zip_code: str
) -> httpx.Response:
    """The answer of a call once the task's children are ready."""
    body = {"botInput": {"iStrZipCode": zip_code}}
    async with asyncio.timeout(60):
        while True:
            answer = await http.post(path, headers={"x-authorization": token}, json=body)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.05)  # noqa: TID251 - tries again, as it is told to
