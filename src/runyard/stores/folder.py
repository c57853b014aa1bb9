"""A data folder as something that is carried: its blobs, and the small files beside the database.

Which small files these are is not listed: whatever stands there and is neither the database nor of
the moment (`PASSING`) belongs to the installation, a token or a key, say.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from runyard.stores.blobs import LocalBlobWriter, blob_path, flush_folder, prepare_blobs
from runyard.stores.transfer import Blob, CopiesDiffer, PlaceTaken

RESTORING = "restoring"
"""Says that the folder is being filled: no server opens it, and filling it again starts over."""
MOVED = "moved"
"""Says where the database of this folder went: no server opens it any more."""
PASSING = frozenset({"address", "server.lock", RESTORING, MOVED})
"""Files that belong to the moment, not to the installation."""
ALWAYS_THERE = frozenset({"lost+found", "server.lock"})
"""What an empty place may hold."""
DATABASES = ("runyard.db", "logs.db")
BLOBS = "blobs"

LARGEST_FILE = 1024 * 1024
_PART = 1024 * 1024


class DataFolder:
    """The part of a data folder that is no database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._blobs = path / BLOBS
        self._written: list[Path] = []

    # ------------------------------------------------------------ reading

    def blobs(self, digests: Iterable[str]) -> Iterator[Blob]:
        """These blobs, in this order; one with other bytes than its name says is as good as gone."""
        for digest in digests:
            try:
                file = self._blob_path(digest).open("rb")
            except FileNotFoundError:
                yield Blob(digest, 0, None)
                continue
            with file:
                if digest_of(file) != digest:
                    yield Blob(digest, 0, None)
                    continue
                size = file.tell()
                file.seek(0)
                yield Blob(digest, size, file)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Small files beside the database, by name."""
        for path in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if is_carried(path.name) and path.is_file() and path.stat().st_size <= LARGEST_FILE:
                yield path.name, path.read_bytes()

    # ------------------------------------------------------------ writing

    def has_blob(self, digest: str) -> bool:
        """Whether it is in place."""
        return self._blob_path(digest).exists()

    def put_blob(self, digest: str, file: IO[bytes]) -> None:
        """Keep a blob durably; raises CopiesDiffer when these are not its bytes."""
        prepare_blobs(self._blobs)
        writer = LocalBlobWriter(self._blobs)
        try:
            while part := file.read(_PART):
                writer.take(part)
            if writer.digest != digest:
                raise CopiesDiffer(f"the blob {digest} has other bytes than its name says")
            writer.keep()
        except BaseException:
            writer.forget()
            raise

    def put_file(self, name: str, content: bytes) -> None:
        """Keep a small file, for its owner alone; raises PlaceTaken when another one is there."""
        path = self.path / name
        if path.exists():
            if path.read_bytes() == content:
                return
            raise PlaceTaken(f"{path} is there already, and says something else")
        write_durably(path, content)
        self._written.append(path)

    def forget_files(self) -> None:
        """Take the small files away that were written here."""
        for path in self._written:
            path.unlink(missing_ok=True)

    def _blob_path(self, digest: str) -> Path:
        return blob_path(self._blobs, digest)


def digest_of(file: IO[bytes]) -> str:
    """The digest of the rest of a file."""
    digest = hashlib.sha256()
    while part := file.read(_PART):
        digest.update(part)
    return digest.hexdigest()


def is_carried(name: str) -> bool:
    """Whether a file of this name belongs to the installation, and is not its database."""
    return not name.startswith(".") and name not in PASSING and not name.startswith(DATABASES)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file for its owner alone; nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    flush_folder(path.parent)


def flush_file(path: Path) -> None:
    """Have the disk take what was written to a file."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
