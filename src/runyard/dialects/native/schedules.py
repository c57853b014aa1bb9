"""Schedules: plans that start runs by themselves."""

from msgspec import UNSET, structs

from runyard.dialects.native.naming import shown_schedule
from runyard.dialects.native.paging import part_of
from runyard.model.schedules import Schedule
from runyard.model.tokens import Permission
from runyard.protocol.shapes import schedules as schedule_shapes
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

_UPCOMING = 5


async def list_schedules(request: Request) -> schedule_shapes.SchedulePage:
    """List the schedules of a company, or of one of its tasks, by name."""
    query = request.query(schedule_shapes.ScheduleQuery)
    schedules = await request.engine.schedules.list(request.company, query.task)
    part, following = part_of(schedules, query, lambda schedule: schedule.id)
    items = [await shown_schedule(request.engine, schedule) for schedule in part]
    return schedule_shapes.SchedulePage(
        items=tuple(items), next=following, total=len(schedules), total_is_exact=True
    )


async def create_schedule(request: Request) -> schedule_shapes.Schedule:
    """Create a schedule by exactly one of cron, interval and instant."""
    wanted = await request.json(schedule_shapes.NewSchedule)
    schedule = await request.engine.schedules.create(
        request.company,
        wanted.task,
        name=wanted.name,
        cron=wanted.cron,
        interval=wanted.interval,
        at=wanted.at,
        time_zone=wanted.time_zone,
        input=b"{}" if wanted.input is UNSET else bytes(wanted.input),
        priority=wanted.priority,
    )
    return await _with_upcoming(request, schedule)


async def show_schedule(request: Request) -> schedule_shapes.Schedule:
    """Show a schedule with its next fire times."""
    ref = request.params["schedule"]
    schedule = await request.engine.schedules.load(request.company, ref)
    return await _with_upcoming(request, schedule)


async def change_schedule(request: Request) -> schedule_shapes.Schedule:
    """Switch a schedule on or off."""
    change = await request.json(schedule_shapes.ScheduleChange)
    ref = request.params["schedule"]
    schedule = await request.engine.schedules.set_enabled(
        request.company, ref, enabled=change.enabled
    )
    return await _with_upcoming(request, schedule)


async def delete_schedule(request: Request) -> Response:
    """Delete a schedule; runs that it started stay."""
    await request.engine.schedules.delete(request.company, request.params["schedule"])
    return Response(status=204)


async def _with_upcoming(request: Request, schedule: Schedule) -> schedule_shapes.Schedule:
    shown = await shown_schedule(request.engine, schedule)
    upcoming = tuple(request.engine.schedules.upcoming(schedule, _UPCOMING))
    return structs.replace(shown, upcoming=upcoming)


_SCHEDULES = "/companies/{company}/schedules"
_SCHEDULE = f"{_SCHEDULES}/{{schedule}}"

ROUTES = (
    Route(
        method="GET",
        path=_SCHEDULES,
        permission=Permission.READ,
        endpoint=list_schedules,
        tag="schedules",
        query=schedule_shapes.ScheduleQuery,
        answer=schedule_shapes.SchedulePage,
    ),
    Route(
        method="POST",
        path=_SCHEDULES,
        permission=Permission.OPERATE,
        endpoint=create_schedule,
        tag="schedules",
        body=schedule_shapes.NewSchedule,
        answer=schedule_shapes.Schedule,
        status=201,
    ),
    Route(
        method="GET",
        path=_SCHEDULE,
        permission=Permission.READ,
        endpoint=show_schedule,
        tag="schedules",
        answer=schedule_shapes.Schedule,
    ),
    Route(
        method="PATCH",
        path=_SCHEDULE,
        permission=Permission.OPERATE,
        endpoint=change_schedule,
        tag="schedules",
        body=schedule_shapes.ScheduleChange,
        answer=schedule_shapes.Schedule,
    ),
    Route(
        method="DELETE",
        path=_SCHEDULE,
        permission=Permission.OPERATE,
        endpoint=delete_schedule,
        tag="schedules",
        status=204,
    ),
)
