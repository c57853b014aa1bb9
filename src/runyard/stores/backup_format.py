"""The format of a backup: a folder, or the same as one tar file (when its name ends in `.tar`).

    tables/<table>/000001.z   rows, about a mebibyte of them, compressed
    blobs/<ab>/<digest>       a blob by its SHA-256, in the order of the digests
    files/<name>              a small file of the data folder, if these were to come along
    manifest.json             what there is, with counts and SHA-256 checksums (`Manifest`)
    manifest.sha256           the checksum of the manifest itself, as `sha256sum -c` reads it

A part of a table is, before compression, one msgpack array of rows; each row is an array of whole
numbers, numbers, texts, bytes and nulls in the order of the manifest's columns. Nothing in it says
which database it came from, so that it can be restored to either.

The manifest is written last, then everything is flushed, and only then the backup gets its name: a
backup that broke off has none (it stands in `.<name>.unfinished`, taken away by the next one). Reading starts by
adding up everything that the manifest names (`verify`), before anything is believed.
"""

import hashlib
import tarfile
from collections.abc import Mapping
from datetime import datetime

import msgspec

from runyard.model.errors import Conflict, NotFound, RunyardError
from runyard.stores.transfer import Carried, Column, Table

FORMAT = 1
MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
TAR = ".tar"

ROWS_HEAD = b"\xdd"
"""How a msgpack array begins; four bytes with its length follow."""


class BackupNotFound(NotFound):
    """There is no backup here."""


class BackupIncomplete(RunyardError):
    """The backup has no manifest: it was never finished, or its end is missing."""


class BackupDamaged(RunyardError):
    """The backup is not what its checksums say."""


class BackupUnderWay(Conflict):
    """Another backup to the same place is under way."""


class Part(msgspec.Struct, frozen=True):
    """Some rows of a table."""

    name: str
    size: int
    sha256: str


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A table and its rows."""

    name: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    rows: int
    sha256: str
    """Of all rows, one behind the other."""
    parts: tuple[Part, ...]

    @property
    def table(self) -> Table:
        """The table by itself."""
        return Table(name=self.name, columns=self.columns, primary=self.primary)


class BlobEntry(msgspec.Struct, frozen=True, kw_only=True):
    """All blobs together; each is named for its own checksum."""

    count: int
    size: int
    sha256: str
    """Of all digests, one behind the other."""
    missing: tuple[str, ...] = ()
    """Digests that rows name, but whose blobs were not there to be taken."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int = FORMAT
    kind: str
    """Which database the rows come from: sqlite or postgres."""
    release: str
    """The release of Runyard that wrote it."""
    taken_at: datetime
    """Everything that was acknowledged before this instant is in it."""
    schemas: Mapping[str, int]
    """How many migrations that release knows, for each sequence of them."""
    incarnation: int
    tables: tuple[TableEntry, ...]
    blobs: BlobEntry
    files: tuple[Part, ...] = ()
    left_out: tuple[str, ...] = ()
    """Small files of the data folder that were not to come along."""

    @property
    def carried(self) -> Carried:
        """What it holds, in short."""
        return Carried(
            tables={entry.name: entry.rows for entry in self.tables},
            blobs=self.blobs.count,
            blob_bytes=self.blobs.size,
            missing_blobs=self.blobs.missing,
            files=tuple(entry.name for entry in self.files),
        )


def blob_name(digest: str) -> str:
    """Where a blob stands in a backup."""
    return f"blobs/{digest[:2]}/{digest}"


def sha256(content: bytes) -> str:
    """The checksum of some bytes."""
    return hashlib.sha256(content).hexdigest()


def forget_members(tar: tarfile.TarFile) -> None:
    """It remembers each member that it meets, and there may be a million."""
    vars(tar)["members"].clear()
