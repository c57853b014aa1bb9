"""Companies, and their orchestrators."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from runyard.protocol.shapes.parts import Asked, Name, Page, Priority, Shown, Slug


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
