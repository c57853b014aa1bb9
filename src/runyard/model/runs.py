"""Runs and their attempts."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from runyard.model.ids import (
    ActorId,
    CompanyId,
    GateId,
    RunId,
    ScheduleId,
    TaskId,
    VersionId,
    WorkerId,
)
from runyard.model.states import FINAL_STATES, Cause, RunState, Trigger

CALL_TOKEN = 0
"""The lease token of calls: they have none, and no claim ever gives this one."""


class Outcome(StrEnum):
    """How an attempt ended."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    KILLED = "killed"
    NOT_LOADED = "not_loaded"
    INPUT_INVALID = "input_invalid"
    OUTPUT_INVALID = "output_invalid"


class RunError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run failed, for people."""

    kind: str
    """Class of the error, such as ValueError."""
    message: str
    traceback: str = ""
    """Only frames of the task's own code; at most 16 KB."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One durable execution of a task version, without its values."""

    id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    state: RunState
    cause: Cause | None
    """How it ended; None until then."""
    priority: int
    rank: int
    """Place in its gate's queue, microseconds; lower first, fixed when it is queued."""
    level: int
    """How many restarts lie between this run and its origin."""
    restarted_from: RunId | None
    trigger: Trigger
    schedule_id: ScheduleId | None
    created_at: datetime
    due_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    """When its first attempt reached the task's code."""
    finished_at: datetime | None
    attempt: int
    """Attempts that have reached the task's code."""
    begun_at: datetime | None
    """When the current attempt did; None while it is only claimed."""
    worker_id: WorkerId | None
    """Who has, or had last, the lease."""
    lease_token: int
    logged_errors: int
    """Log lines of level error and fatal."""
    progress_done: float | None
    progress_total: float | None
    started_by: ActorId | None = None
    """Who asked for it; None for schedules."""
    put_off_until: datetime | None = None
    """From when on it could run, where that is not when it was made: due later, parked, released."""

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self.state in FINAL_STATES

    @property
    def has_begun(self) -> bool:
        """Whether any attempt has reached the task's code."""
        return self.attempt > 0

    @property
    def ready_at(self) -> datetime:
        """From when on it could run; what it waited since then is the queue's doing."""
        return self.put_off_until or self.created_at

    @property
    def duration(self) -> timedelta | None:
        """From its first attempt's start to its end, once it has both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something done to a run that its row forgets: it was parked, released, or made with a note."""

    at: datetime
    state: RunState
    note: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a run by one worker."""

    run_id: RunId
    number: int
    worker_id: WorkerId | None
    lease_token: int
    begun_at: datetime | None
    finished_at: datetime
    outcome: Outcome
    error: RunError | None
