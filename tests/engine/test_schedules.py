"""Schedules: cron in time zones, intervals, single instants; missed ones; two servers (R9)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runyard.engine.engine import Engine, EngineSettings
from runyard.model.errors import InputRefused, NameTaken, ScheduleNotFound, TaskNotFound
from runyard.model.states import RunState, Trigger
from runyard.model.types import Field, Integer
from runyard.stores.contract.listing import RunFilter
from runyard.stores.postgres.store import open_postgres
from tests.support.turned_clock import TurnedClock
from tests.support.yard import Yard, a_declaration, opened_yard

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def started(yard: Yard) -> int:
    page = await yard.engine.runs.page(yard.company, RunFilter(), None, 100)
    return page.total


async def passes(yard: Yard, by: timedelta) -> None:
    """Let so much time pass, and everything due in it happen."""
    yard.later(by)
    await yard.engine.maintenance.stage()


async def test_a_schedule_fires_at_its_instant_and_not_before(yard: Yard) -> None:
    """R9"""
    await yard.a_task()
    schedule = await yard.engine.schedules.create(
        yard.company, "Work", name="hourly", interval=HOUR
    )

    await passes(yard, HOUR - timedelta(milliseconds=1))
    before = await started(yard)
    await passes(yard, timedelta(milliseconds=1))

    page = await yard.engine.runs.page(yard.company, RunFilter(), None, 10)
    assert before == 0
    assert [(run.trigger, run.schedule_id, run.due_at) for run in page.runs] == [
        (Trigger.SCHEDULE, schedule.id, yard.clock.now())
    ]


async def test_its_run_starts_by_itself(yard: Yard) -> None:
    """R2, R9: nobody calls, the engine's own loop fires it."""
    await yard.a_task()
    worker = await yard.a_worker()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)
    await yard.turned()

    yard.later(HOUR)

    await worker.has_runs(1)


async def test_fire_times_that_nobody_saw_fire_once_and_then_it_goes_on_from_now(
    yard: Yard,
) -> None:
    await yard.a_task()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)

    await passes(yard, 5 * HOUR + timedelta(minutes=30))
    missed = await started(yard)
    await passes(yard, timedelta(minutes=29))
    between = await started(yard)
    await passes(yard, timedelta(minutes=1))

    assert (missed, between, await started(yard)) == (1, 1, 2)


async def test_a_single_instant_fires_once(yard: Yard) -> None:
    await yard.a_task()
    at = yard.clock.now() + HOUR
    await yard.engine.schedules.create(yard.company, "Work", name="once", at=at)

    await passes(yard, HOUR)
    await passes(yard, 10 * DAY)

    schedule = await yard.engine.schedules.load(yard.company, "once")
    assert await started(yard) == 1
    assert schedule.next_fire_at is None
    assert yard.engine.schedules.upcoming(schedule, 5) == []


@pytest.mark.parametrize(
    ("around", "cron", "fires"),
    [
        # Clocks in Prague go from 02:00 to 03:00 on 29 March 2026, and back on 25 October.
        (
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            "30 12 * * *",
            [datetime(2026, 3, 29, 10, 30, tzinfo=UTC), datetime(2026, 3, 30, 10, 30, tzinfo=UTC)],
        ),
        (
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            "30 12 * * *",
            [
                datetime(2026, 10, 25, 11, 30, tzinfo=UTC),
                datetime(2026, 10, 26, 11, 30, tzinfo=UTC),
            ],
        ),
        (
            datetime(2026, 10, 24, 22, 30, tzinfo=UTC),
            "15 4 * * *",
            [datetime(2026, 10, 25, 3, 15, tzinfo=UTC), datetime(2026, 10, 26, 3, 15, tzinfo=UTC)],
        ),
    ],
)
async def test_cron_follows_the_clocks_of_its_time_zone(
    yard: Yard, around: datetime, cron: str, fires: list[datetime]
) -> None:
    await yard.a_task()
    yard.later(around - yard.clock.now())

    schedule = await yard.engine.schedules.create(
        yard.company, "Work", name="local", cron=cron, time_zone="Europe/Prague"
    )

    assert yard.engine.schedules.upcoming(schedule, 2) == fires


@pytest.mark.parametrize(
    "start", [datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 21, tzinfo=UTC)]
)
async def test_a_night_shift_fires_once_a_day_when_clocks_change(
    yard: Yard, start: datetime
) -> None:
    """Half past two does not exist on one night and comes twice on another."""
    await yard.a_task()
    yard.later(start - yard.clock.now())
    schedule = await yard.engine.schedules.create(
        yard.company, "Work", name="night", cron="30 2 * * *", time_zone="Europe/Prague"
    )

    days = [at.date() for at in yard.engine.schedules.upcoming(schedule, 4)]

    assert len(set(days)) == 4
    assert days[-1] - days[0] == timedelta(days=3)


