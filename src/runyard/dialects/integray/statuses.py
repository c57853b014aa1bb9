"""The fifteen statuses of a task run: their ids, names and groups, and which of them a run has.

A run's state and cause decide its status by one table. What the engine does not tell apart by state
alone is whether the run has begun: one that has is in progress, even while it waits for another
attempt, and one that has not is scheduled, even when a worker has been handed it already.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from runyard.model.states import Cause, RunState


class StatusId(IntEnum):
    """A status. 1 is the queue, 1xx runs, 2xx ended well, 3xx ended badly, 999 is aside."""

    SCHEDULED = 1
    IN_PROGRESS = 100
    WAITING_FOR_AGENT = 101
    FINISHED = 200
    FINISHED_WITHOUT_DATA = 201
    FINISHED_WITH_ERRORS = 202
    CONNECTOR_FAILED = 300
    AGENT_KILLED = 301
    TIMED_OUT = 302
    CANCELLED = 303
    RUNTIME_FAILED = 304
    AGENT_FAILED = 305
    OUTPUT_FAILED = 306
    INPUT_FAILED = 307
    PARKED = 999


NAMES: Mapping[StatusId, str] = {
    StatusId.SCHEDULED: "Scheduled",
    StatusId.IN_PROGRESS: "In progress",
    StatusId.WAITING_FOR_AGENT: "Waiting for agent",
    StatusId.FINISHED: "Finished successfully",
    StatusId.FINISHED_WITHOUT_DATA: "Finished with no data produced",
    StatusId.FINISHED_WITH_ERRORS: "Finished with errors",
    StatusId.CONNECTOR_FAILED: "Connector failed",
    StatusId.AGENT_KILLED: "Agent killed",
    StatusId.TIMED_OUT: "Timeout failed",
    StatusId.CANCELLED: "Cancelled by user",
    StatusId.RUNTIME_FAILED: "Runtime failed",
    StatusId.AGENT_FAILED: "Agent failed",
    StatusId.OUTPUT_FAILED: "Output failed",
    StatusId.INPUT_FAILED: "Input failed",
    StatusId.PARKED: "Parked",
}

ENDED: Mapping[Cause, StatusId] = {
    Cause.RETURNED: StatusId.FINISHED,
    Cause.RETURNED_NOTHING: StatusId.FINISHED_WITHOUT_DATA,
    Cause.RETURNED_WITH_ERRORS: StatusId.FINISHED_WITH_ERRORS,
    Cause.RAISED: StatusId.CONNECTOR_FAILED,
    Cause.KILLED_OUTSIDE: StatusId.AGENT_KILLED,
    Cause.TIMED_OUT: StatusId.TIMED_OUT,
    Cause.CANCELLED: StatusId.CANCELLED,
    Cause.CODE_NOT_LOADED: StatusId.RUNTIME_FAILED,
    Cause.WORKER_LOST: StatusId.AGENT_FAILED,
    Cause.OUTPUT_INVALID: StatusId.OUTPUT_FAILED,
    Cause.INPUT_INVALID: StatusId.INPUT_FAILED,
    Cause.NO_SLOT: StatusId.AGENT_FAILED,
}
"""Every cause that a final run can have."""


class Stages(NamedTuple):
    """The status of a run that has not ended, by whether it has begun."""

    unbegun: StatusId
    begun: StatusId


_WAITS = Stages(StatusId.SCHEDULED, StatusId.IN_PROGRESS)

UNENDED: Mapping[RunState, Stages] = {
    RunState.PARKED: Stages(StatusId.PARKED, StatusId.PARKED),
    RunState.PREPARING: _WAITS,
    RunState.SCHEDULED: _WAITS,
    RunState.QUEUED: _WAITS,
    RunState.RUNNING: _WAITS,
    RunState.WAITING: Stages(StatusId.IN_PROGRESS, StatusId.IN_PROGRESS),
}
"""Every state that is not final."""


class Statuses:
    """Tells the status of runs, as the operator wants kills to be shown."""

    def __init__(self, killed: StatusId = StatusId.CANCELLED) -> None:
        self._killed = killed

    def of(
        self, state: RunState, cause: Cause | None, *, has_begun: bool, is_stranded: bool = False
    ) -> StatusId:
        """The status of a run; `is_stranded`: its gate is open, and no agent is there that fits."""
        if cause is not None:
            if cause is Cause.CANCELLED and has_begun:
                return self._killed
            return ENDED[cause]
        if is_stranded and state is RunState.QUEUED and not has_begun:
            return StatusId.WAITING_FOR_AGENT
        stages = UNENDED[state]
        return stages.begun if has_begun else stages.unbegun

    def causes(self, wanted: StatusId) -> tuple[Cause, ...]:
        """Every cause that may lead to this status."""
        found = [cause for cause, status in ENDED.items() if status is wanted]
        if wanted is self._killed and Cause.CANCELLED not in found:
            found.append(Cause.CANCELLED)
        return tuple(found)


def states(wanted: StatusId) -> tuple[RunState, ...]:
    """Every state that is not final and may show this status."""
    if wanted is StatusId.WAITING_FOR_AGENT:
        return (RunState.QUEUED,)
    return tuple(state for state, stages in UNENDED.items() if wanted in stages)


def is_final(status: StatusId) -> bool:
    """Whether nothing follows."""
    return 200 <= status < 400


def group_of(status: StatusId) -> str:
    """Under which heading people look for it; by range, so that a new id would have one too."""
    if status is StatusId.PARKED:
        return "Parked"
    if status >= 300:
        return "Failed"
    if status >= 200:
        return "Finished"
    return "In progress" if status >= 100 else "Scheduled"
