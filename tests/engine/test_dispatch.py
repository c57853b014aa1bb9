"""Which run starts where, and when (R2, R7, R8)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.ranks import DEFAULT_AGEING
from runyard.engine.sessions import WorkerHello
from runyard.model.companies import Company
from runyard.model.errors import StorageUnavailable
from runyard.model.ids import RunId
from runyard.model.states import RunState
from runyard.model.tasks import Policies
from tests.support.yard import HandWorker, Yard


async def everything_executed(yard: Yard, worker: HandWorker, count: int) -> list[RunId]:
    """Let the worker execute so many runs, one after the other; in which order they began."""
    order = []
    for _ in range(count):
        await worker.has_runs(1)
        claimed = yard.begin(worker)
        order.append(claimed.run_id)
        await ended_anywhere(yard, worker, claimed)
    return order


async def ended_anywhere(yard: Yard, worker: HandWorker, claimed: object) -> None:
    """End a run of whatever company."""
    from runyard.engine.sessions import AttemptEnd
    from runyard.model.runs import Outcome
    from runyard.stores.contract.leases import ClaimedRun

    assert isinstance(claimed, ClaimedRun)
    worker.executing.pop(claimed.run_id, None)
    assert worker.session is not None
    end = AttemptEnd(
        run_id=claimed.run_id,
        token=claimed.token,
        outcome=Outcome.RETURNED,
        begun_at=yard.clock.now(),
        finished_at=yard.clock.now(),
    )
    yard.engine.ended(worker.session, [end])
    await yard.engine.attempts.settled()


async def test_runs_of_one_priority_start_in_the_order_in_which_they_came(yard: Yard) -> None:
    """R8"""
    await yard.a_task()
    runs = [(await yard.a_run()).id for _ in range(6)]
    worker = await yard.a_worker(capacity=1)

    assert await everything_executed(yard, worker, 6) == runs


async def test_a_smaller_priority_goes_first(yard: Yard) -> None:
    """R8"""
    await yard.a_task()
    runs = {p: (await yard.a_run(priority=p)).id for p in (50, 99, 1, 49)}
    worker = await yard.a_worker(capacity=1)

    assert await everything_executed(yard, worker, 4) == [runs[p] for p in (1, 49, 50, 99)]


async def test_waiting_raises_a_run_above_newer_ones(yard: Yard) -> None:
    """R8: nothing starves."""
    await yard.a_task()
    old = await yard.a_run(priority=60)
    yard.later(DEFAULT_AGEING * 11)
    new = await yard.a_run(priority=50)
    worker = await yard.a_worker(capacity=1)

    assert await everything_executed(yard, worker, 2) == [old.id, new.id]


async def test_a_task_at_its_limit_blocks_nobody_behind_it(yard: Yard) -> None:
    """R7, R8"""
    await yard.a_task("Narrow", policies=Policies(concurrency=2))
    await yard.a_task("Wide")
    narrow = [(await yard.a_run("Narrow")).id for _ in range(4)]
    wide = [(await yard.a_run("Wide")).id for _ in range(3)]
    worker = await yard.a_worker(capacity=10)

    await worker.has_runs(5)
    await yard.turned()

    assert set(worker.assigned) == {*narrow[:2], *wide}


async def test_the_end_of_a_run_at_the_limit_lets_the_next_one_start(yard: Yard) -> None:
    """R7, R2"""
    await yard.a_task(policies=Policies(concurrency=1))
    runs = [(await yard.a_run()).id for _ in range(4)]
    worker = await yard.a_worker(capacity=10)

    order = []
    for _ in runs:
        await worker.has_runs(1)
        await yard.turned()
        assert len(worker.queue) == 1
        claimed = yard.begin(worker)
        order.append(claimed.run_id)
        await yard.end(worker, claimed)

    assert order == runs


async def test_two_workers_together_never_exceed_a_limit(yard: Yard) -> None:
    """R7"""
    await yard.a_task(policies=Policies(concurrency=3))
    workers = [await yard.a_worker(capacity=5, name=name) for name in ("one", "two")]

    await asyncio.gather(*(yard.a_run() for _ in range(10)))
    await yard.turned()

    assert sum(len(worker.queue) for worker in workers) == 3
    assert await yard.count(RunState.QUEUED) == 7


async def other_company(yard: Yard, weight: int = 1) -> Company:
    other = await yard.engine.companies.create("other", weight=weight)
    await yard.a_task(company=other)
    return other


async def test_companies_share_workers_equally_however_much_they_queue(yard: Yard) -> None:
    """R8"""
    await yard.a_task()
    other = await other_company(yard)
    await asyncio.gather(*(yard.a_run() for _ in range(30)))
    theirs = {(await yard.a_run(company=other)).id for _ in range(5)}
    worker = await yard.a_worker(capacity=1)

    order = await everything_executed(yard, worker, 11)

    assert theirs <= set(order)


async def test_a_company_of_three_times_the_weight_gets_three_times_the_runs(yard: Yard) -> None:
    """R8"""
    await yard.a_task()
    other = await other_company(yard, weight=3)
    for company in (yard.company, other):
        await asyncio.gather(*(yard.a_run(company=company) for _ in range(30)))
    worker = await yard.a_worker(capacity=4)

    await everything_executed(yard, worker, 20)

    runs = await yard.store.runs.find_many(other.id, worker.assigned[:20])
    assert 14 <= len(runs) <= 16


async def test_a_company_that_slept_earns_nothing_by_it(yard: Yard) -> None:
    """R8"""
    await yard.a_task()
    other = await other_company(yard)
    worker = await yard.a_worker(capacity=1)
    await asyncio.gather(*(yard.a_run() for _ in range(30)))
    await everything_executed(yard, worker, 15)
    await asyncio.gather(*(yard.a_run(company=other) for _ in range(10)))

    await everything_executed(yard, worker, 10)

    theirs = await yard.store.runs.find_many(other.id, worker.assigned[15:25])
    assert 4 <= len(theirs) <= 6


async def test_a_run_goes_only_to_a_worker_with_all_its_labels(yard: Yard) -> None:
    await yard.a_task(policies=Policies(labels=("gpu", "linux")))
    plain = await yard.a_worker(name="plain", labels=("linux",))
    run = await yard.a_run()
    await yard.turned()
    assert plain.queue == []

    able = await yard.a_worker(name="able", labels=("linux", "gpu", "fast"))
    await able.has_runs(1)

    assert able.queue[0].run_id == run.id
    assert plain.assigned == []


async def test_a_worker_of_one_company_gets_runs_of_no_other(yard: Yard) -> None:
    await yard.a_task()
    other = await other_company(yard)
    worker = HandWorker()
    hello = WorkerHello(
        name="theirs",
        version="0",
        host="",
        os="",
        address="",
        slots=5,
        company_id=other.id,
        allowed=True,
    )
    worker.session = await yard.engine.connect(worker, hello)
    yard.engine.set_capacity(worker.session, 5)
    await yard.a_run()
    theirs = await yard.a_run(company=other)

    await worker.has_runs(1)
    await yard.turned()

    assert worker.assigned == [theirs.id]


async def test_a_worker_gets_no_more_than_it_has_room_for(yard: Yard) -> None:
    """R12"""
    await yard.a_task()
    await asyncio.gather(*(yard.a_run() for _ in range(10)))
    worker = await yard.a_worker(capacity=3)
    await worker.has_runs(3)
    assert worker.session is not None

    yard.engine.set_capacity(worker.session, 1)
    await yard.end(worker, yard.begin(worker))
    await yard.end(worker, yard.begin(worker))
    await yard.turned()
    shrunk = len(worker.queue)
    yard.engine.set_capacity(worker.session, 4)
    await worker.has_runs(4)
    await yard.turned()

    assert shrunk == 1
    assert len(worker.queue) == 4


async def test_a_draining_server_gives_out_nothing_more(yard: Yard) -> None:
    """R13"""
    await yard.a_task()
    worker = await yard.a_worker()

    await yard.engine.drain()
    run = await yard.a_run()
    await yard.turned()

    assert worker.queue == []
    assert (await yard.run(run)).state is RunState.QUEUED


@pytest.mark.parametrize("what", ["limit", "labels", "released", "due", "resumed", "retried"])
async def test_whatever_clears_the_way_lets_a_waiting_run_start(yard: Yard, what: str) -> None:
    """R2: no event that makes a run startable is missed."""
    policies = {
        "limit": Policies(concurrency=1),
        "labels": Policies(labels=("gpu",)),
    }.get(what, Policies())
    await yard.a_task(policies=policies)
    worker = await yard.a_worker(capacity=5)
    if what == "limit":
        await yard.a_run()
        await worker.has_runs(1)
        blocking = yard.begin(worker)
    if what == "resumed":
        await yard.engine.orchestrator.pause(yard.company)
    due_at = yard.clock.now() + timedelta(seconds=30) if what == "due" else None
    run = await yard.a_run(parked=what == "released", due_at=due_at)
    await yard.turned()
    assert run.id not in {c.run_id for c in worker.queue} or what == "retried"

    match what:
        case "limit":
            await yard.end(worker, blocking)
        case "labels":
            worker = await yard.a_worker(name="able", labels=("gpu",))
        case "released":
            await yard.engine.runs.release(yard.company, str(run.id))
        case "due":
            yard.later(timedelta(seconds=30))
        case "resumed":
            await yard.engine.orchestrator.resume(yard.company)
        case _:
            session = worker.session
            assert session is not None
            await worker.has_runs(1)
            worker.queue.clear()
            second = await yard.a_worker(name="second")
            await yard.engine.disconnect(session, "gone before it began")
            worker = second
    await worker.has_runs(1)

    assert worker.queue[0].run_id == run.id


async def test_claimed_runs_reach_their_worker_although_reading_fails_at_first(yard: Yard) -> None:
    """R2: runs whose version could not be read just after their claim stayed claimed for ever."""
    await yard.a_task()
    yard.engine.directory._versions.clear()
    read = yard.store.tasks.version
    failures = [StorageUnavailable("away"), StorageUnavailable("away")]

    async def read_at_last(version: object) -> object:
        if failures:
            raise failures.pop()
        return await read(version)  # type: ignore[arg-type]

    run = await yard.a_run()
    yard.engine.directory._versions.clear()
    yard.store.tasks.version = read_at_last  # type: ignore[method-assign,assignment]
    worker = await yard.a_worker()
    async with asyncio.timeout(10):
        while not worker.queue:
            yard.later(timedelta(milliseconds=200))
            await asyncio.sleep(0)  # noqa: TID251 - lets the loops go on

    assert worker.queue[0].run_id == run.id
    assert failures == []
