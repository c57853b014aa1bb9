"""Calls that begin at once with what an earlier one has found out, and how their callers are told."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.allocations import AllocationOptions
from runyard.engine.calls import Opening
from runyard.engine.sessions import AttemptEnd
from runyard.model.allocations import Overflow, Recording
from runyard.model.errors import CallsPaused, LimitReached, StorageUnavailable
from runyard.model.ids import VersionId
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.model.states import Cause, RunState
from runyard.model.types import Field, FileValue, Integer
from runyard.stores.contract.calls import CallRecord
from tests.engine.test_calls import Warmed, a_call_executes, a_warmed, end
from tests.support.yard import Yard

PATIENT = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(seconds=30))
IMPATIENT = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(milliseconds=50))


class Asker:
    """A caller who notes all that is said."""

    def __init__(self) -> None:
        self.heard: list[CallRecord | Exception] = []
        self.has_heard = asyncio.Event()

    def told(self, record: CallRecord) -> None:
        self.heard.append(record)
        self.has_heard.set()

    def refused(self, reason: Exception) -> None:
        self.heard.append(reason)
        self.has_heard.set()

    async def answer(self) -> CallRecord | Exception:
        """The one thing that was said."""
        async with asyncio.timeout(20):
            await self.has_heard.wait()
        [heard] = self.heard
        return heard

    async def record(self) -> CallRecord:
        answer = await self.answer()
        assert isinstance(answer, CallRecord), answer
        return answer


@pytest.fixture
async def worker(yard: Yard) -> Warmed:
    await yard.a_task(
        inputs=(Field(name="n", parameter="n", type=Integer(), required=False, default="7"),)
    )
    return await a_warmed(yard, "hand")


async def opened(yard: Yard, options: AllocationOptions | None = None) -> Opening:
    """What a first call has found out."""
    await yard.engine.allocations.put(yard.company, "Work", options or AllocationOptions())
    await yard.engine.directory.refresh_gates()
    company = await yard.engine.directory.company_by_id(yard.company.id)
    opening = await yard.engine.calls.opening(company, "Work")
    assert opening is not None
    assert await yard.engine._parts.ids.take(1) > 0  # so that there are ids at hand
    return opening


def begun(yard: Yard, opening: Opening, raw: bytes = b"{}", **how: bool) -> Asker:
    """A call that has begun at once, or waits for its place."""
    asker = Asker()
    assert yard.engine.calls.begin(opening, raw, asker, **how)
    return asker


def declined(yard: Yard, opening: Opening, raw: bytes = b"{}") -> bool:
    """Whether it was left to `call`, and nothing has happened."""
    [kept] = yard.engine.allocations.all_kept
    before = kept.in_flight, len(kept.waiting), kept.places.taken
    asker = Asker()
    if yard.engine.calls.begin(opening, raw, asker):
        return False
    assert (kept.in_flight, len(kept.waiting), kept.places.taken) == before
    assert asker.heard == []
    return True


# ---------------------------------------------------------------- how calls end


async def test_a_call_that_begins_at_once_is_one_like_any_other(yard: Yard, worker: Warmed) -> None:
    opening = await opened(yard)

    asker = begun(yard, opening, b'{"n":3}')
    [run] = worker.called
    assert asker.heard == []
    end(yard, worker, run)

    record = await asker.record()
    assert (record.id, record.state, record.cause) == (
        run,
        RunState.COMPLETED,
        Cause.RETURNED_NOTHING,
    )
    assert record.input == b'{"n":3}'
    await yard.engine.calls.records.flush()
    assert await yard.engine.calls.records.find(yard.company.id, run) is not None
    [kept] = yard.engine.allocations.all_kept
    assert (kept.in_flight, kept.places.taken) == (0, 0)


async def test_a_durable_call_is_told_of_once_its_record_is_kept(
    yard: Yard, worker: Warmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = await opened(yard)

    first = begun(yard, opening, durable=True)
    end(yard, worker, worker.called[-1])
    assert first.heard == []
    record = await first.record()
    assert await yard.store.calls.find(yard.company.id, record.id) is not None

    async def fail(*_: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(yard.store.calls, "record", fail)
    second = begun(yard, opening, durable=True)
    end(yard, worker, worker.called[-1])
    assert isinstance(await second.answer(), StorageUnavailable)
    monkeypatch.undo()


@pytest.mark.parametrize("said", [0, 999_999_999])
async def test_a_caller_is_answered_whatever_version_its_worker_speaks_of(
    yard: Yard, worker: Warmed, said: int
) -> None:
    """Whoever was refused by a worker that kept the task no longer waited for ever, as did the place."""
    opening = await opened(yard)
    asker = begun(yard, opening)
    now = yard.clock.now()
    error = RunError(kind="NotAllocated", message="the allocation is not kept here")
    ended = AttemptEnd(
        run_id=worker.called[0],
        token=CALL_TOKEN,
        outcome=Outcome.LOST,
        finished_at=now,
        error=error,
    )
    assert worker.session is not None

    yard.engine.calls.ended(worker.session, ended, VersionId(said))

    record = await asker.record()
    assert record.state is RunState.FAILED
    assert record.error is not None
    assert record.error.kind == "NotAllocated"
    assert record.version_id == opening.version_id
    await yard.engine.calls.records.flush()
    assert await yard.engine.calls.records.find(yard.company.id, record.id) is not None
    assert opening.kept.in_flight == 0


async def test_a_call_lost_with_the_worker_that_drained_is_answered(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard)
    asker = begun(yard, opening)
    await yard.engine.workers.drain(worker.session.worker)
    await yard.engine.allocations.review()
    assert opening.kept.version_id is None

    await yard.engine.disconnect(worker.session, "gone")

    record = await asker.record()
    assert record.cause is Cause.WORKER_LOST
    assert opening.kept.in_flight == 0


async def test_calls_that_wait_are_answered_when_their_worker_is_lost(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard, PATIENT)
    first, *waiting = [begun(yard, opening) for _ in range(1000)]

    await yard.engine.disconnect(worker.session, "gone")

    assert (await first.record()).cause is Cause.WORKER_LOST
    assert {type(await asker.answer()) for asker in waiting} == {CallsPaused}
    assert (opening.kept.in_flight, opening.kept.places.taken) == (0, 0)
    assert len(worker.called) == 1
    again = await a_warmed(yard, "again")
    await again.until(lambda: again.ordered == [1])
    asker = begun(yard, opening)
    end(yard, again, again.called[0])
    assert (await asker.record()).state is RunState.COMPLETED


# ---------------------------------------------------------------- waiting


async def test_no_more_execute_than_may_and_each_is_told_once(yard: Yard, worker: Warmed) -> None:
    opening = await opened(yard, AllocationOptions(limit=3, overflow=Overflow.WAIT))
    askers = [begun(yard, opening, b'{"n":%d}' % each) for each in range(500)]
    most = 0
    while worker.called and opening.kept.in_flight:
        under_way = [run for run in worker.called if run in worker.session.calls]
        most = max(most, len(under_way))
        assert len(under_way) == opening.kept.in_flight == opening.kept.places.taken
        end(yard, worker, under_way[0])

    records = [await asker.record() for asker in askers]
    assert most == 3
    assert [record.input for record in records] == [b'{"n":%d}' % each for each in range(500)]
    assert [record.id for record in records] == worker.called
    assert len(set(worker.called)) == 500


async def test_thousands_that_wait_are_refused_when_their_task_is_paused(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard, PATIENT)
    first, *waiting = [begun(yard, opening) for _ in range(4000)]

    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)
    end(yard, worker, worker.called[0])

    assert (await first.record()).state is RunState.COMPLETED
    assert {type(await asker.answer()) for asker in waiting} == {CallsPaused}
    assert len(worker.called) == 1
    assert (opening.kept.in_flight, opening.kept.places.taken) == (0, 0)
    assert not opening.kept.waiting


async def test_who_has_waited_long_enough_is_refused_and_leaves_no_place_taken(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard, IMPATIENT)
    first, *waiting = [begun(yard, opening) for _ in range(100)]

    assert {type(await asker.answer()) for asker in waiting} == {LimitReached}
    later = begun(yard, opening)
    end(yard, worker, worker.called[0])
    await worker.until(lambda: len(worker.called) == 2)
    end(yard, worker, worker.called[1])

    assert (await first.record()).state is (await later.record()).state is RunState.COMPLETED
    assert (opening.kept.in_flight, opening.kept.places.taken) == (0, 0)


async def test_a_caller_who_leaves_while_waiting_frees_nobody_elses_place(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard, PATIENT)
    executing = await a_call_executes(yard, worker)
    [*leaving, staying] = [
        asyncio.ensure_future(yard.engine.calls.call(yard.company, "Work", b"{}"))
        for _ in range(20)
    ]
    behind = [begun(yard, opening) for _ in range(3)]
    async with asyncio.timeout(10):
        while len(opening.kept.waiting) < 23:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)  # noqa: TID251

    for each in leaving:
        each.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert len(opening.kept.waiting) == 4
    for place in range(5):
        await worker.until(lambda place=place: len(worker.called) > place)
        end(yard, worker, worker.called[place])

    assert (await executing).state is (await staying).state is RunState.COMPLETED
    for asker in behind:
        assert (await asker.record()).state is RunState.COMPLETED
    assert len(worker.called) == 5
    assert (opening.kept.in_flight, opening.kept.places.taken) == (0, 0)


async def test_a_call_goes_on_whose_caller_has_left(yard: Yard, worker: Warmed) -> None:
    opening = await opened(yard, PATIENT)
    executing = await a_call_executes(yard, worker)
    waiting = begun(yard, opening)

    executing.cancel()
    await asyncio.gather(executing, return_exceptions=True)
    assert opening.kept.in_flight == 1  # its child is busy
    assert len(worker.called) == 1
    end(yard, worker, worker.called[0])
    end(yard, worker, worker.called[1])

    assert (await waiting.record()).state is RunState.COMPLETED
    await yard.engine.calls.records.flush()
    for run in worker.called:
        assert await yard.engine.calls.records.find(yard.company.id, run) is not None
    assert opening.kept.in_flight == 0


# ---------------------------------------------------------------- what is left to `call`


async def test_what_has_changed_is_left_to_the_way_that_finds_out(
    yard: Yard, worker: Warmed
) -> None:
    engine, company = yard.engine, yard.company
    opening = await opened(yard)
    assert not declined(yard, opening)
    end(yard, worker, worker.called[0])

    await engine.tasks.set_runnable(company, "Work", runnable=False)
    assert declined(yard, opening)
    await engine.tasks.set_runnable(company, "Work", runnable=True)
    assert declined(yard, opening)  # the task is another object: what was found out is of no use
    opening = await opened(yard)
    assert not declined(yard, opening)
    end(yard, worker, worker.called[-1])

    await engine.orchestrator.pause(company)
    assert declined(yard, opening)
    await engine.orchestrator.resume(company)
    opening = await opened(yard)
    await engine.allocations.delete(company, "Work")
    assert engine.calls.begin(opening, b"{}", Asker()) is False
    opening = await opened(yard)
    await engine.workers.drain(worker.session.worker)
    await engine.allocations.review()
    assert declined(yard, opening)


async def test_a_version_that_has_taken_over_judges_by_its_own_shape(
    yard: Yard, worker: Warmed
) -> None:
    """Nothing but the worker tells when it has: what was deployed is long known then."""
    opening = await opened(yard)
    allocation = opening.kept.allocation.id

    def serves(version: VersionId) -> None:
        assert worker.session is not None
        yard.engine.allocations.warmed(
            worker.session, allocation, version, children=1, memory=0, error=None
        )

    serves(VersionId(opening.version_id + 1))
    assert declined(yard, opening)
    serves(opening.version_id)
    assert not declined(yard, opening)


@pytest.mark.parametrize("raw", [b'{"n":"x"}', b'{"m":1}', b"[]", b"", b'{"n":1', b'{"n":1.5}'])
async def test_input_that_does_not_fit_is_left_to_it_too(
    yard: Yard, worker: Warmed, raw: bytes
) -> None:
    assert declined(yard, await opened(yard), raw)
    assert worker.called == []


async def test_a_full_house_is_left_to_it_where_calls_do_not_wait(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard)
    first = begun(yard, opening)

    assert declined(yard, opening)
    await yard.engine.allocations.put(yard.company, "Work", PATIENT)
    second = begun(yard, opening)
    end(yard, worker, worker.called[0])
    end(yard, worker, worker.called[1])

    assert (await first.record()).id != (await second.record()).id


async def test_records_that_pile_up_are_left_to_it(
    yard: Yard, worker: Warmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.engine.call_records.MOST_PENDING", 2)
    opening = await opened(yard)

    async def fail(*_: object) -> None:
        raise StorageUnavailable("away")

    record = yard.store.calls.record
    yard.store.calls.record = fail  # type: ignore[method-assign]
    for _ in range(2):
        asker = begun(yard, opening)
        end(yard, worker, worker.called[-1])
        await asker.record()

    assert declined(yard, opening)
    yard.store.calls.record = record  # type: ignore[method-assign]
    await yard.engine.calls.records.flush()
    assert not declined(yard, opening)


async def test_calls_that_are_not_recorded_leave_nothing(yard: Yard, worker: Warmed) -> None:
    opening = await opened(yard, AllocationOptions(recording=Recording.ERRORS))
    asker = begun(yard, opening, durable=True)

    end(yard, worker, worker.called[0])

    assert len(asker.heard) == 1  # there is no record to wait for
    await yard.engine.calls.records.flush()
    assert await yard.engine.calls.records.find(yard.company.id, worker.called[0]) is None


async def test_a_task_with_files_or_a_monthly_limit_finds_out_each_time(yard: Yard) -> None:
    await yard.a_task("Paper", inputs=(Field(name="scan", parameter="scan", type=FileValue()),))
    await yard.a_task("Work")
    await a_warmed(yard, "hand")
    await yard.engine.allocations.put(yard.company, "Paper", AllocationOptions())
    company = await yard.engine.directory.company_by_id(yard.company.id)

    assert await yard.engine.calls.opening(company, "Paper") is None
    assert await yard.engine.calls.opening(company, "Nowhere") is None
    await yard.engine.allocations.put(yard.company, "Work", AllocationOptions())
    company = await yard.engine.directory.company_by_id(yard.company.id)
    assert await yard.engine.calls.opening(company, "Work") is not None
    yard.engine.calls.months.most = 10
    assert await yard.engine.calls.opening(company, "Work") is None


async def test_from_the_moment_on_in_which_a_pause_begins_no_call_does(
    yard: Yard, worker: Warmed
) -> None:
    """Before the database knows, when the task is still as it was."""
    opening = await opened(yard)

    with yard.engine.directory.closing([opening.task.gate_id]):
        assert declined(yard, opening)

    assert not declined(yard, opening)


async def test_a_session_that_is_over_gets_no_call(yard: Yard, worker: Warmed) -> None:
    """Also while what it kept is still being seen to."""
    opening = await opened(yard)
    assert worker.session is not None

    worker.session.is_open = False
    assert declined(yard, opening)
    worker.session.is_open = True
    assert not declined(yard, opening)


async def test_gates_that_nobody_has_seen_for_long_are_left_to_it(
    yard: Yard, worker: Warmed
) -> None:
    opening = await opened(yard)

    yard.later(timedelta(seconds=11))

    assert declined(yard, opening) is yard.store.is_shared
    assert len(worker.called) == (0 if yard.store.is_shared else 1)
