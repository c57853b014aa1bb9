"""What the other shapes are made of: names, numbers and instants, and the roots of all shapes."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

LARGEST_PAGE = 500
# What a database can hold of a 64-bit integer with sign, and of text in a name.
Count = Annotated[int, Meta(ge=0, le=2**53)]
Priority = Annotated[int, Meta(ge=1, le=99)]
PageLimit = Annotated[int, Meta(ge=1, le=LARGEST_PAGE)]
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Slug = Annotated[str, Meta(pattern="^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
Identifier = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=True)]
Object = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root of what callers send."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what the server answers."""


class PageQuery(Asked, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: PageLimit = 100
    """Most items to answer."""
    cursor: str | None = None
    """`next` of the page before; without it the list begins."""


class Page(Shown, frozen=True, kw_only=True):
    """A part of a list."""

    next: str | None
    """Cursor of the following page; null on the last one."""
    total: int
    """Items in the whole list."""
    total_is_exact: bool
    """False: there are at least `total`."""
