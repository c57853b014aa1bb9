"""One run as long as this worker holds it."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.protocol.frames import Assignment, Introduction, Lease
from runyard.worker.logbook import LogBook

if TYPE_CHECKING:
    from runyard.worker.child import Child
    from runyard.worker.lanes import Lane


class Ending(Enum):
    """Why Runyard itself ended a child."""

    TIMED_OUT = "timed out"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    KILLED = "killed"
    """As was asked for by a frame, or because the worker gives its runs up."""
    RETIRED = "retired"
    """It had nothing to do."""
    UNRULY = "unruly"
    """It said what no child says."""


class Execution:
    """A claimed run: in a lane's queue, before a child, or in it."""

    lane: "Lane | None" = None
    child: "Child | None" = None
    begun_at: float | None = None
    deadline: float | None = None
    """Monotonic; when its timeout has passed."""
    is_announced = False
    staged: Path | None = None
    """Where its input files lie until its child is known."""
    has_folder = False
    """Whether a folder with its files lies beside its child."""
    log: LogBook | None = None

    def __init__(self, assignment: Assignment, introduction: Introduction, order: int) -> None:
        self.assignment = assignment
        self.introduction = introduction
        self.run_id = int(assignment.run_id)
        self.token = assignment.token
        self.order = order
        """Rises with every assignment; smaller ones go first."""

    @property
    def lease(self) -> Lease:
        """Which run, and under which token."""
        return Lease(self.assignment.run_id, self.token)

    @property
    def has_begun(self) -> bool:
        """Whether the child has said that it took it."""
        return self.begun_at is not None

    def logbook(self) -> LogBook:
        """Its log, opened when there is a first line."""
        if self.log is None:
            self.log = LogBook(self.run_id, self.token, self.assignment.attempt)
        return self.log
