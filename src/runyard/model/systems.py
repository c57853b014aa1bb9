"""Systems: programs of others that call in by a UUID of their own, once an administrator allows it."""

from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import ActorId, CompanyId, SystemId


class SystemState(StrEnum):
    """Whether an administrator lets a system call."""

    REQUEST = "request"
    """It waits for that."""
    ALLOWED = "allowed"
    LOCKED = "locked"


class System(msgspec.Struct, frozen=True, kw_only=True):
    """An external system. Its UUID is found by a hash, and kept sealed so that answers can name it."""

    id: SystemId
    company_id: CompanyId
    name: str
    description: str
    state: SystemState
    last_characters: str
    """The last 4 of its UUID, to tell systems apart in lists."""
    sealed: bytes
    """The UUID, encrypted under the master key; `Systems.reveal` opens it."""
    files_from: tuple[str, ...]
    """Hosts and networks that input files of its runs may come from, beside what the operator allows
    everybody.
    """
    created_at: datetime
    updated_at: datetime
    """When somebody last decided or changed something about it."""
    updated_by: ActorId | None = None
    """Who that was; None: nobody who is known."""
    address: str = ""
    """Where it last called from; empty until it has."""
    last_seen_at: datetime | None = None
    removed_at: datetime | None = None
    """It is in no list any more, and its UUID is unknown."""

    @property
    def actor(self) -> ActorId:
        """As its runs name who started them."""
        return ActorId(self.id)

    @property
    def is_allowed(self) -> bool:
        """Whether it may call."""
        return self.state is SystemState.ALLOWED and self.removed_at is None
