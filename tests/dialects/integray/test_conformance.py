"""The checks that follow from what the vendor documents, each by its number, on both databases.

Code executes in real children here. Check 1 (groups and captions) is `test_document.py`'s first test,
and the console's tests render the reference page.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from runyard.model.workers import WorkerState
from tests.dialects.integray.conftest import BASE, Control, controlled, remote
from tests.dialects.integray.test_statuses import bundle
from tests.support.server import running_runyard

CODE = """
    import time
    from runyard import log, task

    @task("Quick")
    def quick() -> str:
        log.debug("technical")
        log.info("readable")
        log.warning("small trouble")
        return "done"

    @task("Serial", concurrency=1)
    def serial() -> str:
        time.sleep(0.05)
        return "done"

    @task("Urgent", priority=1)
    def urgent() -> str:
        return "done"

    @task("Ordinary", priority=50)
    def ordinary() -> str:
        return "done"

    @task("Long", timeout="1s")
    def long() -> str:
        time.sleep(600)
        return "done"

    @task("Sleep")
    def sleep() -> str:
        time.sleep(600)
        return "done"
"""
OFF, ON = {"isRunnable": False}, {"isRunnable": True}

OWN_LOOPS = True
"""Each test has a server, and a loop, of its own."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=["sqlite", "postgres"])
async def acme(request: pytest.FixtureRequest, memory_path: Path) -> AsyncIterator[Control]:
    database = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    async with (
        running_runyard(memory_path, database, slots=2) as server,
        AsyncExitStack() as opened,
    ):
        control = await controlled(server, "acme", opened)
        await server.engine.deploys.deploy(control.company, "code", bundle({"code_.py": CODE}))
        yield control


async def test_2_choosing_token_makes_one_and_without_it_calls_fail(acme: Control) -> None:
    without = await acme.http.get("/agents", headers={"authorization": ""})

    assert (await acme.get("/agents")) != []
    assert without.status_code == 401


async def test_3_a_missing_company_slug_is_refused(acme: Control) -> None:
    async with remote(acme.server, BASE, acme.secret) as client:
        refused = await client.get("/orchestrator/status")

    assert (refused.status_code, refused.json()["code"]) == (400, "company_slug_missing")


async def test_4_the_status_round_trips(acme: Control) -> None:
    for body in (OFF, ON, ON, OFF):
        answered = await acme.put("/orchestrator/status", body)
        read = await acme.get("/orchestrator/status")
        assert answered == read
        assert read["isRunnable"] == body["isRunnable"]


async def test_5_a_deactivated_agent_is_still_listed(acme: Control) -> None:
    from tests.support.server import HandWorker

    other = HandWorker(acme.server.engine)
    await other.connect(slots=1)
    workers = acme.server.engine.workers
    view = next(v for v in await workers.list(acme.company) if v.worker.name == "hand")
    await acme.server.engine._store.workers.set_state(view.worker.id, WorkerState.LOCKED)

    agents = {agent["name"]: agent for agent in await acme.get("/agents")}

    assert agents["hand"]["isActive"] is False
    assert [agent["isActive"] for name, agent in agents.items() if name != "hand"] == [True]
    assert [a["name"] for a in await acme.get("/agents", isActive="false")] == ["hand"]


async def test_6_there_are_exactly_these_statuses(acme: Control) -> None:
    statuses = await acme.get("/taskruns/statuses")

    assert [status["id"] for status in statuses] == [
        1, 100, 101, 200, 201, 202, 300, 301, 302, 303, 304, 305, 306, 307, 999,
    ]  # fmt: skip


async def test_7_clean_leaves_what_runs_and_kill_what_is_queued(acme: Control) -> None:
    task = await acme.task("Sleep")
    running = [await acme.start("Sleep") for _ in range(2)]
    for run in running:
        await acme.until(run, 100)
    queued = [await acme.start("Sleep") for _ in range(3)]

    cleaned = await acme.post(f"/tasks/{task}/clean")
    assert cleaned["taskRunIds"] == queued
    assert [await acme.status(run) for run in running] == [100, 100]
    await acme.put("/orchestrator/status", OFF)
    waiting = await acme.start("Sleep")
    killed = await acme.post(f"/tasks/{task}/kill")

    assert killed["taskRunIds"] == running
    assert [await acme.status(run) for run in running] == [303, 303]
    assert await acme.status(waiting) == 1


