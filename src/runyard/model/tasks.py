"""Tasks, their versions and policies, and the gates that let their runs start."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from runyard.model.ids import ActorId, CompanyId, GateId, TaskId, VersionId
from runyard.model.types import Field

LOWEST_PRIORITY = 99
HIGHEST_PRIORITY = 1
DEFAULT_PRIORITY = 50


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a failed run is tried again, and how long to wait before each try."""

    retries: int = 0
    """Further attempts after the first one."""
    delay: timedelta = timedelta(seconds=1)
    """Before the second attempt; doubled (times `factor`) before each further one."""
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=10)
    """No delay is longer than this."""
    jitter: float = 0.2
    """Each delay is spread by up to this share of itself, so that a burst does not return as one."""


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """What a task's author chose about how its runs are executed."""

    timeout: timedelta | None = None
    """An attempt that runs longer is killed. None: no limit."""
    retry: RetryPolicy = RetryPolicy()
    concurrency: int | None = None
    """Runs of the task that may be under way at once. None: unlimited."""
    priority: int | None = None
    """1 to 99, lower first. None: the company's default."""
    labels: tuple[str, ...] = ()
    """A worker must have all of them."""
    retention: timedelta | None = None
    """How long ended runs are kept. None: the company's retention."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What the code of one task says about itself; reported by the child that inspected it."""

    name: str
    key: str
    """Identity within the company; the name unless the author chose another."""
    path: str
    description: str
    module: str
    """Where the function is found inside the bundle, dotted."""
    function: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    """Empty: the task returns no data. A bare annotation is one output named `result`."""
    policies: Policies
    requirements: tuple[str, ...] = ()
    """PEP 508 lines, sorted; the environment its children run in."""
    fingerprint: str
    """Hex digest over everything that makes a new version necessary: the declaration and the code of the bundle that this task can reach."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Registered code, by name within a company. Its versions hold the code."""

    id: TaskId
    company_id: CompanyId
    uuid: UUID
    public_id: str
    key: str
    name: str
    path: str
    description: str
    bundle_name: str
    """The bundle (by name) that the task is deployed from; another one must take it over."""
    version_id: VersionId
    version: int
    """Number of the current version, from 1."""
    gate_id: GateId
    runnable: bool
    withdrawn_at: datetime | None
    created_at: datetime


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One deployed state of a task. Runs are pinned to one."""

    id: VersionId
    company_id: CompanyId
    task_id: TaskId
    number: int
    bundle_digest: str
    """SHA-256 of the bundle, hex."""
    declaration: Declaration
    created_at: datetime
    deployed_by: ActorId | None = None
    """Who made it; None where that was not written down."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Whether runs of one task may start now. Claims lock the row that these values stand in."""

    id: GateId
    company_id: CompanyId
    task_id: TaskId
    runnable: bool
    company_runnable: bool
    limit: int | None
    """Runs that may be under way at once. None: unlimited."""
    labels: tuple[str, ...]
    priority_offset: int
    """Added to the rank of its runs when gates of one company are compared, microseconds."""
    withdrawn: bool

    @property
    def is_open(self) -> bool:
        """Whether runs may start, its limit and the workers at hand aside."""
        return self.runnable and self.company_runnable
