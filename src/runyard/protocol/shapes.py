"""The JSON shapes of the native API: what its server writes and its clients read, and back.

The docstring below a field is its description in the OpenAPI document. Durations are ISO 8601
("PT30S", "P30D"), instants RFC 3339 with an offset. A request with a field that its shape does not
have is refused; a reader of an answer ignores fields that it does not know.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runyard.model.callbacks import CallbackState
from runyard.model.runs import Outcome
from runyard.model.schedules import TriggerKind
from runyard.model.states import Cause, RunState, Trigger
from runyard.model.tasks import Policies
from runyard.model.tokens import Role, TokenKind
from runyard.model.types import ValueType
from runyard.model.workers import WorkerState

MOST_RUNS_A_START = 1_000
MOST_CALLBACKS = 10
LARGEST_PAGE = 500
LARGEST_LOG_PAGE = 1_000
LONGEST_WAIT = timedelta(minutes=5)
LONGEST_DAYS = 36_500

# What a database can hold of a 64-bit integer with sign, and of text in a name.
Count = Annotated[int, Meta(ge=0, le=2**53)]
Priority = Annotated[int, Meta(ge=1, le=99)]
PageLimit = Annotated[int, Meta(ge=1, le=LARGEST_PAGE)]
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Slug = Annotated[str, Meta(pattern="^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
Identifier = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=True)]
Object = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root of what callers send."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what the server answers."""


# ---------------------------------------------------------------- pages


