"""Stopping, holding and moving runs in every state they can be in (R2, R6)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.patience import until_done
from runyard.engine.starts import RestartRequest
from runyard.model.errors import IllegalTransition, StorageUnavailable, TaskNotRunnable
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from tests.support.yard import HandWorker, Yard

SOON = timedelta(minutes=5)


async def a_run_in(yard: Yard, state: str) -> tuple[Run, HandWorker]:
    """A run of "Work" in this state, and the worker that may have it."""
    await yard.a_task()
    if state in {"queued", "scheduled", "parked"}:
        worker = await yard.a_worker(capacity=0)
        due_at = yard.clock.now() + SOON if state == "scheduled" else None
        return await yard.a_run(parked=state == "parked", due_at=due_at), worker
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    if state != "claimed":
        claimed = yard.begin(worker)
        if state == "ended":
            await yard.end(worker, claimed)
    return await yard.run(run), worker


async def starts_nothing(yard: Yard, worker: HandWorker, capacity: int = 5) -> bool:
    """Whether nothing new reaches this worker although it has room."""
    before = len(worker.assigned)
    assert worker.session is not None
    yard.engine.set_capacity(worker.session, capacity)
    await yard.turned()
    return len(worker.assigned) == before


@pytest.mark.parametrize("state", ["queued", "scheduled", "parked", "claimed", "running"])
async def test_a_cancelled_run_never_starts_whatever_its_state_was(yard: Yard, state: str) -> None:
    """R6"""
    run, worker = await a_run_in(yard, state)

    ended = await yard.engine.runs.cancel(yard.company, str(run.id))

    yard.later(SOON)
    assert (ended.state, ended.cause) == (RunState.CANCELLED, Cause.CANCELLED)
    assert ended.finished_at is not None
    assert worker.queue == []
    assert not worker.executing
    assert await starts_nothing(yard, worker)


async def test_an_ended_run_cannot_be_cancelled(yard: Yard) -> None:
    run, _ = await a_run_in(yard, "ended")

    with pytest.raises(IllegalTransition):
        await yard.engine.runs.cancel(yard.company, str(run.id))


async def test_a_cancel_finds_a_run_whose_claim_is_under_way(yard: Yard) -> None:
    """R6"""
    await yard.a_task()
    worker = await yard.a_worker()
    starting = asyncio.ensure_future(yard.a_run())
    run = await starting

    ended = await yard.engine.runs.cancel(yard.company, str(run.id))

    await yard.turned()
    assert ended.state is RunState.CANCELLED
    assert worker.queue == []


@pytest.mark.parametrize("how", ["pause", "not runnable"])
async def test_after_holding_back_nothing_starts_until_it_is_allowed_again(
    yard: Yard, how: str
) -> None:
    """R6: what was claimed and has not begun is taken back, what has begun goes on."""
    await yard.a_task()
    worker = await yard.a_worker(capacity=2)
    first, second, third = [await yard.a_run() for _ in range(3)]
    await worker.has_runs(2)
    begun = yard.begin(worker)

    if how == "pause":
        await yard.engine.orchestrator.pause(yard.company)
    else:
        await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)
    is_held = await starts_nothing(yard, worker)
    held = [(await yard.run(run)).state for run in (second, third)]
    ended = await yard.end(worker, begun)
    if how == "pause":
        await yard.engine.orchestrator.resume(yard.company)
    else:
        await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=True)
    await worker.has_runs(2)

    assert is_held
    assert held == [RunState.QUEUED, RunState.QUEUED]
    assert (ended.id, ended.state) == (first.id, RunState.COMPLETED)
    assert [run.run_id for run in worker.queue] == [second.id, third.id]


async def test_a_pause_and_a_start_at_the_same_moment_never_let_the_run_start(yard: Yard) -> None:
    """R6"""
    await yard.a_task()
    worker = await yard.a_worker(capacity=50)

    for _ in range(5):
        starts = [asyncio.ensure_future(yard.a_run()) for _ in range(4)]
        await asyncio.gather(yard.engine.orchestrator.pause(yard.company), *starts)
        await yard.turned()
        assert worker.queue == []
        await yard.engine.orchestrator.resume(yard.company)
        await worker.has_runs(1)
        await yard.engine.orchestrator.pause(yard.company)


async def test_cleaning_a_task_ends_what_has_never_begun_and_nothing_else(yard: Yard) -> None:
    """R6"""
    await yard.a_task(policies=Policies(retry=RetryPolicy(retries=1, jitter=0.0)))
    worker = await yard.a_worker(capacity=2)
    retried = await yard.a_run()
    await yard.executed(worker, Outcome.RAISED)
    begun = await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)
    claimed, queued = await yard.a_run(), await yard.a_run()
    later = await yard.a_run(due_at=yard.clock.now() + SOON)
    parked = await yard.a_run(parked=True)
    await worker.has_runs(1)

    cleaned = await yard.engine.tasks.clean(yard.company, "Work")

    states = [(await yard.run(r)).state for r in (retried, begun, claimed, queued, later, parked)]
    assert sorted(cleaned) == [claimed.id, queued.id, later.id]
    assert states == [
        RunState.SCHEDULED,
        RunState.RUNNING,
        RunState.CANCELLED,
        RunState.CANCELLED,
        RunState.CANCELLED,
        RunState.PARKED,
    ]


async def test_a_run_claimed_while_its_task_is_cleaned_does_not_start(yard: Yard) -> None:
    """R6: room that the cleaning itself makes was given to the next queued run."""
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)
    runs = [await yard.a_run() for _ in range(3)]
    await worker.has_runs(1)

    await yard.engine.tasks.clean(yard.company, "Work")

    await yard.turned()
    assert worker.queue == []
    assert {(await yard.run(run)).state for run in runs} == {RunState.CANCELLED}
    again = await yard.a_run()
    await worker.has_runs(1)
    assert worker.queue[0].run_id == again.id


async def test_killing_a_task_ends_what_executes_and_leaves_what_waits(yard: Yard) -> None:
    """R6"""
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)
    running, queued = await yard.a_run(), await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)

    report = await yard.engine.tasks.kill(yard.company, "Work")

    await worker.has_runs(1)
    assert report.killed == (running.id,)
    assert report.unconfirmed == ()
    assert worker.killed == [running.id]
    assert (await yard.run(running)).cause is Cause.CANCELLED
    assert worker.queue[0].run_id == queued.id


@pytest.mark.parametrize("state", ["queued", "scheduled", "parked", "ended"])
async def test_only_a_running_run_can_be_killed(yard: Yard, state: str) -> None:
    run, _ = await a_run_in(yard, state)

    with pytest.raises(IllegalTransition):
        await yard.engine.runs.kill(yard.company, str(run.id))


async def test_a_kill_that_no_worker_confirms_says_so_and_voids_the_lease(yard: Yard) -> None:
    """R6, R4: the run of a worker that does not answer was in neither part of the report."""
    run, worker = await a_run_in(yard, "running")
    claimed = worker.executing[run.id]
    worker.is_deaf = True

    report = await yard.engine.tasks.kill(yard.company, "Work")
    late = await yard.end(worker, claimed)

    assert report.killed == ()
    assert report.unconfirmed == (run.id,)
    assert (late.state, late.cause) == (RunState.CANCELLED, Cause.CANCELLED)


async def test_cancelling_a_run_of_a_silent_worker_ends_it_all_the_same(yard: Yard) -> None:
    run, worker = await a_run_in(yard, "running")
    worker.is_deaf = True

    ended = await yard.engine.runs.cancel(yard.company, str(run.id))

    assert ended.state is RunState.CANCELLED


async def test_a_kill_waits_no_longer_for_its_worker_than_the_lease(yard: Yard) -> None:
    """A worker that never answered kept the caller waiting for ever."""
    run, worker = await a_run_in(yard, "running")
    asked, never = asyncio.Event(), asyncio.Event()

    async def unanswered(_runs: object) -> set[object]:
        asked.set()
        await never.wait()
        return set()

    worker.kill = unanswered  # type: ignore[assignment,method-assign]
    killing = asyncio.ensure_future(yard.engine.tasks.kill(yard.company, "Work"))
    await asked.wait()
    assert worker.session is not None
    for _ in range(4):
        yard.engine.hear(worker.session)
        yard.clock.advance(timedelta(seconds=3))
        await yard.turned()
    report = await asyncio.wait_for(killing, 10)

    assert report.unconfirmed == (run.id,)


@pytest.mark.parametrize("state", ["queued", "scheduled", "claimed"])
async def test_a_run_that_has_not_begun_can_be_parked_and_released(yard: Yard, state: str) -> None:
    """R2, R6: a claimed one, put back, was claimed again before it could be parked."""
    run, worker = await a_run_in(yard, state)

    parked = await yard.engine.runs.park(yard.company, str(run.id))
    is_held = await starts_nothing(yard, worker)
    yard.later(SOON)
    released = await yard.engine.runs.release(yard.company, str(run.id))
    await worker.has_runs(1)

    assert parked.state is RunState.PARKED
    assert is_held
    assert released.state is RunState.QUEUED
    assert worker.queue[0].run_id == run.id


@pytest.mark.parametrize("state", ["queued", "scheduled", "parked", "claimed"])
async def test_a_run_that_does_not_execute_is_withdrawn_with_a_note(yard: Yard, state: str) -> None:
    """R6"""
    run, worker = await a_run_in(yard, state)

    ended = await yard.engine.runs.withdraw(yard.company, str(run.id), "by the invoice system")

    yard.later(SOON)
    assert (ended.state, ended.cause) == (RunState.CANCELLED, Cause.CANCELLED)
    assert worker.queue == []
    assert await starts_nothing(yard, worker)
    story = await yard.engine.history.tell(yard.company, ended)
    assert (story.moments[-1].state, story.moments[-1].note) == (
        RunState.CANCELLED,
        "by the invoice system",
    )
    assert [m.state for m in story.moments].count(RunState.CANCELLED) == 1
    assert await yard.engine.history.note(yard.company, ended) is None


@pytest.mark.parametrize("state", ["running", "ended"])
async def test_a_run_that_executes_or_has_ended_is_not_withdrawn(yard: Yard, state: str) -> None:
    run, worker = await a_run_in(yard, state)

    with pytest.raises(IllegalTransition):
        await yard.engine.runs.withdraw(yard.company, str(run.id), "too late")

    assert worker.killed == []
    assert (await yard.run(run)).state is run.state


@pytest.mark.parametrize("state", ["running", "ended", "parked"])
async def test_other_runs_cannot_be_parked(yard: Yard, state: str) -> None:
    run, _ = await a_run_in(yard, state)

    with pytest.raises(IllegalTransition):
        await yard.engine.runs.park(yard.company, str(run.id))


async def test_a_run_released_before_its_instant_waits_for_it(yard: Yard) -> None:
    """R9"""
    run, worker = await a_run_in(yard, "scheduled")

    await yard.engine.runs.park(yard.company, str(run.id))
    released = await yard.engine.runs.release(yard.company, str(run.id))

    assert (released.state, released.due_at) == (RunState.SCHEDULED, run.due_at)
    assert await starts_nothing(yard, worker)


async def test_parking_twice_costs_a_run_no_more_than_once(yard: Yard) -> None:
    """R8: each release added the run's whole age to its rank, so that newer ones overtook it."""
    await yard.a_task()
    run = await yard.a_run()

    for _ in range(2):
        yard.later(SOON)
        await yard.engine.runs.park(yard.company, str(run.id))
        await yard.engine.runs.release(yard.company, str(run.id))
    yard.clock.advance(timedelta(seconds=1))
    newer = await yard.a_run()

    assert (await yard.run(run)).rank < newer.rank


