"""Our values as the Remote API shows them, and its words as ours. Pure: every mapping is total."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

import msgspec

from runyard.dialects.integray import shapes
from runyard.dialects.integray.statuses import NAMES, StatusId, group_of, is_final
from runyard.engine.history import Moment
from runyard.engine.orchestrator import OrchestratorView
from runyard.engine.workers import WorkerView
from runyard.model import errors
from runyard.model.companies import Company
from runyard.model.ids import CompanyId, WorkerId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Attempt, Run
from runyard.model.states import RunState, Trigger
from runyard.model.tasks import Task, Version
from runyard.model.types import Field, Table
from runyard.model.workers import WorkerState
from runyard.stores.contract.queues import GateLoad
from runyard.stores.contract.runs import RunValues
from runyard.web import errors as web_errors

_MILLISECOND = timedelta(milliseconds=1)

TRIGGERS: Mapping[Trigger, shapes.TriggerName] = {
    Trigger.API: "Manual",
    Trigger.SCHEDULE: "Scheduled",
    Trigger.RESTART: "Restart",
    Trigger.DIALECT: "POST",
    Trigger.REMOTE_API: "RemoteApi",
    Trigger.CALL: "POST",
}
"""Whatever our own API, clients and pages start was started by hand, as far as this dialect knows."""

LEVELS: Mapping[LogLevel, shapes.LevelName] = {
    LogLevel.TRACE: "Trace",
    LogLevel.DEBUG: "Debug",
    LogLevel.INFO: "Info",
    LogLevel.WARNING: "Warning",
    LogLevel.ERROR: "Error",
    LogLevel.FATAL: "Fatal",
}
_LEVEL_WORDS = {name.lower(): level for level, name in LEVELS.items()} | {
    str(level.value): level for level in LogLevel
}


# ---------------------------------------------------------------- times, levels, numbers


def stamp(at: datetime) -> str:
    """An instant, UTC, with milliseconds and Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def stamp_or_none(at: datetime | None) -> str | None:
    """The same of an instant that may not have come yet."""
    return None if at is None else stamp(at)


def instant_from(text: str) -> datetime | None:
    """The instant that a caller wrote; UTC unless it says otherwise. None: it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def level_from(text: str) -> LogLevel | None:
    """The log level of this name, in any case, or number. None: there is none."""
    return _LEVEL_WORDS.get(text.lower())


def _milliseconds(since: datetime | None, until: datetime | None) -> int | None:
    if since is None or until is None:
        return None
    return max(0, (until - since) // _MILLISECOND)


# ---------------------------------------------------------------- agents


def agent_shape(view: WorkerView, company: CompanyId) -> shapes.Agent:
    """A worker as an agent of this company; where it stands is told only of the company's own."""
    worker = view.worker
    return shapes.Agent(
        agent_id=worker.id,
        name=worker.name,
        type="Remote" if worker.address else "Background",
        is_active=worker.state is WorkerState.ALLOWED,
        state=_agent_state(view),
        version=worker.version or None,
        host_name=worker.host or None if worker.company_id == company else None,
        last_seen=stamp_or_none(worker.last_seen_at),
        slots=max(1, worker.slots),
        busy_slots=min(view.busy, worker.slots),
    )


def _agent_state(view: WorkerView) -> shapes.AgentState:
    if view.online:
        return "Busy" if view.busy >= view.worker.slots else "Online"
    return "Offline" if view.worker.last_seen_at is not None else "NeverConnected"


# ---------------------------------------------------------------- orchestrator


class Totals(msgspec.Struct, frozen=True):
    """How many runs are in progress, scheduled and parked."""

    running: int = 0
    scheduled: int = 0
    parked: int = 0


def totals_of(loads: Iterable[GateLoad], stranded: frozenset[int]) -> Totals:
    """The counts of some tasks. What waits for an agent counts as running, as its status does."""
    running = scheduled = parked = 0
    for load in loads:
        waiting = load.queued if load.gate_id in stranded else 0
        running += load.begun + waiting
        scheduled += load.queued - waiting + load.scheduled + load.assigned + load.preparing
        parked += load.parked
    return Totals(running, scheduled, parked)


def orchestrator_shape(
    company: Company, view: OrchestratorView, totals: Totals, changed_by: str | None
) -> shapes.OrchestratorStatus:
    """A company's orchestrator."""
    return shapes.OrchestratorStatus(
        company_slug=company.slug,
        is_runnable=view.runnable,
        running_count=totals.running,
        scheduled_count=totals.scheduled,
        parked_count=totals.parked,
        changed_at=stamp_or_none(view.changed_at),
        changed_by=changed_by,
    )


