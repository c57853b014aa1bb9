"""Task runs: listed, looked at, restarted; their logs; and what goes beyond the described API."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from runyard.dialects.integray import shapes, wire
from runyard.dialects.integray.admission import token_of
from runyard.dialects.integray.dialect import RUN_PATH, Dialect, the_run
from runyard.dialects.integray.statuses import StatusId, states
from runyard.engine.history import Moment
from runyard.engine.starts import RestartRequest
from runyard.model.errors import IllegalTransition, Unauthenticated
from runyard.model.ids import GateId, TaskId
from runyard.model.runs import Run
from runyard.model.tokens import Permission
from runyard.stores.contract.listing import RunFilter
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Task run"
EXTENSIONS = "Extensions"
_RUNS = "/{CompanySlug}/taskruns"
_READ = Route(method="GET", path="", permission=Permission.READ, tag=TAG)
_CHANGE = Route(method="POST", path="", permission=Permission.OPERATE, tag=TAG)
_PAGE = {"X-Has-More": "Whether there are further ones: true or false."}
_LEVELS = "Trace, Debug, Info, Warning, Error, Fatal, or 0 to 5"


class TaskRuns:
    """Operations on task runs."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    # ------------------------------------------------------------ lists

    async def get_task_runs(self, request: Request) -> Response:
        """Newest first; all given criteria must hold. `X-Has-More` says whether there are further ones:
        go on with `beforeId`, the last id of this page.
        """
        query = request.query(shapes.TaskRunsQuery)
        engine, company = request.engine, request.company
        stranded = await engine.reach.stranded(company)
        times = _Times(query)
        wanted = frozenset(query.status_id)

        def fits(run: Run) -> bool:
            return times.hold(run) and (not wanted or self._dialect.status(run, stranded) in wanted)

        found = await engine.run_lists.newest(
            company,
            await self._lists(request, query, times),
            fits,
            await self._after(request, query),
            query.count,
        )
        shown = [await self._shown(request, run, stranded) for run in found.runs]
        has_more = b"true" if found.has_more else b"false"
        return self._dialect.answer(shown, headers=[(b"x-has-more", has_more)])

    async def _lists(
        self, request: Request, query: shapes.TaskRunsQuery, times: "_Times"
    ) -> list[RunFilter]:
        """Lists whose union has every wanted run, by task and by what an index can tell."""
        created_from = None
        if times.since is not None:
            created_from = await request.engine.run_lists.ready_from(request.company, times.since)
        tasks: Sequence[TaskId | None] = [TaskId(task) for task in dict.fromkeys(query.task_id)]
        found = []
        for task in tasks or [None]:
            base = RunFilter(task_id=task, created_from=created_from, created_before=times.before)
            found += self._by_status(base, query.status_id)
        return found

    def _by_status(self, base: RunFilter, wanted: Sequence[StatusId]) -> list[RunFilter]:
        if not wanted:
            return [base]
        unended = dict.fromkeys(state for status in wanted for state in states(status))
        ended = dict.fromkeys(
            cause for status in wanted for cause in self._dialect.statuses.causes(status)
        )
        found = []
        if unended:
            found.append(replace(base, states=tuple(unended)))
        if ended:
            found.append(replace(base, causes=tuple(ended)))
        return found

    async def _after(self, request: Request, query: shapes.TaskRunsQuery) -> Run | None:
        if query.before_id is None:
            return None
        found = await request.engine.runs.find_many(request.company, [query.before_id])  # type: ignore[list-item]
        if not found:
            raise refused("beforeId", str(query.before_id), "the id of a task run of this company")
        return found[0]

    async def get_statuses(self, request: Request) -> Response:
        """All statuses that a task run can have, by id."""
        request.query(shapes.NoQuery)
        return self._dialect.answer(wire.statuses_shape())

    # ------------------------------------------------------------ one

    async def get_task_run(self, request: Request) -> Response:
        """Its status, what happened to it so far, and its metadata."""
        request.query(shapes.NoQuery)
        run = await the_run(request, request.company)
        engine, company = request.engine, request.company
        story = await engine.history.tell(company, run)
        return self._dialect.answer(
            wire.detail_shape(
                wire.RunStory(
                    run=run,
                    task=await engine.directory.task_by_id(company.id, run.task_id),
                    version=await engine.directory.version(run.version_id),
                    status=self._dialect.status(run, await engine.reach.stranded(company)),
                    values=await engine.runs.values(company, run.id),
                    steps=await engine.history.steps(company, run.id),
                    history=tuple(self._entry(moment) for moment in story.moments),
                    restarts=story.restarts,
                    origin=story.origin,
                    started_by=await engine.actors.name(run.started_by),
                )
            )
        )

    def _entry(self, moment: Moment) -> shapes.HistoryEntry:
        status = self._dialect.statuses.of(moment.state, moment.cause, has_begun=moment.attempt > 0)
        return wire.history_entry(moment, status)

    async def get_logs(self, request: Request) -> Response:
        """The records of at least `minLogLevel`, oldest first. `X-Has-More` says whether there are
        further ones: go on with `afterId`, the last id of this page.
        """
        query = request.query(shapes.LogsQuery)
        level = wire.level_from(query.min_log_level)
        if level is None:
            raise refused("minLogLevel", query.min_log_level, _LEVELS)
        engine, company = request.engine, request.company
        run = await the_run(request, company)
        # Which step a line belongs to is only known where there is one.
        step = None if await engine.history.steps(company, run.id) else 1
        if query.step_id not in {None, step}:
            return self._dialect.answer([], headers=[(b"x-has-more", b"false")])
        page = await engine.logs.read(company.id, run.id, level, query.after_id, query.count)
        agents = wire.agents_of(run, await engine.runs.attempts(company, run.id))
        records = [wire.record_shape(line, agents, step) for line in page.lines]
        has_more = b"false" if page.next_after is None else b"true"
        return self._dialect.answer(records, headers=[(b"x-has-more", has_more)])

    async def get_level(self, request: Request) -> Response:
        """How many times the task run has been restarted: 0 for an original, 1 for its restart, 2 for
        the restart of that.
        """
        request.query(shapes.NoQuery)
        run = await the_run(request, request.company)
        return self._dialect.answer(shapes.TaskRunLevel(task_run_id=run.id, level=run.level))

    # ------------------------------------------------------------ again

    async def restart(self, request: Request) -> Response:
        """Creates a new task run with the same input and the task's current code, which is scheduled;
        the old one stays as it is. For task runs that have ended or are parked.
        """
        return await self._restarted(request, parked=False)

    async def restart_as_parked(self, request: Request) -> Response:
        """The same, but the new task run is parked: nothing picks it up until it is unparked."""
        return await self._restarted(request, parked=True)

    async def _restarted(self, request: Request, *, parked: bool) -> Response:
        request.query(shapes.NoQuery)
        request.house.refuse_while_stopping()
        run = await the_run(request, request.company)
        how = RestartRequest(parked=parked, by=request.actor, waits=True)
        try:
            new = await request.engine.runs.restart(request.company, str(run.id), how)
        except IllegalTransition:
            raise wire.NotRestartable(
                f"task run {run.id} is scheduled or in progress; only ended and parked ones can be"
            ) from None
        headers = [(b"location", self._dialect.run_address(request, new.id))]
        return self._dialect.answer(wire.created_shape(new), 201, headers)

    # ------------------------------------------------------------ extensions

    async def unpark(self, request: Request) -> Response:
        """Lets a parked task run into the queue, as if it had been scheduled now."""
        request.query(shapes.NoQuery)
        run = await the_run(request, request.company)
        try:
            released = await request.engine.runs.release(request.company, str(run.id))
        except IllegalTransition:
            raise wire.NotParked(f"task run {run.id} is not parked") from None
        return await self._answer(request, released)

    async def cancel(self, request: Request) -> Response:
        """Ends a task run whatever its status, or discards a parked one. Once that is answered it never
        starts, or is dead.
        """
        request.query(shapes.NoQuery)
        run = await the_run(request, request.company)
        try:
            ended = await request.engine.runs.cancel(request.company, str(run.id))
        except IllegalTransition:
            raise wire.AlreadyFinal(f"task run {run.id} has ended already") from None
        return await self._answer(request, ended)

    async def wait(self, request: Request) -> Response:
        """Answers as soon as the task run has ended, or after `timeout` seconds as it is then."""
        query = request.query(shapes.WaitQuery)
        run = await the_run(request, request.company)
        patience = timedelta(seconds=query.timeout)
        waited = await request.engine.runs.wait(request.company, str(run.id), patience)
        if (await token_of(request)).id != request.token.id:  # it may have been revoked meanwhile
            raise Unauthenticated
        return await self._answer(request, waited)

    async def _answer(self, request: Request, run: Run) -> Response:
        stranded = await request.engine.reach.stranded(request.company)
        return self._dialect.answer(await self._shown(request, run, stranded))

    async def _shown(
        self, request: Request, run: Run, stranded: frozenset[GateId]
    ) -> shapes.TaskRun:
        task = await request.engine.directory.task_by_id(request.company.id, run.task_id)
        return wire.run_shape(run, task, self._dialect.status(run, stranded))

    # ------------------------------------------------------------ routes

    def routes(self) -> tuple[Route, ...]:
        """Where they stand as usual."""
        return (*self._of_one(), *self._of_many(), *self._beyond())

    def _of_one(self) -> tuple[Route, ...]:
        location = {"Location": "Address of the new task run."}
        return (
            replace(
                _READ,
                operation="getTaskRunLogs",
                title="Get logs",
                path=f"{RUN_PATH}/logs",
                endpoint=self.get_logs,
                query=shapes.LogsQuery,
                answer=shapes.LogRecord,
                is_list=True,
                answer_headers=_PAGE,
            ),
            replace(
                _CHANGE,
                operation="restartTaskRun",
                title="Restart",
                path=f"{RUN_PATH}/restart",
                endpoint=self.restart,
                answer=shapes.TaskRunCreated,
                answer_headers=location,
                status=201,
            ),
            replace(
                _CHANGE,
                operation="restartTaskRunAsParked",
                title="Restart as Parked",
                path=f"{RUN_PATH}/restart-as-parked",
                endpoint=self.restart_as_parked,
                answer=shapes.TaskRunCreated,
                answer_headers=location,
                status=201,
            ),
            replace(
                _READ,
                operation="getTaskRunLevel",
                title="Get Level",
                path=f"{RUN_PATH}/level",
                endpoint=self.get_level,
                answer=shapes.TaskRunLevel,
            ),
            replace(
                _READ,
                operation="getTaskRun",
                title="Get task run",
                path=RUN_PATH,
                endpoint=self.get_task_run,
                answer=shapes.TaskRunDetail,
            ),
        )

    def _of_many(self) -> tuple[Route, ...]:
        return (
            replace(
                _READ,
                operation="getTaskRuns",
                title="Get task runs",
                path=_RUNS,
                endpoint=self.get_task_runs,
                query=shapes.TaskRunsQuery,
                answer=shapes.TaskRun,
                is_list=True,
                answer_headers=_PAGE,
            ),
            replace(
                _READ,
                operation="getTaskRunStatuses",
                title="Get task run statuses",
                path=f"{_RUNS}/statuses",
                endpoint=self.get_statuses,
                answer=shapes.TaskRunStatus,
                is_list=True,
            ),
        )

    def _beyond(self) -> tuple[Route, ...]:
        return (
            replace(
                _CHANGE,
                operation="unparkTaskRun",
                title="Unpark",
                path=f"{RUN_PATH}/unpark",
                endpoint=self.unpark,
                tag=EXTENSIONS,
                answer=shapes.TaskRun,
            ),
            replace(
                _CHANGE,
                operation="cancelTaskRun",
                title="Cancel",
                path=f"{RUN_PATH}/cancel",
                endpoint=self.cancel,
                tag=EXTENSIONS,
                answer=shapes.TaskRun,
            ),
            replace(
                _READ,
                operation="waitForTaskRun",
                title="Wait",
                path=f"{RUN_PATH}/wait",
                endpoint=self.wait,
                tag=EXTENSIONS,
                query=shapes.WaitQuery,
                answer=shapes.TaskRun,
            ),
        )


class _Times:
    """The range of instants that a list is about."""

    def __init__(self, query: shapes.TaskRunsQuery) -> None:
        self.since = _instant("dateFrom", query.date_from)
        self.before = _instant("dateTo", query.date_to)
        if self.since is not None and self.before is not None and self.since > self.before:
            seen = f"{query.date_from}, after dateTo ({query.date_to})"
            raise refused("dateFrom", seen, "an instant not after dateTo")

    def hold(self, run: Run) -> bool:
        """Whether the run was scheduled within them."""
        at = run.ready_at
        return (self.since is None or at >= self.since) and (
            self.before is None or at < self.before
        )


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    found = wire.instant_from(text)
    if found is None:
        raise refused(name, text, "an instant such as 2026-03-01T08:00:00Z; + is written %2B")
    return found
