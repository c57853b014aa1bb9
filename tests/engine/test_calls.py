"""Calls and the allocations that keep tasks warm, with a worker that the test plays."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.allocations import AllocationOptions
from runyard.engine.sessions import AttemptEnd
from runyard.model.allocations import Overflow
from runyard.model.errors import CallsPaused, LimitReached, StorageUnavailable
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import CALL_TOKEN, Outcome
from runyard.model.states import RunState
from tests.support.yard import HandWorker, Yard


class Warmed(HandWorker):
    """A worker that keeps an allocation warm, and is called."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered: list[int] = []
        self.called: list[RunId] = []
        self.is_slow = False
        """Whether its children are ready only when the test says so."""
        self.changed = asyncio.Event()

    def warm(self, allocation, version, children, deadline) -> None:
        self.ordered.append(children)
        self.version = version
        self.allocation = allocation
        if not self.is_slow:
            self.say_warm()
        self.changed.set()

    def say_warm(self) -> None:
        self.engine.allocations.warmed(
            self.session,
            self.allocation,
            self.version,
            children=self.ordered[-1],
            memory=0,
            error=None,
        )

    def call(self, allocation, run, public_id, value) -> None:
        self.called.append(run)
        self.changed.set()

    async def until(self, holds) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def worker(yard: Yard) -> Warmed:
    await yard.a_task()
    return await a_warmed(yard, "hand")


async def a_call_executes(yard: Yard, worker: Warmed) -> "asyncio.Task[object]":
    """One that has reached the worker."""
    before = len(worker.called)
    call = asyncio.ensure_future(yard.engine.calls.call(yard.company, "Work", b"{}"))
    await worker.until(lambda: len(worker.called) > before)
    return call


async def a_call_waits(yard: Yard) -> "asyncio.Task[object]":
    """One that waits for a place."""
    [kept] = yard.engine.allocations.all_kept
    before = len(kept.waiting)
    call = asyncio.ensure_future(yard.engine.calls.call(yard.company, "Work", b"{}"))
    async with asyncio.timeout(10):
        while len(kept.waiting) == before:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)  # noqa: TID251 - it is on its way to the queue
    return call


async def a_warmed(yard: Yard, name: str) -> Warmed:
    worker = Warmed()
    worker.engine = yard.engine
    await yard.connect(worker, name=name)
    return worker


def end(yard: Yard, worker: Warmed, run: RunId) -> None:
    at = yard.clock.now()
    end = AttemptEnd(
        run_id=run, token=CALL_TOKEN, outcome=Outcome.RETURNED, begun_at=at, finished_at=at
    )
    assert worker.session is not None
    yard.engine.calls.ended(worker.session, end, worker.version)


@pytest.mark.parametrize("what", ["company", "task"])
async def test_a_call_that_waited_is_not_executed_after_a_pause(
    yard: Yard, worker: Warmed, what: str
) -> None:
    """R6: it had been let in before the pause, and began after the pause was acknowledged."""
    options = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(seconds=30))
    await yard.engine.allocations.put(yard.company, "Work", options)
    first = await a_call_executes(yard, worker)
    second = await a_call_waits(yard)
    [kept] = yard.engine.allocations.all_kept

    if what == "company":
        await yard.engine.orchestrator.pause(yard.company)
    else:
        await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)
    end(yard, worker, worker.called[0])

    assert (await first).state is RunState.COMPLETED
    with pytest.raises(CallsPaused):
        async with asyncio.timeout(10):
            await second
    assert len(worker.called) == 1
    assert kept.in_flight == 0


async def test_a_database_that_is_away_ends_no_keeping_of_allocations(
    yard: Yard, worker: Warmed
) -> None:
    """R11: the loop ended, and all others of the server with it."""
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    look = yard.store.allocations.list
    failed = asyncio.Event()

    async def fail(*_: object) -> None:
        failed.set()
        raise StorageUnavailable("away")

    yard.store.allocations.list = fail  # type: ignore[method-assign]
    yard.engine.allocations.expect()
    async with asyncio.timeout(10):
        await failed.wait()
    yard.store.allocations.list = look  # type: ignore[method-assign]
    await yard.engine.disconnect(worker.session, "gone")
    another = Warmed()
    another.engine = yard.engine
    await yard.connect(another, name="another")
    async with asyncio.timeout(10):
        while not another.ordered:
            yard.later(timedelta(seconds=1))
            await asyncio.sleep(0)  # noqa: TID251 - lets the loop go on

    assert another.ordered == [1]


