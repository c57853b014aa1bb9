"""Tasks: listed, killed, cleaned, opened and closed. Starting them is a module of its own."""

from collections.abc import Iterable
from datetime import datetime

from runyard.dialects.integray import shapes
from runyard.dialects.integray.dialect import Dialect, the_task
from runyard.dialects.integray.starts import Starts
from runyard.dialects.integray.wire import TaskView, Totals, group_name, task_shape, totals_of
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.ids import GateId, RunId, TaskId
from runyard.model.runs import Run
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.stores.contract.listing import RunFilter
from runyard.stores.contract.queues import GateLoad
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Task"
_TASK = "/{CompanySlug}/tasks/{taskId}"


class Tasks:
    """Operations on tasks."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._starts = Starts(dialect)

    async def get_tasks(self, request: Request) -> Response:
        """The tasks of the company by group and name, inactive ones too, with how many of their task
        runs are scheduled and in progress.
        """
        query = request.query(shapes.TasksQuery)
        tasks = await request.engine.tasks.list(request.company, include_withdrawn=True)
        found = [task for task in tasks if _fits(task, query)]
        return self._dialect.answer(await self._shown(request, found))

    async def kill_task(self, request: Request) -> Response:
        """Ends the task's task runs that are in progress, and those that wait for an agent; scheduled
        ones stay. None of their code executes any more when this is answered, except of those that
        the answer lists as unconfirmed.
        """
        request.query(shapes.NoQuery)
        engine, company = request.engine, request.company
        task = await the_task(request, company)
        report = await engine.tasks.kill(company, str(task.id))
        dropped: list[RunId] = []
        if task.gate_id in await engine.reach.stranded(company):
            dropped = await engine.tasks.drop_stranded(company, str(task.id))
        ended = (*report.killed, *report.unconfirmed, *dropped)
        return self._affected(task, ended, report.unconfirmed)

    async def clean_task(self, request: Request) -> Response:
        """Removes the task's scheduled task runs from the queue; those in progress, and parked ones,
        stay. None of the removed starts any more when this is answered.
        """
        request.query(shapes.NoQuery)
        engine, company = request.engine, request.company
        task = await the_task(request, company)
        cleaned = await engine.tasks.clean(company, str(task.id))
        if self._dialect.options.clean_mode == "delete":
            await engine.runs.delete(company, cleaned)
        return self._affected(task, cleaned)

    async def set_runnability(self, request: Request) -> Response:
        """`isRunnable` `false`: no task run of the task is picked up, starts are refused, schedules skip
        it; what is in progress goes on. POST does the same.
        """
        request.query(shapes.NoQuery)
        wanted = await self._dialect.json(request, shapes.SetRunnable)
        task = await the_task(request, request.company)
        changed = await request.engine.tasks.set_runnable(
            request.company, str(task.id), runnable=wanted.is_runnable
        )
        [shown] = await self._shown(request, [changed])
        return self._dialect.answer(shown)

    def _affected(
        self, task: Task, ended: Iterable[RunId], unconfirmed: tuple[RunId, ...] = ()
    ) -> Response:
        ids = tuple(sorted(ended))
        return self._dialect.answer(
            shapes.AffectedRuns(
                task_id=task.id,
                count=len(ids),
                task_run_ids=ids,
                unconfirmed_task_run_ids=tuple(sorted(unconfirmed)),
            )
        )

    # ------------------------------------------------------------ what is shown of tasks

    async def _shown(self, request: Request, tasks: list[Task]) -> list[shapes.Task]:
        engine, company = request.engine, request.company
        loads = {load.gate_id: load for load in await engine.tasks.loads(company)}
        stranded = await engine.reach.stranded(company)
        fires = await _next_fires(engine, company)
        slots = await engine.reach.slots(company)
        found = []
        for task in tasks:
            last = await _last_run(engine, company, task)
            view = TaskView(
                task=task,
                version=await engine.directory.version(task.version_id),
                totals=_totals(loads.get(task.gate_id), stranded),
                last_run=last,
                last_status=None if last is None else self._dialect.status(last, stranded),
                next_fire_at=fires.get(task.id),
            )
            found.append(task_shape(view, company, slots))
        return found

    # ------------------------------------------------------------ routes

    def routes(self) -> tuple[Route, ...]:
        """Where they stand as usual."""
        return (
            Route(
                method="GET",
                path="/{CompanySlug}/tasks",
                operation="getTasks",
                title="Get tasks",
                permission=Permission.READ,
                endpoint=self.get_tasks,
                tag=TAG,
                query=shapes.TasksQuery,
                answer=shapes.Task,
                is_list=True,
            ),
            self._starts.route(),
            Route(
                method="POST",
                path=f"{_TASK}/kill",
                operation="killTask",
                title="Kill",
                permission=Permission.OPERATE,
                endpoint=self.kill_task,
                tag=TAG,
                answer=shapes.AffectedRuns,
            ),
            Route(
                method="POST",
                path=f"{_TASK}/clean",
                operation="cleanTask",
                title="Clean",
                permission=Permission.OPERATE,
                endpoint=self.clean_task,
                tag=TAG,
                answer=shapes.AffectedRuns,
            ),
            Route(
                method="PUT",
                path=f"{_TASK}/runnability",
                operation="setTaskRunnability",
                title="Set runnability",
                permission=Permission.OPERATE,
                endpoint=self.set_runnability,
                tag=TAG,
                body=shapes.SetRunnable,
                answer=shapes.Task,
            ),
        )


def _fits(task: Task, query: shapes.TasksQuery) -> bool:
    if query.is_active not in {None, task.withdrawn_at is None}:
        return False
    if query.is_runnable not in {None, task.runnable}:
        return False
    if query.group not in {None, group_name(task)}:
        return False
    text = f"{task.name}\n{task.description}".lower()
    return all(word in text for word in (query.search or "").lower().split())


def _totals(load: GateLoad | None, stranded: frozenset[GateId]) -> Totals:
    return Totals() if load is None else totals_of([load], stranded)


async def _last_run(engine: Engine, company: Company, task: Task) -> Run | None:
    page = await engine.runs.page(company, RunFilter(task_id=task.id), None, 1)
    return page.runs[0] if page.runs else None


async def _next_fires(engine: Engine, company: Company) -> dict[TaskId, datetime]:
    """When a schedule starts each task next, where one does."""
    found: dict[TaskId, datetime] = {}
    for schedule in await engine.schedules.list(company):
        at = schedule.next_fire_at
        if schedule.enabled and at is not None:
            found[schedule.task_id] = min(at, found.get(schedule.task_id, at))
    return found
