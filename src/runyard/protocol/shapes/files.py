"""Stored files."""

from datetime import datetime

from runyard.protocol.shapes.parts import Asked, Name, Page, Shown


class FileQuery(Asked, frozen=True, kw_only=True):
    """What an upload is called."""

    name: Name | None = None
    """The file's name, for a raw body; a multipart part brings its own."""


class File(Shown, frozen=True, kw_only=True):
    """A stored file."""

    id: int
    run_id: int | None
    """The run that returned it; null for an upload."""
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256, hex."""
    created_at: datetime


class FilePage(Page, frozen=True, kw_only=True):
    """Files."""

    items: tuple[File, ...]