async def test_records_that_cannot_be_written_take_a_bounded_place(
    yard: Yard, worker: Warmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: further calls are refused before they execute, and nothing of them is kept in memory."""
    monkeypatch.setattr("runyard.engine.call_records.MOST_PENDING", 3)
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    record = yard.store.calls.record
    answers: list[object] = []

    async def fail(*_: object) -> None:
        raise StorageUnavailable("away")

    yard.store.calls.record = fail  # type: ignore[method-assign]
    for _ in range(3):
        call = await a_call_executes(yard, worker)
        end(yard, worker, worker.called[-1])
        answers += await asyncio.gather(call)
    for _ in range(3):
        refused = yard.engine.calls.call(yard.company, "Work", b"{}")
        answers += await asyncio.gather(refused, return_exceptions=True)
    assert len(yard.engine.calls.records._pending) == len(worker.called) == 3
    yard.store.calls.record = record  # type: ignore[method-assign]
    await yard.engine.calls.records.flush()

    assert [type(a).__name__ for a in answers] == ["CallRecord"] * 3 + ["StorageUnavailable"] * 3
    for answer in answers[:3]:
        assert await yard.engine.calls.records.find(yard.company.id, answer.id) is not None


async def test_lines_that_cannot_be_written_take_a_bounded_place(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: what came while writing failed was kept beside what it had failed with, again and again."""
    monkeypatch.setattr("runyard.engine.logbook.MOST_PENDING", 5)
    await yard.a_task()
    worker = await yard.a_worker(1)
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    append = yard.store.logs.append
    number = 0

    def say(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            line = LogLine(number, yard.clock.now(), LogLevel.INFO, "x", attempt=1)
            yard.engine.logged(worker.session, claimed.run_id, claimed.token, (line,), 0)

    async def fail(*_: object) -> None:
        say(10)  # while this is under way
        raise StorageUnavailable("away")

    yard.store.logs.append = fail  # type: ignore[method-assign]
    say(3)
    for _ in range(10):
        with pytest.raises(StorageUnavailable):
            await yard.engine.logs.flush()
    assert len(yard.engine.logs._pending) <= 7
    yard.store.logs.append = append  # type: ignore[method-assign]
    await yard.end(worker, claimed)

    page = await yard.engine.logs.read(yard.company.id, run.id, LogLevel.TRACE, 0, 100)
    assert [line.number for line in page.lines] == [1, 2, 3, 4, 5]
    assert page.dropped == number - 5


async def test_an_allocation_leaves_a_worker_that_drains_for_another(
    yard: Yard, worker: Warmed
) -> None:
    """R13: calls were refused until the last run of the draining worker had ended."""
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions(limit=2))
    first = await a_call_executes(yard, worker)
    another = await a_warmed(yard, "another")

    await yard.engine.workers.drain(worker.session.worker)
    await another.until(lambda: another.ordered == [2])
    assert worker.ordered == [2]  # what executes there has its children still
    second = await a_call_executes(yard, another)
    with pytest.raises(LimitReached):  # R7: of the two calls at once, one is at each worker
        await yard.engine.calls.call(yard.company, "Work", b"{}")
    end(yard, worker, worker.called[0])
    assert (await first).state is RunState.COMPLETED
    await worker.until(lambda: worker.ordered == [2, 0])
    end(yard, another, another.called[0])

    assert (await second).state is RunState.COMPLETED
    assert (len(worker.called), len(another.called)) == (1, 1)


async def test_no_call_is_refused_while_an_allocation_goes_to_another_worker(
    yard: Yard, worker: Warmed
) -> None:
    """R13: it was answered 503 until the children of the other worker were ready."""
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    another = await a_warmed(yard, "another")
    another.is_slow = True

    await yard.engine.workers.drain(worker.session.worker)
    await another.until(lambda: another.ordered == [1])
    call = asyncio.ensure_future(yard.engine.calls.call(yard.company, "Work", b"{}"))
    await asyncio.sleep(0)  # noqa: TID251 - it is on its way
    another.say_warm()
    await another.until(lambda: another.called)
    end(yard, another, another.called[0])

    assert (await call).state is RunState.COMPLETED
    assert worker.called == []


async def test_calls_that_wait_for_a_place_wait_for_another_worker_too(
    yard: Yard, worker: Warmed
) -> None:
    """R13: those that waited while their allocation moved were answered 503, one after the other."""
    options = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(seconds=30))
    await yard.engine.allocations.put(yard.company, "Work", options)
    first = await a_call_executes(yard, worker)
    waiting = [await a_call_waits(yard) for _ in range(2)]
    another = await a_warmed(yard, "another")
    another.is_slow = True

    await yard.engine.workers.drain(worker.session.worker)
    await another.until(lambda: another.ordered == [1])
    end(yard, worker, worker.called[0])
    await first
    another.say_warm()
    for number in (1, 2):
        await another.until(lambda number=number: len(another.called) == number)
        end(yard, another, another.called[-1])

    assert [(await call).state for call in waiting] == [RunState.COMPLETED] * 2
    assert len(worker.called) == 1


