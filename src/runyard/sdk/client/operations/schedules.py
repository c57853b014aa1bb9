"""Schedules."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from runyard.protocol.shapes import schedules as schedule_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import Plan, all_pages, ask, delete, get, operation, patch, post


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule to make, by exactly one of `cron`, `interval` and `at`."""

    task: str
    """Id, uuid, public id or name."""
    name: str
    cron: str | None = None
    """Five fields."""
    time_zone: str | None = None
    """IANA name in which the fields are read. None: the company's."""
    interval: timedelta | None = None
    at: datetime | None = None
    """Once, at this instant."""
    input: Any = {}
    priority: int | None = None


class ScheduleOperations(Addresses):
    """Schedules."""

    @operation
    def schedules(self, *, task: Ref | None = None) -> Plan[tuple[schedule_shapes.Schedule, ...]]:
        """All schedules of the company, or of one task."""
        query = {"task": None if task is None else str(task)}
        return (
            yield from all_pages(get(self._path("schedules"), query), schedule_shapes.SchedulePage)
        )

    @operation
    def create_schedule(self, schedule: NewSchedule) -> Plan[schedule_shapes.Schedule]:
        """A new schedule for a task."""
        return (yield from ask(post(self._path("schedules"), schedule), schedule_shapes.Schedule))

    @operation
    def schedule(self, schedule: Ref) -> Plan[schedule_shapes.Schedule]:
        """One schedule, by id or name."""
        return (yield from ask(get(self._path("schedules", schedule)), schedule_shapes.Schedule))

    @operation
    def enable_schedule(self, schedule: Ref, enabled: bool) -> Plan[schedule_shapes.Schedule]:  # noqa: FBT001 - it is the value
        """Lets a schedule fire, or not."""
        request = patch(self._path("schedules", schedule), {"enabled": enabled})
        return (yield from ask(request, schedule_shapes.Schedule))

    @operation
    def delete_schedule(self, schedule: Ref) -> Plan[None]:
        """Ends a schedule. Runs that it has started stay."""
        yield delete(self._path("schedules", schedule))
