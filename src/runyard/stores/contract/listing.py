"""What lists of runs and calls are asked for, and what a page of them is."""

from datetime import datetime

import msgspec

from runyard.model.ids import RunId, ScheduleId, TaskId, WorkerId
from runyard.model.runs import Run
from runyard.model.states import Cause, RunState, Trigger

TOTAL_LIMIT = 10_000
"""Totals that no counts are kept of are counted so far."""

MOST_LOOKED_AT = 10_000
"""A page looks at so many runs, at most, to find those that fit."""


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a list shows; None means any. All given conditions must hold."""

    task_id: TaskId | None = None
    states: tuple[RunState, ...] = ()
    causes: tuple[Cause, ...] = ()
    created_from: datetime | None = None
    """Inclusive."""
    created_before: datetime | None = None
    finished_from: datetime | None = None
    finished_before: datetime | None = None
    worker_id: WorkerId | None = None
    schedule_id: ScheduleId | None = None
    restarted_from: RunId | None = None
    trigger: Trigger | None = None

    @property
    def by_end(self) -> bool:
        """Whether the list is in the order of the ends: it is when these are bounded."""
        return self.finished_from is not None or self.finished_before is not None

    def position_of(self, run: Run) -> "Position":
        """Where the run stands in this list."""
        at = run.finished_at if self.by_end else run.created_at
        return Position(at or run.created_at, run.id)


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: lists are newest first, by (created_at, id); those whose ends are
    bounded by (finished_at, id).
    """

    at: datetime
    run_id: RunId


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a list and where the following ones begin."""

    runs: tuple[Run, ...]
    next: Position | None


class RunPage(RunPart, frozen=True, kw_only=True):
    """A page of runs, with the total of its list."""

    total: int
    total_is_exact: bool
    """By task, states and causes: always. Under other filters when no more than `TOTAL_LIMIT` runs had
    to be looked at; otherwise there are at least so many, or were a minute ago.
    """
