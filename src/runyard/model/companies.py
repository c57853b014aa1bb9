"""Companies: the tenants that own everything."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from runyard.model.ids import ActorId, CompanyId


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Everything belongs to exactly one."""

    id: CompanyId
    uuid: UUID
    slug: str
    """a-z, 0-9 and hyphens, 1 to 63 characters; unique; used in addresses."""
    name: str
    time_zone: str
    """IANA name; schedules without their own use it."""
    runnable: bool
    """The orchestrator's switch: False holds every queued run back."""
    default_priority: int
    retention: timedelta
    """How long ended runs are kept unless their task says otherwise."""
    queue_cap: int
    """Most runs that may be queued at once."""
    weight: int
    """Share of the workers relative to other companies; 1 is ordinary."""
    created_at: datetime
    switched_at: datetime | None = None
    """When the orchestrator was switched last; None: never."""
    switched_by: ActorId | None = None
    """By whom, if that is known."""
