"""Activity: executions on demand and in real time, listed, looked at, stopped."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from runyard.dialects.automation_anywhere import rows, shapes, wire
from runyard.dialects.automation_anywhere.execution import file_links
from runyard.dialects.automation_anywhere.filters import (
    Column,
    Selection,
    answered,
    in_order,
    judge,
    narrowed,
    window,
)
from runyard.dialects.automation_anywhere.outcomes import told_of
from runyard.dialects.automation_anywhere.people import RUNNER, RUNNER_ID
from runyard.dialects.automation_anywhere.tasks import name_of, path_of
from runyard.dialects.automation_anywhere.writing import Outputs
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused, RunNotFound, RunyardError
from runyard.model.ids import encode_public_id
from runyard.model.runs import Run, RunError
from runyard.model.states import Cause, RunState, Trigger
from runyard.model.tokens import Permission
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.runs import RunValues
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Activity"
MOST_SCANNED = 2_000
"""Newest executions that a filter looks at, where it is more than a task or a deployment."""
_PART = 500
MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes of outputs, about, that one list brings."""
_OUTPUTS_AT_ONCE = 50
_OUTPUTS = "botOutVariables"
_LINE = re.compile(r"line (\d+)")

COLUMNS = {
    **{
        name: Column("text")
        for name in (
            "id",
            "automationName",
            "botName",
            "fileName",
            "filePath",
            "status",
            "deploymentId",
            "userName",
            "deviceName",
            "message",
            "type",
            "activityType",
            "initiationType",
            "createdBy",
            "modifiedBy",
            "automationPriority",
            "currentBotName",
        )
    },
    **{name: Column("number") for name in ("automationId", "fileId", "deviceId", "userId")},
    "progress": Column("number"),
    **{
        name: Column("instant")
        for name in (
            "startDateTime",
            "endDateTime",
            "startedOn",
            "completedOn",
            "createdOn",
            "modifiedOn",
        )
    },
}

_ENDED: Mapping[Cause, str] = {
    Cause.TIMED_OUT: "RUN_TIMED_OUT",
    Cause.CODE_NOT_LOADED: "DEPLOY_FAILED",
    Cause.INPUT_INVALID: "DEPLOY_FAILED",
    Cause.NO_SLOT: "DEPLOY_FAILED",
    Cause.CANCELLED: "RUN_ABORTED",
    Cause.KILLED_OUTSIDE: "RUN_ABORTED",
}


def status_of(run: Run) -> str:
    """The dialect's word for where a run is. What has begun runs, also between two attempts."""
    if run.state is RunState.COMPLETED:
        return "COMPLETED"
    if run.is_final:
        return _ENDED.get(run.cause or Cause.RAISED, "RUN_FAILED")
    if run.state is RunState.PARKED:
        return "RUN_PAUSED"
    if run.has_begun or run.state is RunState.WAITING:
        return "RUNNING"
    match run.state:
        case RunState.RUNNING:
            return "PENDING_EXECUTION"
        case RunState.PREPARING:
            return "DEPLOYED"
        case _:
            return "QUEUED"


async def list_activity(request: Request) -> Response:
    """List executions, newest first. A filter by deployment, task or nothing sees all of them, any other
    one the newest 2,000.
    """
    wanted = await request.json_or(shapes.ListRequest())
    found = await _selected(request, wanted)
    shown = narrowed([row for row, _ in found.part], wanted, COLUMNS)
    return answered(Selection(shown, found.page))


async def list_activity_with_outputs(request: Request) -> Response:
    """List executions with their outputs, newest first. A filter by deployment, task or nothing sees all
    of them, any other one the newest 2,000.
    """
    wanted = await request.json_or(shapes.ListRequest())
    found = await _selected(request, wanted)
    if not wanted.fields or _OUTPUTS in wanted.fields:
        await _add_outputs(request, found.part)
    columns = {**COLUMNS, _OUTPUTS: Column("text")}
    shown = narrowed([row for row, _ in found.part], wanted, columns)
    return answered(Selection(shown, found.page))


async def show_execution(request: Request) -> rows.ActivityDetail:
    """Show an execution with its outputs, and how it failed."""
    engine, company = request.engine, request.company
    run = await _run(engine, company, request.params["execution"])
    values = await engine.runs.values(company, run.id)
    row = await _row(request, run, values.error)
    return rows.ActivityDetail(
        **msgspec.structs.asdict(row),
        bot_out_variables=await _outputs(request, run, values.output),
        error=_error(run, values),
    )


