"""Runs that are not to wait in the queue: they get a slot at once, or fail."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.engine.at_once import WITHIN
from runyard.engine.callbacks import CallbackRequest
from runyard.model.callbacks import CallbackState
from runyard.model.ids import RunId
from runyard.model.runs import Run
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies
from runyard.stores.contract.preparations import NewPreparation, Prepared
from runyard.stores.contract.runs import Move, NewRun
from tests.support.pair import Pair, opened_pair, until
from tests.support.yard import HandWorker, Yard, opened_yard

MOMENT = timedelta(milliseconds=20)
LONG = timedelta(hours=1)
WAITING = CallbackState.WAITING
ENDED = (RunState.FAILED, Cause.NO_SLOT)


async def settled(yard: Yard, run: Run) -> Run:
    """The run once it is settled; time passes meanwhile."""
    settling = asyncio.ensure_future(yard.engine.at_once.settled(yard.company, run.id))
    async with asyncio.timeout(20):
        while not settling.done():
            yard.later(MOMENT)
            await asyncio.wait((settling,), timeout=0.005)
    await settling
    return await yard.run(run)


async def at_once(yard: Yard, **options: object) -> Run:
    return await yard.a_run(begins_within=WITHIN, **options)


async def a_busy_worker(yard: Yard, *, ahead: int = 0) -> HandWorker:
    """A worker with one slot, which is taken, that fetches so many runs ahead."""
    worker = await yard.a_worker(capacity=1)
    await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)
    assert worker.session is not None
    yard.engine.set_capacity(worker.session, 1 + ahead)
    return worker


async def is_forgotten(yard: Yard) -> bool:
    return await yard.store.at_once.next_due_at() is None


async def test_a_run_that_finds_a_free_slot_begins(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)

    run = await settled(yard, await at_once(yard))

    await worker.has_runs(1)
    assert (run.state, run.id) == (RunState.RUNNING, worker.queue[0].run_id)
    assert await is_forgotten(yard)
    # Making its environment takes longer than it may look for a slot: it has got one.
    yard.later(WITHIN * 5)
    await yard.turned()
    assert (await yard.executed(worker)).state is RunState.COMPLETED


@pytest.mark.parametrize("ahead", [0, 3])
async def test_a_run_that_finds_no_free_slot_fails_at_once(yard: Yard, ahead: int) -> None:
    await yard.a_task()
    worker = await a_busy_worker(yard, ahead=ahead)
    began_at = yard.clock.now()

    run = await settled(yard, await at_once(yard))

    assert (run.state, run.cause) == ENDED
    assert (run.attempt, run.begun_at) == (0, None)
    assert run.finished_at is not None
    assert run.finished_at - began_at < WITHIN / 2
    assert worker.queue == []
    assert await is_forgotten(yard)


@pytest.mark.parametrize("why", ["no worker", "paused", "labels", "limit"])
async def test_whatever_keeps_a_run_from_its_slot_fails_it(yard: Yard, why: str) -> None:
    policies = {"labels": Policies(labels=("gpu",)), "limit": Policies(concurrency=1)}
    await yard.a_task(policies=policies.get(why))
    if why != "no worker":
        worker = await yard.a_worker(capacity=5)
    if why == "paused":
        await yard.engine.orchestrator.pause(yard.company)
    if why == "limit":
        await yard.a_run()
        await worker.has_runs(1)

    run = await settled(yard, await at_once(yard))

    assert (run.state, run.cause) == ENDED
    assert await is_forgotten(yard)


async def test_a_slot_that_becomes_free_in_time_is_taken(yard: Yard) -> None:
    await yard.a_task(policies=Policies(concurrency=1))
    worker = await yard.a_worker(capacity=2)
    await yard.a_run()
    await worker.has_runs(1)
    first = yard.begin(worker)
    run = await at_once(yard)
    settling = asyncio.ensure_future(settled(yard, run))

    await yard.end(worker, first)

    assert (await settling).state is RunState.RUNNING
    await worker.has_runs(1)
    assert worker.queue[0].run_id == run.id


async def test_a_failed_run_tells_its_callbacks(yard: Yard) -> None:
    await yard.a_task()

    run = await settled(
        yard, await at_once(yard, callbacks=(CallbackRequest(url="https://example.com/"),))
    )

    async with asyncio.timeout(20):
        while (await yard.engine.callbacks.of_run(yard.company, run))[0].state is WAITING:
            yard.later(MOMENT)
            await asyncio.sleep(0.005)  # noqa: TID251 - the couriers look when they are woken
    story = await yard.engine.history.tell(yard.company, run)
    assert "no slot" in (story.moments[-1].note or "")


async def test_what_its_server_did_not_decide_any_more_is_decided_later(yard: Yard) -> None:
    """Whoever asked is gone, or its server: nothing waits in the queue for that."""
    await yard.a_task()

    run = await at_once(yard)
    async with opened_yard(yard.store, yard.clock) as again:
        again.later(WITHIN)
        async with asyncio.timeout(20):
            while not (found := await again.run(run)).is_final:
                again.later(MOMENT)
                await asyncio.sleep(0.005)  # noqa: TID251 - the database answers in real time

    assert (found.state, found.cause) == ENDED


async def test_a_run_whose_files_are_being_fetched_waits_for_no_slot_yet(yard: Yard) -> None:
    task = await yard.a_task()
    now = yard.clock.now()
    new = NewRun(
        id=RunId(await yard.store.reserve_ids(1)),
        public_id=yard.clock.new_public_id(),
        company_id=yard.company.id,
        task_id=task.id,
        version_id=task.version_id,
        gate_id=task.gate_id,
        state=RunState.PREPARING,
        priority=50,
        rank=0,
        created_at=now,
        input=b"{}",
        preparation=NewPreparation(parked=False, allowed=(), holder=1, until=now + LONG),
        begins_by=now + WITHIN,
    )
    await yard.store.runs.start([new])

    early = await settled(yard, await yard.run(new.id))
    for _ in range(10):
        yard.later(WITHIN)
        await yard.turned()
    still = await yard.run(new.id)
    move = Move(
        run_id=new.id,
        company_id=new.company_id,
        sources=(RunState.PREPARING,),
        state=RunState.QUEUED,
        at=yard.clock.now(),
    )
    await yard.store.runs.end_preparing(move, Prepared(input=b"{}"))
    async with asyncio.timeout(20):
        while not (ended := await yard.run(new.id)).is_final:
            yard.later(WITHIN / 4)
            await asyncio.sleep(0.005)  # noqa: TID251 - the database answers in real time

    assert (early.state, still.state) == (RunState.PREPARING, RunState.PREPARING)
    assert (ended.state, ended.cause) == ENDED


async def test_a_run_that_was_taken_for_another_attempt_may_wait(yard: Yard) -> None:
    """It has had its slot: what comes after is the policy of its task."""
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)
    run = await at_once(yard)
    await worker.has_runs(1)
    yard.begin(worker)
    assert worker.session is not None

    await yard.engine.disconnect(worker.session, "gone")
    await yard.engine.attempts.settled()
    await settled(yard, run)

    assert (await yard.run(run)).cause is not Cause.NO_SLOT
    assert await is_forgotten(yard)


# ---------------------------------------------------------------- several servers


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def test_a_free_slot_at_another_server_counts(pair: Pair) -> None:
    await pair.here.a_task()
    far = await pair.there.a_worker(name="far", capacity=1)

    run = await settled(pair.here, await at_once(pair.here))

    await far.has_runs(1)
    assert (run.state, run.id) == (RunState.RUNNING, far.queue[0].run_id)


async def test_what_another_servers_worker_fetched_ahead_has_no_slot(pair: Pair) -> None:
    await pair.here.a_task()
    far = await pair.there.a_worker(name="far", capacity=1)
    await pair.there.a_run()
    await far.has_runs(1)
    pair.there.begin(far)
    await pair.there.engine.attempts.record_beginnings()
    assert far.session is not None
    pair.there.engine.set_capacity(far.session, 3)
    run = await at_once(pair.here)
    await until(lambda: bool(far.queue))

    ended = await settled(pair.here, run)

    assert (ended.state, ended.cause) == ENDED
    assert far.queue == []
