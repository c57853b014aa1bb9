"""How attempts end, and what that makes of their runs."""

import pytest

from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from tests.support.yard import Yard


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