async def test_8_a_restart_is_another_run_and_a_parked_one_waits_for_ever(acme: Control) -> None:
    old = await acme.start("Quick")
    await acme.ended(old)
    again = await acme.post(f"/taskruns/{old}/restart", status=201)
    parked = await acme.post(f"/taskruns/{old}/restart-as-parked", status=201)
    await acme.ended(again["taskRunId"])
    await acme.ended(await acme.start("Quick"))

    assert len({old, again["taskRunId"], parked["taskRunId"]}) == 3
    assert (again["level"], parked["level"]) == (1, 1)
    assert await acme.status(parked["taskRunId"]) == 999


async def test_9_the_least_level_warning_shows_nothing_below(acme: Control) -> None:
    run = await acme.start("Quick")
    await acme.ended(run)

    everything = await acme.get(f"/taskruns/{run}/logs")
    warnings = await acme.get(f"/taskruns/{run}/logs", minLogLevel="Warning")

    assert [record["level"] for record in everything] == ["Debug", "Info", "Warning"]
    assert [record["message"] for record in warnings] == ["small trouble"]


async def test_10_runs_are_listed_by_task_status_dates_and_count(acme: Control) -> None:
    quick = [await acme.start("Quick") for _ in range(3)]
    urgent = await acme.start("Urgent")
    for run in (*quick, urgent):
        await acme.ended(run)
    task = await acme.task("Quick")
    middle = (await acme.get(f"/taskruns/{quick[1]}"))["scheduled"]

    async def ids(**query: object) -> list[int]:
        return [run["taskRunId"] for run in await acme.get("/taskruns", **query)]

    assert await ids() == [urgent, *quick[::-1]]
    assert await ids(taskId=task) == quick[::-1]
    assert await ids(statusId=200, count=2) == [urgent, quick[2]]
    assert await ids(statusId=300) == []
    assert set(await ids(dateTo=middle)) <= set(quick[:1])
    assert set(quick[1:]) <= set(await ids(dateFrom=middle, taskId=task, statusId=200, count=9))
    assert await ids(dateFrom=middle, taskId=task, statusId=200, count=1) == [quick[2]]


async def test_11_one_instance_at_most(acme: Control) -> None:
    serial = [await acme.start("Serial") for _ in range(4)]
    for run in serial:
        await acme.ended(run)

    spans = sorted(
        (detail["started"], detail["finished"])
        for detail in [await acme.get(f"/taskruns/{run}") for run in serial]
    )
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


async def test_11_the_urgent_go_first(acme: Control) -> None:
    await acme.put("/orchestrator/status", OFF)
    ordinary = [await acme.start("Ordinary") for _ in range(6)]
    urgent = [await acme.start("Urgent") for _ in range(6)]
    await acme.put("/orchestrator/status", ON)
    for run in (*ordinary, *urgent):
        await acme.ended(run)

    async def picked_up(runs: list[int]) -> list[int]:
        """When each was picked up, as rising numbers: leases are numbered in that order. What two
        slots then begin side by side has no order.
        """
        found = await acme.server.engine.runs.find_many(acme.company, runs)  # type: ignore[arg-type]
        return [run.lease_token for run in found]

    # The urgent ones were asked for last.
    assert max(await picked_up(urgent)) < min(await picked_up(ordinary))


async def test_12_what_runs_for_too_long_ends_in_time(acme: Control) -> None:
    run = await acme.start("Long")

    async with asyncio.timeout(60):
        detail = await acme.ended(run)

    assert detail["statusId"] == 302
    assert 1_000 <= detail["execTimeMs"] < 16_000
