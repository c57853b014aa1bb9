"""Runs: starting, reading, steering and explaining them."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState, Trigger
from runyard.protocol.shapes.parts import (
    Asked,
    Identifier,
    Instant,
    Object,
    Page,
    PageQuery,
    Priority,
    Reference,
    Shown,
)
from runyard.protocol.shapes.tasks import TaskName

MOST_RUNS_A_START = 1_000
MOST_CALLBACKS = 10


class NewCallback(Asked, frozen=True, kw_only=True):
    """Somebody to be told when a run has ended."""

    url: Annotated[str, Meta(min_length=1, max_length=4096)]
    """An http or https address; it gets a signed POST (Standard Webhooks) with the ended run."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
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
    at_once: bool = False
    """Whether it fails, with the cause no_slot, instead of waiting for a slot."""
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
