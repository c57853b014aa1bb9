"""Upkeep: pruning, breaches found, ids, incarnations and what the store says about itself."""

import asyncio

import pytest

from runyard.model.logs import LogLevel, LogLine
from runyard.model.states import RunState
from runyard.stores.contract.logs import LogChunk
from runyard.stores.contract.runs import StartKey
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, NOW, World, a_finish, a_retry, later
from tests.stores.places import Place
from tests.stores.test_attempts import a_step
from tests.stores.test_files import a_file


async def test_prune_deletes_a_run_with_all_that_belongs_to_it(world: World, place: Place) -> None:
    store = world.store
    task = await world.add_task()
    run = task.new_run()
    key = StartKey(
        company_id=ACME,
        key="once",
        request_digest=b"d" * 32,
        first_run_id=run.id,
        run_count=1,
        created_at=NOW,
    )
    await store.runs.start([run], key)
    [claimed] = await world.claim(task)
    await store.runs.record_step(a_step(claimed))
    await store.runs.finish([a_retry(claimed, state=RunState.QUEUED)])
    await store.files.create(a_file(run_id=run.id))
    line = LogLine(1, NOW, LogLevel.INFO, "hello")
    await store.logs.append([LogChunk(company_id=ACME, run_id=run.id, lines=(line,))])
    await finish_next(world, task)

    assert await store.runs.prune(ACME, task.id, later(3), 10) == 1

    assert await store.runs.find(ACME, run.id) is None
    assert await store.runs.values(ACME, run.id) is None
    assert await store.histories.attempts(ACME, run.id) == []
    assert await store.runs.steps([run.id]) == {}
    assert await store.files.of_run(ACME, run.id) == []
    assert await store.logs.read(ACME, run.id, at_least=LogLevel.TRACE, after=0, limit=9) == []
    for table in ("run_inputs", "run_outputs", "attempts", "steps", "idempotency_keys"):
        assert place.execute(f"SELECT * FROM {table}") == []
    again = await store.runs.start([task.new_run()], key)
    assert again.inserted


async def finish_next(world: World, task) -> None:

    [claimed] = await world.claim(task)
    assert await world.store.runs.finish([a_finish(claimed)])


