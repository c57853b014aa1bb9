"""The states of a run and the causes that move it between them.

A run is always in exactly one state, and something always holds it there, so that nothing is
ever stuck:

parked      Held aside by a person; only a release (or a cancel) moves it.
preparing   Its input files are being fetched; the server that prepares it holds it.
scheduled   Due later: a fire time, a chosen instant, or the pause before another attempt.
            Held by its due instant; staging moves it to queued.
queued      In the queue of its gate, waiting for a slot. Held by its place in the queue.
running     Claimed by a worker. Held by a live lease; a lease that expires is rescued.
waiting     Paused inside its code for an answer or an instant. Held by its wait.
completed, failed, cancelled
            Final. Nothing moves a run out of them; the cause says precisely how it ended.

Which cause leads where is decided in `runyard.engine.transitions`, and nowhere else.
"""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is. The values are the words of the native API."""

    PARKED = "parked"
    PREPARING = "preparing"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})


class Cause(StrEnum):
    """What moves a run to another state. Those of the second group are recorded on final runs."""

    PREPARED = "prepared"
    PREPARED_PARKED = "prepared_parked"
    PREPARED_POSTPONED = "prepared_postponed"
    DUE = "due"
    CLAIMED = "claimed"
    RECALLED = "recalled"
    RETRIED = "retried"
    PAUSED = "paused"
    WOKEN = "woken"
    PARKED = "parked"
    RELEASED = "released"
    POSTPONED = "postponed"

    RETURNED = "returned"
    RETURNED_NOTHING = "returned_nothing"
    RETURNED_WITH_ERRORS = "returned_with_errors"
    RAISED = "raised"
    KILLED_OUTSIDE = "killed_outside"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CODE_NOT_LOADED = "code_not_loaded"
    WORKER_LOST = "worker_lost"
    OUTPUT_INVALID = "output_invalid"
    INPUT_INVALID = "input_invalid"
    NO_SLOT = "no_slot"


class Trigger(StrEnum):
    """Who asked for a run."""

    API = "api"
    SCHEDULE = "schedule"
    RESTART = "restart"
    DIALECT = "dialect"
    REMOTE_API = "remote_api"
    CALL = "call"
    """A real-time call."""
