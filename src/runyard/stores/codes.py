"""How values stand in the rows of both databases: small integers for words, microseconds for time.

The literals in partial indexes and in queries (such as `state = 3`) are these codes. A code never
changes its meaning; new ones are added at the end.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from runyard.model.callbacks import CallbackState
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState, Trigger

STATE_CODES: Mapping[RunState, int] = {
    RunState.PARKED: 0,
    RunState.PREPARING: 1,
    RunState.SCHEDULED: 2,
    RunState.QUEUED: 3,
    RunState.RUNNING: 4,
    RunState.WAITING: 5,
    RunState.COMPLETED: 6,
    RunState.FAILED: 7,
    RunState.CANCELLED: 8,
}
"""Ordered so that the final states are exactly those from 6 on."""

FIRST_FINAL_CODE = 6

GONE_CODE = 9
"""In the kept counts, in place of a state: how many runs were deleted."""

CAUSE_CODES: Mapping[Cause, int] = {
    Cause.PREPARED: 1,
    Cause.DUE: 2,
    Cause.CLAIMED: 3,
    Cause.RECALLED: 4,
    Cause.RETRIED: 5,
    Cause.PAUSED: 6,
    Cause.WOKEN: 7,
    Cause.PARKED: 8,
    Cause.RELEASED: 9,
    Cause.POSTPONED: 10,
    Cause.PREPARED_PARKED: 11,
    Cause.PREPARED_POSTPONED: 12,
    Cause.RETURNED: 20,
    Cause.RETURNED_NOTHING: 21,
    Cause.RETURNED_WITH_ERRORS: 22,
    Cause.RAISED: 23,
    Cause.KILLED_OUTSIDE: 24,
    Cause.TIMED_OUT: 25,
    Cause.CANCELLED: 26,
    Cause.CODE_NOT_LOADED: 27,
    Cause.WORKER_LOST: 28,
    Cause.OUTPUT_INVALID: 29,
    Cause.INPUT_INVALID: 30,
    Cause.NO_SLOT: 31,
}

END_CODES: Mapping[int, frozenset[int]] = {
    STATE_CODES[RunState.COMPLETED]: frozenset({20, 21, 22}),
    STATE_CODES[RunState.FAILED]: frozenset({23, 24, 25, 27, 28, 29, 30, 31}),
    STATE_CODES[RunState.CANCELLED]: frozenset({26}),
}
"""The causes that lead to each final state; a test compares them with the transition table."""

TRIGGER_CODES: Mapping[Trigger, int] = {
    Trigger.API: 0,
    Trigger.SCHEDULE: 1,
    Trigger.RESTART: 2,
    Trigger.DIALECT: 3,
    Trigger.REMOTE_API: 4,
    Trigger.CALL: 5,
}

CALLBACK_CODES: Mapping[CallbackState, int] = {
    CallbackState.WAITING: 0,
    CallbackState.DUE: 1,
    CallbackState.SENDING: 2,
    CallbackState.DELIVERED: 3,
    CallbackState.DEAD: 4,
}

OUTCOME_CODES: Mapping[Outcome, int] = {
    Outcome.RETURNED: 0,
    Outcome.RAISED: 1,
    Outcome.TIMED_OUT: 2,
    Outcome.LOST: 3,
    Outcome.KILLED: 4,
    Outcome.NOT_LOADED: 5,
    Outcome.INPUT_INVALID: 6,
    Outcome.OUTPUT_INVALID: 7,
}

STATES: Mapping[int, RunState] = {code: state for state, code in STATE_CODES.items()}
CAUSES: Mapping[int | None, Cause | None] = {
    None: None,
    **{code: cause for cause, code in CAUSE_CODES.items()},
}
TRIGGERS: Mapping[int, Trigger] = {code: trigger for trigger, code in TRIGGER_CODES.items()}
OUTCOMES: Mapping[int, Outcome] = {code: outcome for outcome, code in OUTCOME_CODES.items()}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_SECOND_MICROS = 1_000_000


def state_mask(states: Iterable[RunState]) -> int:
    """These states as bits; SQL asks `(:sources >> state) & 1 = 1`."""
    mask = 0
    for state in states:
        mask |= 1 << STATE_CODES[state]
    return mask


def micros(at: datetime) -> int:
    """An instant as microseconds since 1970."""
    since = at - _EPOCH
    return (since.days * _DAY_SECONDS + since.seconds) * _SECOND_MICROS + since.microseconds


def micros_or_none(at: datetime | None) -> int | None:
    """An instant, if there is one, as microseconds since 1970."""
    return None if at is None else micros(at)


def instant(value: int) -> datetime:
    """The instant behind microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def instant_or_none(value: int | None) -> datetime | None:
    """The instant, if there is one, behind microseconds since 1970."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def duration_micros(duration: timedelta) -> int:
    """A duration as microseconds."""
    return duration // timedelta(microseconds=1)
