"""Tasks, their versions, and the bundles they are deployed from."""

import asyncio
from collections.abc import AsyncGenerator

from runyard.dialects.native import wire
from runyard.dialects.native.naming import shown_task
from runyard.dialects.native.paging import part_of
from runyard.engine.deploys import DeployReport
from runyard.engine.steering import KillReport
from runyard.model.errors import RunyardError
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.protocol.shapes import bundles as bundle_shapes
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import tasks as task_shapes
from runyard.web.errors import MediaTypeRefused
from runyard.web.events import EVENT_STREAM, EventStream, ServerSentEvent
from runyard.web.problems import problem_from
from runyard.web.requests import Request, refuse_announced
from runyard.web.responses import Response
from runyard.web.routing import Route

ZIP = "application/zip"


async def list_tasks(request: Request) -> task_shapes.TaskPage:
    """List the tasks of a company by path and name."""
    query = request.query(task_shapes.TaskQuery)
    tasks = await request.engine.tasks.list(request.company, include_withdrawn=query.withdrawn)
    part, following = part_of(tasks, query, lambda task: task.id)
    items = [await shown_task(request.engine, task) for task in part]
    return task_shapes.TaskPage(
        items=tuple(items), next=following, total=len(tasks), total_is_exact=True
    )


async def show_task(request: Request) -> task_shapes.Task:
    """Show a task: what it takes, what it returns, how it is executed."""
    return await shown_task(request.engine, await _task(request))


async def list_versions(request: Request) -> task_shapes.VersionPage:
    """List the versions of a task, newest first."""
    query = request.query(parts.PageQuery)
    versions = await request.engine.tasks.versions(request.company, await _task(request))
    part, following = part_of(versions, query, lambda version: version.id)
    name = request.engine.actors.name
    items = [wire.version_shape(version, await name(version.deployed_by)) for version in part]
    return task_shapes.VersionPage(
        items=tuple(items),
        next=following,
        total=len(versions),
        total_is_exact=True,
    )


async def set_task_runnable(request: Request) -> task_shapes.Task:
    """Let runs of a task start, or hold them back. Once that is answered none of them starts."""
    wanted = await request.json(task_shapes.Runnable)
    ref = request.params["task"]
    task = await request.engine.tasks.set_runnable(request.company, ref, runnable=wanted.runnable)
    return await shown_task(request.engine, task)


async def kill_task(request: Request) -> task_shapes.KillReport:
    """End a task's running runs. No code of those reported as killed executes any more."""
    return kill_shape(await request.engine.tasks.kill(request.company, request.params["task"]))


async def clean_task(request: Request) -> task_shapes.CleanReport:
    """Cancel a task's queued runs that have never begun."""
    cleaned = await request.engine.tasks.clean(request.company, request.params["task"])
    return task_shapes.CleanReport(cancelled=len(cleaned))


async def deploy_bundle(request: Request) -> bundle_shapes.DeployReport | Response:
    """Deploy a bundle: a zip archive of task code.

    A worker looks into it; versions are created for tasks that changed, or nothing at all. With
    `Accept: text/event-stream` the answer is a stream of events `line`, while that goes on, and
    `report` or `problem` at its end.
    """
    request.house.refuse_while_stopping()
    query = request.query(bundle_shapes.DeployQuery)
    if request.media_type != ZIP:
        raise MediaTypeRefused(f"send {ZIP}")
    refuse_announced(request.headers, request.house.limits.bundle)
    if request.accepts(EVENT_STREAM):
        return EventStream(_deploy_events(request, query), request.house.streams)
    report = await request.engine.deploys.deploy(
        request.company,
        query.name,
        request.parts(request.house.limits.bundle),
        take_over=query.take_over,
        by=request.actor,
    )
    return await _shown_report(request, report)


async def _deploy_events(
    request: Request, query: bundle_shapes.DeployQuery
) -> AsyncGenerator[ServerSentEvent, None]:
    """The lines of a deploy as they come, then its report or its problem."""
    events: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue()

    async def deploy() -> None:
        try:
            report = await request.engine.deploys.deploy(
                request.company,
                query.name,
                request.parts(request.house.limits.bundle),
                take_over=query.take_over,
                by=request.actor,
                on_line=lambda text: events.put_nowait(
                    ServerSentEvent("line", bundle_shapes.DeployLine(text=text))
                ),
            )
            events.put_nowait(ServerSentEvent("report", await _shown_report(request, report)))
        except RunyardError as error:
            events.put_nowait(ServerSentEvent("problem", problem_from(error)))
        finally:
            events.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        deploying = group.create_task(deploy())
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            deploying.cancel()


async def _shown_report(request: Request, report: DeployReport) -> bundle_shapes.DeployReport:
    tasks = [
        bundle_shapes.DeployedTask(
            change=str(deployed.change), task=await shown_task(request.engine, deployed.task)
        )
        for deployed in report.tasks
    ]
    return bundle_shapes.DeployReport(
        bundle=report.bundle_name, bundle_digest=report.bundle_digest, tasks=tuple(tasks)
    )


def kill_shape(report: KillReport) -> task_shapes.KillReport:
    """What became of a kill."""
    return task_shapes.KillReport(
        killed=report.killed, unconfirmed=report.unconfirmed, confirmed=not report.unconfirmed
    )


async def _task(request: Request) -> Task:
    return await request.engine.tasks.load(request.company, request.params["task"])


ROUTES = (
    Route(
        method="GET",
        path="/companies/{company}/tasks",
        permission=Permission.READ,
        endpoint=list_tasks,
        tag="tasks",
        query=task_shapes.TaskQuery,
        answer=task_shapes.TaskPage,
    ),
    Route(
        method="GET",
        path="/companies/{company}/tasks/{task}",
        permission=Permission.READ,
        endpoint=show_task,
        tag="tasks",
        answer=task_shapes.Task,
    ),
    Route(
        method="GET",
        path="/companies/{company}/tasks/{task}/versions",
        permission=Permission.READ,
        endpoint=list_versions,
        tag="tasks",
        query=parts.PageQuery,
        answer=task_shapes.VersionPage,
    ),
    Route(
        method="PUT",
        path="/companies/{company}/tasks/{task}/runnable",
        permission=Permission.OPERATE,
        endpoint=set_task_runnable,
        tag="tasks",
        body=task_shapes.Runnable,
        answer=task_shapes.Task,
    ),
    Route(
        method="POST",
        path="/companies/{company}/tasks/{task}/kill",
        permission=Permission.OPERATE,
        endpoint=kill_task,
        tag="tasks",
        answer=task_shapes.KillReport,
    ),
    Route(
        method="POST",
        path="/companies/{company}/tasks/{task}/clean",
        permission=Permission.OPERATE,
        endpoint=clean_task,
        tag="tasks",
        answer=task_shapes.CleanReport,
    ),
    Route(
        method="POST",
        path="/companies/{company}/bundles",
        permission=Permission.DEPLOY,
        endpoint=deploy_bundle,
        tag="tasks",
        query=bundle_shapes.DeployQuery,
        media=(ZIP,),
        answer=bundle_shapes.DeployReport,
        status=201,
        statuses=(200,),
        answer_media=EVENT_STREAM,
    ),
)
