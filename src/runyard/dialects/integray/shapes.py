"""The JSON shapes of the Remote API. The docstring below a field is its description in the document.

Instants are RFC 3339 in UTC with milliseconds. A request with a name that its shape does not have is
refused: a mistyped `isRunnable` must not look like success.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runyard.dialects.integray.statuses import StatusId

LARGEST_PAGE = 1_000
LARGEST_LOG_PAGE = 5_000
LONGEST_NOTE = 500
LONGEST_WAIT = 300

_ID = 2**63 - 1

Id = Annotated[int, Meta(ge=1, le=_ID)]
Count = Annotated[int, Meta(ge=0)]
Timestamp = Annotated[str, Meta(pattern="Z$", extra_json_schema={"format": "date-time"})]
Priority = Annotated[int, Meta(ge=1, le=99)]
AgentState = Literal["Online", "Busy", "Offline", "NeverConnected", "Updating"]
TriggerName = Literal["Manual", "Scheduled", "GET", "POST", "RemoteApi", "Restart", "StartTask"]
LevelName = Literal["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]
Group = Literal["Scheduled", "In progress", "Finished", "Failed", "Parked"]
_ROWS: dict[str, object] = {
    "anyOf": [
        {"type": "object"},
        {"type": "array", "items": {"type": "object"}},
    ]
}
Instant = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        examples=["2026-03-01T08:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The root of what callers send."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of what is answered."""


# ---------------------------------------------------------------- problems


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a request was not carried out (RFC 9457)."""

    type: str
    """`urn:runyard:problem:` and the code."""
    title: str
    """What the code means, the same every time."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened this time."""
    code: str
    """A word for programs, such as `task_not_runnable`."""
    trace_id: str
    """Names this answer; of a status 500 the server's log has the details under it."""


# ---------------------------------------------------------------- agents


class Agent(Shown, frozen=True, kw_only=True):
    """A program that executes task runs."""

    agent_id: Id
    name: str
    type: Literal["Background", "Remote"]
    """Background: the one inside the server. Remote: connected from elsewhere."""
    is_active: bool
    """Whether an administrator lets it execute."""
    state: AgentState
    version: str | None
    host_name: str | None
    """Of the company's own agents only; null for those that serve every company."""
    last_seen: Timestamp | None
    slots: Annotated[int, Meta(ge=1)]
    """Task runs that it executes at once."""
    busy_slots: Count


# ---------------------------------------------------------------- orchestrator


class SetRunnable(Asked, frozen=True, kw_only=True):
    """What to switch to."""

    is_runnable: bool
    """`true` activates, `false` deactivates."""


class OrchestratorStatus(Shown, frozen=True, kw_only=True):
    """Whether the company's scheduled task runs are picked up, and how many are where."""

    company_slug: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    is_runnable: bool
    """`false`: nothing new is picked up; what is in progress goes on."""
    running_count: Count
    """In progress, or waiting for an agent. Deactivate and wait for 0 to drain."""
    scheduled_count: Count
    parked_count: Count
    changed_at: Timestamp | None
    """When it was set last."""
    changed_by: str | None


# ---------------------------------------------------------------- tasks


class TaskInput(Shown, frozen=True, kw_only=True):
    """A value that a task takes."""

    name: str
    title: str
    type: str
    """Such as `text`, `integer` or `table`."""
    required: bool


class Task(Shown, frozen=True, kw_only=True):
    """A task of the company."""

    task_id: Id
    name: str
    group: str
    """The folder that the task stands in."""
    description: str
    is_active: bool
    """`false`: it was withdrawn, and keeps its history."""
    is_runnable: bool
    """Whether it may be executed."""
    is_executable: bool
    """Whether everything is there that an execution needs."""
    not_executable_reasons: tuple[str, ...]
    priority: Priority
    """Lower first."""
    priority_source: Literal["Task", "Company"]
    max_instances: Annotated[int, Meta(ge=1)]
    """Task runs that may be in progress at once; all slots when the task sets no limit."""
    timeout_seconds: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    """Of one attempt, rounded up; absent when there is none."""
    tags: tuple[str, ...]
    """What an agent must offer to execute it."""
    inputs: tuple[TaskInput, ...]
    scheduled_count: Count
    running_count: Count
    last_task_run_id: Id | None
    last_status_id: StatusId | None
    next_scheduled: Timestamp | None
    """When a schedule starts it next."""


class StartTaskRequest(Asked, frozen=True, kw_only=True):
    """What the task run shall work on."""

    input: Annotated[msgspec.Raw, Meta(extra_json_schema=_ROWS)] | UnsetType = UNSET
    """One object with the named inputs, or an array with one such object. An array goes whole to a
    task whose only input is a table."""
    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] | UnsetType = UNSET
    """Kept in the history of the task run."""


class TaskRunCreated(Shown, frozen=True, kw_only=True):
    """A task run that was just created."""

    task_run_id: Id
    task_id: Id
    status_id: Annotated[int, Meta(extra_json_schema={"enum": [1, 999]})]
    status: str
    level: Count
    restarted_from_id: Id | None