async def manage(request: Request) -> rows.Managed:
    """Stop, pause or resume executions. Only what has not begun can be paused."""
    wanted = await request.json(rows.Managing)
    runs = request.engine.runs
    ways: list[tuple[rows.Executions | None, Callable[[Company, str], Awaitable[Run]]]] = [
        (wanted.stop_executions, runs.cancel),
        (wanted.pause_executions, runs.park),
        (wanted.resume_executions, runs.release),
    ]
    chosen = [(asked, way) for asked, way in ways if asked is not None]
    if len(chosen) != 1:
        allowed = "one of stopExecutions, pauseExecutions, resumeExecutions"
        raise InputRefused([FieldProblem(field="body", seen=str(len(chosen)), allowed=allowed)])
    (asked, way), sent, failed = chosen[0], [], []
    assert asked is not None
    for execution in asked.execution_ids:
        try:
            run = await _run(request.engine, request.company, execution)
            await way(request.company, str(run.id))
            sent.append(execution)
        except RunyardError as error:
            told = msgspec.to_builtins(wire.problem_from(error))
            failed.append(rows.ManageError(execution_id=execution, error_response=told))
    return rows.Managed(requests_sent_to_device=tuple(sent), manage_action_errors=tuple(failed))


# ---------------------------------------------------------------- finding


class _Found(msgspec.Struct, frozen=True):
    """The part of a list that was asked for, with the runs, and where it stands in the whole."""

    part: list[tuple[dict[str, Any], Run]]
    page: shapes.PageShown


async def _selected(request: Request, wanted: shapes.ListRequest) -> _Found:
    """What a list shows; raises InputRefused."""
    offset, length = window(wanted)
    fits = judge(wanted.filter, COLUMNS)
    total = (await request.engine.runs.page(request.company, RunFilter(), None, 1)).total
    is_plain = not wanted.filter and not wanted.sort
    found = await _candidates(request, wanted.filter, offset + length if is_plain else MOST_SCANNED)
    made = [(msgspec.to_builtins(await _row(request, run, None)), run) for run in found]
    runs = {row["id"]: run for row, run in made}
    ordered = in_order([row for row, _ in made if fits(row)], wanted, COLUMNS)
    page = shapes.PageShown(
        offset=offset, total=total, total_filter=total if is_plain else len(ordered)
    )
    return _Found([(row, runs[row["id"]]) for row in ordered[offset : offset + length]], page)


async def _candidates(request: Request, asked: Any, most: int) -> list[Run]:  # noqa: ANN401
    """Runs among which all that fit a filter are, as far as it looks."""
    engine, company = request.engine, request.company
    deployment = _equal(asked, "deploymentId") or _equal(asked, "id")
    if deployment is not None:
        try:
            found = [await _run(engine, company, deployment)]
        except RunNotFound:
            found = []
    else:
        found = await _newest(engine, company, _filter_of(asked), most)
    return found


def _filter_of(asked: Any) -> RunFilter:  # noqa: ANN401
    task = _equal(asked, "fileId") or _equal(asked, "automationId")
    if task is not None and task.isdigit() and len(task) < 19:
        return RunFilter(task_id=int(task))  # type: ignore[arg-type]
    return RunFilter()


def _equal(asked: Any, field: str) -> str | None:  # noqa: ANN401
    """The value that a field must have, where a filter demands one."""
    if not isinstance(asked, dict):
        return None
    operator = str(asked.get("operator")).lower()
    if operator == "eq" and asked.get("field") == field and asked.get("value") is not None:
        return str(asked["value"])
    if operator == "and" and isinstance(asked.get("operands"), list):
        found = (_equal(operand, field) for operand in asked["operands"])
        return next((value for value in found if value is not None), None)
    return None


async def _newest(engine: Engine, company: Company, wanted: RunFilter, most: int) -> list[Run]:
    found: list[Run] = []
    after: Position | None = None
    while len(found) < most:
        page = await engine.runs.page(company, wanted, after, min(_PART, most - len(found)))
        found += page.runs
        if page.next is None:
            break
        after = page.next
    return found


async def _run(engine: Engine, company: Company, ref: str) -> Run:
    """The run of an execution's id, its deployment's id, or its number; raises RunNotFound."""
    try:
        return await engine.runs.load(company, encode_public_id(UUID(ref.partition("_")[0]).bytes))
    except ValueError:
        if ref.isascii() and ref.isdigit():
            return await engine.runs.load(company, ref)
        raise RunNotFound(f"there is no execution {ref[:80]!r}") from None


# ---------------------------------------------------------------- rows


async def _row(request: Request, run: Run, error: RunError | None) -> rows.Activity:
    engine, company = request.engine, request.company
    task = await engine.directory.task_by_id(company.id, run.task_id)
    user = await engine.actors.name(run.started_by) or RUNNER
    deployment = str(UUID(bytes=run.public_id))
    started, ended = stamp(run.started_at or run.created_at), stamp(run.finished_at)
    is_call = run.trigger is Trigger.CALL
    name = await engine.history.note(company, run) if run.trigger is Trigger.DIALECT else None
    modified = run.finished_at or run.begun_at or run.created_at
    return rows.Activity(
        id=f"{deployment}_{run.id:016x}",
        automation_name=name or automation_name(task.name, run.created_at, user),
        file_name=name_of(task),
        file_path=path_of(task),
        bot_name=task.name,
        type="SCHEDULED" if run.trigger is Trigger.SCHEDULE else "RUN_NOW",
        start_date_time=started,
        end_date_time=ended,
        started_on=started,
        completed_on=ended,
        command="",
        status=status_of(run),
        progress=_progress(run),
        automation_id=str(task.id),
        user_id=str(RUNNER_ID if run.started_by is None else run.started_by),
        device_id=str(run.worker_id or 0),
        current_line=0,
        total_lines=0,
        file_id=str(task.id),
        created_by=user,
        created_on=stamp(run.created_at),
        modified_by=user,
        modified_on=stamp(modified),
        deployment_id=deployment,
        queue_name="",
        queue_id="",
        using_rdp=False,
        message=_message(run, error),
        can_manage=not run.is_final,
        device_name="",
        user_name=user,
        tenant_uuid=str(company.uuid),
        automation_priority=priority_word(run.priority),
        run_elevated=False,
        bot_label="",
        current_bot_name=name_of(task),
        callback_info="",
        parent_id="",
        initiation_type=_INITIATIONS.get(run.trigger, "RUN_NOW"),
        activity_type="API_TASK" if is_call else "BOT",
        ref_id="",
    )


