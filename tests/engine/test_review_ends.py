"""Ends and steps of runs while the store fails, answers late or not at all (R2, R3)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.retries import after_failure
from runyard.engine.sessions import AttemptEnd
from runyard.model.errors import RunyardError, StorageUnavailable
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from tests.support.yard import HandWorker, Yard

MOMENT = timedelta(milliseconds=300)


async def time_passes(yard: Yard) -> None:
    for _ in range(20):
        yard.later(MOMENT)
        await asyncio.sleep(0.002)  # noqa: TID251 - lets loops that were woken go on


def its_answer_is_lost_once(yard: Yard) -> None:
    """The next recording of ends is committed, but nobody hears of it."""
    finish = yard.store.runs.finish

    async def written_but_unanswered(finishes: object) -> list[RunId]:
        yard.store.runs.finish = finish  # type: ignore[method-assign]
        await finish(finishes)  # type: ignore[arg-type]
        raise StorageUnavailable("whether this was written is unknown")

    yard.store.runs.finish = written_but_unanswered  # type: ignore[method-assign]


async def test_whoever_waits_hears_of_an_end_whose_first_answer_was_lost(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    waiting = asyncio.ensure_future(
        yard.engine.runs.wait(yard.company, str(run.id), timedelta(minutes=4))
    )
    its_answer_is_lost_once(yard)

    ending = asyncio.ensure_future(yard.end(worker, yard.begin(worker)))
    while not ending.done():
        await time_passes(yard)
    began_at = yard.clock.monotonic()
    ended = await asyncio.wait_for(waiting, 5)

    assert ended.state is RunState.COMPLETED
    assert yard.clock.monotonic() == began_at


async def test_a_limit_is_freed_by_an_end_whose_first_answer_was_lost(yard: Yard) -> None:
    await yard.a_task(policies=Policies(concurrency=1))
    worker = await yard.a_worker()
    first, second = await yard.a_run(), await yard.a_run()
    await worker.has_runs(1)
    await yard.turned()
    its_answer_is_lost_once(yard)

    ending = asyncio.ensure_future(yard.end(worker, yard.begin(worker)))
    while not ending.done():
        yard.clock.advance(MOMENT)
        await asyncio.sleep(0.002)  # noqa: TID251 - lets loops that were woken go on
    await worker.has_runs(1)

    assert (await yard.run(first)).state is RunState.COMPLETED
    assert worker.queue[0].run_id == second.id


async def test_waiting_for_ends_waits_for_none_that_come_later(yard: Yard) -> None:
    """R6: a kill never came to its end while other runs kept ending."""
    await yard.a_task()
    worker = await yard.a_worker(capacity=40)
    for _ in range(40):
        await yard.a_run()
    await worker.has_runs(40)
    assert worker.session is not None
    ends = [
        AttemptEnd(
            run_id=claimed.run_id,
            token=claimed.token,
            outcome=Outcome.RETURNED,
            begun_at=yard.clock.now(),
            finished_at=yard.clock.now(),
        )
        for claimed in worker.queue
    ]
    finish = yard.store.runs.finish
    recorded = 0

    async def one_more_ends_meanwhile(finishes: object) -> list[RunId]:
        nonlocal recorded
        if ends:
            yard.engine.ended(worker.session, [ends.pop()])  # type: ignore[arg-type]
        recorded += 1
        return await finish(finishes)  # type: ignore[arg-type]

    yard.store.runs.finish = one_more_ends_meanwhile  # type: ignore[method-assign]
    yard.engine.ended(worker.session, [ends.pop()])
    await asyncio.wait_for(yard.engine.attempts.settled(), 10)

    assert recorded < 5


async def test_an_end_that_cannot_be_recorded_keeps_no_other_from_it(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    first, second = await yard.a_run(), await yard.a_run()
    await worker.has_runs(2)
    finish = yard.store.runs.finish

    async def refuse_output(finishes: object) -> list[RunId]:
        if any(f.run_id == first.id and f.error is None for f in finishes):  # type: ignore[attr-defined]
            raise RunyardError("a value that no column takes")
        return await finish(finishes)  # type: ignore[arg-type]

    yard.store.runs.finish = refuse_output  # type: ignore[method-assign]
    assert worker.session is not None
    ends = []
    for claimed in (yard.begin(worker), yard.begin(worker)):
        now = yard.clock.now()
        ends.append(
            AttemptEnd(
                run_id=claimed.run_id,
                token=claimed.token,
                outcome=Outcome.RETURNED,
                begun_at=now,
                finished_at=now,
            )
        )
    yard.engine.ended(worker.session, ends)
    await asyncio.wait_for(yard.engine.attempts.settled(), 10)

    assert (await yard.run(first)).cause is Cause.OUTPUT_INVALID
    assert (await yard.run(second)).state is RunState.COMPLETED


@pytest.mark.parametrize("factor", [1.0, 1e300, float("inf"), float("nan")])
def test_no_retry_comes_later_than_time_can_be_reckoned(factor: float) -> None:
    """One such delay failed the recording of all ends."""
    ages = timedelta(days=900_000_000)
    policy = RetryPolicy(retries=9, delay=ages, cap=ages, factor=factor)

    delay = after_failure(5, policy, 0.999)

    assert delay is not None
    assert delay < timedelta(days=1000)


async def test_log_lines_that_no_store_takes_keep_no_end_waiting(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)

    async def refuse(_: object) -> None:
        raise RunyardError("never")

    yard.store.logs.append = refuse  # type: ignore[method-assign,assignment]
    log(yard, worker, claimed.run_id, claimed.token, 1)
    ended = await asyncio.wait_for(yard.end(worker, claimed), 10)

    assert ended.id == run.id
    assert ended.state is RunState.COMPLETED


async def test_more_lines_than_one_piece_takes_are_kept_in_several(yard: Yard) -> None:
    """R12: 500 large chunks in one piece were refused as too much, again and again."""
    await yard.a_task()
    worker = await yard.a_worker()
    await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    pieces = []
    append = yard.store.logs.append

    async def note(chunks: object) -> None:
        pieces.append(len(chunks))  # type: ignore[arg-type]
        await append(chunks)  # type: ignore[arg-type]

    yard.store.logs.append = note  # type: ignore[method-assign]
    for number in range(1, 701):
        log(yard, worker, claimed.run_id, claimed.token, number)
    await yard.engine.logs.flush()
    page = await yard.engine.logs.read(yard.company.id, claimed.run_id, LogLevel.TRACE, 0, 1000)

    assert max(pieces) <= 64
    assert len(page.lines) == 500
    assert page.dropped == 200


async def test_a_beginning_that_could_not_be_written_is_written_later(yard: Yard) -> None:
    """R2: after a crash the attempt would not have counted, again and again."""
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    begin = yard.store.runs.begin

    async def refuse(_: object) -> list[RunId]:
        yard.store.runs.begin = begin  # type: ignore[method-assign]
        raise StorageUnavailable("away")

    yard.store.runs.begin = refuse  # type: ignore[method-assign,assignment]
    yard.begin(worker)
    async with asyncio.timeout(10):
        while (await yard.run(run)).begun_at is None:
            await time_passes(yard)

    assert (await yard.run(run)).attempt == 1


@pytest.mark.parametrize("problem", ["busy", "refused"])
async def test_a_step_that_cannot_be_recorded_leaves_no_run_behind(
    yard: Yard, problem: str
) -> None:
    """R2: the worker ended the run without a word, and here it was held for ever."""
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    session = worker.session
    assert session is not None
    record = yard.store.runs.record_step

    async def fail_once(_: object) -> bool:
        yard.store.runs.record_step = record  # type: ignore[method-assign]
        raise StorageUnavailable("full") if problem == "busy" else RunyardError("never")

    yard.store.runs.record_step = fail_once  # type: ignore[method-assign,assignment]
    recording = asyncio.ensure_future(
        yard.engine.attempts.record_step(session, run.id, claimed.token, "load", 1, b"1")
    )
    async with asyncio.timeout(10):
        while not recording.done():
            await time_passes(yard)
    await yard.engine.attempts.settled()

    if problem == "busy":
        assert recording.result()
        assert run.id in session.held
    else:
        assert not recording.result()
        assert (await yard.run(run)).state is RunState.FAILED


async def test_a_step_under_a_lease_that_the_database_has_voided_frees_its_place(
    yard: Yard,
) -> None:
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    session = worker.session
    assert session is not None

    async def gone(_: object) -> bool:
        return False

    yard.store.runs.record_step = gone  # type: ignore[method-assign,assignment]
    kept = await yard.engine.attempts.record_step(session, run.id, claimed.token, "load", 1, b"1")

    assert not kept
    assert session.room == 1


def log(yard: Yard, worker: HandWorker, run: RunId, token: int, number: int) -> None:
    line = LogLine(number=number, at=yard.clock.now(), level=LogLevel.INFO, text="a line")
    assert worker.session is not None
    yard.engine.logged(worker.session, run, token, (line,), 0)
