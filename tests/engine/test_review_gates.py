"""What the engine believes of gates when switching them fails, overlaps or is read out of order."""

import asyncio

import pytest

from runyard.model.errors import StorageUnavailable
from runyard.model.ids import CompanyId, GateId
from runyard.model.states import RunState
from tests.support.yard import Yard


@pytest.mark.parametrize("what", ["pause", "not runnable"])
async def test_a_switch_that_was_refused_holds_nothing_back(yard: Yard, what: str) -> None:
    """R2: gates stayed closed in memory although the database had never heard of it."""
    await yard.a_task()
    worker = await yard.a_worker()

    async def refuse(*_: object, **__: object) -> bool:
        raise StorageUnavailable("full")

    if what == "pause":
        yard.store.companies.set_runnable = refuse  # type: ignore[method-assign]
        with pytest.raises(StorageUnavailable):
            await yard.engine.orchestrator.pause(yard.company)
    else:
        yard.store.tasks.set_runnable = refuse  # type: ignore[method-assign]
        with pytest.raises(StorageUnavailable):
            await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)
    run = await yard.a_run()
    await worker.has_runs(1)

    assert worker.queue[0].run_id == run.id


async def test_a_clean_whose_last_look_fails_leaves_its_task_open(yard: Yard) -> None:
    """R2: the task stayed closed in memory for ever."""
    await yard.a_task()
    worker = await yard.a_worker()

    async def fail(_: GateId) -> None:
        raise StorageUnavailable("away")

    yard.store.tasks.gate = fail  # type: ignore[method-assign,assignment]
    await yard.engine.tasks.clean(yard.company, "Work")
    run = await yard.a_run()
    await worker.has_runs(1)

    assert worker.queue[0].run_id == run.id


async def test_the_first_of_two_cleans_does_not_reopen_the_gate_for_the_second(yard: Yard) -> None:
    """R6: once a clean has returned no run that was queued before it starts."""
    await yard.a_task()
    task = await yard.engine.tasks.load(yard.company, "Work")
    directory = yard.engine.directory

    with directory.closing((task.gate_id,)):
        with directory.closing((task.gate_id,)):
            pass
        still_closed = not directory.gates[task.gate_id].is_open

    assert still_closed
    assert directory.gates[task.gate_id].is_open


async def test_an_older_look_at_the_gates_never_hides_a_newer_one(yard: Yard) -> None:
    """R2: a look that had begun before a resume, and came back after it, closed the gates again."""
    await yard.a_task()
    await yard.engine.orchestrator.pause(yard.company)
    run = await yard.a_run()
    look = yard.store.tasks.gates
    slow = asyncio.Event()
    has_looked = asyncio.Event()

    async def look_slowly() -> object:
        yard.store.tasks.gates = look  # type: ignore[method-assign]
        seen = await look()
        has_looked.set()
        await slow.wait()
        return seen

    yard.store.tasks.gates = look_slowly  # type: ignore[method-assign,assignment]
    old = asyncio.ensure_future(yard.engine.directory.refresh_gates())
    await has_looked.wait()
    resuming = asyncio.ensure_future(yard.engine.orchestrator.resume(yard.company))
    while not (await yard.store.companies.find(CompanyId(yard.company.id))).runnable:  # type: ignore[union-attr]
        await yard.turned()
    for _ in range(20):
        await asyncio.sleep(0.001)  # noqa: TID251 - the newer look may come back first
    slow.set()
    await asyncio.gather(old, resuming)
    worker = await yard.a_worker()
    await worker.has_runs(1)

    assert (await yard.run(run)).state is RunState.RUNNING
