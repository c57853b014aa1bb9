"""The part of the Store contract that is about blobs: what is too large for a row."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol


class BlobWriter(Protocol):
    """A blob being written. Nothing is visible before `commit`."""

    async def write(self, data: bytes) -> None:
        """The next bytes."""

    async def commit(self) -> tuple[str, int]:
        """Make it durable; its digest (SHA-256, hex) and size."""

    async def abort(self) -> None:
        """Forget it."""


class Blobs(Protocol):
    """Large values and files by the SHA-256 of their bytes."""

    async def create(self) -> BlobWriter:
        """Begin a blob."""

    async def put(self, data: bytes) -> str:
        """Keep these bytes durably; their digest."""

    async def size(self, digest: str) -> int | None:
        """Bytes; None when there is no such blob."""

    async def load(self, digest: str) -> bytes | None:
        """All bytes of a small blob."""

    def read(self, digest: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes in parts."""

    async def prune(self, older_than: datetime, in_use: set[str]) -> int:
        """Delete blobs last touched before then that nobody names; how many."""