# ---------------------------------------------------------------- tasks


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task with everything that is shown of it."""

    task: Task
    version: Version
    totals: Totals
    last_run: Run | None
    last_status: StatusId | None
    next_fire_at: datetime | None


def task_shape(view: TaskView, company: Company, slots: int) -> shapes.Task:
    """A task; `slots`: of all agents, which is the limit of a task that sets none."""
    task, policies = view.task, view.version.declaration.policies
    is_active = task.withdrawn_at is None
    return shapes.Task(
        task_id=task.id,
        name=task.name,
        group=group_name(task),
        description=task.description,
        is_active=is_active,
        is_runnable=task.runnable,
        is_executable=is_active,
        not_executable_reasons=() if is_active else ("withdrawn: its bundle no longer has it",),
        priority=policies.priority or company.default_priority,
        priority_source="Company" if policies.priority is None else "Task",
        max_instances=policies.concurrency or max(1, slots),
        timeout_seconds=(
            msgspec.UNSET if policies.timeout is None else ceil(policies.timeout.total_seconds())
        ),
        tags=policies.labels,
        inputs=tuple(_input_shape(field) for field in view.version.declaration.inputs),
        scheduled_count=view.totals.scheduled,
        running_count=view.totals.running,
        last_task_run_id=None if view.last_run is None else view.last_run.id,
        last_status_id=view.last_status,
        next_scheduled=stamp_or_none(view.next_fire_at),
    )


def group_name(task: Task) -> str:
    """The folder of a task's path."""
    return task.path.rpartition("/")[0] or "Default"


def _input_shape(field: Field) -> shapes.TaskInput:
    kind = msgspec.structs.replace(field.type)
    return shapes.TaskInput(
        name=field.name,
        title=field.title or field.name,
        type=str(msgspec.to_builtins(kind)["type"]),
        required=field.required,
    )


def only_table(version: Version) -> str | None:
    """The name of the only input, if that is a table."""
    inputs = version.declaration.inputs
    return inputs[0].name if len(inputs) == 1 and isinstance(inputs[0].type, Table) else None


# ---------------------------------------------------------------- task runs


def created_shape(run: Run) -> shapes.TaskRunCreated:
    """A run that was restarted just now."""
    status = StatusId.PARKED if run.state is RunState.PARKED else StatusId.SCHEDULED
    return shapes.TaskRunCreated(
        task_run_id=run.id,
        task_id=run.task_id,
        status_id=status,
        status=NAMES[status],
        level=run.level,
        restarted_from_id=run.restarted_from,
    )


def run_shape(run: Run, task: Task, status: StatusId) -> shapes.TaskRun:
    """A run in a list."""
    return shapes.TaskRun(**_run_fields(run, task, status))  # type: ignore[arg-type]


def _run_fields(run: Run, task: Task, status: StatusId) -> dict[str, object]:
    return {
        "task_run_id": run.id,
        "task_id": run.task_id,
        "task_name": task.name,
        "status_id": status,
        "status": NAMES[status],
        "trigger": TRIGGERS[run.trigger],
        "scheduled": stamp(run.ready_at),
        "started": stamp_or_none(run.started_at),
        "finished": stamp_or_none(run.finished_at),
        "wait_time_ms": _milliseconds(run.ready_at, run.started_at),
        "exec_time_ms": _milliseconds(run.started_at, run.finished_at),
        "level": run.level,
        "restarted_from_id": run.restarted_from,
    }


class RunStory(msgspec.Struct, frozen=True, kw_only=True):
    """A run with everything that its detail shows."""

    run: Run
    task: Task
    version: Version
    status: StatusId
    values: RunValues
    steps: Sequence[tuple[str, int, datetime]]
    history: tuple[shapes.HistoryEntry, ...]
    restarts: int
    origin: int
    started_by: str | None


def detail_shape(story: RunStory) -> shapes.TaskRunDetail:
    """A run with its history and metadata."""
    run, error = story.run, story.values.error
    return shapes.TaskRunDetail(
        restart_count=story.restarts,
        original_task_run_id=story.origin,
        priority=run.priority,
        message=None if error is None else f"{error.kind}: {error.message}",
        started_by=story.started_by,
        history=story.history,
        steps=tuple(_steps(story)),
        **_run_fields(run, story.task, story.status),  # type: ignore[arg-type]
    )


def history_entry(moment: Moment, status: StatusId) -> shapes.HistoryEntry:
    """A moment of a run that had this status then."""
    return shapes.HistoryEntry(at=stamp(moment.at), status_id=status, note=moment.note)


def _steps(story: RunStory) -> Iterator[shapes.Step]:
    """The recorded steps, and the task itself where it has none or did not end well."""
    number = 0
    for number, (name, occurrence, at) in enumerate(story.steps, 1):
        yield shapes.Step(
            step_id=number,
            name=name if occurrence < 2 else f"{name} ({occurrence})",
            connector=_connector(story.version),
            agent_id=story.run.worker_id,
            status_id=StatusId.FINISHED,
            attempt=story.run.attempt,
            rows_in=None,
            rows_out=None,
            started=None,
            finished=stamp(at),
        )
    if not number or not 200 <= story.status < 300:
        yield _own_step(story, number + 1)


