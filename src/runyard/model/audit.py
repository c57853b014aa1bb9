"""The audit log: who has changed what, or signed in, and from where."""

from datetime import datetime

import msgspec

from runyard.model.ids import ActorId, AuditEntryId, CompanyId


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody did, or tried to. Written once, never changed."""

    id: AuditEntryId
    company_id: CompanyId | None
    """Where it was done; None: it concerns the whole installation."""
    at: datetime
    actor: ActorId | None
    """None for somebody who was not let in."""
    actor_name: str
    """What the actor was called then, or said to be called."""
    action: str
    """The name of the operation, such as `createAllocation`."""
    subject: str
    """To what it was done; empty where the action says it all."""
    succeeded: bool
    detail: str
    """Why it did not succeed."""
    source: str
    """Method and path of the request."""
    address: str
    """Where the request came from."""