async def test_prune_leaves_what_is_young_or_under_way(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(name="Other")
    old = [await task.ended(finished_at=later(2)) for _ in range(3)]
    young = await task.ended(finished_at=later(9))
    running = (await task.running()).run_id
    queued = await task.start()
    others = await other.ended(finished_at=later(2))

    assert await world.store.runs.prune(GLOBEX, task.id, later(5), 10) == 0
    assert await world.store.runs.prune(ACME, task.id, later(5), 2) == 2
    assert await world.store.runs.prune(ACME, task.id, later(5), 2) == 1
    assert await world.store.runs.prune(ACME, task.id, later(5), 2) == 0

    assert await world.store.runs.find_many(ACME, old) == []
    left = [young, running, queued, others]
    assert [run.id for run in await world.store.runs.find_many(ACME, left)] == left


async def test_prune_takes_the_runs_of_a_whole_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    tasks = [await world.add_task(), await world.add_task(name="Other")]
    foreign = await (await world.add_task(GLOBEX)).ended(company_id=GLOBEX, finished_at=later(2))
    old = [await task.ended(finished_at=later(2)) for task in tasks for _ in range(2)]
    young = await tasks[0].ended(finished_at=later(5))

    assert await world.store.runs.prune(ACME, None, later(5), 3) == 3
    assert await world.store.runs.prune(ACME, None, later(5), 3) == 1

    assert await world.store.runs.find_many(ACME, [*old, young]) == [await world.run(young)]
    assert (await world.run(foreign, GLOBEX)).is_final


async def test_a_store_that_keeps_its_promises_has_no_breaches(world: World) -> None:
    task = await world.add_task(concurrency=2)
    await task.ended()
    await task.running()
    await task.start()
    await task.start(state=RunState.SCHEDULED, due_at=later(5), queued_at=None)
    await task.start(state=RunState.PARKED, queued_at=None)

    assert await world.store.runs.breaches(later(5), 100) == []


BREAKS = {
    "a scheduled run without a due instant": ("state = 2, due_at = NULL, queued_at = NULL", "R2"),
    "a queued run at no gate": ("gate_id = 424242", "R2"),
    "a queued run that was never queued": ("queued_at = NULL", "R2"),
    "a running run of nobody": ("state = 4, session_id = NULL", "R2"),
    "a running run of an unknown session": ("state = 4, session_id = 424242", "R2"),
    "a queued run that a session holds": ("session_id = 1", "R2"),
    "an ended run without a cause": ("state = 6, finished_at = 1", "R3"),
    "an ended run without an end": ("state = 7, cause = 23", "R3"),
    "a queued run with a cause": ("cause = 20", "R3"),
}


@pytest.mark.parametrize("what", BREAKS)
async def test_a_broken_run_is_found(world: World, place: Place, what: str) -> None:
    change, promise = BREAKS[what]
    task = await world.add_task()
    await task.start()
    broken = await task.start()

    place.execute(f"UPDATE runs SET {change} WHERE id = {broken}")

    breaches = await world.store.runs.breaches(NOW, 100)
    assert [(breach.run_id, breach.promise) for breach in breaches] == [(broken, promise)]
    assert breaches[0].detail


async def test_a_run_without_its_input_is_found(world: World, place: Place) -> None:
    task = await world.add_task()
    run = await task.start()

    place.execute(f"DELETE FROM run_inputs WHERE run_id = {run}")

    [breach] = await world.store.runs.breaches(NOW, 100)
    assert (breach.run_id, breach.promise) == (run, "R1")


async def test_a_running_run_of_a_lapsed_session_is_found(world: World) -> None:
    task = await world.add_task()
    run = await task.running()

    [breach] = await world.store.runs.breaches(later(11), 100)

    assert (breach.run_id, breach.promise) == (run.run_id, "R2")


async def test_a_gate_over_its_limit_is_found(world: World, place: Place) -> None:
    task = await world.add_task(concurrency=2)
    await task.running()
    await task.running()

    place.execute(f"UPDATE gates SET run_limit = 1 WHERE id = {task.gate}")

    [breach] = await world.store.runs.breaches(NOW, 100)
    assert (breach.run_id, breach.promise) == (None, "R7")
    assert str(task.gate) in breach.detail


async def test_so_many_breaches_and_no_more(world: World, place: Place) -> None:
    task = await world.add_task()
    await task.start_many(5)
    place.execute("UPDATE runs SET queued_at = NULL")

    assert len(await world.store.runs.breaches(NOW, 3)) == 3


# ---------------------------------------------------------------- the store as a whole


async def test_reserved_ids_are_nobody_elses(store: Store) -> None:
    firsts = await asyncio.gather(*(store.reserve_ids(10) for _ in range(20)))

    reserved = [number for first in firsts for number in range(first, first + 10)]
    assert len(set(reserved)) == 200
    assert min(reserved) >= 1


async def test_ids_and_incarnation_rise_over_openings(place: Place) -> None:
    first = await place.open()
    before = await first.reserve_ids(1000)
    await first.close()

    second = await place.open()

    assert second.incarnation > first.incarnation
    assert await second.reserve_ids(1) >= before + 1000
    await second.close()


async def test_what_was_written_is_there_after_opening_again(place: Place) -> None:
    first = await place.open()
    world = World(first)
    await world.add_company()
    await world.connect()
    task = await world.add_task()
    run = await task.ended()
    before = await world.run(run)
    await first.close()

    second = await place.open()

    assert await second.runs.find(ACME, run) == before
    await second.close()


async def test_the_database_clock_is_near_this_one(store: Store) -> None:
    first = await store.database_now()
    second = await store.database_now()

    assert first <= second
    assert first.tzinfo is not None
    assert (second - first).total_seconds() < 5


async def test_a_store_says_how_it_is_doing(world: World, place: Place) -> None:
    before = await world.store.statistics()
    task = await world.add_task()
    await task.start()

    after = await world.store.statistics()

    assert (after.kind, after.schema_version, after.waiting) == (
        place.kind,
        before.schema_version,
        0,
    )
    assert after.groups == before.groups + 2
    assert after.pieces == before.pieces + 2
    assert after.size > 0
    assert after.version[0].isdigit()
