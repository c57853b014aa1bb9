"""Systems: programs of others that call in by a UUID."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from runyard.model.systems import SystemState
from runyard.protocol.shapes.parts import PRINTABLE, Asked, Name, Page, PageQuery, Shown

# How long it may be is judged by the engine: a shape that refuses shows what it has seen.
Description = Annotated[str, Meta(pattern=PRINTABLE, extra_json_schema={"maxLength": 2000})]
Host = Annotated[str, Meta(max_length=300, pattern=PRINTABLE)]


class System(Shown, frozen=True, kw_only=True):
    """A program of others that calls in by a UUID. That is not in here: it is shown once."""

    id: int
    name: str
    description: str
    state: SystemState
    """request: an administrator has to allow it. allowed. locked: it is kept out."""
    last_characters: str
    """The last 4 characters of its UUID."""
    files_from: tuple[str, ...]
    """Hosts that input files of its runs may come from, beside what the operator allows everybody."""
    address: str
    """Where it last called from; empty until it has."""
    created_at: datetime
    updated_at: datetime
    """When somebody last changed it, or decided about it."""
    updated_by: str | None
    """Who that was."""
    last_seen_at: datetime | None
    """When it last called; of another server's callers written down every five minutes."""


class SystemPage(Page, frozen=True, kw_only=True):
    """Systems, newest first."""

    items: tuple[System, ...]


class CreatedSystem(System, frozen=True, kw_only=True):
    """A system with a new UUID. It is in this answer alone."""

    uuid: str
    """What the system presents in every request (`auth_tkn` in ELMA's dialect)."""


class SystemQuery(PageQuery, frozen=True, kw_only=True):
    """Which systems."""

    state: SystemState | None = None
    """Only those in this state."""
    search: Annotated[str, Meta(max_length=200)] = ""
    """Only those with this in their name, description or address, or at the end of their UUID."""


class NewSystem(Asked, frozen=True, kw_only=True):
    """A system to create."""

    name: Name
    """For people, unique in the company; not only digits."""
    description: Description = ""
    files_from: tuple[Host, ...] = ()
    """Hosts, addresses or networks, with or without a port. Only administrators of the whole
    installation open any.
    """
    allowed: bool = False
    """Whether it may call at once, instead of waiting to be allowed."""


class SystemChange(Asked, frozen=True, kw_only=True):
    """What is to be different; what is left out stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    files_from: tuple[Host, ...] | UnsetType = UNSET
    """All of them. Only administrators of the whole installation open any that are not open already."""
