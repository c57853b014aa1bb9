"""The state machine: one table, and the questions that are asked of it.

Nobody else compares states to decide what may happen. SQL guards bind `sources(cause)`.
"""

from collections.abc import Mapping

from runyard.model.errors import IllegalTransition
from runyard.model.states import Cause, RunState

S = RunState
C = Cause

_ENDS: Mapping[Cause, RunState] = {
    C.RETURNED: S.COMPLETED,
    C.RETURNED_NOTHING: S.COMPLETED,
    C.RETURNED_WITH_ERRORS: S.COMPLETED,
    C.RAISED: S.FAILED,
    C.KILLED_OUTSIDE: S.FAILED,
    C.TIMED_OUT: S.FAILED,
    C.CODE_NOT_LOADED: S.FAILED,
    C.WORKER_LOST: S.FAILED,
    C.OUTPUT_INVALID: S.FAILED,
    C.INPUT_INVALID: S.FAILED,
}

TRANSITIONS: Mapping[RunState, Mapping[Cause, RunState]] = {
    S.PARKED: {
        C.RELEASED: S.QUEUED,
        C.POSTPONED: S.SCHEDULED,
        C.NO_SLOT: S.FAILED,
        C.CANCELLED: S.CANCELLED,
    },
    S.PREPARING: {
        C.PREPARED: S.QUEUED,
        C.PREPARED_PARKED: S.PARKED,
        C.PREPARED_POSTPONED: S.SCHEDULED,
        C.INPUT_INVALID: S.FAILED,
        C.CANCELLED: S.CANCELLED,
    },
    S.SCHEDULED: {C.DUE: S.QUEUED, C.PARKED: S.PARKED, C.CANCELLED: S.CANCELLED},
    S.QUEUED: {
        C.CLAIMED: S.RUNNING,
        C.PARKED: S.PARKED,
        C.NO_SLOT: S.FAILED,
        C.CANCELLED: S.CANCELLED,
    },
    S.RUNNING: {
        C.RECALLED: S.QUEUED,
        C.RETRIED: S.SCHEDULED,
        C.PAUSED: S.WAITING,
        C.CANCELLED: S.CANCELLED,
        **_ENDS,
    },
    S.WAITING: {C.WOKEN: S.QUEUED, C.TIMED_OUT: S.FAILED, C.CANCELLED: S.CANCELLED},
    S.COMPLETED: {},
    S.FAILED: {},
    S.CANCELLED: {},
}


def next_state(state: RunState, cause: Cause) -> RunState:
    """Where this cause takes a run; raises IllegalTransition if nowhere."""
    try:
        return TRANSITIONS[state][cause]
    except KeyError:
        raise IllegalTransition(f"a {state} run cannot be {_PAST.get(cause, cause)}") from None


def sources(cause: Cause) -> tuple[RunState, ...]:
    """The states that this cause leads out of, in the table's order."""
    return _SOURCES[cause]


def target(cause: Cause) -> RunState:
    """The one state that this cause leads to, wherever it is applied."""
    return _TARGETS[cause]


_SOURCES: Mapping[Cause, tuple[RunState, ...]] = {
    cause: tuple(state for state, moves in TRANSITIONS.items() if cause in moves) for cause in Cause
}
_TARGETS: Mapping[Cause, RunState] = {
    cause: state for moves in TRANSITIONS.values() for cause, state in moves.items()
}
_PAST: Mapping[Cause, str] = {C.DUE: "staged", C.CANCELLED: "cancelled", C.POSTPONED: "released"}