class PageQuery(Asked, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: PageLimit = 100
    """Most items to answer."""
    cursor: str | None = None
    """`next` of the page before; without it the list begins."""


class Page(Shown, frozen=True, kw_only=True):
    """A part of a list."""

    next: str | None
    """Cursor of the following page; null on the last one."""
    total: int
    """Items in the whole list."""
    total_is_exact: bool
    """False: there are at least `total`."""


# ---------------------------------------------------------------- problems


class FieldProblem(Shown, frozen=True, kw_only=True):
    """One thing wrong with one field of a request."""

    field: str
    """Where, such as `input.zip`."""
    seen: str
    """What was there."""
    allowed: str
    """What may be there."""


class Problem(Shown, frozen=True, kw_only=True, omit_defaults=True):
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
    """A word for programs, such as `run_not_found`."""
    problems: tuple[FieldProblem, ...] = ()
    """What is wrong with which field."""
    file: str | UnsetType = UNSET
    """Of refused code: the file inside the bundle."""
    line: int | UnsetType = UNSET
    """Of refused code: the line in that file."""


# ---------------------------------------------------------------- companies


class Company(Shown, frozen=True, kw_only=True):
    """A tenant: everything belongs to exactly one."""

    id: int
    uuid: UUID
    slug: str
    """Stands in addresses."""
    name: str
    time_zone: str
    """IANA name; schedules without their own use it."""
    runnable: bool
    """Whether its orchestrator lets queued runs start."""
    default_priority: int
    """Of runs whose task and start say nothing."""
    retention: timedelta
    """How long ended runs are kept unless their task says otherwise."""
    queue_cap: int
    """Most runs that may be queued at once."""
    weight: int
    """Share of the workers relative to other companies; 1 is ordinary."""
    created_at: datetime


class CompanyPage(Page, frozen=True, kw_only=True):
    """Companies by slug."""

    items: tuple[Company, ...]


Retention = Annotated[timedelta, Meta(description="ISO 8601, such as P30D")]
QueueCap = Annotated[int, Meta(ge=1, le=100_000_000)]
Weight = Annotated[int, Meta(ge=1, le=1_000)]


class CompanyChange(Asked, frozen=True, kw_only=True):
    """What to change of a company; fields that are left out stay."""

    name: Name | UnsetType = UNSET
    time_zone: Name | UnsetType = UNSET
    default_priority: Priority | UnsetType = UNSET
    retention: Retention | UnsetType = UNSET
    queue_cap: QueueCap | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET


class NewCompany(CompanyChange, frozen=True, kw_only=True):
    """A company to create."""

    slug: Slug
    """a-z, 0-9 and hyphens, 1 to 63 characters; unique."""


# ---------------------------------------------------------------- tokens


class NewToken(Asked, frozen=True, kw_only=True):
    """A token to create."""

    kind: TokenKind = TokenKind.NATIVE
    """Which door it opens."""
    role: Role = Role.OPERATOR
    """What its holder may do."""
    name: Annotated[str, Meta(max_length=200, pattern=PRINTABLE)] = ""
    """For people, to tell tokens apart."""
    lasting: timedelta | None = None
    """How long it is valid; null: until it is revoked."""
    joins: bool = False
    """For a worker's token: whether workers that present it need not be allowed by anybody."""


class Token(Shown, frozen=True, kw_only=True):
    """A credential that a program presents. Its secret is not kept."""

    id: int
    kind: TokenKind
    company: str | None
    """Slug; null: the whole installation."""
    role: Role
    name: str
    last_characters: str
    """The last 4 characters of the secret."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    joins: bool
    """Whether workers that present it need not be allowed by anybody."""


class CreatedToken(Token, frozen=True, kw_only=True):
    """A new token with its secret, which is shown this once."""

    secret: str
    """Send it as `Authorization: Bearer <secret>`."""


class TokenPage(Page, frozen=True, kw_only=True):
    """Tokens, newest first."""

    items: tuple[Token, ...]


class RemoteControl(Shown, frozen=True, kw_only=True):
    """Whether programs may steer the company through the Remote API (Integray), and how."""

    allowed: bool
    token: Token | None
    """The one that opens; null when control is not allowed."""
    url: str
    """Where the company's Remote API answers."""
    secret: str | UnsetType = UNSET
    """Of a token that was made just now. It is shown this once."""


class AllowControl(Asked, frozen=True, kw_only=True):
    """Whom to let in."""

    allow: Literal["token", "none"]
    """`token`: makes a new token, and revokes the one before. `none`: nobody."""
    role: Role = Role.OPERATOR
    """What the holder of the new token may do."""


# ---------------------------------------------------------------- tasks


class TaskField(Shown, frozen=True, kw_only=True):
    """An input or an output of a task."""

    name: str
    """What callers write."""
    title: str
    """What people read."""
    help: str
    type: ValueType
    required: bool
    """Whether it must be given."""
    default: msgspec.Raw | UnsetType = UNSET
    """What a missing one becomes, when it has a default."""


class Task(Shown, frozen=True, kw_only=True):
    """Registered code, by name within a company."""

    id: int
    uuid: UUID
    public_id: str
    path: str
    name: str
    key: str
    """Its identity: the name, unless its author chose another."""
    description: str
    version: int
    """Number of the current version."""
    bundle: str
    """The bundle it is deployed from."""
    runnable: bool
    withdrawn: bool
    """Whether the last deploy of its bundle no longer had it."""
    inputs: tuple[TaskField, ...]
    outputs: tuple[TaskField, ...]
    """Empty: it returns no data."""
    policies: Policies
    requirements: tuple[str, ...]
    created_at: datetime


class TaskPage(Page, frozen=True, kw_only=True):
    """Tasks by path and name."""

    items: tuple[Task, ...]


class TaskQuery(PageQuery, frozen=True, kw_only=True):
    """Which tasks."""

    withdrawn: bool = False
    """Whether withdrawn tasks are listed too."""


class Version(Shown, frozen=True, kw_only=True):
    """One deployed state of a task."""

    id: int
    number: int
    bundle_digest: str
    """SHA-256 of the bundle, hex."""
    inputs: tuple[TaskField, ...]
    outputs: tuple[TaskField, ...]
    policies: Policies
    requirements: tuple[str, ...]
    created_at: datetime
    deployed_by: str | None = None
    """Who made it, as far as that is known: a token or a user."""


class VersionPage(Page, frozen=True, kw_only=True):
    """Versions, newest first."""

    items: tuple[Version, ...]


class Runnable(Asked, frozen=True, kw_only=True):
    """Whether runs may start."""

    runnable: bool


class KillReport(Shown, frozen=True, kw_only=True):
    """What became of a kill."""

    killed: tuple[int, ...]
    """Runs of which no code executes any more."""
    unconfirmed: tuple[int, ...]
    """Runs whose worker did not answer; their leases are void."""
    confirmed: bool
    """Whether nothing is unconfirmed."""


class CleanReport(Shown, frozen=True, kw_only=True):
    """What became of a clean."""

    cancelled: int
    """How many queued runs were cancelled."""


# ---------------------------------------------------------------- bundles


class DeployQuery(Asked, frozen=True, kw_only=True):
    """How to deploy."""

    name: Name
    """The bundle's name; the same name again replaces its tasks."""
    take_over: bool = False
    """Whether tasks of other bundles may become this bundle's."""


class DeployedTask(Shown, frozen=True, kw_only=True):
    """A task of a deploy and what became of it."""

    change: str
    """new, changed, unchanged or withdrawn."""
    task: Task


class DeployReport(Shown, frozen=True, kw_only=True):
    """What a deploy did."""

    bundle: str
    bundle_digest: str
    tasks: tuple[DeployedTask, ...]


class DeployLine(Shown, frozen=True, kw_only=True):
    """What a deploy is doing, for people."""

    text: str


# ---------------------------------------------------------------- runs


class NewCallback(Asked, frozen=True, kw_only=True):
    """Somebody to be told when a run has ended."""

    url: Annotated[str, Meta(min_length=1, max_length=4096)]
    """An http or https address; it gets a signed POST (Standard Webhooks) with the ended run."""
    headers: dict[str, str] = {}
    """What the POST carries besides, such as a token of the receiver's: up to 20. They are kept
    sealed, and no answer shows them."""


class NewRun(Asked, frozen=True, kw_only=True):
    """A run to start."""

    task: Reference
    """Id, uuid, public id or name."""
    input: Object | UnsetType = UNSET
    """Values by the names of the task's inputs."""
    priority: Priority | None = None
    """1 to 99, lower first; null: the task's, else the company's."""
    due_at: Instant | None = None
    """Not before this instant."""
    parked: bool = False
    """Whether it is held until it is released."""
    callbacks: Annotated[tuple[NewCallback, ...], Meta(max_length=MOST_CALLBACKS)] = ()
    """Who is told when it has ended."""


class NewRuns(Asked, frozen=True, kw_only=True):
    """Several runs to start: all of them or none."""

    runs: Annotated[tuple[NewRun, ...], Meta(min_length=1, max_length=MOST_RUNS_A_START)]


class StartedRun(Shown, frozen=True, kw_only=True):
    """A run that is on disk."""

    id: int
    public_id: str
    state: RunState


class StartedRuns(Shown, frozen=True, kw_only=True):
    """Runs that are on disk, in the order of the request."""

    runs: tuple[StartedRun, ...]


class TaskName(Shown, frozen=True, kw_only=True):
    """Which task."""

    id: int
    name: str


class RunProgress(Shown, frozen=True, kw_only=True):
    """How far a run says it has come."""

    done: float
    total: float | None


class RunError(Shown, frozen=True, kw_only=True):
    """Why a run failed."""

    kind: str
    """Class of the error, such as ValueError."""
    message: str
    traceback: str


class Attempt(Shown, frozen=True, kw_only=True):
    """One try of a run by one worker."""

    number: int
    worker_id: int | None
    begun_at: datetime | None
    finished_at: datetime
    outcome: Outcome
    error: RunError | None


class Run(Shown, frozen=True, kw_only=True):
    """One durable execution of a task version."""

    id: int
    public_id: str
    task: TaskName
    version: int
    """Number of the task's version."""
    state: RunState
    cause: Cause | None
    """How it ended; null until then."""
    priority: int
    level: int
    """How many restarts lie between it and its origin."""
    restarted_from: int | None
    trigger: Trigger
    """Who asked for it."""
    schedule_id: int | None
    started_by: str | None
    """The token that it was started with; null for schedules."""
    created_at: datetime
    due_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    """When its first attempt reached the task's code."""
    finished_at: datetime | None
    attempt: int
    """Attempts that have reached the task's code."""
    worker_id: int | None
    progress: RunProgress | None
    logged_errors: int
    """Log lines of level error and fatal."""
    input: msgspec.Raw | UnsetType = UNSET
    """Values it was started with (on one run, and in lists with `values`)."""
    outputs: msgspec.Raw | UnsetType = UNSET
    """Values it returned; null while it has none."""
    error: RunError | UnsetType | None = UNSET
    attempts: tuple[Attempt, ...] | UnsetType = UNSET
    """Its ended attempts, first to last (on one run)."""


class RunMoment(Shown, frozen=True, kw_only=True):
    """From when on a run was in a state."""

    at: datetime
    state: RunState
    cause: Cause | None
    """Of its end."""
    attempt: int
    """Attempts that had reached the task's code by then."""
    note: str | None


class RunHistory(Shown, frozen=True, kw_only=True):
    """What happened to a run."""

    moments: tuple[RunMoment, ...]
    """In order."""
    restarts: int
    """Runs that were restarted from it."""
    origin: int
    """The run at the beginning of its chain of restarts; itself when it is no restart."""


class RunPage(Page, frozen=True, kw_only=True):
    """Runs, newest first."""

    items: tuple[Run, ...]


class RunQuery(PageQuery, frozen=True, kw_only=True):
    """Which runs; all given conditions must hold."""

    task: Reference | None = None
    """Id, uuid, public id or name."""
    state: tuple[RunState, ...] = ()
    cause: tuple[Cause, ...] = ()
    created_from: Instant | None = None
    """Inclusive."""
    created_before: Instant | None = None
    finished_from: Instant | None = None
    finished_before: Instant | None = None
    worker: Identifier | None = None
    schedule: Identifier | None = None
    trigger: Trigger | None = None
    restarted_from: Identifier | None = None
    values: bool = False
    """Whether input, outputs and error are given too."""


class KilledRun(Shown, frozen=True, kw_only=True):
    """What became of the kill of one run."""

    confirmed: bool
    """Whether no code of it executes any more; false: its worker did not answer."""
    run: Run


class Restart(Asked, frozen=True, kw_only=True):
    """How to restart."""

    parked: bool = False
    """Whether the new run is held until it is released."""
    same_version: bool = False
    """Whether it keeps the old run's version instead of the current one."""


class WaitQuery(Asked, frozen=True, kw_only=True):
    """How long to wait."""

    timeout: Annotated[float, Meta(ge=0, le=300)] = 30.0
    """Seconds."""


class LogQuery(Asked, frozen=True, kw_only=True):
    """Which lines."""

    level: Annotated[str, Meta(pattern="^(trace|debug|info|warning|error|fatal)$")] = "trace"
    """The lowest level that is answered."""
    after: Count = 0
    """Number of the last line already known."""
    limit: Annotated[int, Meta(ge=1, le=LARGEST_LOG_PAGE)] = LARGEST_PAGE


class LogLine(Shown, frozen=True, kw_only=True):
    """One line of a run's log."""

    number: int
    at: datetime
    level: str
    """trace, debug, info, warning, error or fatal."""
    text: str
    attempt: int


class LogPage(Shown, frozen=True, kw_only=True):
    """Lines in order."""

    lines: tuple[LogLine, ...]
    next_after: int
    """`after` of the next page."""
    dropped: int
    """Lines left out because the run logged more than is kept."""


class Reason(Shown, frozen=True, kw_only=True):
    """One thing that keeps a run waiting."""

    code: str
    text: str
    action: str
    """What clears it."""
    run_ids: tuple[int, ...]
    """Other runs that have to do with it."""


class Explanation(Shown, frozen=True, kw_only=True):
    """Why a run is not running, in the order in which the dispatcher asks."""

    run_id: int
    state: RunState
    reasons: tuple[Reason, ...]
    """Empty: nothing holds it back."""


# ---------------------------------------------------------------- events


class RunLines(Shown, frozen=True, kw_only=True):
    """New lines of a run's log."""

    run_id: int
    lines: tuple[LogLine, ...]


class RunProgressed(Shown, frozen=True, kw_only=True):
    """A run came further."""

    run_id: int
    done: float
    total: float | None


class Resync(Shown, frozen=True, kw_only=True):
    """Events were left out: read what matters again, then watch again."""


# ---------------------------------------------------------------- files


class FileQuery(Asked, frozen=True, kw_only=True):
    """What an upload is called."""

    name: Name | None = None
    """The file's name, for a raw body; a multipart part brings its own."""


class File(Shown, frozen=True, kw_only=True):
    """A stored file."""

    id: int
    run_id: int | None
    """The run that returned it; null for an upload."""
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256, hex."""
    created_at: datetime


class FilePage(Page, frozen=True, kw_only=True):
    """Files."""

    items: tuple[File, ...]


# ---------------------------------------------------------------- schedules


class RunEnded(Shown, frozen=True, kw_only=True):
    """What a callback says."""

    type: Literal["run.completed", "run.failed", "run.cancelled"]
    timestamp: datetime
    """When the run ended."""
    data: Run
    """The run, without its input."""
    outputs_left_out: bool = False
    """Its outputs are larger than a callback carries: `data.outputs` is missing."""


class Callback(Shown, frozen=True, kw_only=True):
    """A request that a run's end leads to."""

    id: int
    public_id: str
    """Its `webhook-id`: the same however often it is sent."""
    run_id: int
    url: str
    """Where it goes; what stands behind a question mark is not shown."""
    state: CallbackState
    tries: int
    """How often it was sent."""
    due_at: datetime | None
    """When it is sent, or sent again."""
    answered: int | None
    """The HTTP status of its receiver's last answer."""
    detail: str
    """Why the last try failed."""
    created_at: datetime
    ended_at: datetime | None
    """When it was delivered or given up."""


class CallbackPage(Page, frozen=True, kw_only=True):
    """Callbacks, newest first."""

    items: tuple[Callback, ...]


class CallbackQuery(PageQuery, frozen=True, kw_only=True):
    """Which callbacks."""

    state: CallbackState | None = None
    """Only those in this state."""
    run: Reference | None = None
    """Only those of this run, by its id or public id."""


class Resent(Shown, frozen=True, kw_only=True):
    """How many callbacks are sent again."""

    resent: int


class CallbackSecret(Shown, frozen=True, kw_only=True):
    """What receivers verify a company's callbacks with."""

    secret: str
    """In the form of Standard Webhooks."""
    previous: str | None
    """The secret before, while it signs as well."""
    previous_until: datetime | None
    """Until when it does."""


class NewSchedule(Asked, frozen=True, kw_only=True):
    """A schedule to create, with exactly one of `cron`, `interval` and `at`."""

    name: Name
    task: Reference
    """Id, uuid, public id or name."""
    cron: Name | None = None
    """Five fields."""
    interval: timedelta | None = None
    """Between two fire times; ISO 8601, such as PT15M."""
    at: Instant | None = None
    """Fires once, at this instant."""
    time_zone: Name | None = None
    """IANA name in which the cron fields are read; null: the company's."""
    input: Object | UnsetType = UNSET
    """Of the runs it starts."""
    priority: Priority | None = None


class Schedule(Shown, frozen=True, kw_only=True):
    """A plan that starts runs of one task."""

    id: int
    name: str
    task: TaskName
    kind: TriggerKind
    cron: str | None
    time_zone: str
    interval: timedelta | None
    input: Object
    priority: int | None
    enabled: bool
    next_fire_at: datetime | None
    """Null: it will not fire any more."""
    last_fire_at: datetime | None
    created_at: datetime
    upcoming: tuple[datetime, ...] | UnsetType = UNSET
    """Its next fire times (on one schedule)."""


class SchedulePage(Page, frozen=True, kw_only=True):
    """Schedules by name."""

    items: tuple[Schedule, ...]


class ScheduleQuery(PageQuery, frozen=True, kw_only=True):
    """Which schedules."""

    task: Reference | None = None
    """Only those of this task: id, uuid, public id or name."""


class ScheduleChange(Asked, frozen=True, kw_only=True):
    """What to change of a schedule."""

    enabled: bool


# ---------------------------------------------------------------- orchestrator, workers, doctor


class Orchestrator(Shown, frozen=True, kw_only=True):
    """A company's dispatch switch, and how many runs are where."""

    runnable: bool
    queued: int
    running: int
    scheduled: int
    parked: int
    waiting: int
    changed_at: datetime | None
    """When it was switched last; null: never."""
    changed_by: str | None
    """By whom."""


class Worker(Shown, frozen=True, kw_only=True):
    """A process that executes runs."""

    id: int
    company: str | None
    """Slug; null: it serves every company."""
    name: str
    state: WorkerState
    """request: an administrator has to allow it. allowed. locked: it is kept out."""
    online: bool
    busy: int
    """Runs that it holds; of a worker of another server, as it was within the last minute."""
    slots: int
    """How many runs it executes at once."""
    labels: tuple[str, ...]
    """What tasks can require of it."""
    version: str
    """Release of Runyard that it runs."""
    host: str
    """Empty for a company's token unless the worker is the company's own."""
    os: str
    address: str
    """From where it connects; empty for the one inside a server, and like `host`."""
    isolation: str
    """What its children are kept from."""
    draining: bool
    """Whether it gets no further runs until it is allowed again."""
    created_at: datetime
    last_seen_at: datetime | None
    """Written down once a minute."""


class WorkerPage(Page, frozen=True, kw_only=True):
    """Workers by name."""

    items: tuple[Worker, ...]


class Check(Shown, frozen=True, kw_only=True):
    """One thing that was examined."""

    name: str
    ok: bool
    detail: str


class Diagnosis(Shown, frozen=True, kw_only=True):
    """Whether the installation keeps its promises."""

    ok: bool
    checks: tuple[Check, ...]
