"""Whether a failed attempt is followed by another, and when."""

from datetime import timedelta

from runyard.model.runs import Outcome
from runyard.model.tasks import RetryPolicy

RETRIED = frozenset({Outcome.RAISED, Outcome.TIMED_OUT, Outcome.LOST})
"""Another try can help these. Code that cannot be loaded, values that do not fit and children
killed from outside would only fail again or hide what somebody did."""

LONGEST_DELAY = timedelta(days=366)


def after_failure(attempt: int, policy: RetryPolicy, chance: float) -> timedelta | None:
    """How long to wait before the next attempt, or None to give up.

    `attempt` counts from 1. `chance` in [0, 1) spreads the retries of a burst apart.
    """
    if attempt > policy.retries:
        return None
    try:
        delay = policy.delay * policy.factor ** (attempt - 1)
    except (OverflowError, ValueError):
        delay = policy.cap
    spread = 1 + policy.jitter * (2 * chance - 1)
    return max(min(delay, policy.cap, LONGEST_DELAY) * spread, timedelta())


def retry_delay(
    outcome: Outcome, attempt: int, policy: RetryPolicy, chance: float
) -> timedelta | None:
    """The delay before another attempt after this outcome, or None when there is none."""
    if outcome not in RETRIED:
        return None
    return after_failure(attempt, policy, chance)
