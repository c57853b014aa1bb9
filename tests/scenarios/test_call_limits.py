"""Many allocations under mixed load: what the history says about limits, and about deploys."""

import asyncio
import itertools
import random
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import (
    a_bundle,
    a_secret,
    administrator_secret,
    client_of,
    running_runyard,
)

ALLOCATIONS = 50
CALLS = 600
CALLERS = 48
POOL = 24
SEED = 5
HEAD = """
import os
import time

from runyard import task
"""
TASK = """
@task("Task {number}")
def task_{number}(seconds: float, end: str = "well") -> str:
    time.sleep(seconds)
    if end == "raise":
        raise ValueError("on purpose")
    if end == "die":
        os._exit(3)
    return "VERSION"
"""
ENDS = ("returned", "raised", "timed_out", "killed_outside")
ZIP = {"content-type": "application/zip"}


@asynccontextmanager
async def a_company(
    folder: Path, database: str | None, tasks: int, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    async with running_runyard(folder, database, **settings) as server:
        async with client_of(server, administrator_secret(server)) as admin:
            await admin.post("/companies", json={"slug": "acme"})
        secret = await a_secret(server, "acme")
        async with client_of(server, secret, "/companies/acme") as client:
            client.timeout = httpx.Timeout(120)
            await deploy(client, tasks)
            yield client


async def deploy(client: httpx.AsyncClient, tasks: int, version: str = "VERSION") -> None:
    code = HEAD + "".join(TASK.format(number=number) for number in range(tasks))
    bundle = a_bundle({"tasks.py": textwrap.dedent(code.replace("VERSION", version))})
    answer = await client.post("/bundles?name=tasks", content=bundle, headers=ZIP)
    assert answer.status_code in {200, 201}, answer.text


async def allocate(client: httpx.AsyncClient, number: int, **how: object) -> None:
    """Keep a task warm, and return once all its children are ready."""
    path = f"/tasks/Task {number}/allocation"
    answer = await client.put(path, json=how)
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(120):
        while (await client.get(path)).json()["children"] != how["limit"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # noqa: TID251 - nothing tells when they are


def most_at_once(spans: Iterable[tuple[datetime, datetime]]) -> int:
    """How many of these were under way at the same time; one that ends lets another begin."""
    moments = sorted(
        itertools.chain.from_iterable(((begin, 1), (end, -1)) for begin, end in spans),
        key=lambda moment: (moment[0], moment[1]),
    )
    return max(itertools.accumulate(change for _, change in moments), default=0)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


async def test_no_allocation_of_fifty_ever_exceeds_its_limit(
    memory_path: Path, database: str | None
) -> None:
    """Seeded load: slow and quick calls, some that raise, die or take too long; three overflows."""
    chance = random.Random(SEED)
    hows: list[dict[str, Any]] = [
        {
            "limit": chance.choice((1, 1, 1, 2)),
            "overflow": chance.choice(("reject", "wait")),
            "wait": "PT20S",
            "deadline": "PT1S",
        }
        for _ in range(ALLOCATIONS)
    ]
    # A few tasks get most of the calls, so that their limits are really met.
    wanted = [
        (
            min(int(chance.expovariate(0.12)), ALLOCATIONS - 1),
            chance.choice((0, 0, 0.005, 0.02, 0.05)),
            chance.choices(("well", "raise", "die"), (30, 3, 1))[0],
        )
        for _ in range(CALLS)
    ]
    hows[0] |= {"limit": 2, "overflow": "wait"}
    wanted[CALLS // 2] = (0, 5, "well")  # longer than it may, and never refused
    answers: Counter[tuple[int, int]] = Counter()
    async with a_company(
        memory_path, database, ALLOCATIONS, realtime_pool=f"{POOL}", body_limit="65536"
    ) as client:
        await asyncio.gather(*(allocate(client, n, **how) for n, how in enumerate(hows)))
        left = iter(wanted)

        async def keep_calling() -> None:
            for number, seconds, end in left:
                body = {"input": {"seconds": seconds, "end": end}}
                answer = await client.post(f"/tasks/Task {number}/call", json=body)
                answers[number, answer.status_code] += 1

        await asyncio.gather(*(keep_calling() for _ in range(CALLERS)))
        history = await _history(client)

    assert {status for _, status in answers} == {200, 429}
    executed = {n: count for (n, status), count in answers.items() if status == 200}
    spans: dict[int, list[tuple[datetime, datetime]]] = {}
    for run in history:
        number = int(run["task"]["name"].split()[1])
        span = (_instant(run["started_at"]), _instant(run["finished_at"]))
        spans.setdefault(number, []).append(span)
    assert {n: len(found) for n, found in spans.items()} == executed, "each answer has its record"
    seen = {n: most_at_once(found) for n, found in spans.items()}
    assert {n: most for n, most in seen.items() if most > hows[n]["limit"]} == {}
    assert any(most == 2 for most in seen.values()), "the load never met a limit"
    assert 1 < most_at_once(span for found in spans.values() for span in found) <= POOL
    causes = {run["cause"] for run in history}
    assert {"returned", "raised", "timed_out"} <= causes <= {*ENDS}


async def _history(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.get(f"/runs?trigger=call&limit=500{cursor}")).json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_deploys_under_full_load_refuse_and_fail_no_call(
    memory_path: Path, database: str | None
) -> None:
    """As many callers as the limit allows and no waiting: there is never one child too few."""
    limit = 3
    versions = ["VERSION", "SECOND", "THIRD"]
    seen: list[str] = []
    failed: list[str] = []
    is_over = asyncio.Event()
    async with a_company(memory_path, database, 1) as client:
        await allocate(client, 0, limit=limit, overflow="reject")

        async def keep_calling(seconds: float) -> None:
            while not is_over.is_set():
                body = {"input": {"seconds": seconds}}
                newest = max((versions.index(each) for each in seen), default=0)
                answer = await client.post("/tasks/Task 0/call", json=body)
                told = answer.json()
                if answer.status_code != 200 or told["state"] != "completed":
                    failed.append(answer.text)
                    return
                result = told["outputs"]["result"]
                if versions.index(result) < newest:
                    failed.append(f"{result} came back after {versions[newest]} was seen")
                seen.append(result)

        async with asyncio.TaskGroup() as group:
            for seconds in (0, 0.01, 0.4):  # the last one is in flight while versions change
                group.create_task(keep_calling(seconds))
            for version in versions[1:]:
                await deploy(client, 1, version)
                async with asyncio.timeout(60):
                    while version not in seen and not failed:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)  # noqa: TID251 - the callers tell by what they see
            is_over.set()

    assert failed == []
    assert set(seen) == set(versions)
