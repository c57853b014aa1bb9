"""Schedules: cron fields in a time zone, intervals, and single instants.

A fire time that passed while nobody was there fires once when somebody is, and then goes on from
now: a server that was down for a day does not start a day's worth of runs.
"""

import builtins
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from runyard.engine.companies import is_time_zone
from runyard.engine.foundation import Foundation
from runyard.engine.starts import Starts, refuse_priority, refuse_remote
from runyard.model.companies import Company
from runyard.model.errors import (
    Busy,
    Conflict,
    FieldProblem,
    InputRefused,
    NameTaken,
    NotFound,
    Refused,
    ScheduleNotFound,
)
from runyard.model.ids import ScheduleId
from runyard.model.schedules import Schedule, TriggerKind
from runyard.stores.contract.runs import NewRun
from runyard.telemetry import SCHEDULE_SKIPPED, emit

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=3653)
LONGEST_NAME = 200


def fire_times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Instants after this one at which the schedule fires, rising, UTC."""
    match schedule.kind:
        case TriggerKind.CRON:
            zone = ZoneInfo(schedule.time_zone)
            for at in CronSim(schedule.cron or "", after.astimezone(zone)):
                yield at.astimezone(after.tzinfo)
        case TriggerKind.INTERVAL:
            step = schedule.interval or SHORTEST_INTERVAL
            elapsed = max(after - schedule.created_at, timedelta())
            at = schedule.created_at + (elapsed // step + 1) * step
            while True:
                yield at
                at += step
        case TriggerKind.ONCE:
            return


class Schedules:
    """Plans that start runs."""

    def __init__(self, foundation: Foundation, starts: Starts) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher
        self._starts = starts
        self._watch = foundation.watch
        self.on_change: Callable[[], None] = _nothing
        """Called when the next fire time of any schedule may have become earlier."""

    async def create(  # noqa: PLR0913 - each is one field of the schedule
        self,
        company: Company,
        task_ref: str,
        *,
        name: str,
        cron: str | None = None,
        interval: timedelta | None = None,
        at: datetime | None = None,
        time_zone: str | None = None,
        input: bytes = b"{}",  # noqa: A002
        priority: int | None = None,
    ) -> Schedule:
        """Make a schedule by exactly one of cron, interval and at.

        Raises TaskNotFound, InputRefused, NameTaken.
        """
        task = await self._directory.task(company.id, task_ref)
        zone = time_zone or company.time_zone
        refuse_unfit(name, zone, cron=cron, interval=interval, at=at)
        if priority is not None:
            refuse_priority(priority)
        if at is not None:
            refuse_remote("at", at, self._clock.now())
        accepted = await self._starts.accepted(company, task, input)
        now = self._clock.now()
        schedule = Schedule(
            id=ScheduleId(await self._ids.take()),
            company_id=company.id,
            task_id=task.id,
            name=name,
            kind=_kind(cron, interval),
            cron=cron,
            time_zone=zone,
            interval=interval,
            input=accepted,
            priority=priority,
            enabled=True,
            next_fire_at=at,
            last_fire_at=None,
            created_at=now,
        )
        if at is None:
            following = next(fire_times(schedule, now), None)
            schedule = msgspec.structs.replace(schedule, next_fire_at=following)
        if not await self._store.schedules.create(schedule):
            raise NameTaken(f"there is a schedule {name!r} already")
        self.on_change()
        return schedule

    async def load(self, company: Company, ref: str) -> Schedule:
        """The schedule of this id or name; raises ScheduleNotFound."""
        if ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await self._store.schedules.find(company.id, ScheduleId(int(ref)))
            if found is not None:
                return found
        for schedule in await self._store.schedules.list(company.id):
            if schedule.name == ref:
                return schedule
        raise ScheduleNotFound(f"there is no schedule {ref!r}")

    async def list(self, company: Company, task_ref: str | None = None) -> builtins.list[Schedule]:
        """Schedules of a company, or of one of its tasks, by name."""
        if task_ref is None:
            return await self._store.schedules.list(company.id)
        task = await self._directory.task(company.id, task_ref)
        return await self._store.schedules.list(company.id, task.id)

    async def delete(self, company: Company, ref: str) -> Schedule:
        """Remove one; raises ScheduleNotFound. Runs that it started stay."""
        schedule = await self.load(company, ref)
        await self._store.schedules.delete(company.id, schedule.id)
        return schedule

    async def set_enabled(self, company: Company, ref: str, *, enabled: bool) -> Schedule:
        """Switch one on or off; switched on it fires next after now."""
        schedule = await self.load(company, ref)
        following = schedule.next_fire_at
        if enabled and schedule.kind is not TriggerKind.ONCE:
            following = next(fire_times(schedule, self._clock.now()), None)
        await self._store.schedules.set_enabled(company.id, schedule.id, enabled, following)
        self.on_change()
        return await self.load(company, str(schedule.id))

    def upcoming(self, schedule: Schedule, count: int) -> builtins.list[datetime]:
        """The next fire times, at most so many."""
        if not schedule.enabled or schedule.next_fire_at is None:
            return []
        times = [schedule.next_fire_at]
        for at in fire_times(schedule, schedule.next_fire_at):
            if len(times) >= count:
                break
            times.append(at)
        return times[:count]

    async def fire_due(self, limit: int) -> int:
        """Start the runs of schedules whose fire time has come; how many schedules were due."""
        now = self._clock.now()
        due = await self._store.schedules.due(now, limit)
        for schedule in due:
            try:
                await self._fire(schedule, now)
            except Busy:
                raise
            except Exception as error:  # noqa: BLE001 - one unfit schedule must not keep the others
                await self._switch_off(schedule, f"{type(error).__name__}: {error}")
        return len(due)

    async def _switch_off(self, schedule: Schedule, problem: str) -> None:
        """It cannot fire, whatever the reason: it would be due for ever."""
        detail = f"switched off: {problem}"
        emit(SCHEDULE_SKIPPED, schedule_id=schedule.id, detail=detail)
        await self._store.schedules.set_enabled(
            schedule.company_id, schedule.id, enabled=False, next_fire_at=None
        )

    async def _fire(self, schedule: Schedule, now: datetime) -> None:
        run = await self._run_for(schedule)
        following = next(fire_times(schedule, now), None)
        if run is not None:
            self._dispatcher.expect(run.gate_id, run.company_id)
        try:
            fired = await self._store.schedules.fire(schedule, following, now, run)
        finally:  # it may have been written although its answer got lost
            if run is not None:
                self._dispatcher.notice_again(run.gate_id, run.company_id)
        if fired and run is not None and run.preparation is not None:
            self._starts.on_preparing([run])
        if fired and run is not None and self._watch.is_followed(run.company_id):
            await self._watch.changed(run.company_id, [run.id])

    async def _run_for(self, schedule: Schedule) -> NewRun | None:
        """The run of this fire time, or None when the task cannot be started now."""
        try:
            company = await self._directory.company_by_id(schedule.company_id)
            task = await self._directory.task_by_id(company.id, schedule.task_id)
            return await self._starts.scheduled_run(
                company,
                task,
                schedule.id,
                schedule.input,
                schedule.priority,
                schedule.next_fire_at or self._clock.now(),
            )
        except (NotFound, Conflict, Refused) as problem:
            emit(SCHEDULE_SKIPPED, schedule_id=schedule.id, detail=problem.detail)
            return None


def _kind(cron: str | None, interval: timedelta | None) -> TriggerKind:
    if cron is not None:
        return TriggerKind.CRON
    return TriggerKind.INTERVAL if interval is not None else TriggerKind.ONCE


def refuse_unfit(
    name: str, zone: str, *, cron: str | None, interval: timedelta | None, at: datetime | None
) -> None:
    """Raise InputRefused naming everything that is wrong with these values."""
    problems = []
    if not 1 <= len(name) <= LONGEST_NAME:
        problems.append(_problem("name", repr(name), f"1 to {LONGEST_NAME} characters"))
    if not is_time_zone(zone):
        problems.append(_problem("time_zone", repr(zone), "an IANA name such as Europe/Prague"))
    given = [rule for rule in (cron, interval, at) if rule is not None]
    if len(given) != 1:
        problems.append(_problem("trigger", f"{len(given)} rules", "one of cron, interval, at"))
    if interval is not None and not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        problems.append(_problem("interval", str(interval), "one second to ten years"))
    if cron is not None and (wrong := _cron_problem(cron)):
        problems.append(
            _problem("cron", f"{cron!r} ({wrong})", "five fields: minute hour day month weekday")
        )
    if problems:
        raise InputRefused(problems)


def _problem(field: str, seen: str, allowed: str) -> FieldProblem:
    return FieldProblem(field=field, seen=seen, allowed=allowed)


def _cron_problem(cron: str) -> str | None:
    try:
        iterator = CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error)
    return None if next(iterator, None) is not None else "it never fires"


def _nothing() -> None:
    """Before anybody cares."""
