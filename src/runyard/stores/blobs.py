"""Large values and files in a local folder, by the SHA-256 of their bytes.

A blob is written to a temporary file, flushed, renamed to its digest, and the folder is flushed:
when `commit` returns, it is there for good. Blobs are written before the rows that name them, so a
row never names a blob that is not there; blobs that no row names are pruned when they are old.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

_PART_SIZE = 256 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = "unfinished"
PRUNED_AT_ONCE = 500
"""Blobs of which it is looked up in one query whether anything names them."""

InUse = Callable[[list[str]], Awaitable[Collection[str]]]
"""Which of these digests anything still names."""


class LocalBlobs:
    """Blobs as files, in folders named after the first two digits of their digest."""

    def __init__(self, folder: Path, in_use: InUse) -> None:
        self._folder = folder
        self._in_use = in_use
        prepare_blobs(folder)

    async def create(self) -> "LocalBlobWriter":
        """Begin a blob."""
        return await asyncio.to_thread(LocalBlobWriter, self._folder)

    async def put(self, data: bytes) -> str:
        """Keep these bytes durably; their digest."""
        return await asyncio.to_thread(self._put, data)

    def _put(self, data: bytes) -> str:
        writer = LocalBlobWriter(self._folder)
        try:
            writer.take(data)
            digest, _ = writer.keep()
        except OSError:
            writer.forget()
            raise
        return digest

    async def size(self, digest: str) -> int | None:
        """Bytes; None when there is no such blob."""
        return await asyncio.to_thread(self._size, digest)

    def _size(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except (FileNotFoundError, ValueError):
            return None

    async def load(self, digest: str) -> bytes | None:
        """All bytes of a small blob."""
        return await asyncio.to_thread(self._load, digest)

    def _load(self, digest: str) -> bytes | None:
        try:
            return self._path(digest).read_bytes()
        except (FileNotFoundError, ValueError):
            return None

    async def read(
        self, digest: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Its bytes in parts; FileNotFoundError when there is no such blob."""
        with await asyncio.to_thread(_open_at, self._path(digest), offset) as file:
            left = length
            while left is None or left > 0:
                wanted = _PART_SIZE if left is None else min(_PART_SIZE, left)
                part = await asyncio.to_thread(file.read, wanted)
                if not part:
                    return
                if left is not None:
                    left -= len(part)
                yield part

    async def prune(self, older_than: datetime, in_use: set[str]) -> int:
        """Delete blobs last touched before then that nobody names; how many."""
        before = older_than.timestamp()
        old = await asyncio.to_thread(self._old, before)
        deleted = 0
        for start in range(0, len(old), PRUNED_AT_ONCE):
            digests = old[start : start + PRUNED_AT_ONCE]
            unnamed = await self._unnamed(digests, in_use)
            deleted += await asyncio.to_thread(self._delete, unnamed, before)
        return deleted

    async def _unnamed(self, digests: list[str], in_use: set[str]) -> list[str]:
        """Those that nobody names."""
        named = in_use.union(await self._in_use(digests))
        return [digest for digest in digests if digest not in named]

    def _old(self, before: float) -> list[str]:
        for path in (self._folder / _UNFINISHED).iterdir():
            if _is_older(path, before):
                path.unlink(missing_ok=True)
        return [path.name for path in self._blobs() if _is_older(path, before)]

    def _blobs(self) -> Iterator[Path]:
        for folder in self._folder.iterdir():
            if folder.name != _UNFINISHED:
                yield from folder.iterdir()

    def _delete(self, digests: list[str], before: float) -> int:
        deleted = 0
        for digest in digests:
            path = self._path(digest)
            # Put again since it was listed: whoever did that is about to name it.
            if _is_older(path, before):
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _path(self, digest: str) -> Path:
        return blob_path(self._folder, digest)


def _is_older(path: Path, before: float) -> bool:
    """Whether a file was last touched before then; not if it is gone, as others look as well."""
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


class LocalBlobWriter:
    """A blob being written. Nothing is visible before `commit`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        number, name = tempfile.mkstemp(dir=folder / _UNFINISHED)
        self._file: BinaryIO = os.fdopen(number, "wb")
        self._path = Path(name)
        self._hash = hashlib.sha256()
        self._size = 0

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        await asyncio.to_thread(self.take, data)

    async def commit(self) -> tuple[str, int]:
        """Make it durable; its digest and size."""
        return await asyncio.to_thread(self.keep)

    async def abort(self) -> None:
        """Forget it."""
        await asyncio.to_thread(self.forget)

    @property
    def digest(self) -> str:
        """The digest of what it has taken so far."""
        return self._hash.hexdigest()

    def take(self, data: bytes) -> None:
        """The next bytes, blocking."""
        self._hash.update(data)
        self._size += len(data)
        self._file.write(data)

    def keep(self) -> tuple[str, int]:
        """Make it durable, blocking."""
        digest = self.digest
        target = blob_path(self._folder, digest)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            flush_folder(self._folder)
        # The same bytes may be there already: then this only makes them young again, which keeps
        # them from being pruned before a row names them.
        self._path.replace(target)
        flush_folder(target.parent)
        return digest, self._size

    def forget(self) -> None:
        """Forget it, blocking."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


def blob_path(folder: Path, digest: str) -> Path:
    """Where a blob stands; ValueError for what is no digest."""
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError("not a digest")
    return folder / digest[:2] / digest


def _open_at(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return file


def prepare_blobs(folder: Path) -> None:
    """Make a folder ready to take blobs."""
    (folder / _UNFINISHED).mkdir(parents=True, exist_ok=True)


def flush_folder(folder: Path) -> None:
    """Have the disk take what was made, renamed or removed in a folder."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