async def test_a_restart_is_a_new_run_one_level_up_with_the_same_input(yard: Yard) -> None:
    run, _ = await a_run_in(yard, "ended")

    first = await yard.engine.runs.restart(yard.company, str(run.id))
    await yard.engine.runs.cancel(yard.company, str(first.id))
    second = await yard.engine.runs.restart(
        yard.company, str(first.id), RestartRequest(parked=True)
    )

    assert [(r.level, r.restarted_from) for r in (first, second)] == [(1, run.id), (2, first.id)]
    assert second.state is RunState.PARKED
    assert len({run.public_id, first.public_id, second.public_id}) == 3
    assert (await yard.run(run)).state is RunState.COMPLETED


@pytest.mark.parametrize("state", ["queued", "running", "scheduled"])
async def test_only_ended_and_parked_runs_are_restarted(yard: Yard, state: str) -> None:
    run, _ = await a_run_in(yard, state)

    with pytest.raises(IllegalTransition):
        await yard.engine.runs.restart(yard.company, str(run.id))


async def test_a_run_of_a_closed_task_is_not_restarted(yard: Yard) -> None:
    run, _ = await a_run_in(yard, "ended")
    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)

    with pytest.raises(TaskNotRunnable):
        await yard.engine.runs.restart(yard.company, str(run.id))


async def test_what_has_happened_is_written_down_once_the_store_is_back(yard: Yard) -> None:
    """R2: a kill whose record found the disk full left a run that nobody held."""
    refusals = [StorageUnavailable("full"), StorageUnavailable("full")]

    async def write() -> str:
        if refusals:
            raise refusals.pop()
        return "written"

    writing = asyncio.ensure_future(until_done(yard.clock, "test", write))
    while not writing.done():
        yard.clock.advance(timedelta(seconds=1))
        await yard.turned()

    assert writing.result() == "written"
    assert refusals == []
