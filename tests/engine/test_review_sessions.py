"""Sessions, claims and duties when something goes wrong between two of their steps (R2, R13)."""

import asyncio
import contextlib
from datetime import datetime, timedelta

import pytest

from runyard.engine.clock import SystemClock
from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.sessions import WorkerHello
from runyard.gateway.gateway import Gateway
from runyard.model.errors import InputRefused, RunyardError, StorageUnavailable
from runyard.model.runs import Outcome
from runyard.model.states import RunState
from runyard.protocol import frames
from runyard.protocol.frames import FromServer
from runyard.stores.contract.store import Store
from tests.support.yard import HandWorker, Yard

MOMENT = timedelta(milliseconds=300)


async def time_passes(yard: Yard) -> None:
    yard.later(MOMENT)
    await asyncio.sleep(0.002)  # noqa: TID251 - lets loops that were woken go on


@pytest.mark.parametrize("problem", [StorageUnavailable, RunyardError, OSError])
async def test_a_claim_whose_answer_is_lost_leaves_no_run_behind(
    yard: Yard, problem: type[Exception]
) -> None:
    """R2: the run was leased to a live session that knew nothing of it, for ever."""
    await yard.a_task()
    claim = yard.store.leases.claim

    async def taken_but_unanswered(wanted: object) -> list[object]:
        taken = await claim(wanted)  # type: ignore[arg-type]
        if not taken:
            return []
        yard.store.leases.claim = claim  # type: ignore[method-assign]
        raise problem("lost")

    yard.store.leases.claim = taken_but_unanswered  # type: ignore[method-assign,assignment]
    worker = await yard.a_worker()
    run = await yard.a_run()
    async with asyncio.timeout(10):
        while not worker.queue:
            await time_passes(yard)

    assert worker.queue[0].run_id == run.id
    assert worker.session is not None
    async with asyncio.timeout(10):
        while worker.session.claiming:
            await time_passes(yard)


async def test_a_worker_that_fell_silent_is_told_to_connect_again(yard: Yard) -> None:
    """R2: it stayed connected, and got nothing more for the rest of its life."""
    worker = await yard.a_worker()

    yard.clock.advance(timedelta(seconds=14))
    async with asyncio.timeout(10):
        while not worker.is_closed:
            await yard.turned()

    assert worker.session is not None
    assert not worker.session.is_open


async def test_a_server_that_stood_still_hears_its_workers_before_it_judges_them(
    store: Store,
) -> None:
    """R2: a process that had been stopped for a while lost the worker inside it."""
    async with Engine(store, SystemClock(), EngineSettings(server="one")) as engine:
        worker = HandWorker()
        hello = WorkerHello(name="w", version="", host="", os="", address="", slots=1, allowed=True)
        session = await engine.connect(worker, hello)
        # What the loop finds when it goes on: the lease is over, a sign of life is just arriving.
        session.last_heard -= timedelta(minutes=5)
        asyncio.get_running_loop().call_soon(engine.hear, session)
        await engine.maintenance._look_after_sessions()

        assert session.is_open


async def test_a_database_that_was_away_costs_no_run_whose_worker_lives(yard: Yard) -> None:
    """R11: nobody could renew, so the server took its own workers for dead."""
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    renew = yard.store.workers.renew

    async def fail(*_: object) -> None:
        raise StorageUnavailable("away")

    yard.store.workers.renew = fail  # type: ignore[method-assign,assignment]
    for _ in range(40):
        await time_passes(yard)
        yard.later(timedelta(seconds=1))
    yard.store.workers.renew = renew  # type: ignore[method-assign]
    for _ in range(40):
        await time_passes(yard)
        yard.later(timedelta(seconds=1))
    ended = await yard.end(worker, claimed)

    assert ended.id == run.id
    assert ended.state is RunState.COMPLETED


async def test_the_clock_is_followed_on_every_database(yard: Yard) -> None:
    """R9: on an embedded one due times never heard of a clock that was set, or of a suspension."""
    followed = asyncio.Event()

    def adjust(_: datetime) -> timedelta:
        followed.set()
        return timedelta()

    yard.clock.adjust = adjust  # type: ignore[method-assign,assignment]
    async with asyncio.timeout(30):
        while not followed.is_set():
            yard.later(timedelta(seconds=10))
            with contextlib.suppress(TimeoutError):  # an answer counts only if time stood still
                await asyncio.wait_for(followed.wait(), 0.2)

    assert followed.is_set()


async def test_whoever_connects_while_the_server_drains_gets_nothing(yard: Yard) -> None:
    """R13"""
    await yard.a_task()
    await yard.engine.drain()

    worker = await yard.a_worker()
    await yard.a_run()
    await yard.turned()

    assert worker.assigned == []


