"""Schedules."""

from datetime import datetime, timedelta

from msgspec import UNSET, UnsetType

from runyard.model.schedules import TriggerKind
from runyard.protocol.shapes.parts import (
    Asked,
    Instant,
    Name,
    Object,
    Page,
    PageQuery,
    Priority,
    Reference,
    Shown,
)
from runyard.protocol.shapes.tasks import TaskName


class NewSchedule(Asked, frozen=True, kw_only=True):
    """A schedule to create, with exactly one of `cron`, `interval` and `at`."""

    name: Name
    task: Reference
    """Id, uuid, public id or name."""
    cron: Name | None = None
    """Five fields."""
    interval: timedelta | None = None
    """Between two fire times; ISO 8601, such as PT15M."""
    at: Instant | None = None
    """Fires once, at this instant."""
    time_zone: Name | None = None
    """IANA name in which the cron fields are read; null: the company's."""
    input: Object | UnsetType = UNSET
    """Of the runs it starts."""
    priority: Priority | None = None


class Schedule(Shown, frozen=True, kw_only=True):
    """A plan that starts runs of one task."""

    id: int
    name: str
    task: TaskName
    kind: TriggerKind
    cron: str | None
    time_zone: str
    interval: timedelta | None
    input: Object
    priority: int | None
    enabled: bool
    next_fire_at: datetime | None
    """Null: it will not fire any more."""
    last_fire_at: datetime | None
    created_at: datetime
    upcoming: tuple[datetime, ...] | UnsetType = UNSET
    """Its next fire times (on one schedule)."""


class SchedulePage(Page, frozen=True, kw_only=True):
    """Schedules by name."""

    items: tuple[Schedule, ...]


class ScheduleQuery(PageQuery, frozen=True, kw_only=True):
    """Which schedules."""

    task: Reference | None = None
    """Only those of this task: id, uuid, public id or name."""


class ScheduleChange(Asked, frozen=True, kw_only=True):
    """What to change of a schedule."""

    enabled: bool
