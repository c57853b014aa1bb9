"""The audit log."""

from datetime import datetime

from runyard.protocol.shapes.parts import Page, Shown


class AuditEntry(Shown, frozen=True, kw_only=True):
    """Something that somebody did, or tried to."""

    id: int
    at: datetime
    actor: str
    """Whoever did it; of somebody who was not let in, the name that was given."""
    action: str
    """The operation's name, such as create_system."""
    subject: str
    """To what it was done, where the address or the operation says so."""
    succeeded: bool
    detail: str
    """Why it did not succeed; never what was sent."""
    source: str
    """Method and path of the request."""
    address: str
    """Where the request came from."""


class AuditPage(Page, frozen=True, kw_only=True):
    """The audit log, newest first."""

    items: tuple[AuditEntry, ...]
