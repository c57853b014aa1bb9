"""Attempts: begin, finish, retry, steps and progress, each under its lease token."""

import asyncio

import pytest

from runyard.model.runs import Attempt, Outcome, RunError
from runyard.model.states import Cause, RunState
from runyard.stores.contract.runs import Beginning, ProgressReport, StepRecord
from runyard.stores.tables.values import INLINE_LIMIT
from tests.stores.builders import (
    ACME,
    GLOBEX,
    NOW,
    World,
    a_finish,
    a_move,
    a_retry,
    later,
)

ERROR = RunError(kind="ValueError", message="no such zip", traceback="zips.py, line 3")


async def test_an_attempt_begins_once(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    beginning = Beginning(claimed.run_id, claimed.token, later(1))

    first = await world.store.runs.begin([beginning])
    second = await world.store.runs.begin([Beginning(claimed.run_id, claimed.token, later(9))])

    assert (first, second) == ([claimed.run_id], [])
    run = await world.run(claimed.run_id)
    assert (run.attempt, run.begun_at, run.started_at) == (1, later(1), later(1))


async def test_an_attempt_does_not_begin_under_another_token(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    begun = await world.store.runs.begin([Beginning(claimed.run_id, claimed.token + 1, NOW)])

    assert begun == []
    assert (await world.run(claimed.run_id)).attempt == 0


async def test_several_beginnings_answer_those_that_count(world: World) -> None:
    task = await world.add_task()
    await task.start_many(3)
    claimed = await world.claim(task, 3)
    items = [Beginning(run.run_id, run.token, later(1)) for run in claimed]
    items[1] = Beginning(claimed[1].run_id, claimed[1].token - 1, later(1))

    begun = await world.store.runs.begin(items)

    assert sorted(begun) == [claimed[0].run_id, claimed[2].run_id]


async def test_a_finished_run_keeps_how_it_ended(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    accepted = await world.store.runs.finish([a_finish(claimed, logged_errors=2)])

    run = await world.run(claimed.run_id)
    assert accepted == [claimed.run_id]
    assert (run.state, run.cause, run.finished_at) == (
        RunState.COMPLETED,
        Cause.RETURNED,
        later(2),
    )
    assert (run.attempt, run.started_at, run.begun_at) == (1, later(1), later(1))
    assert (run.logged_errors, run.worker_id) == (2, world.worker)
    values = await world.store.runs.values(ACME, run.id)
    assert values is not None
    assert (values.output, values.error) == (b'{"place":"Fort Worth"}', None)


async def test_the_last_attempt_of_a_run_is_listed(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    failed = a_finish(
        claimed,
        state=RunState.FAILED,
        cause=Cause.RAISED,
        outcome=Outcome.RAISED,
        output=None,
        error=ERROR,
    )

    await world.store.runs.finish([failed])

    assert await world.store.histories.attempts(ACME, claimed.run_id) == [
        Attempt(
            run_id=claimed.run_id,
            number=1,
            worker_id=world.worker,
            lease_token=claimed.token,
            begun_at=later(1),
            finished_at=later(2),
            outcome=Outcome.RAISED,
            error=ERROR,
        )
    ]
    values = await world.store.runs.values(ACME, claimed.run_id)
    assert values is not None
    assert (values.output, values.error) == (None, ERROR)


async def test_a_recorded_beginning_is_not_counted_again_by_the_finish(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    await world.store.runs.begin([Beginning(claimed.run_id, claimed.token, later(1))])

    await world.store.runs.finish([a_finish(claimed, begun_at=later(1.5))])

    run = await world.run(claimed.run_id)
    assert (run.attempt, run.begun_at, run.started_at) == (1, later(1), later(1))


async def test_a_run_that_ends_before_it_began_has_no_attempt(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    await world.store.runs.finish(
        [
            a_finish(
                claimed,
                state=RunState.FAILED,
                cause=Cause.CODE_NOT_LOADED,
                outcome=Outcome.NOT_LOADED,
                begun_at=None,
                output=None,
                error=ERROR,
            )
        ]
    )

    run = await world.run(claimed.run_id)
    assert (run.attempt, run.started_at, run.cause) == (0, None, Cause.CODE_NOT_LOADED)
    assert await world.store.histories.attempts(ACME, run.id) == []
    values = await world.store.runs.values(ACME, run.id)
    assert values is not None
    assert values.error == ERROR


async def test_a_second_finish_changes_nothing(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    await world.store.runs.finish([a_finish(claimed)])
    before = await world.run(claimed.run_id)

    again = await world.store.runs.finish([a_finish(claimed, output=b"2", finished_at=later(99))])

    assert again == []
    assert await world.run(claimed.run_id) == before
    values = await world.store.runs.values(ACME, claimed.run_id)
    assert values is not None
    assert values.output == b'{"place":"Fort Worth"}'


async def test_of_two_finishes_in_one_group_the_first_counts(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    first, second = await asyncio.gather(
        world.store.runs.finish([a_finish(claimed, output=b"1")]),
        world.store.runs.finish([a_finish(claimed, output=b"2")]),
    )

    assert (first, second) == ([claimed.run_id], [])
    values = await world.store.runs.values(ACME, claimed.run_id)
    assert values is not None
    assert values.output == b"1"


@pytest.mark.parametrize("change", ["token", "company"])
async def test_a_finish_by_somebody_else_changes_nothing(world: World, change: str) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    claimed = await task.running()
    wrong = {"token": {"token": claimed.token - 1}, "company": {"company_id": GLOBEX}}

    assert await world.store.runs.finish([a_finish(claimed, **wrong[change])]) == []
    assert await world.store.runs.finish([a_retry(claimed, **wrong[change])]) == []

    run = await world.run(claimed.run_id)
    assert (run.state, run.cause, run.attempt) == (RunState.RUNNING, None, 0)
    assert await world.store.histories.attempts(ACME, run.id) == []


async def test_a_retry_waits_and_keeps_its_attempt(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    await world.store.runs.begin([Beginning(claimed.run_id, claimed.token, later(1))])

    accepted = await world.store.runs.finish(
        [a_retry(claimed, begun_at=None, error=ERROR, logged_errors=1, rank=500)]
    )

    run = await world.run(claimed.run_id)
    assert accepted == [claimed.run_id]
    assert (run.state, run.cause, run.due_at, run.rank) == (
        RunState.SCHEDULED,
        None,
        later(60),
        500,
    )
    assert (run.attempt, run.begun_at, run.started_at, run.finished_at) == (
        1,
        None,
        later(1),
        None,
    )
    [attempt] = await world.store.histories.attempts(ACME, run.id)
    assert (attempt.number, attempt.outcome, attempt.error) == (1, Outcome.RAISED, ERROR)
    assert (attempt.begun_at, attempt.finished_at) == (later(1), later(2))


async def test_attempts_are_numbered_to_the_last_one(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    await world.store.runs.finish(
        [a_retry(claimed, state=RunState.QUEUED, due_at=None, queued_at=later(3))]
    )
    [second] = await world.claim(task)
    assert (second.run_id, second.attempt) == (claimed.run_id, 1)
    await world.store.runs.finish([a_retry(second, state=RunState.QUEUED, due_at=None)])
    [third] = await world.claim(task)

    await world.store.runs.finish([a_finish(third, begun_at=later(7), finished_at=later(8))])

    attempts = await world.store.histories.attempts(ACME, claimed.run_id)
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert [attempt.lease_token for attempt in attempts] == [
        claimed.token,
        second.token,
        third.token,
    ]
    assert attempts[2].begun_at == later(7)
    run = await world.run(claimed.run_id)
    assert (run.attempt, run.started_at, run.logged_errors) == (3, later(1), 0)


async def test_an_attempt_lost_before_it_began_costs_none(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    await world.store.runs.finish(
        [a_retry(claimed, outcome=Outcome.LOST, state=RunState.QUEUED, begun_at=None)]
    )

    run = await world.run(claimed.run_id)
    assert (run.state, run.attempt) == (RunState.QUEUED, 0)
    assert await world.store.histories.attempts(ACME, run.id) == []


async def test_ends_and_retries_travel_together(world: World) -> None:
    task = await world.add_task()
    await task.start_many(3)
    done, retried, stale = await world.claim(task, 3)

    accepted = await world.store.runs.finish(
        [a_finish(done), a_retry(retried), a_finish(stale, token=stale.token + 1)]
    )

    assert sorted(accepted) == sorted([done.run_id, retried.run_id])
    assert await world.state(stale.run_id) is RunState.RUNNING


async def test_a_report_under_a_superseded_token_changes_nothing(world: World) -> None:
    task = await world.add_task()
    old = await task.running()
    await world.store.runs.move([a_move(old.run_id, [RunState.RUNNING], RunState.QUEUED)])
    [new] = await world.claim(task)

    assert new.token > old.token
    assert await world.store.runs.begin([Beginning(old.run_id, old.token, NOW)]) == []
    assert await world.store.runs.finish([a_finish(old)]) == []
    assert await world.store.runs.finish([a_finish(new)]) == [new.run_id]


@pytest.mark.parametrize("size", [0, INLINE_LIMIT + 1, 500_000])
async def test_an_output_comes_back_whatever_its_size(world: World, size: int) -> None:
    task = await world.add_task()

    run = await task.ended(output=b"y" * size)

    values = await world.store.runs.values(ACME, run)
    assert values is not None
    assert values.output == b"y" * size


# ---------------------------------------------------------------- steps and progress


def a_step(run, name: str = "fetch", **changes) -> StepRecord:
    fields = {
        "run_id": run.run_id,
        "company_id": ACME,
        "token": run.token,
        "name": name,
        "occurrence": 0,
        "value": b'"page"',
        "at": later(1),
    }
    return StepRecord(**{**fields, **changes})


async def test_steps_come_back_in_order(world: World) -> None:
    task = await world.add_task()
    run, other = await task.running(), await task.running()
    large = b"z" * (INLINE_LIMIT + 1)

    assert await world.store.runs.record_step(a_step(run, "fetch"))
    assert await world.store.runs.record_step(
        a_step(run, "fetch", occurrence=1, value=large, at=later(2))
    )
    assert await world.store.runs.record_step(a_step(run, "approve", at=later(3)))

    steps = await world.store.runs.steps([run.run_id, other.run_id])
    assert steps == {
        run.run_id: [("fetch", 0, b'"page"'), ("fetch", 1, large), ("approve", 0, b'"page"')]
    }


async def test_a_step_recorded_again_keeps_its_first_value(world: World) -> None:
    task = await world.add_task()
    run = await task.running()
    await world.store.runs.record_step(a_step(run))

    assert await world.store.runs.record_step(a_step(run, value=b'"other"'))

    assert (await world.store.runs.steps([run.run_id]))[run.run_id] == [("fetch", 0, b'"page"')]


async def test_a_step_without_the_lease_is_not_recorded(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    run = await task.running()

    assert not await world.store.runs.record_step(a_step(run, token=run.token + 1))
    assert not await world.store.runs.record_step(a_step(run, company_id=GLOBEX))
    await world.store.runs.finish([a_finish(run)])
    assert not await world.store.runs.record_step(a_step(run))

    assert await world.store.runs.steps([run.run_id]) == {}


async def test_progress_is_kept_under_its_token(world: World) -> None:
    task = await world.add_task()
    claimed, other = await task.running(), await task.running()

    await world.store.runs.report_progress(
        [
            ProgressReport(claimed.run_id, claimed.token, 2.5, 10.0),
            ProgressReport(other.run_id, other.token + 1, 9.0, None),
        ]
    )
    await world.store.runs.report_progress([])

    run, untouched = await world.run(claimed.run_id), await world.run(other.run_id)
    assert (run.progress_done, run.progress_total) == (2.5, 10.0)
    assert (untouched.progress_done, untouched.progress_total) == (None, None)
