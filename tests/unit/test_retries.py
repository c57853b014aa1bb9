"""How long to wait before another attempt."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.engine.retries import RETRIED, after_failure, retry_delay
from runyard.model.runs import Outcome
from runyard.model.tasks import RetryPolicy

SECOND = timedelta(seconds=1)
POLICY = RetryPolicy(retries=5, delay=SECOND, factor=2.0, cap=10 * SECOND, jitter=0.0)


def test_delays_grow_up_to_their_cap_and_then_it_is_over() -> None:
    delays = [after_failure(attempt, POLICY, 0.5) for attempt in range(1, 7)]

    assert delays == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 10 * SECOND, None]


@given(
    attempt=st.integers(1, 2_000),
    retries=st.integers(0, 2_000),
    factor=st.floats(1.0, 10.0),
    jitter=st.floats(0.0, 1.0),
    chance=st.floats(0.0, 1.0, exclude_max=True),
)
def test_a_delay_is_never_negative_nor_beyond_its_cap_and_spread(
    attempt: int, retries: int, factor: float, jitter: float, chance: float
) -> None:
    policy = RetryPolicy(retries=retries, factor=factor, jitter=jitter)

    delay = after_failure(attempt, policy, chance)

    assert (delay is None) == (attempt > retries)
    if delay is not None:
        assert timedelta() <= delay <= policy.cap * (1 + jitter) + timedelta(microseconds=1)


def test_chance_spreads_a_burst_evenly_around_the_delay() -> None:
    policy = RetryPolicy(retries=1, delay=10 * SECOND, jitter=0.2)

    delays = [after_failure(1, policy, chance) for chance in (0.0, 0.5, 0.999999)]

    assert delays[:2] == [8 * SECOND, 10 * SECOND]
    assert delays[2] is not None
    assert 11.99 * SECOND < delays[2] < 12 * SECOND


@pytest.mark.parametrize("outcome", Outcome)
def test_only_outcomes_that_another_attempt_can_help_are_retried(outcome: Outcome) -> None:
    assert (retry_delay(outcome, 1, POLICY, 0.5) is not None) == (outcome in RETRIED)
    assert {Outcome.RAISED, Outcome.TIMED_OUT, Outcome.LOST} == RETRIED
