"""R6 across servers: whatever is stopped at one server does not start at another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from runyard.engine.elsewhere import MARGIN
from runyard.model.errors import IllegalTransition
from runyard.model.runs import Run
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies
from runyard.stores.contract.peering import Answer, Errand, Verb
from tests.support.pair import Pair, opened_pair, until
from tests.support.yard import HandWorker, Yard

T = TypeVar("T")

LEASE = timedelta(seconds=10)


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def a_run_there(pair: Pair, state: str = "claimed") -> tuple[Run, HandWorker]:
    """A run that a worker of the other server holds, begun or not."""
    await pair.here.a_task()
    worker = await pair.there.a_worker()
    run = await pair.here.a_run()
    await worker.has_runs(1)
    if state == "begun":
        pair.there.begin(worker)
    return run, worker


async def stop_standing_still(pair: Pair, doing: Awaitable[T], by: timedelta) -> T:
    """Let time pass at one server alone, until this is done: the other one stands still."""
    task = asyncio.ensure_future(doing)
    passed = timedelta()
    async with asyncio.timeout(60):
        while not task.done():
            if passed < by:
                pair.clock.advance(timedelta(seconds=1))
                passed += timedelta(seconds=1)
            await asyncio.sleep(0.01)  # noqa: TID251 - the database needs real time
    return task.result()


async def freeze(yard: Yard) -> None:
    """What SIGSTOP does to a server: it neither hears nor does anything."""
    assert yard.engine._loops is not None
    yard.engine._loops.cancel()
    await asyncio.wait([yard.engine._loops])
    yard.engine._loops = None


# ---------------------------------------------------------------- closing gates


@pytest.mark.parametrize("how", ["pause", "not runnable"])
async def test_what_another_server_had_claimed_does_not_start_after_it_was_held_back(
    pair: Pair, how: str
) -> None:
    """R6"""
    run, worker = await a_run_there(pair)

    if how == "pause":
        await pair.here.engine.orchestrator.pause(pair.here.company)
    else:
        await pair.here.engine.tasks.set_runnable(pair.here.company, "Work", runnable=False)

    assert worker.queue == []
    assert (await pair.here.run(run)).state is RunState.QUEUED


async def test_what_had_begun_elsewhere_goes_on_through_a_pause(pair: Pair) -> None:
    """R6: its beginning was not even written down when the gate closed."""
    run, worker = await a_run_there(pair, "begun")

    await pair.here.engine.orchestrator.pause(pair.here.company)

    found = await pair.here.run(run)
    assert found.state is RunState.RUNNING
    assert found.begun_at is not None
    ended = await pair.there.end(worker, worker.executing[run.id])
    assert ended.state is RunState.COMPLETED


async def test_pauses_and_starts_at_both_servers_never_let_a_run_start(pair: Pair) -> None:
    """R6"""
    await pair.here.a_task()
    workers = [
        await pair.here.a_worker(capacity=50, name="near"),
        await pair.there.a_worker(capacity=50, name="far"),
    ]
    yards = (pair.here, pair.there)

    for turn in range(6):
        pausing, other = yards[turn % 2], yards[(turn + 1) % 2]
        starts = [asyncio.ensure_future(yard.a_run()) for yard in yards for _ in range(3)]
        await asyncio.gather(pausing.engine.orchestrator.pause(pausing.company), *starts)
        await pausing.engine.orchestrator.pause(pausing.company)
        for yard in yards:
            await yard.turned()
        assert [worker.queue for worker in workers] == [[], []]
        await other.engine.orchestrator.resume(other.company)
        await until(lambda: any(worker.queue for worker in workers))
        await pausing.engine.orchestrator.pause(pausing.company)
        assert [worker.queue for worker in workers] == [[], []]


async def test_a_server_that_stands_still_is_waited_for_until_its_leases_are_surely_over(
    pair: Pair,
) -> None:
    """R6"""
    run, _ = await a_run_there(pair)
    await freeze(pair.there)
    began = pair.clock.monotonic()

    pausing = pair.here.engine.orchestrator.pause(pair.here.company)
    await stop_standing_still(pair, pausing, timedelta(minutes=1))

    assert pair.clock.monotonic() - began >= LEASE + MARGIN
    assert (await pair.here.run(run)).state is RunState.QUEUED


async def test_a_server_whose_leases_lapse_takes_back_what_has_not_begun(pair: Pair) -> None:
    """R6: while it cannot reach the database the others will give its runs away."""
    run, worker = await a_run_there(pair)
    assert worker.session is not None
    worker.session.renewed -= LEASE * 0.75

    pair.there.later(timedelta(seconds=1))

    await until(lambda: worker.queue == [])
    await until(lambda: run.id not in worker.session.held or bool(worker.queue))  # type: ignore[union-attr]


# ---------------------------------------------------------------- single runs


@pytest.mark.parametrize("state", ["claimed", "begun"])
async def test_a_run_that_another_server_holds_is_cancelled(pair: Pair, state: str) -> None:
    """R6"""
    run, worker = await a_run_there(pair, state)

    ended = await pair.here.engine.runs.cancel(pair.here.company, str(run.id))

    assert (ended.state, ended.cause) == (RunState.CANCELLED, Cause.CANCELLED)
    assert worker.queue == []
    assert not worker.executing


async def test_a_kill_at_one_server_is_confirmed_by_the_other(pair: Pair) -> None:
    """R6"""
    run, worker = await a_run_there(pair, "begun")

    report = await pair.here.engine.runs.kill(pair.here.company, str(run.id))

    assert (report.killed, report.unconfirmed) == ((run.id,), ())
    assert worker.killed == [run.id]
    [attempt] = await pair.here.engine.runs.attempts(pair.here.company, run.id)
    assert attempt.outcome == "killed"


async def test_killing_a_task_ends_what_executes_elsewhere_and_leaves_what_waits(
    pair: Pair,
) -> None:
    """R6: that the first run has begun is not written down yet."""
    begun, worker = await a_run_there(pair, "begun")
    claimed = await pair.there.a_run()
    await worker.has_runs(1)

    report = await pair.here.engine.tasks.kill(pair.here.company, "Work")

    assert (report.killed, report.unconfirmed) == ((begun.id,), ())
    assert (await pair.here.run(claimed)).state is RunState.RUNNING
    assert [run.run_id for run in worker.queue] == [claimed.id]


async def test_a_kill_that_a_worker_elsewhere_does_not_confirm_says_so(pair: Pair) -> None:
    """R6"""
    run, worker = await a_run_there(pair, "begun")
    worker.is_deaf = True

    report = await pair.here.engine.runs.kill(pair.here.company, str(run.id))

    assert (report.killed, report.unconfirmed) == ((), (run.id,))
    assert (await pair.here.run(run)).state is RunState.CANCELLED


async def test_a_kill_at_a_server_that_stands_still_ends_unconfirmed(pair: Pair) -> None:
    """R6"""
    run, _ = await a_run_there(pair, "begun")
    await pair.there.engine.attempts.record_beginnings()
    await freeze(pair.there)
    began = pair.clock.monotonic()

    killing = pair.here.engine.runs.kill(pair.here.company, str(run.id))
    report = await stop_standing_still(pair, killing, timedelta(minutes=1))

    assert report.killed == ()
    assert pair.clock.monotonic() - began >= LEASE
    assert (await pair.here.run(run)).is_final or report.unconfirmed == (run.id,)


async def test_a_run_that_another_server_has_claimed_is_withdrawn(pair: Pair) -> None:
    run, worker = await a_run_there(pair)

    ended = await pair.here.engine.runs.withdraw(pair.here.company, str(run.id), "not wanted")

    assert ended.state is RunState.CANCELLED
    assert worker.queue == []


async def test_a_run_that_executes_at_another_server_is_not_withdrawn(pair: Pair) -> None:
    run, worker = await a_run_there(pair, "begun")

    with pytest.raises(IllegalTransition):
        await pair.here.engine.runs.withdraw(pair.here.company, str(run.id), "too late")

    assert worker.killed == []


async def test_a_run_that_another_server_has_claimed_is_parked(pair: Pair) -> None:
    run, worker = await a_run_there(pair)

    parked = await pair.here.engine.runs.park(pair.here.company, str(run.id))

    assert parked.state is RunState.PARKED
    assert worker.queue == []


async def test_cleaning_a_task_ends_what_other_servers_have_claimed(pair: Pair) -> None:
    """R6"""
    await pair.here.a_task(policies=Policies())
    worker = await pair.there.a_worker(capacity=3)
    runs = [await pair.here.a_run() for _ in range(5)]
    await worker.has_runs(3)
    begun = pair.there.begin(worker)

    cleaned = await pair.here.engine.tasks.clean(pair.here.company, "Work")

    assert sorted(cleaned) == sorted(run.id for run in runs if run.id != begun.run_id)
    assert worker.queue == []
    states = {(await pair.here.run(run)).state for run in runs if run.id != begun.run_id}
    assert states == {RunState.CANCELLED}
    assert (await pair.here.run(begun.run_id)).state is RunState.RUNNING


# ---------------------------------------------------------------- errands


async def test_errands_leave_nothing_behind(pair: Pair) -> None:
    run, _ = await a_run_there(pair, "begun")

    await pair.here.engine.runs.kill(pair.here.company, str(run.id))

    assert await pair.here.store.runs.steps([run.id]) == {}
    peering = pair.here.store.peering
    assert peering is not None
    sessions = [session.id for session in pair.there.engine._parts.sessions]
    assert await peering.asked(sessions) == []


async def test_an_errand_under_an_older_lease_changes_nothing(pair: Pair) -> None:
    """R4"""
    run, worker = await a_run_there(pair, "begun")
    peering = pair.here.store.peering
    assert peering is not None
    assert worker.session is not None
    errand = Errand(
        id=1,
        session_id=worker.session.id,
        verb=Verb.KILL,
        company_id=pair.here.company.id,
        run_id=run.id,
        token=7,
        asked_at=pair.clock.now(),
    )

    await peering.ask([errand])
    pair.there.engine._errands.notice()
    async with asyncio.timeout(20):
        while not (answers := await peering.answers([1])):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # noqa: TID251 - the other server needs real time

    assert answers == {1: Answer.LEFT}
    assert run.id in worker.executing