async def _add_outputs(request: Request, part: list[tuple[dict[str, Any], Run]]) -> None:
    """Give rows the outputs of their runs, as far as one answer brings them."""
    size = 0
    for at in range(0, len(part), _OUTPUTS_AT_ONCE):
        some = part[at : at + _OUTPUTS_AT_ONCE]
        ended = [run.id for _, run in some if run.state is RunState.COMPLETED]
        is_full = size > MOST_OUTPUT
        values = {} if is_full else await request.engine.runs.outputs(request.company, ended)
        for row, run in some:
            raw = values[run.id].output if run.id in values else None
            is_left_out = is_full and run.state is RunState.COMPLETED
            outputs = None if is_left_out else await _outputs(request, run, raw)
            row[_OUTPUTS] = msgspec.to_builtins(outputs)
            size += len(raw or b"")


async def _outputs(request: Request, run: Run, raw: bytes | None) -> rows.Outputs:
    version = await request.engine.directory.version(run.version_id)
    links = file_links(request.house, request.company)
    return rows.Outputs(values=Outputs(version.declaration.outputs).write(raw, links))


_INITIATIONS: Mapping[Trigger, str] = {
    Trigger.API: "API",
    Trigger.DIALECT: "API",
    Trigger.REMOTE_API: "API",
    Trigger.CALL: "API",
    Trigger.SCHEDULE: "SCHEDULED",
}


def automation_name(task: str, at: datetime, user: str) -> str:
    """What an execution is called: task, date and time, user."""
    return f"{task}.{at.astimezone(UTC):%y.%m.%d.%H.%M.%S}.{user}"


def priority_word(priority: int) -> str:
    """Our priority in the dialect's words."""
    if priority <= 35:
        return "PRIORITY_HIGH"
    return "PRIORITY_MEDIUM" if priority <= 65 else "PRIORITY_LOW"


def stamp(at: datetime | None) -> str:
    """An instant, UTC, with Z; empty for none."""
    if at is None:
        return ""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _progress(run: Run) -> int:
    if run.is_final:
        return 100
    done, total = run.progress_done, run.progress_total
    return min(99, int(100 * done / total)) if done is not None and total else 0


_NO_SLOT = "no slot was free, and it was not to wait for one (queueOnSlotsExhaustion: false)"


def _message(run: Run, error: RunError | None) -> str:
    if run.cause is Cause.NO_SLOT:
        return _NO_SLOT
    if error is None:
        return "" if run.state is not RunState.FAILED else f"it ended as {run.cause}"
    line = _line_of(error)
    told = f"{error.kind}: {error.message}"
    return told if line is None else f"{told} (line {line})"


def _error(run: Run, values: RunValues) -> rows.ActivityError | None:
    error = values.error
    if run.cause is Cause.NO_SLOT:
        return rows.ActivityError(message=_NO_SLOT, line_number=None, code=Cause.NO_SLOT)
    if error is None:
        return None
    message, _ = told_of(error)
    return rows.ActivityError(message=message, line_number=_line_of(error), code=error.kind)


def _line_of(error: RunError) -> int | None:
    found = _LINE.findall(error.traceback)
    return int(found[-1]) if found else None


ROUTES = (
    Route(
        method="POST",
        path="/v3/activity/list",
        operation="listActivity",
        title="List activity",
        permission=Permission.READ,
        endpoint=list_activity,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.ActivityList,
    ),
    Route(
        method="POST",
        path="/v2/activity/list",
        operation="listActivityV2",
        title="List activity (v2)",
        permission=Permission.READ,
        endpoint=list_activity_with_outputs,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.ActivityListV2,
    ),
    Route(
        method="GET",
        path="/v3/activity/execution/{execution}",
        operation="showExecution",
        title="Show an execution",
        permission=Permission.READ,
        endpoint=show_execution,
        tag=TAG,
        answer=rows.ActivityDetail,
    ),
    Route(
        method="POST",
        path="/v3/activity/manage",
        operation="manageActivity",
        title="Stop, pause or resume",
        permission=Permission.OPERATE,
        endpoint=manage,
        tag=TAG,
        body=rows.Managing,
        answer=rows.Managed,
    ),
)
