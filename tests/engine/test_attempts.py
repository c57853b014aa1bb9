"""How attempts end, and what that makes of their runs (R3, R4, R5)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.model.errors import StorageUnavailable
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from runyard.model.types import Field, Integer, Text
from runyard.telemetry import LATE_REPORT, listening
from tests.support.yard import Yard

COUNT = Field(name="count", parameter="count", type=Integer())


@pytest.mark.parametrize(
    ("outcome", "state", "cause"),
    [
        (Outcome.RETURNED, RunState.COMPLETED, Cause.RETURNED_NOTHING),
        (Outcome.RAISED, RunState.FAILED, Cause.RAISED),
        (Outcome.KILLED, RunState.FAILED, Cause.KILLED_OUTSIDE),
        (Outcome.TIMED_OUT, RunState.FAILED, Cause.TIMED_OUT),
        (Outcome.NOT_LOADED, RunState.FAILED, Cause.CODE_NOT_LOADED),
        (Outcome.LOST, RunState.FAILED, Cause.WORKER_LOST),
        (Outcome.INPUT_INVALID, RunState.FAILED, Cause.INPUT_INVALID),
        (Outcome.OUTPUT_INVALID, RunState.FAILED, Cause.OUTPUT_INVALID),
    ],
)
async def test_an_outcome_becomes_a_state_and_a_cause(
    yard: Yard, outcome: Outcome, state: RunState, cause: Cause
) -> None:
    await yard.a_task()
    await yard.a_run()
    worker = await yard.a_worker()

    run = await yard.executed(worker, outcome)

    assert (run.state, run.cause, run.attempt) == (state, cause, 1)
    assert run.finished_at == yard.clock.now()


@pytest.mark.parametrize("outcome", [Outcome.RAISED, Outcome.TIMED_OUT, Outcome.LOST])
async def test_a_failed_attempt_is_followed_by_another_while_the_policy_allows(
    yard: Yard, outcome: Outcome
) -> None:
    policy = RetryPolicy(retries=1, jitter=0.0)
    await yard.a_task(policies=Policies(retry=policy))
    await yard.a_run()
    worker = await yard.a_worker()

    first = await yard.executed(worker, outcome)
    yard.clock.advance(policy.delay)
    second = await yard.executed(worker, outcome)

    assert (first.state, first.cause) == (RunState.SCHEDULED, None)
    assert first.due_at is not None
    assert (second.state, second.attempt) == (RunState.FAILED, 2)
    attempts = await yard.engine.runs.attempts(yard.company, second.id)
    assert [a.number for a in attempts] == [1, 2]


@pytest.mark.parametrize(
    ("output", "logged_errors", "cause"),
    [
        (b'{"count":1}', 0, Cause.RETURNED),
        (None, 0, Cause.RETURNED_NOTHING),
        (b'{"count":1}', 2, Cause.RETURNED_WITH_ERRORS),
        (None, 1, Cause.RETURNED_WITH_ERRORS),
    ],
)
async def test_a_return_is_told_apart_by_what_came_back(
    yard: Yard, output: bytes | None, logged_errors: int, cause: Cause
) -> None:
    await yard.a_task(outputs=(COUNT,))
    await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)

    run = await yard.end(worker, yard.begin(worker), output=output, logged_errors=logged_errors)

    values = await yard.engine.runs.values(yard.company, run.id)
    assert (run.state, run.cause) == (RunState.COMPLETED, cause)
    assert (run.logged_errors, values.output) == (logged_errors, output)


@pytest.mark.parametrize("output", [b'{"count":"many"}', b"{}", b'{"other":1}'])
async def test_an_output_that_does_not_fit_its_declaration_fails_the_run(
    yard: Yard, output: bytes
) -> None:
    await yard.a_task(outputs=(COUNT,), policies=Policies(retry=RetryPolicy(retries=5)))
    await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)

    run = await yard.end(worker, yard.begin(worker), output=output)

    values = await yard.engine.runs.values(yard.company, run.id)
    assert (run.state, run.cause) == (RunState.FAILED, Cause.OUTPUT_INVALID)
    assert values.error is not None
    assert "count" in values.error.message


@pytest.mark.parametrize(
    "outcome",
    [Outcome.KILLED, Outcome.NOT_LOADED, Outcome.INPUT_INVALID, Outcome.OUTPUT_INVALID],
)
async def test_what_another_attempt_cannot_help_is_not_tried_again(
    yard: Yard, outcome: Outcome
) -> None:
    await yard.a_task(policies=Policies(retry=RetryPolicy(retries=5)))
    await yard.a_run()

    run = await yard.executed(await yard.a_worker(), outcome)

    assert (run.state, run.attempt) == (RunState.FAILED, 1)


async def test_an_end_reported_twice_counts_once(yard: Yard) -> None:
    """R3"""
    await yard.a_task()
    await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    claimed = yard.begin(worker)

    first = await yard.end(worker, claimed, Outcome.RAISED)
    second = await yard.end(worker, claimed, Outcome.RETURNED)

    attempts = await yard.engine.runs.attempts(yard.company, claimed.run_id)
    assert first == second
    assert [attempt.outcome for attempt in attempts] == [Outcome.RAISED]


async def test_reports_under_a_superseded_lease_change_nothing(yard: Yard) -> None:
    """R4"""
    await yard.a_task()
    run = await yard.a_run()
    first = await yard.a_worker(name="first")
    await first.has_runs(1)
    stale = first.queue[0]
    assert first.session is not None
    await yard.engine.disconnect(first.session, "gone")
    second = await yard.a_worker(name="second")
    await second.has_runs(1)

    with listening() as heard:
        yard.engine.begun(first.session, run.id, stale.token, yard.clock.now())
        kept = await yard.engine.attempts.record_step(
            first.session, run.id, stale.token, "pay", 0, b"1"
        )
        late = await yard.end(first, stale)

    assert second.queue[0].token > stale.token
    assert not kept
    assert (late.state, late.attempt) == (RunState.RUNNING, 0)
    assert await yard.store.runs.steps([run.id]) == {}
    assert {event for event, _ in heard} == {LATE_REPORT}


async def test_recorded_steps_are_handed_to_the_next_attempt(yard: Yard) -> None:
    """R5"""
    policy = RetryPolicy(retries=1, jitter=0.0)
    await yard.a_task(policies=Policies(retry=policy))
    run = await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    assert worker.session is not None

    record = yard.engine.attempts.record_step
    kept = [
        await record(worker.session, run.id, claimed.token, "pay", 0, b"1"),
        await record(worker.session, run.id, claimed.token, "pay", 1, b"2"),
        await record(worker.session, run.id, claimed.token, "pay", 0, b"1"),
    ]
    await yard.end(worker, claimed, Outcome.RAISED)
    yard.later(policy.delay)
    await worker.has_runs(1)

    assert kept == [True, True, True]
    assert worker.steps[run.id] == (("pay", 0, b"1"), ("pay", 1, b"2"))


async def test_the_next_attempt_comes_when_its_delay_is_over_and_not_before(yard: Yard) -> None:
    """R9"""
    policy = RetryPolicy(retries=1, delay=timedelta(seconds=7), jitter=0.0)
    await yard.a_task(policies=Policies(retry=policy))
    await yard.a_run()
    worker = await yard.a_worker()
    await yard.executed(worker, Outcome.TIMED_OUT)

    yard.later(timedelta(seconds=6, milliseconds=999))
    await yard.engine.maintenance.stage()
    await yard.turned()
    early = list(worker.queue)
    yard.later(timedelta(milliseconds=1))
    await worker.has_runs(1)

    assert early == []


async def test_a_large_output_comes_back_whole(yard: Yard) -> None:
    await yard.a_task(outputs=(Field(name="text", parameter="text", type=Text()),))
    await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    output = b'{"text":"' + b"x" * 300_000 + b'"}'

    run = await yard.end(worker, yard.begin(worker), output=output)

    assert (await yard.engine.runs.values(yard.company, run.id)).output == output


async def test_the_last_lines_of_a_run_are_there_when_it_has_ended(yard: Yard) -> None:
    await yard.a_task()
    run = await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    assert worker.session is not None
    lines = tuple(
        LogLine(n, yard.clock.now(), LogLevel.INFO if n % 2 else LogLevel.ERROR, f"line {n}")
        for n in range(1, 6)
    )

    yard.engine.logged(worker.session, run.id, claimed.token, lines, 3)
    await yard.end(worker, claimed)

    read = yard.engine.logs.read
    everything = await read(yard.company.id, run.id, LogLevel.TRACE, 0, 100)
    errors = await read(yard.company.id, run.id, LogLevel.ERROR, 2, 100)
    page = await read(yard.company.id, run.id, LogLevel.TRACE, 0, 2)
    assert [line.text for line in everything.lines] == [f"line {n}" for n in range(1, 6)]
    assert everything.dropped == 3
    assert [line.number for line in errors.lines] == [4]
    assert page.next_after == 2


async def test_a_group_of_ends_that_cannot_be_written_waits_and_is_written(yard: Yard) -> None:
    """R1, R2"""
    await yard.a_task()
    run = await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    finish = yard.store.runs.finish
    failures = [StorageUnavailable("full"), StorageUnavailable("full")]

    async def finish_at_last(ends: object) -> object:
        if failures:
            raise failures.pop()
        return await finish(ends)  # type: ignore[arg-type]

    yard.store.runs.finish = finish_at_last  # type: ignore[method-assign,assignment]
    ending = asyncio.ensure_future(yard.end(worker, yard.begin(worker)))
    async with asyncio.timeout(10):
        while not ending.done():
            yard.later(timedelta(milliseconds=200))
            await yard.turned()

    assert (await yard.run(run)).state is RunState.COMPLETED
    assert failures == []


async def test_what_a_stopping_worker_gives_up_is_queued_again_without_retries(yard: Yard) -> None:
    """R13: it counted as a failure of the run, whose task has no retries."""
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)

    yard.engine.leaving(worker.session)
    await yard.engine.disconnect(worker.session, "stopped")
    await yard.engine.attempts.settled()

    assert (await yard.run(run)).state in {RunState.QUEUED, RunState.SCHEDULED}
    another = await yard.a_worker(name="another")
    assert (await yard.executed(another)).state is RunState.COMPLETED
