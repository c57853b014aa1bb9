"""Tasks and their versions."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from runyard.model.tasks import Policies
from runyard.model.types import ValueType
from runyard.protocol.shapes.parts import Asked, Page, PageQuery, Shown


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


class TaskName(Shown, frozen=True, kw_only=True):
    """Which task."""

    id: int
    name: str


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