async def test_an_end_that_comes_while_its_session_is_closed_counts(yard: Yard) -> None:
    """R3: the loss was recorded beside it."""
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    session = worker.session
    assert session is not None
    close = yard.store.workers.close_session
    finish = yard.store.runs.finish
    recorded: list[Outcome] = []

    async def end_meanwhile(*given: object) -> None:
        await yard.end(worker, claimed)
        await close(*given)  # type: ignore[arg-type]

    async def note(finishes: object) -> object:
        recorded.extend(f.outcome for f in finishes)  # type: ignore[attr-defined]
        return await finish(finishes)  # type: ignore[arg-type]

    yard.store.workers.close_session = end_meanwhile  # type: ignore[method-assign,assignment]
    yard.store.runs.finish = note  # type: ignore[method-assign,assignment]
    await yard.engine.maintenance.lose(session, "silent")
    await yard.engine.attempts.settled()

    assert recorded == [Outcome.RETURNED]
    assert (await yard.run(run)).state is RunState.COMPLETED


async def test_runs_that_a_worker_gives_back_unasked_go_back_to_their_places(yard: Yard) -> None:
    """R13: a draining worker gave them back, and the server waited for them all the same."""
    await yard.a_task()
    welcomed = asyncio.Event()
    assigned = asyncio.Event()

    def hear(arrived: list[FromServer]) -> None:
        welcomed.set()
        if any(isinstance(frame, frames.Assignments) for frame in arrived):
            assigned.set()

    async with Gateway(yard.engine) as gateway:
        end = gateway.join()
        end.listen(hear, lambda _: None)
        end.send(a_hello())
        async with asyncio.timeout(10):
            await welcomed.wait()
            end.send(frames.Capacity(1))
            run = await yard.a_run()
            await assigned.wait()
        [session] = [s for s in yard.engine._parts.sessions if s.worker.name == "house"]
        lease = frames.Lease(run.id, session.held[run.id].token)
        end.send(frames.Capacity(0))
        end.send(frames.Recalled(0, (lease,)))
        other = await yard.a_worker(name="other")
        await other.has_runs(1)
        end.close("over")
        async with asyncio.timeout(10):
            while session.is_open:
                await yard.turned()

    assert not session.held
    assert other.queue[0].run_id == run.id


async def test_a_company_keeps_its_runs_for_no_longer_than_the_calendar_lasts(yard: Yard) -> None:
    """Pruning reckoned with it, and failed with everything else."""
    with pytest.raises(InputRefused):
        await yard.engine.companies.update("acme", retention=timedelta(days=900_000_000))


async def test_a_duty_that_fails_unexpectedly_is_done_again(yard: Yard) -> None:
    """A defect in one duty stopped the whole server."""
    await yard.a_task()
    worker = await yard.a_worker()
    stage = yard.store.runs.stage

    async def fail(*_: object) -> list[object]:
        yard.store.runs.stage = stage  # type: ignore[method-assign]
        raise ArithmeticError("a defect")

    yard.store.runs.stage = fail  # type: ignore[method-assign,assignment]
    run = await yard.a_run(due_at=yard.clock.now() + timedelta(seconds=5))
    async with asyncio.timeout(10):
        while not worker.queue:
            yard.later(timedelta(seconds=1))
            await asyncio.sleep(0.005)  # noqa: TID251 - lets loops that were woken go on

    assert worker.queue[0].run_id == run.id


async def test_a_schedule_that_cannot_fire_keeps_no_other_from_it(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    every = timedelta(minutes=1)
    broken = await yard.engine.schedules.create(
        yard.company, "Work", name="a broken one", interval=every
    )
    await yard.engine.schedules.create(yard.company, "Work", name="a sound one", interval=every)
    fire = yard.store.schedules.fire

    async def fail(schedule: object, *given: object) -> bool:
        if schedule.id == broken.id:  # type: ignore[attr-defined]
            raise ArithmeticError("no such instant")
        return await fire(schedule, *given)  # type: ignore[arg-type]

    yard.store.schedules.fire = fail  # type: ignore[method-assign,assignment]
    yard.later(every + timedelta(seconds=1))
    await worker.has_runs(1)
    await yard.turned()

    found = await yard.engine.schedules.load(yard.company, "a broken one")
    assert not found.enabled


def a_hello() -> frames.Hello:
    return frames.Hello(
        protocol=frames.PROTOCOL_VERSIONS,
        name="house",
        version="0",
        host="",
        os="",
        python="",
        slots=1,
    )