async def test_a_schedule_reads_cron_in_its_companys_time_zone(yard: Yard) -> None:
    await yard.a_task()
    company = await yard.engine.companies.update("acme", time_zone="Asia/Tokyo")

    schedule = await yard.engine.schedules.create(company, "Work", name="noon", cron="0 12 * * *")

    assert schedule.next_fire_at == datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


async def test_a_schedule_that_is_switched_off_does_not_fire(yard: Yard) -> None:
    await yard.a_task()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)

    await yard.engine.schedules.set_enabled(yard.company, "hourly", enabled=False)
    await passes(yard, 3 * HOUR + timedelta(minutes=1))
    off = await started(yard)
    await yard.engine.schedules.set_enabled(yard.company, "hourly", enabled=True)
    await passes(yard, timedelta(minutes=58))
    early = await started(yard)
    await passes(yard, timedelta(minutes=1))

    assert (off, early, await started(yard)) == (0, 0, 1)


async def test_a_deleted_schedule_does_not_fire_and_its_runs_stay(yard: Yard) -> None:
    await yard.a_task()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)
    await passes(yard, HOUR)

    await yard.engine.schedules.delete(yard.company, "hourly")
    await passes(yard, HOUR)

    assert await started(yard) == 1
    with pytest.raises(ScheduleNotFound):
        await yard.engine.schedules.load(yard.company, "hourly")


@pytest.mark.parametrize("how", ["withdrawn", "not runnable"])
async def test_a_task_that_cannot_be_started_is_skipped_and_fires_again_later(
    yard: Yard, how: str
) -> None:
    await yard.a_task()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)
    inspector = await yard.a_worker(capacity=0)

    if how == "withdrawn":
        await yard.engine.deploys.deploy(yard.company, "Work", some_bytes())
    else:
        await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)
    await passes(yard, HOUR)
    skipped = await started(yard)
    if how == "withdrawn":
        inspector.next_bundle = (a_declaration(),)
        await yard.engine.deploys.deploy(yard.company, "Work", some_bytes())
    else:
        await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=True)
    await passes(yard, HOUR)

    assert (skipped, await started(yard)) == (0, 1)


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"bundle"


async def test_a_paused_orchestrator_lets_schedules_fire_and_their_runs_wait(yard: Yard) -> None:
    """R6"""
    await yard.a_task()
    worker = await yard.a_worker()
    await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)
    await yard.engine.orchestrator.pause(yard.company)

    await passes(yard, HOUR)
    await yard.turned()

    assert worker.queue == []
    assert await yard.count(RunState.QUEUED) == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "trigger"),
        ({"cron": "* * * * *", "interval": HOUR}, "trigger"),
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "often"}, "cron"),
        ({"interval": timedelta(milliseconds=999)}, "interval"),
        ({"interval": HOUR, "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"interval": HOUR, "name": ""}, "name"),
        ({"interval": HOUR, "priority": 100}, "priority"),
        ({"interval": HOUR, "input": b'{"count": "many"}'}, "count"),
    ],
)
async def test_a_schedule_that_cannot_be_meant_is_refused(
    yard: Yard, wrong: dict[str, Any], field: str
) -> None:
    """A priority out of bounds was taken, and then every fire time was skipped."""
    await yard.a_task(
        inputs=(
            Field(name="count", parameter="count", type=Integer(), required=False, default="1"),
        )
    )

    with pytest.raises(InputRefused) as refusal:
        await yard.engine.schedules.create(yard.company, "Work", **{"name": "x", **wrong})

    assert field in {problem.field for problem in refusal.value.problems}
    assert await yard.engine.schedules.list(yard.company) == []


async def test_a_name_is_given_once_in_each_company(yard: Yard) -> None:
    await yard.a_task()
    await yard.engine.schedules.create(yard.company, "Work", name="x", interval=HOUR)
    other = await yard.engine.companies.create("other")
    await yard.a_task(company=other)

    with pytest.raises(NameTaken):
        await yard.engine.schedules.create(yard.company, "Work", name="x", interval=HOUR)
    theirs = await yard.engine.schedules.create(other, "Work", name="x", interval=HOUR)

    with pytest.raises(ScheduleNotFound):
        await yard.engine.schedules.load(yard.company, str(theirs.id))
    with pytest.raises(TaskNotFound):
        await yard.engine.schedules.create(other, "Nothing", name="y", interval=HOUR)


async def test_two_servers_fire_a_schedule_once(memory_path: Path, postgres_dsn: str) -> None:
    """R3"""
    clock = TurnedClock()
    async with AsyncExitStack() as parts:
        stores = []
        for _ in range(2):
            stores.append(await open_postgres(postgres_dsn, memory_path))
            parts.push_async_callback(stores[-1].close)
        yard = await parts.enter_async_context(opened_yard(stores[0], clock))
        second = await parts.enter_async_context(
            Engine(stores[1], clock, EngineSettings(server="second"))
        )
        await yard.a_task()
        await yard.engine.schedules.create(yard.company, "Work", name="hourly", interval=HOUR)

        for _ in range(3):
            yard.later(HOUR)
            await yard.engine.maintenance.stage()
            await second.maintenance.stage()

        assert await started(yard) == 3
