"""Starting runs: all or none, once per key, with values of any size."""

import asyncio

import msgspec
import pytest

from runyard.model.states import RunState, Trigger
from runyard.stores.contract.runs import StartKey, StartOutcome
from runyard.stores.tables.pieces import WriteRefused
from runyard.stores.tables.values import INLINE_LIMIT
from tests.stores.builders import ACME, GLOBEX, NOW, KnownTask, World, later


def a_key(task: KnownTask, first_run: int, key: str = "order-17", digest: bytes = b"d" * 32):
    return StartKey(
        company_id=task.company,
        key=key,
        request_digest=digest,
        first_run_id=first_run,
        run_count=1,
        created_at=NOW,
    )


async def test_a_started_run_is_found_with_everything_that_was_said(world: World) -> None:
    task = await world.add_task()
    origin = await task.start()
    run = task.new_run(
        state=RunState.SCHEDULED,
        priority=20,
        rank=-5,
        due_at=later(60),
        queued_at=None,
        level=2,
        restarted_from=origin,
        trigger=Trigger.RESTART,
        started_by=77,
        put_off_until=later(60),
        note="again, please",
    )

    outcome = await world.store.runs.start([run])

    found = await world.run(run.id)
    assert outcome == StartOutcome(inserted=True, first_run_id=run.id, run_count=1)
    for field in msgspec.structs.fields(run):
        if field.name not in {"input", "note", "callbacks", "preparation", "begins_by"}:
            assert getattr(found, field.name) == getattr(run, field.name), field.name
    [change] = await world.store.histories.changes(run.company_id, run.id)
    assert (change.at, change.state, change.note) == (run.created_at, run.state, "again, please")
    assert (found.attempt, found.begun_at, found.started_at, found.finished_at) == (0, *[None] * 3)
    assert not found.is_final
    assert await world.store.runs.find_by_public_id(ACME, run.public_id) == found


async def test_many_runs_start_in_one_piece(world: World) -> None:
    task = await world.add_task()
    runs = [task.new_run(input=b"%d" % number) for number in range(250)]

    outcome = await world.store.runs.start(runs)

    assert outcome.run_count == 250
    values = await world.store.runs.outputs(ACME, [run.id for run in runs])
    assert [values[run.id].input for run in runs] == [run.input for run in runs]


async def test_one_bad_run_keeps_the_others_of_its_start_out(world: World) -> None:
    task = await world.add_task()
    known = await task.start()
    good, bad = task.new_run(), task.new_run(id=known)

    with pytest.raises(WriteRefused):
        await world.store.runs.start([good, bad])

    assert await world.store.runs.find(ACME, good.id) is None


async def test_a_key_starts_its_runs_once(world: World) -> None:
    task = await world.add_task()
    first, second = task.new_run(), task.new_run()
    await world.store.runs.start([first], a_key(task, first.id))

    again = await world.store.runs.start([second], a_key(task, second.id, digest=b"e" * 32))

    assert again == StartOutcome(
        inserted=False, first_run_id=first.id, run_count=1, request_digest=b"d" * 32
    )
    assert await world.store.runs.find(ACME, second.id) is None


async def test_a_key_starts_its_runs_once_within_one_group(world: World) -> None:
    task = await world.add_task()
    runs = [task.new_run() for _ in range(5)]

    outcomes = await asyncio.gather(
        *(world.store.runs.start([run], a_key(task, run.id)) for run in runs)
    )

    assert [outcome.inserted for outcome in outcomes] == [True, False, False, False, False]
    assert {outcome.first_run_id for outcome in outcomes} == {runs[0].id}
    found = await world.store.runs.find_many(ACME, [run.id for run in runs])
    assert [run.id for run in found] == [runs[0].id]


async def test_keys_of_companies_and_other_keys_do_not_meet(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    here, there = await world.add_task(ACME), await world.add_task(GLOBEX)
    runs = [here.new_run(), there.new_run(), here.new_run()]

    outcomes = [
        await world.store.runs.start([runs[0]], a_key(here, runs[0].id)),
        await world.store.runs.start([runs[1]], a_key(there, runs[1].id)),
        await world.store.runs.start([runs[2]], a_key(here, runs[2].id, key="order-18")),
    ]

    assert all(outcome.inserted for outcome in outcomes)


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT, INLINE_LIMIT + 1, 1_000_000])
async def test_an_input_comes_back_whatever_its_size(world: World, size: int) -> None:
    task = await world.add_task()
    value = b"x" * size

    run = await task.start(input=value)

    found = await world.store.runs.values(ACME, run)
    assert found is not None
    assert found.input == value
    assert (found.output, found.error) == (None, None)
    [claimed] = await world.claim(task)
    assert claimed.input == value


async def test_large_inputs_under_a_known_key_are_not_started_either(world: World) -> None:
    task = await world.add_task()
    first, second = task.new_run(), task.new_run(input=b"x" * (INLINE_LIMIT + 1))
    await world.store.runs.start([first], a_key(task, first.id))

    again = await world.store.runs.start([second], a_key(task, second.id))

    assert not again.inserted
    assert await world.store.runs.find(ACME, second.id) is None


async def test_a_run_is_not_found_through_another_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    run = task.new_run()
    await world.store.runs.start([run])

    runs = world.store.runs

    assert await runs.find(GLOBEX, run.id) is None
    assert await runs.find_many(GLOBEX, [run.id]) == []
    assert await runs.find_by_public_id(GLOBEX, run.public_id) is None
    assert await runs.values(GLOBEX, run.id) is None
    assert await runs.outputs(GLOBEX, [run.id]) == {}
    assert await world.store.histories.attempts(GLOBEX, run.id) == []


async def test_several_runs_are_found_by_id_in_order(world: World) -> None:
    task = await world.add_task()
    first, second = await task.start_many(2)

    found = await world.store.runs.find_many(ACME, [second, 99_999, first])

    assert [run.id for run in found] == [first, second]
