"""Schedules: they fire once, however many try."""

import asyncio
from datetime import timedelta

import msgspec

from runyard.model.ids import ScheduleId
from runyard.model.schedules import Schedule, TriggerKind
from runyard.model.states import Trigger
from runyard.stores.tables.values import INLINE_LIMIT
from tests.stores.builders import ACME, GLOBEX, NOW, KnownTask, World, later


def a_schedule(task: KnownTask, number: int = 50, name: str = "nightly", **changes) -> Schedule:
    schedule = Schedule(
        id=ScheduleId(number),
        company_id=task.company,
        task_id=task.id,
        name=name,
        kind=TriggerKind.CRON,
        cron="0 3 * * *",
        time_zone="Europe/Prague",
        interval=None,
        input=b'{"zip":"76131"}',
        priority=None,
        enabled=True,
        next_fire_at=later(10),
        last_fire_at=None,
        created_at=NOW,
    )
    return msgspec.structs.replace(schedule, **changes)


async def test_a_schedule_is_found_as_it_was_created(world: World) -> None:
    task = await world.add_task()
    schedules = [
        a_schedule(task, 50, "a"),
        a_schedule(
            task,
            51,
            "b",
            kind=TriggerKind.INTERVAL,
            cron=None,
            interval=timedelta(minutes=5),
            priority=3,
            input=b"x" * (INLINE_LIMIT + 1),
        ),
    ]

    for schedule in schedules:
        assert await world.store.schedules.create(schedule)

    assert await world.store.schedules.find(ACME, ScheduleId(50)) == schedules[0]
    assert await world.store.schedules.list(ACME) == schedules
    assert await world.store.schedules.list(ACME, task.id) == schedules
    assert await world.store.schedules.list(ACME, 999) == []


async def test_a_name_is_taken_once_in_a_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(GLOBEX)
    await world.store.schedules.create(a_schedule(task))

    assert not await world.store.schedules.create(a_schedule(task, 51))
    assert await world.store.schedules.create(a_schedule(other, 52))


async def test_a_schedule_belongs_to_its_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    await world.store.schedules.create(a_schedule(task))
    schedules, nightly = world.store.schedules, ScheduleId(50)

    assert await schedules.find(GLOBEX, nightly) is None
    assert not await schedules.set_enabled(GLOBEX, nightly, enabled=False, next_fire_at=None)
    assert not await schedules.delete(GLOBEX, nightly)
    assert await schedules.list(GLOBEX) == []
    assert await schedules.delete(ACME, nightly)
    assert not await schedules.delete(ACME, nightly)


async def test_due_schedules_come_earliest_first(world: World) -> None:
    task = await world.add_task()
    for number, fire_at in ((50, 30), (51, 10), (52, 20), (53, 40)):
        await world.store.schedules.create(
            a_schedule(task, number, str(number), next_fire_at=later(fire_at))
        )
    await world.store.schedules.create(
        a_schedule(task, 54, "off", enabled=False, next_fire_at=later(1))
    )
    await world.store.schedules.create(a_schedule(task, 55, "over", next_fire_at=None))

    due = await world.store.schedules.due(later(30), 10)

    assert [schedule.id for schedule in due] == [51, 52, 50]
    assert len(await world.store.schedules.due(later(30), 2)) == 2
    assert await world.store.schedules.next_fire_at() == later(10)


async def test_a_schedule_is_switched_off_and_on(world: World) -> None:
    task = await world.add_task()
    await world.store.schedules.create(a_schedule(task))
    nightly = ScheduleId(50)

    assert await world.store.schedules.set_enabled(ACME, nightly, enabled=False, next_fire_at=None)
    assert await world.store.schedules.next_fire_at() is None
    assert await world.store.schedules.set_enabled(
        ACME, nightly, enabled=True, next_fire_at=later(77)
    )

    found = await world.store.schedules.find(ACME, nightly)
    assert found is not None
    assert (found.enabled, found.next_fire_at) == (True, later(77))


async def test_a_schedule_fires_once_and_starts_its_run(world: World) -> None:
    task = await world.add_task()
    schedule = a_schedule(task)
    await world.store.schedules.create(schedule)
    runs = [task.new_run(trigger=Trigger.SCHEDULE, schedule_id=schedule.id) for _ in range(3)]

    fired = await asyncio.gather(
        *(world.store.schedules.fire(schedule, later(20), later(11), run) for run in runs)
    )

    assert sorted(fired) == [False, False, True]
    started = await world.store.runs.find_many(ACME, [run.id for run in runs])
    assert [run.schedule_id for run in started] == [schedule.id]
    found = await world.store.schedules.find(ACME, schedule.id)
    assert found is not None
    assert (found.next_fire_at, found.last_fire_at) == (later(20), later(11))
    values = await world.store.runs.values(ACME, started[0].id)
    assert values is not None
    assert values.input == b'{"zip":"76131"}'


async def test_a_skipped_fire_starts_nothing(world: World) -> None:
    task = await world.add_task()
    schedule = a_schedule(task)
    await world.store.schedules.create(schedule)

    assert await world.store.schedules.fire(schedule, None, later(11), None)

    assert await world.store.schedules.due(later(99), 10) == []
    assert await world.store.queues.queued_totals() == {}


async def test_a_schedule_that_was_switched_off_meanwhile_does_not_fire(world: World) -> None:
    task = await world.add_task()
    schedule = a_schedule(task)
    await world.store.schedules.create(schedule)
    await world.store.schedules.set_enabled(
        ACME, schedule.id, enabled=False, next_fire_at=later(10)
    )

    assert not await world.store.schedules.fire(schedule, later(20), NOW, task.new_run())
    assert await world.store.queues.queued_totals() == {}
