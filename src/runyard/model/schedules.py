"""Schedules: plans that start runs by themselves."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from runyard.model.ids import CompanyId, ScheduleId, TaskId


class TriggerKind(StrEnum):
    """By which rule a schedule fires."""

    CRON = "cron"
    INTERVAL = "interval"
    ONCE = "once"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that starts runs of one task."""

    id: ScheduleId
    company_id: CompanyId
    task_id: TaskId
    name: str
    kind: TriggerKind
    cron: str | None
    """Five fields, for `cron`."""
    time_zone: str
    """IANA name in which the cron fields are read."""
    interval: timedelta | None
    input: bytes
    """The runs' input, JSON."""
    priority: int | None
    enabled: bool
    next_fire_at: datetime | None
    """None: it will not fire any more."""
    last_fire_at: datetime | None
    created_at: datetime
