"""What keeps runs moving when nobody calls (R2, R4, R9)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.model.errors import RunNotFound
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from runyard.stores.contract.store import Store
from runyard.stores.sqlite.store import open_sqlite
from tests.support.turned_clock import TurnedClock
from tests.support.yard import HandWorker, Yard, opened_yard

RETRY = RetryPolicy(retries=1, jitter=0.0)
LEASE = timedelta(seconds=10)


async def begun_run(yard: Yard, worker: HandWorker) -> None:
    """Let the worker begin a run, and wait until that is recorded."""
    await worker.has_runs(1)
    run = yard.begin(worker).run_id
    while (await yard.run(run)).begun_at is None:
        yard.later(timedelta(milliseconds=20))
        await yard.turned()


async def test_a_silent_worker_loses_its_runs_once_its_lease_is_over(yard: Yard) -> None:
    """R2: what has begun is retried, what has not keeps its place; R4: late reports are void."""
    await yard.a_task(policies=Policies(retry=RETRY))
    worker = await yard.a_worker(capacity=2)
    begun, unbegun = await yard.a_run(), await yard.a_run()
    await begun_run(yard, worker)
    late = worker.executing[begun.id]

    yard.clock.advance(LEASE + timedelta(seconds=3))
    while worker.session is not None and worker.session.is_open:
        await yard.turned()
    other = await yard.a_worker(name="other")
    await other.has_runs(1)
    ignored = await yard.end(worker, late)

    assert other.queue[0].run_id == unbegun.id
    assert (await yard.run(unbegun)).attempt == 0
    assert ignored.state is not RunState.COMPLETED
    yard.later(RETRY.delay)
    await other.has_runs(2)
    ended = await yard.end(other, next(r for r in other.queue if r.run_id == begun.id))
    assert (ended.state, ended.attempt) == (RunState.COMPLETED, 2)
    attempts = await yard.engine.runs.attempts(yard.company, begun.id)
    assert [a.outcome for a in attempts] == [Outcome.LOST, Outcome.RETURNED]


async def test_a_worker_that_gives_signs_of_life_keeps_its_runs(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await begun_run(yard, worker)

    for _ in range(20):
        yard.later(timedelta(seconds=3))
        await yard.turned()

    assert (await yard.run(run)).state is RunState.RUNNING


async def test_a_run_that_loses_every_worker_fails_in_the_end(yard: Yard) -> None:
    """R2: no attempts left, cause worker_lost."""
    await yard.a_task(policies=Policies(retry=RETRY))
    run = await yard.a_run()
    for name in ("first", "second"):
        worker = await yard.a_worker(name=name)
        await begun_run(yard, worker)
        assert worker.session is not None
        await yard.engine.disconnect(worker.session, "gone")
        await yard.engine.attempts.settled()
        yard.later(RETRY.delay)

    ended = await yard.run(run)

    assert (ended.state, ended.cause, ended.attempt) == (RunState.FAILED, Cause.WORKER_LOST, 2)


async def test_a_server_that_comes_back_sees_to_what_it_had_given_out(store: Store) -> None:
    """R2: begun runs are retried, the others are queued again."""
    clock = TurnedClock()
    async with opened_yard(store, clock) as yard:
        await yard.a_task(policies=Policies(retry=RETRY))
        worker = await yard.a_worker(capacity=2)
        begun, unbegun = await yard.a_run(), await yard.a_run()
        await begun_run(yard, worker)
        await worker.has_runs(1)

    async with opened_yard(store, clock) as yard:
        states = [(await yard.run(run)).state for run in (begun, unbegun)]
        breaches = await store.runs.breaches(clock.now(), 10)
        worker = await yard.a_worker(capacity=2)
        yard.later(RETRY.delay)
        await worker.has_runs(2)

    assert states == [RunState.SCHEDULED, RunState.QUEUED]
    assert breaches == []


async def test_a_server_that_comes_back_under_another_name_finds_what_it_had_given_out(
    memory_path: Path,
) -> None:
    """R2: with `--port 0` its default name is another one each time."""
    clock = TurnedClock()
    store = await open_sqlite(memory_path)
    async with opened_yard(store, clock, "host:1") as yard:
        await yard.a_task()
        worker = await yard.a_worker()
        run = await yard.a_run()
        await worker.has_runs(1)

    async with opened_yard(store, clock, "host:2") as yard:
        again = await yard.a_worker()
        await again.has_runs(1)

    assert again.queue[0].run_id == run.id
    await store.close()


@pytest.mark.parametrize("which", ["task", "company"])
async def test_ended_runs_are_kept_as_long_as_their_retention_says(yard: Yard, which: str) -> None:
    day = timedelta(days=1)
    await yard.a_task(policies=Policies(retention=day if which == "task" else None))
    company = yard.company
    if which == "company":
        company = await yard.engine.companies.update("acme", retention=day)
    ended, parked = await yard.a_run(), await yard.a_run(parked=True)
    await yard.engine.runs.cancel(company, str(ended.id))

    yard.later(day - timedelta(seconds=1))
    await yard.engine.maintenance.prune()
    kept = await yard.engine.runs.load(company, str(ended.id))
    yard.later(timedelta(seconds=2))
    await yard.engine.maintenance.prune()

    assert kept.state is RunState.CANCELLED
    with pytest.raises(RunNotFound):
        await yard.engine.runs.load(company, str(ended.id))
    assert (await yard.run(parked)).state is RunState.PARKED


@pytest.mark.parametrize("longer", [1, 30], ids=["shorter", "longer"])
async def test_tasks_with_a_retention_of_their_own_keep_their_runs_for_it(
    yard: Yard, longer: int
) -> None:
    day = timedelta(days=1)
    company = await yard.engine.companies.update("acme", retention=7 * day)
    await yard.a_task("Plain")
    await yard.a_task("Own", policies=Policies(retention=longer * day))
    plain, own = await yard.a_run("Plain"), await yard.a_run("Own")
    for run in (plain, own):
        await yard.engine.runs.cancel(company, str(run.id))

    left = {}
    for days in (2, 10, 40):
        yard.later(days * day)
        await yard.engine.maintenance.prune()
        left[days] = {
            run.id for run in await yard.store.runs.find_many(company.id, [plain.id, own.id])
        }

    first = {plain.id} if longer == 1 else {plain.id, own.id}
    second = set() if longer == 1 else {own.id}
    assert left == {2: first, 10: second, 40: set()}


async def test_many_runs_due_at_once_are_all_queued_in_order(yard: Yard) -> None:
    """R9, R8"""
    await yard.a_task()
    base = yard.clock.now() + timedelta(seconds=60)
    runs = [await yard.a_run(due_at=base - timedelta(seconds=n)) for n in range(20)]
    yard.later(timedelta(seconds=60))
    await yard.engine.maintenance.stage()

    worker = await yard.a_worker(capacity=20)
    await worker.has_runs(20)

    assert worker.assigned == [run.id for run in reversed(runs)]


async def test_a_clock_set_back_fires_nothing_early(yard: Yard) -> None:
    """R9"""
    await yard.a_task()
    run = await yard.a_run(due_at=yard.clock.now() + timedelta(hours=1))

    yard.clock._now -= timedelta(hours=1)
    yard.later(timedelta(hours=1, minutes=59))
    await yard.engine.maintenance.stage()
    early = (await yard.run(run)).state
    yard.later(timedelta(minutes=1))
    await yard.engine.maintenance.stage()

    assert early is RunState.SCHEDULED
    assert (await yard.run(run)).state is RunState.QUEUED


async def test_blobs_that_nobody_names_are_deleted_after_a_day(yard: Yard) -> None:
    await yard.a_task()
    orphan = await yard.store.blobs.put(b"nobody names this")
    bundle = (
        await yard.engine.tasks.versions(
            yard.company, await yard.engine.tasks.load(yard.company, "Work")
        )
    )[0]

    await yard.engine.maintenance.prune_blobs()
    kept_at_first = await yard.store.blobs.size(orphan)
    yard.clock.advance(await yard.store.database_now() - yard.clock.now() + timedelta(hours=25))
    await yard.engine.maintenance.prune_blobs()

    assert kept_at_first is not None
    assert await yard.store.blobs.size(orphan) is None
    assert await yard.store.blobs.size(bundle.bundle_digest) is not None


async def test_two_looks_for_unnamed_blobs_at_once_both_end_well(yard: Yard) -> None:
    orphans = [await yard.store.blobs.put(b"%d" % n) for n in range(50)]
    yard.clock.advance(await yard.store.database_now() - yard.clock.now() + timedelta(hours=25))

    await asyncio.gather(*(yard.engine.maintenance.prune_blobs() for _ in range(4)))

    assert [await yard.store.blobs.size(orphan) for orphan in orphans] == [None] * 50