class AffectedRuns(Shown, frozen=True, kw_only=True):
    """Task runs that were ended."""

    task_id: Id
    count: Count
    task_run_ids: tuple[int, ...]
    unconfirmed_task_run_ids: tuple[int, ...] = ()
    """Those among them whose agent did not answer: their leases are void, nothing that they still do
    counts, and the agent ends them by itself once it notices."""


# ---------------------------------------------------------------- task runs


class TaskRun(Shown, frozen=True, kw_only=True):
    """One execution of a task."""

    task_run_id: Id
    task_id: Id
    task_name: str
    status_id: StatusId
    status: str
    trigger: TriggerName
    scheduled: Timestamp
    """From when on it could be picked up."""
    started: Timestamp | None
    finished: Timestamp | None
    wait_time_ms: Count | None
    """Started less scheduled."""
    exec_time_ms: Count | None
    """Finished less started."""
    level: Count
    """How many restarts lie between it and its origin."""
    restarted_from_id: Id | None


class HistoryEntry(Shown, frozen=True, kw_only=True):
    """From when on a task run had a status."""

    at: Timestamp
    status_id: StatusId
    note: str | None


class Step(Shown, frozen=True, kw_only=True):
    """A part of a task run; one that records no steps shows itself as its only step."""

    step_id: Id
    name: str
    connector: str
    """The function that does it."""
    agent_id: Id | None
    status_id: StatusId | None
    attempt: Count
    rows_in: Count | None
    rows_out: Count | None
    started: Timestamp | None
    finished: Timestamp | None


class TaskRunDetail(TaskRun, frozen=True, kw_only=True):
    """A task run with its history and metadata."""

    restart_count: Count
    """Task runs that were restarted from it."""
    original_task_run_id: Id
    """The first of its chain of restarts; itself when it is no restart."""
    priority: Priority
    message: str | None
    """Why it failed."""
    started_by: str | None
    history: tuple[HistoryEntry, ...]
    steps: tuple[Step, ...]


class TaskRunLevel(Shown, frozen=True, kw_only=True):
    """How often a task run has been restarted."""

    task_run_id: Id
    level: Count


class TaskRunStatus(Shown, frozen=True, kw_only=True):
    """A status that a task run can have."""

    id: StatusId
    name: str
    group: Group
    is_final: bool


class Keys(Shown, frozen=True, kw_only=True):
    """What a log record belongs to."""

    attempt: Count


class LogRecord(Shown, frozen=True, kw_only=True):
    """A line of a task run's log."""

    id: Id
    """Rising within its task run."""
    date: Timestamp
    level: LevelName
    message: str
    step_id: Id | None
    agent_id: Id | None
    event_id: int | None
    keys: Keys


# ---------------------------------------------------------------- queries


class NoQuery(Asked, frozen=True, kw_only=True):
    """Nothing: a parameter that an operation does not have is refused, not overlooked."""


class AgentsQuery(Asked, frozen=True, kw_only=True):
    """Which agents."""

    is_active: bool | None = None
    """Only active ones, or only inactive ones; both without it."""


class TasksQuery(Asked, frozen=True, kw_only=True):
    """Which tasks; all given conditions must hold."""

    is_active: bool | None = None
    """Only active ones, or only withdrawn ones; both without it."""
    is_runnable: bool | None = None
    """Only those that may be executed, or only those that may not; both without it."""
    group: Annotated[str, Meta(max_length=200)] | None = None
    """Only those of this group."""
    search: Annotated[str, Meta(max_length=200)] | None = None
    """Words in the name or the description, in any case."""


class TaskRunsQuery(Asked, frozen=True, kw_only=True):
    """Which task runs; all given conditions must hold."""

    task_id: tuple[Id, ...] = ()
    """May be repeated: any of them fits."""
    status_id: tuple[StatusId, ...] = ()
    """May be repeated: any of them fits."""
    date_from: Instant | None = None
    """Scheduled then or later."""
    date_to: Instant | None = None
    """Scheduled before then."""
    count: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = 100
    """Most task runs to answer, the newest."""
    before_id: Id | None = None
    """Go on after this one, the last of the page before."""


class LogsQuery(Asked, frozen=True, kw_only=True):
    """Which log records."""

    min_log_level: Annotated[str, Meta(min_length=1, max_length=20)] = "Trace"
    """The least level: Trace, Debug, Info, Warning, Error, Fatal in any case, or 0 to 5."""
    step_id: Id | None = None
    """Only records of this step."""
    after_id: Annotated[int, Meta(ge=0, le=_ID)] = 0
    """Only records after this one."""
    count: Annotated[int, Meta(ge=1, le=LARGEST_LOG_PAGE)] = 1_000
    """Most records to answer, the oldest."""


class WaitQuery(Asked, frozen=True, kw_only=True):
    """How long to wait."""

    timeout: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 30
    """Seconds."""
