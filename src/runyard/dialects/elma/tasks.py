"""Tasks: created, asked about, taken out of the queue; and what is told once they are over.

Create and status are what programs call all the time, and are kept as straight as the native ones:
one decode, one call of the engine, one encode.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from runyard.dialects.elma import shapes
from runyard.dialects.elma.admission import A, Visit, admitted
from runyard.dialects.elma.files import files_of, names_of
from runyard.dialects.elma.logs import Case, log_of
from runyard.dialects.elma.names import bot_uuid, context_uuid, group_uuid
from runyard.dialects.elma.options import Options
from runyard.dialects.elma.values import CTX, Inputs, Outputs
from runyard.dialects.elma.wire import (
    NO_INSTANT,
    NOT_OVER,
    OVER,
    CancelledTooLate,
    NotTheirs,
    number_of,
    priority_from,
    priority_word,
    stamp,
    status_of,
)
from runyard.engine.callbacks import Body, CallbackRequest
from runyard.engine.engine import Engine
from runyard.engine.starts import StartRequest
from runyard.model.companies import Company
from runyard.model.errors import (
    FieldProblem,
    IllegalTransition,
    InputRefused,
    Overloaded,
    RunNotFound,
    TaskNotFound,
)
from runyard.model.ids import RunId, VersionId
from runyard.model.runs import Run
from runyard.model.states import Cause, Trigger
from runyard.model.tasks import Task, Version
from runyard.model.tokens import Permission
from runyard.stores.contract.runs import RunValues
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.house import House
from runyard.web.responses import ENCODER, send_bytes
from runyard.web.routing import Route

DIALECT = "elma"
TAG = "tasks"
MOST_VERSIONS = 10_000
MOST_KEPT, LONGEST_KEPT = 2_000, 16 * 1024
"""Answers that are kept, and bytes of each."""
_LONGEST_NOTE = 500
_LARGEST_ID = 2**63
_NOTHING = RunValues(input=b"{}", output=None, error=None)


class Tasks:
    """Operations on tasks."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._inputs: dict[tuple[VersionId, str], Inputs] = {}
        self._outputs: dict[VersionId, Outputs] = {}
        self._over: dict[tuple[RunId, str | UnsetType], bytes] = {}
        """Answers about tasks that are over, by who is told."""

    # ------------------------------------------------------------ create

    async def create_task(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Queues a task. When this is answered, it is on disk.

        Files that its input names by address are fetched while it is in PREPARE. Variables are
        compared without case; those that the process does not have are passed over, and the task's
        log says so.
        """
        house.refuse_while_stopping()
        if house.pressure.is_high:
            house.pressure.refuse(house.engine.clock.monotonic())
        visit = await admitted(house, scope, receive, shapes.CreateTask, house.limits.starts)
        engine, company, wanted = house.engine, visit.company, visit.asked.task
        task = await task_by_token(engine, company, "task.process", wanted.process)
        start = await self._start_request(engine, visit, task)
        try:
            started = await engine.starts.start(company, [start])
        except InputRefused as refused:
            raise InputRefused([_placed(problem) for problem in refused.problems]) from None
        except Overloaded as refused_now:
            house.pressure.note(refused_now, engine.clock.monotonic())
            raise
        at = stamp(started.at or engine.clock.now())
        created = shapes.Task(
            id=started.runs[0].id,
            process=str(task.uuid),
            system=visit.system_uuid,
            priority=priority_word(priority_from(wanted.priority)),
            status="PREPARE",
            metrics=shapes.Metrics(),
            created=at,
            updated=at,
        )
        await self._answer(send, NOT_OVER, created)

    async def _start_request(
        self, engine: Engine, visit: Visit[shapes.CreateTask], task: Task
    ) -> StartRequest:
        wanted = visit.asked.task
        version = await engine.tasks.version(visit.company, task, wanted.version or None)
        read = self._inputs_of(version, visit.company).read(wanted.ctx)
        return StartRequest(
            task=str(task.id),
            version=version.number,
            input=read.input,
            priority=priority_from(wanted.priority),
            trigger=Trigger.DIALECT,
            by=visit.system.actor,
            note=_passed_over(read.unknown) if read.unknown else None,
            callbacks=(
                (CallbackRequest(url=wanted.callback, dialect=DIALECT),) if wanted.callback else ()
            ),
            files_from=visit.system.files_from,
        )

    def _inputs_of(self, version: Version, company: Company) -> Inputs:
        key = version.id, company.time_zone
        known = self._inputs.get(key)
        if known is None:
            if len(self._inputs) >= MOST_VERSIONS:
                self._inputs.clear()
            zone = ZoneInfo(company.time_zone)
            known = self._inputs[key] = Inputs(version.declaration.inputs, zone)
        return known

    # ------------------------------------------------------------ status

    async def task_status(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Shows a task as it stands: 201 in the body while it is not over, 200 once it is DONE or
        ERROR.
        """
        visit = await admitted(house, scope, receive, shapes.AboutTask)
        run, is_own = await self._readable(house.engine, visit, visit.asked.id)
        system: str | UnsetType = visit.system_uuid if is_own else UNSET
        await self._answer_with(house.engine, send, visit.company, run, system)

    async def readable(self, engine: Engine, visit: Visit[A], number: int) -> Run:
        """A task that the caller may read; raises RunNotFound."""
        return (await self._readable(engine, visit, number))[0]

    async def _readable(self, engine: Engine, visit: Visit[A], number: int) -> tuple[Run, bool]:
        """A task that the caller may read, and whether it is its own; raises RunNotFound."""
        run = await _found(engine, visit.company, number)
        is_own = await engine.systems.has_started(visit.system, run)
        if not is_own and not await self._is_shared(engine, run):
            raise _unknown(number)
        return run, is_own

    async def _is_shared(self, engine: Engine, run: Run) -> bool:
        """Whether a task is one that other systems may read: a system has created it."""
        return self._options.shares_reads and await engine.systems.starter(run) is not None

    # ------------------------------------------------------------ cancel

    async def cancel_task(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Takes a task out of the queue; only the system that created it may. The task is an ERROR
        then, and its log says who has cancelled it. One that executes, or is over, is left alone.
        """
        engine = house.engine
        visit = await admitted(house, scope, receive, shapes.AboutTask)
        run, is_own = await self._readable(engine, visit, visit.asked.id)
        if not is_own:
            raise NotTheirs(f"task {run.id} was created by another system")
        if run.cause is not Cause.CANCELLED:
            run = await self._withdrawn(engine, visit, run)
        await self._answer_with(engine, send, visit.company, run, visit.system_uuid)

    async def _withdrawn(self, engine: Engine, visit: Visit[shapes.AboutTask], run: Run) -> Run:
        company = visit.company
        note = f"Cancelled by system {visit.system.name}"
        try:
            return await engine.runs.withdraw(company, str(run.id), note)
        except IllegalTransition:
            run = await _found(engine, company, run.id)
            if run.cause is Cause.CANCELLED:
                return run
            stands = f"is over ({_status(run)})" if run.is_final else "executes"
            raise CancelledTooLate(f"task {run.id} {stands}: it is not in the queue") from None

    # ------------------------------------------------------------ what is shown of a task

    async def _answer_with(
        self,
        engine: Engine,
        send: Send,
        company: Company,
        run: Run,
        system: str | UnsetType,
    ) -> None:
        if not run.is_final:
            shown = await self._shown(engine, company, run, _NOTHING, system)
            await self._answer(send, number_of(shown.status), shown)
            return
        body = self._over.get((run.id, system))
        if body is None:
            values = await engine.runs.values(company, run.id)
            shown = await self._shown(engine, company, run, values, system)
            body = ENCODER.encode(shapes.TaskAnswer(status=OVER, task=shown))
            self._keep(run.id, system, body)
        await send_bytes(send, self._options.success_status(OVER), body)

    def _keep(self, run: RunId, system: str | UnsetType, body: bytes) -> None:
        """Callers ask again, and what is over stays as it is."""
        if len(body) <= LONGEST_KEPT:
            if len(self._over) >= MOST_KEPT:
                self._over.clear()
            self._over[run, system] = body

    async def _answer(self, send: Send, number: int, task: shapes.Task) -> None:
        body = ENCODER.encode(shapes.TaskAnswer(status=number, task=task))
        await send_bytes(send, self._options.success_status(number), body)

    async def _shown(
        self,
        engine: Engine,
        company: Company,
        run: Run,
        values: RunValues,
        system: str | UnsetType,
    ) -> shapes.Task:
        version = await engine.directory.version(run.version_id)
        task = await engine.directory.task_by_id(company.id, run.task_id)
        status = _status(run)
        is_there = status != "PREPARE"  # before that its input is not stored whole
        case = Case(run=run, task=task, version=version, error=values.error)
        has_begun = run.begun_at is not None or (run.is_final and run.has_begun)
        return shapes.Task(
            id=run.id,
            process=str(task.uuid),
            ctx=context_uuid(company, run.id) if is_there else UNSET,
            system=system,
            priority=priority_word(run.priority),
            groups=(groups_of(company, version) or UNSET) if is_there else UNSET,
            status=status,
            bot=(
                bot_uuid(company, run.worker_id)
                if has_begun and run.worker_id is not None
                else UNSET
            ),
            output_ctx=await self._output(engine, company, run, version, values),
            log=await log_of(engine, company, case) or UNSET,
            metrics=_metrics(run),
            created=stamp(run.created_at),
            updated=stamp(_updated_at(run)),
        )

    async def _output(
        self, engine: Engine, company: Company, run: Run, version: Version, values: RunValues
    ) -> str | UnsetType:
        if _status(run) != "DONE":
            return UNSET
        outputs = self._outputs.get(version.id)
        if outputs is None:
            if len(self._outputs) >= MOST_VERSIONS:
                self._outputs.clear()
            outputs = self._outputs[version.id] = Outputs(version.declaration.outputs)
        names = {}
        if outputs.has_files:
            names = names_of(await files_of(engine, company, run.id, values.output))
        return outputs.write(values.output or b"{}", names)

    # ------------------------------------------------------------ callbacks

    def callback_body(self, engine: Engine) -> Body:
        """What a callback of this dialect says: what its system would be answered now."""

        async def body(company: Company, run: Run, values: RunValues) -> bytes:
            starter = await engine.systems.starter(run)
            system = UNSET if starter is None else engine.systems.reveal(starter)
            shown = await self._shown(engine, company, run, values, system)
            return ENCODER.encode(shapes.TaskAnswer(status=number_of(shown.status), task=shown))

        return body

    # ------------------------------------------------------------ routes

    def routes(self) -> tuple[Route, ...]:
        """Where they stand."""
        return (
            Route(
                method="POST",
                path="/orchestra/task/create",
                operation="createTask",
                title="Create a task",
                permission=Permission.OPERATE,
                hot=self.create_task,
                tag=TAG,
                body=shapes.CreateTask,
                answer=shapes.TaskAnswer,
                refusals=(404,),
            ),
            Route(
                method="POST",
                path="/orchestra/task/status",
                operation="getTaskStatus",
                title="Task data",
                permission=Permission.READ,
                hot=self.task_status,
                tag=TAG,
                body=shapes.AboutTask,
                answer=shapes.TaskAnswer,
                refusals=(404,),
            ),
            Route(
                method="POST",
                path="/orchestra/task/cancel",
                operation="cancelTask",
                title="Cancel a task in queue",
                permission=Permission.OPERATE,
                hot=self.cancel_task,
                tag=TAG,
                body=shapes.AboutTask,
                answer=shapes.TaskAnswer,
                refusals=(404,),
            ),
        )


# ---------------------------------------------------------------- finding


async def task_by_token(engine: Engine, company: Company, field: str, token: str) -> Task:
    """The task whose process token this is; raises InputRefused for what is no GUID, TaskNotFound."""
    guid = guid_from(field, token)
    task = None
    with suppress(TaskNotFound):
        task = await engine.directory.task(company.id, guid)
    if task is None or str(task.uuid) != guid:  # a task may be named like a GUID
        raise TaskNotFound(f"no process with token {guid}")
    return task


@lru_cache(maxsize=MOST_VERSIONS)
def guid_from(field: str, text: str) -> str:
    """A GUID as it is usually written, from either case; raises InputRefused."""
    lowered = text.lower()
    with suppress(ValueError):
        if str(UUID(lowered)) == lowered:
            return lowered
    allowed = "a GUID such as c39f99de-cb8f-4661-a206-b282a4830cbf"
    raise InputRefused([FieldProblem(field=field, seen=text[:80] or '""', allowed=allowed)])


async def _found(engine: Engine, company: Company, number: int) -> Run:
    if not 0 < number < _LARGEST_ID:
        raise _unknown(number)
    try:
        return await engine.runs.load(company, str(number))
    except RunNotFound:
        raise _unknown(number) from None


def _unknown(number: int) -> RunNotFound:
    shown = str(number) if abs(number) < _LARGEST_ID else "of this number"
    return RunNotFound(f"there is no task {shown}")


def _placed(problem: FieldProblem) -> FieldProblem:
    """A problem where the caller has sent what it is about."""
    field = f"{CTX}.{problem.field}"
    if problem.field.startswith("callbacks["):
        field = "task.callback"
    elif problem.field in {"input", "body"}:
        field = CTX
    return FieldProblem(field=field, seen=problem.seen, allowed=problem.allowed)


def _passed_over(unknown: tuple[str, ...]) -> str:
    told = f"No such variable, passed over: {', '.join(map(repr, unknown))}"
    return told if len(told) <= _LONGEST_NOTE else f"{told[: _LONGEST_NOTE - 3]}..."


# ---------------------------------------------------------------- single members


def groups_of(company: Company, version: Version) -> tuple[str, ...]:
    """The groups of bots that may execute a version."""
    return tuple(group_uuid(company, label) for label in version.declaration.policies.labels)


def _status(run: Run) -> shapes.StatusWord:
    return status_of(run.state, run.cause, is_begun=run.begun_at is not None)


def _metrics(run: Run) -> shapes.Metrics:
    """When it was executed: empty before, with an open end meanwhile."""
    begun_at = run.begun_at or (run.started_at if run.is_final else None)
    if begun_at is None:
        return shapes.Metrics()
    ended = NO_INSTANT if run.finished_at is None else stamp(run.finished_at)
    return shapes.Metrics(start_time=stamp(begun_at), end_time=ended)


def _updated_at(run: Run) -> datetime:
    moments = (run.created_at, run.queued_at, run.started_at, run.begun_at, run.finished_at)
    return max(moment for moment in moments if moment is not None)
