"""The audit log."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from runyard.protocol.shapes.parts import Asked, Page, Shown


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


class AuditQuery(Asked, frozen=True, kw_only=True):
    """An end that the log had before, if one was noted."""

    noted: Annotated[str, Meta(max_length=100)] | None = None
    """Place and link, such as 1204:9f86d081..., as `end` said then."""


class AuditBreak(Shown, frozen=True, kw_only=True):
    """The first entry of the log that is not what was written."""

    place: int
    """Counted from the first entry that was ever written."""
    entry: int | None
    """Its id; null where entries are missing."""
    detail: str


class AuditVerification(Shown, frozen=True, kw_only=True):
    """Whether the audit log is what was written."""

    ok: bool
    entries: int
    """That are what was written."""
    first: int
    """Place of the oldest that is kept."""
    end: str
    """Place and link of the last of them: noted elsewhere, it shows later that no entry was removed."""
    broken: AuditBreak | None


class AuditPage(Page, frozen=True, kw_only=True):
    """The audit log, newest first."""

    items: tuple[AuditEntry, ...]
