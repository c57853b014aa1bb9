"""Reading a backup: added up first, believed afterwards."""

import contextlib
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from runyard.stores.backup_format import (
    CHECKSUM,
    FORMAT,
    MANIFEST,
    ROWS_HEAD,
    BackupDamaged,
    BackupIncomplete,
    BackupNotFound,
    Manifest,
    Part,
    TableEntry,
    forget_members,
    sha256,
)
from runyard.stores.folder import digest_of
from runyard.stores.migrations import SchemaTooNew
from runyard.stores.transfer import Blob, Progress, Row, Table, Tally

_HEAD = len(ROWS_HEAD) + 4
_LARGEST_MANIFEST = 256 * 1024 * 1024
_FILE_NAME = re.compile(r"[\w-][\w.-]{0,200}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_decode_rows = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


class _Shelf(Protocol):
    """A place that members are read from."""

    def read(self, name: str, limit: int) -> bytes:
        """A small member; raises BackupDamaged when it is not there or larger."""

    def blobs(self) -> Iterator[Blob]:
        """All blobs, in the order in which they were written."""

    def has(self, name: str) -> bool:
        """Whether there is such a member."""


class BackupSource:
    """A backup, to be read like a database."""

    def __init__(self, shelf: _Shelf, manifest: Manifest) -> None:
        self._shelf = shelf
        self.manifest = manifest
        self.kind = manifest.kind
        self._entries = {entry.name: entry for entry in manifest.tables}

    @property
    def incarnation(self) -> int:
        """That of the original."""
        return self.manifest.incarnation

    def tables(self) -> Sequence[Table]:
        """Everything that was taken."""
        return [entry.table for entry in self.manifest.tables]

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows of a table, as they were."""
        for encoded, _ in self._parts(self._entries[table.name]):
            yield from _decode_rows(encoded)

    def blobs(self) -> Iterator[Blob]:
        """All blobs, those that were missing among them."""
        yield from self._shelf.blobs()
        yield from (Blob(digest, 0, None) for digest in self.manifest.blobs.missing)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Small files of the data folder."""
        for entry in self.manifest.files:
            if _FILE_NAME.fullmatch(entry.name) is None:
                raise BackupDamaged(f"{entry.name!r} is no name of a file")
            yield entry.name, self._member(entry, f"files/{entry.name}")

    def verify(self, progress: Progress) -> None:
        """Add up everything; raises BackupDamaged unless all of it is what the manifest says."""
        for entry in self.manifest.tables:
            tally = Tally()
            for encoded, count in self._parts(entry):
                tally.add(memoryview(encoded)[_HEAD:], count)
            if (tally.rows, tally.checksum) != (entry.rows, entry.sha256):
                raise BackupDamaged(f"table {entry.name} is not what the manifest says")
        for _ in self.files():
            pass
        self._verify_blobs()
        progress("every checksum of the backup is right")

    def _verify_blobs(self) -> None:
        count = size = 0
        digests = hashlib.sha256()
        for blob in self._shelf.blobs():
            if blob.file is None or digest_of(blob.file) != blob.digest:
                raise BackupDamaged(f"the blob {blob.digest} has other bytes than its name says")
            digests.update(blob.digest.encode())
            count, size = count + 1, size + blob.size
        expected = self.manifest.blobs
        if (count, size, digests.hexdigest()) != (expected.count, expected.size, expected.sha256):
            raise BackupDamaged(
                f"{count} blobs with {size} bytes are there, "
                f"the manifest names {expected.count} with {expected.size}"
            )

    def _parts(self, entry: TableEntry) -> Iterator[tuple[bytes, int]]:
        """The rows of a table in arrays, each with its number of rows."""
        for part in entry.parts:
            try:
                encoded = zlib.decompress(self._member(part, part.name))
            except zlib.error as problem:
                raise BackupDamaged(f"{part.name} cannot be unpacked") from problem
            yield encoded, int.from_bytes(encoded[1:_HEAD], "big")

    def _member(self, entry: Part, name: str) -> bytes:
        content = self._shelf.read(name, entry.size)
        if len(content) != entry.size or sha256(content) != entry.sha256:
            raise BackupDamaged(f"{name} is not what the manifest says")
        return content


@contextmanager
def opened_backup(place: Path) -> Iterator[BackupSource]:
    """A backup; raises BackupNotFound, BackupIncomplete or BackupDamaged when it cannot be one."""
    with contextlib.ExitStack() as opened:
        shelf: _Shelf
        if place.is_dir():
            shelf = _FolderShelf(place)
        elif place.is_file():
            shelf = opened.enter_context(_opened_tar(place))
        else:
            raise BackupNotFound(f"there is no backup at {place}")
        yield BackupSource(shelf, _manifest_of(shelf, place))


def _manifest_of(shelf: _Shelf, place: Path) -> Manifest:
    if not (shelf.has(MANIFEST) and shelf.has(CHECKSUM)):
        raise BackupIncomplete(
            f"{place} is no complete backup: its {MANIFEST}, which is written last, is missing"
        )
    text = shelf.read(MANIFEST, _LARGEST_MANIFEST)
    if shelf.read(CHECKSUM, 1000).split()[:1] != [sha256(text).encode()]:
        raise BackupDamaged(f"the manifest of {place} is not what its checksum says")
    number = msgspec.json.decode(text).get("format")
    if number != FORMAT:
        raise SchemaTooNew(
            f"{place} has format {number}, this release reads {FORMAT}: use the release that wrote "
            "it, or a newer one"
        )
    return msgspec.json.decode(text, type=Manifest)


class _FolderShelf:
    """Members as files of a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return (self._path / name).is_file()

    def read(self, name: str, limit: int) -> bytes:
        """A small member."""
        try:
            with (self._path / name).open("rb") as file:
                return _read_up_to(file, name, limit)
        except FileNotFoundError:
            raise BackupDamaged(f"{name} is missing") from None

    def blobs(self) -> Iterator[Blob]:
        """All blobs, by digest."""
        for folder in sorted((self._path / "blobs").glob("??")):
            for path in sorted(folder.iterdir()):
                with path.open("rb") as file:
                    yield Blob(_digest_in(path.name), os.fstat(file.fileno()).st_size, file)


class _TarShelf:
    """Members of a tar file. Where each begins is remembered, but for the blobs."""

    def __init__(self, tar: tarfile.TarFile, path: Path) -> None:
        self._path = path
        self._members = {
            member.name: member for member in _walked(tar) if not member.name.startswith("blobs/")
        }
        self._tar = tar

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._members

    def read(self, name: str, limit: int) -> bytes:
        """A small member."""
        if name not in self._members:
            raise BackupDamaged(f"{name} is missing")
        with _extracted(self._tar, self._members[name]) as file:
            return _read_up_to(file, name, limit)

    def blobs(self) -> Iterator[Blob]:
        """All blobs, in the order in which they were written."""
        with _opened(self._path) as tar:
            for member in _walked(tar):
                if member.name.startswith("blobs/"):
                    with _extracted(tar, member) as file:
                        yield Blob(_digest_in(member.name.rpartition("/")[2]), member.size, file)


@contextmanager
def _opened_tar(path: Path) -> Iterator[_TarShelf]:
    with _opened(path) as tar:
        yield _TarShelf(tar, path)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except tarfile.TarError as problem:
        raise BackupDamaged(f"{path} is no tar file, or not a whole one: {problem}") from problem
    with tar:
        yield tar


def _walked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one after the other, none of them remembered."""
    try:
        while (member := tar.next()) is not None:
            forget_members(tar)
            yield member
    except tarfile.TarError as problem:
        raise BackupDamaged(f"the tar file is not whole: {problem}") from problem


def _extracted(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise BackupDamaged(f"{member.name} is no file")
    return file


def _digest_in(name: str) -> str:
    if _DIGEST.fullmatch(name) is None:
        raise BackupDamaged(f"{name!r} among the blobs is no digest")
    return name


def _read_up_to(file: IO[bytes], name: str, limit: int) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise BackupDamaged(f"{name} is longer than the manifest says")
    return content
