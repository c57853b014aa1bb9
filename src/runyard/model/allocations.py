"""Allocations: tasks kept warm for real-time calls."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from runyard.model.ids import AllocationId, CompanyId, TaskId, UserId

SHORTEST_DEADLINE = timedelta(milliseconds=10)
LONGEST_DEADLINE = timedelta(minutes=15)
LONGEST_WAIT = timedelta(minutes=1)
LARGEST_LIMIT = 256


class Overflow(StrEnum):
    """What becomes of a call when every child of its allocation is at work."""

    REJECT = "reject"
    """It is refused at once."""
    WAIT = "wait"
    """It waits for a child, up to the allocation's wait."""
    SPILL = "spill"
    """It becomes a durable run, to be followed."""


class Recording(StrEnum):
    """Which calls are kept as runs."""

    ALL = "all"
    ERRORS = "errors"
    """Those that did not complete."""
    NONE = "none"


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """A task of which so many children are kept warm. A task has one at most."""

    id: AllocationId
    company_id: CompanyId
    task_id: TaskId
    limit: int
    """How many calls may execute at once, and how many children are kept for them."""
    overflow: Overflow
    wait: timedelta
    """How long a call may wait for a child, when it may."""
    deadline: timedelta
    """How long a call may take; then its child is killed and replaced."""
    recording: Recording
    retention: timedelta
    """How long records of calls are kept."""
    run_as: UserId | None
    """In whose name calls are made, for dialects that tell; None: nobody's."""
    created_at: datetime