def _own_step(story: RunStory, number: int) -> shapes.Step:
    run, declared = story.run, story.version.declaration
    return shapes.Step(
        step_id=number,
        name=story.task.name,
        connector=_connector(story.version),
        agent_id=run.worker_id,
        status_id=story.status,
        attempt=run.attempt,
        rows_in=_rows(story.values.input, declared.inputs),
        rows_out=_rows(story.values.output, declared.outputs),
        started=stamp_or_none(run.started_at),
        finished=stamp_or_none(run.finished_at),
    )


def _connector(version: Version) -> str:
    return f"{version.declaration.module}.{version.declaration.function}"


def _rows(value: bytes | None, fields: Sequence[Field]) -> int | None:
    """How many rows the only value has, if it is a table."""
    if value is None or len(fields) != 1 or not isinstance(fields[0].type, Table):
        return None
    rows = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).get(fields[0].name)
    return None if rows is None else len(msgspec.json.decode(rows, type=list[msgspec.Raw]))


def statuses_shape() -> list[shapes.TaskRunStatus]:
    """All statuses that there are, by id."""
    return [
        shapes.TaskRunStatus(
            id=status,
            name=NAMES[status],
            group=group_of(status),  # type: ignore[arg-type]
            is_final=is_final(status),
        )
        for status in StatusId
    ]


# ---------------------------------------------------------------- logs


def agents_of(run: Run, attempts: Sequence[Attempt]) -> dict[int, WorkerId | None]:
    """Which worker executed each attempt."""
    return {
        **{attempt.number: attempt.worker_id for attempt in attempts},
        max(1, run.attempt): run.worker_id,
    }


def record_shape(
    line: LogLine, agents: Mapping[int, WorkerId | None], step: int | None
) -> shapes.LogRecord:
    """A line of a log."""
    return shapes.LogRecord(
        id=line.number,
        date=stamp(line.at),
        level=LEVELS[line.level],
        message=line.text,
        step_id=step,
        agent_id=agents.get(line.attempt),
        event_id=None,
        keys=shapes.Keys(attempt=line.attempt),
    )


# ---------------------------------------------------------------- problems


class NotRestartable(errors.Conflict):
    """The task run cannot be restarted in this status."""


class NotParked(errors.Conflict):
    """The task run is not parked."""


class AlreadyFinal(errors.Conflict):
    """The task run has ended already."""


class SlugMissing(errors.Refused):
    """CompanySlug is required."""


PROBLEMS: Mapping[type[errors.RunyardError], tuple[int, str]] = {
    errors.NotFound: (404, "not_found"),
    errors.TaskNotFound: (404, "task_not_found"),
    errors.RunNotFound: (404, "task_run_not_found"),
    errors.Conflict: (409, "conflict"),
    errors.TaskNotRunnable: (409, "task_not_runnable"),
    errors.TaskWithdrawn: (409, "task_inactive"),
    errors.InputGone: (409, "input_gone"),
    errors.IdempotencyConflict: (409, "idempotency_conflict"),
    NotRestartable: (409, "not_restartable"),
    NotParked: (409, "not_parked"),
    AlreadyFinal: (409, "already_final"),
    errors.Refused: (400, "invalid_request"),
    SlugMissing: (400, "company_slug_missing"),
    web_errors.MalformedBody: (400, "malformed_json"),
    web_errors.MethodNotAllowed: (405, "method_not_allowed"),
    web_errors.MediaTypeRefused: (415, "unsupported_media_type"),
    errors.TooLarge: (413, "too_large"),
    errors.Unauthenticated: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.RemoteControlDisabled: (403, "remote_control_disabled"),
    errors.QueueFull: (429, "queue_full"),
    errors.Busy: (503, "busy"),
    errors.StorageUnavailable: (503, "storage_locked"),
    errors.RunyardError: (500, "unexpected"),
}
"""Status and code of every error, by the nearest kind above it."""


def problem_shape(error: errors.RunyardError, trace: str) -> shapes.Problem:
    """An error as a caller is told of it."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            status, code = PROBLEMS[kind]
            break
    else:
        status, code, kind = 500, "unexpected", type(error)
    return shapes.Problem(
        type=f"urn:runyard:problem:{code}",
        title=(kind.__doc__ or code).strip().splitlines()[0],
        status=status,
        detail=error.detail,
        code=code,
        trace_id=trace,
    )


def unexpected_shape(trace: str) -> shapes.Problem:
    """What a caller is told when something failed that must not."""
    return shapes.Problem(
        type="urn:runyard:problem:unexpected",
        title="Something failed that must not.",
        status=500,
        detail="the server's log has the details under the trace id",
        code="unexpected",
        trace_id=trace,
    )
