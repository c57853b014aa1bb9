"""The part of the Store contract that is about schedules."""

from datetime import datetime
from typing import Protocol

from runyard.model.ids import CompanyId, ScheduleId, TaskId
from runyard.model.schedules import Schedule
from runyard.stores.contract.runs import NewRun


class Schedules(Protocol):
    """Schedules."""

    async def create(self, schedule: Schedule) -> bool:
        """False when the task's company has a schedule of that name."""

    async def delete(self, company: CompanyId, schedule: ScheduleId) -> bool:
        """False when there is none."""

    async def set_enabled(
        self,
        company: CompanyId,
        schedule: ScheduleId,
        enabled: bool,  # noqa: FBT001
        next_fire_at: datetime | None,
    ) -> bool:
        """Switch one on or off."""

    async def find(self, company: CompanyId, schedule: ScheduleId) -> Schedule | None:
        """One schedule."""

    async def next_fire_at(self) -> datetime | None:
        """The earliest fire time of any enabled schedule."""

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        """Enabled schedules whose fire time has come, earliest first."""

    async def fire(
        self, schedule: Schedule, next_fire_at: datetime | None, at: datetime, run: NewRun | None
    ) -> bool:
        """Advance a schedule and insert its run in one piece. Guard: its `next_fire_at` is still the
        one that was read, so that it fires once however many servers try. `run` None: skipped.
        """

    async def list(self, company: CompanyId, task: TaskId | None = None) -> list[Schedule]:
        """By name."""