async def test_calls_that_wait_are_answered_when_no_worker_is_left(
    yard: Yard, worker: Warmed
) -> None:
    options = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(seconds=30))
    await yard.engine.allocations.put(yard.company, "Work", options)
    first = await a_call_executes(yard, worker)
    waiting = await a_call_waits(yard)

    await yard.engine.workers.drain(worker.session.worker)
    await yard.engine.allocations.review()
    end(yard, worker, worker.called[0])

    assert (await first).state is RunState.COMPLETED
    with pytest.raises(CallsPaused):
        async with asyncio.timeout(10):
            await waiting


async def test_a_call_that_waited_is_executed_where_the_allocation_has_gone(
    yard: Yard, worker: Warmed
) -> None:
    """It was handed to the draining worker, which keeps the task no longer."""
    options = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(seconds=30))
    await yard.engine.allocations.put(yard.company, "Work", options)
    first = await a_call_executes(yard, worker)
    second = await a_call_waits(yard)
    another = await a_warmed(yard, "another")

    await yard.engine.workers.drain(worker.session.worker)
    await another.until(lambda: another.ordered == [1])
    end(yard, worker, worker.called[0])
    await another.until(lambda: len(another.called) == 1)
    end(yard, another, another.called[0])

    assert (await first).state is (await second).state is RunState.COMPLETED
    assert len(worker.called) == 1


async def test_an_allocation_that_drains_with_its_last_worker_is_free_for_other_servers(
    yard: Yard, worker: Warmed
) -> None:
    """R7: while a call executes here no other server may keep it, afterwards any."""
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    call = await a_call_executes(yard, worker)

    await yard.engine.drain()
    await yard.engine.allocations.review()
    with pytest.raises(CallsPaused):
        await yard.engine.calls.call(yard.company, "Work", b"{}")
    assert len(await yard.store.allocations.placements(yard.clock.now())) == 1
    end(yard, worker, worker.called[0])
    await call
    await yard.engine.allocations.review()

    assert await yard.store.allocations.placements(yard.clock.now()) == []
    assert worker.ordered == [1, 0]


async def test_a_worker_that_no_longer_drains_keeps_allocations_again(
    yard: Yard, worker: Warmed
) -> None:
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())

    await yard.engine.workers.drain(worker.session.worker)
    await worker.until(lambda: worker.ordered == [1, 0])
    await yard.engine.workers.allow(worker.session.worker)

    await worker.until(lambda: worker.ordered == [1, 0, 1])


async def test_a_worker_that_drains_for_a_moment_alone_keeps_its_children(
    yard: Yard, worker: Warmed
) -> None:
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    call = await a_call_executes(yard, worker)

    await yard.engine.workers.drain(worker.session.worker)
    await yard.engine.allocations.review()
    await yard.engine.workers.allow(worker.session.worker)
    await worker.until(lambda: len(worker.ordered) == 2)
    end(yard, worker, worker.called[0])
    await call
    await yard.engine.allocations.review()

    assert worker.ordered == [1, 1]


async def test_a_worker_that_comes_back_keeps_what_it_kept(yard: Yard) -> None:
    """Allocations were offered to the least loaded worker, which may not have them: no call of them
    was answered any more."""
    for task in ("Work", "Other"):
        await yard.a_task(task)
    worker = await a_warmed(yard, "hand")
    for task in ("Work", "Other"):
        await yard.engine.allocations.put(yard.company, task, AllocationOptions())
    another = await a_warmed(yard, "another")

    yard.engine.cut_off(worker.session, "a cable")
    await yard.engine.allocations.review()
    worker.session.is_cut_off = False
    yard.engine.set_capacity(worker.session, 2)
    await yard.engine.allocations.review()

    assert worker.ordered == [1, 1, 1, 1]
    assert another.ordered == []


async def test_a_worker_that_is_about_to_stop_gets_no_calls(yard: Yard, worker: Warmed) -> None:
    """R13: calls went on to it until it was gone, and were lost then; allowing it changes nothing."""
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    another = await a_warmed(yard, "another")

    yard.engine.leaving(worker.session)
    await another.until(lambda: another.ordered == [1])
    await yard.engine.workers.drain(worker.session.worker)
    await yard.engine.workers.allow(worker.session.worker)
    await yard.engine.allocations.review()

    assert worker.ordered == [1, 0]
    assert another.ordered == [1]
