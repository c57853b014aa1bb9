"""Schedules: binding and decoding."""

from datetime import datetime, timedelta

from runyard.model.ids import CompanyId, ScheduleId, TaskId
from runyard.model.schedules import Schedule, TriggerKind
from runyard.stores.codes import duration_micros, instant, instant_or_none, micros, micros_or_none
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.runs import NewRun
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece
from runyard.stores.tables.preparations import preparation_statements
from runyard.stores.tables.run_pieces import run_row
from runyard.stores.tables.values import keep_value


class ScheduleTable:
    """Schedules."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    async def create(self, schedule: Schedule) -> bool:
        """False when the task's company has a schedule of that name."""
        row = (
            schedule.id,
            schedule.company_id,
            schedule.task_id,
            schedule.name,
            schedule.kind.value,
            schedule.cron,
            schedule.time_zone,
            None if schedule.interval is None else duration_micros(schedule.interval),
            schedule.input,
            schedule.priority,
            int(schedule.enabled),
            micros_or_none(schedule.next_fire_at),
            micros_or_none(schedule.last_fire_at),
            micros(schedule.created_at),
        )
        return await self._changed(Statement("insert_schedule", (row,)))

    async def delete(self, company: CompanyId, schedule: ScheduleId) -> bool:
        """False when there is none."""
        return await self._changed(Statement("delete_schedule", ((schedule, company),)))

    async def set_enabled(
        self,
        company: CompanyId,
        schedule: ScheduleId,
        enabled: bool,  # noqa: FBT001
        next_fire_at: datetime | None,
    ) -> bool:
        """Switch one on or off."""
        row = (schedule, company, int(enabled), micros_or_none(next_fire_at))
        return await self._changed(Statement("set_schedule_enabled", (row,)))

    async def find(self, company: CompanyId, schedule: ScheduleId) -> Schedule | None:
        """One schedule."""
        row = await self._db.one("find_schedule", company_id=company, schedule_id=schedule)
        return _schedule_from(row) if row else None

    async def next_fire_at(self) -> datetime | None:
        """The earliest fire time of any enabled schedule."""
        row = await self._db.one("next_fire_at")
        return instant_or_none(row[0]) if row else None

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        """Enabled schedules whose fire time has come, earliest first."""
        rows = await self._db.all("due_schedules", now=micros(now), limit=limit)
        return [_schedule_from(row) for row in rows]

    async def fire(
        self, schedule: Schedule, next_fire_at: datetime | None, at: datetime, run: NewRun | None
    ) -> bool:
        """Advance a schedule and insert its run in one piece, if nobody did meanwhile."""
        row = (
            schedule.id,
            schedule.company_id,
            micros_or_none(schedule.next_fire_at),
            micros_or_none(next_fire_at),
            micros(at),
        )
        statements = [Statement("advance_schedule", (row,), needs=1)]
        size = 0
        if run is not None:
            value, digest = await keep_value(self._blobs, run.input)
            statements.append(Statement("insert_run", (run_row(run),)))
            statements.append(Statement("insert_input", ((run.id, value, digest),)))
            statements += preparation_statements([run])
            size = len(value or b"")
        return await self._changed(*statements, size=size)

    async def list(self, company: CompanyId, task: TaskId | None = None) -> list[Schedule]:
        """By name."""
        rows = (
            await self._db.all("list_schedules", company_id=company)
            if task is None
            else await self._db.all("list_schedules_of_task", company_id=company, task_id=task)
        )
        return [_schedule_from(row) for row in rows]

    async def _changed(self, *statements: Statement, size: int = 0) -> bool:
        piece = a_piece(WriteClass.START, *statements, size=size + 500)
        return bool((await self._db.write(piece))[0])


def _schedule_from(row: Row) -> Schedule:
    return Schedule(
        id=row[0],
        company_id=row[1],
        task_id=row[2],
        name=row[3],
        kind=TriggerKind(row[4]),
        cron=row[5],
        time_zone=row[6],
        interval=None if row[7] is None else timedelta(microseconds=row[7]),
        input=bytes(row[8]),
        priority=row[9],
        enabled=bool(row[10]),
        next_fire_at=instant_or_none(row[11]),
        last_fire_at=instant_or_none(row[12]),
        created_at=instant(row[13]),
    )
