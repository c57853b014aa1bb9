"""Writing a backup: under a passing name, flushed, and only then renamed."""

import fcntl
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec

from runyard.stores.backup_format import (
    CHECKSUM,
    MANIFEST,
    ROWS_HEAD,
    TAR,
    BackupNotFound,
    BackupUnderWay,
    BlobEntry,
    Manifest,
    Part,
    TableEntry,
    blob_name,
    forget_members,
    sha256,
)
from runyard.stores.blobs import flush_folder
from runyard.stores.transfer import PlaceTaken, Progress, Row, Source, Table, Tally, spoken

_PART_SIZE = 1024 * 1024
_PIECE = 1024 * 1024
_BLOBS_BETWEEN_WORDS = 1_000
_encode = msgspec.msgpack.Encoder().encode


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What only the caller of a backup knows."""

    release: str
    taken_at: datetime
    schemas: Mapping[str, int]
    takes_files: bool
    """Whether the small files of the data folder come along. They are keys to what is in it."""


class _Drawer(Protocol):
    """A place that takes members: a folder or a tar file."""

    def put(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a member of this many bytes."""

    def flush(self) -> None:
        """Have the disk take it all."""


class NewBackup:
    """A backup that is being written, in a passing folder beside its target."""

    def __init__(self, target: Path, passing: Path) -> None:
        self._target = target
        self._draft = passing / "backup"
        self.scratch = passing / "copies"
        """A folder with room for copies of databases."""
        self.scratch.mkdir(mode=0o700)

    def write(self, source: Source, origin: Origin, progress: Progress) -> Manifest:
        """Write all of it, flush it, give it its name; raises PlaceTaken when that was taken."""
        with self._drawer() as drawer:
            manifest = _write(drawer, source, origin, progress)
        _require_free(self._target)
        self._draft.rename(self._target)
        flush_folder(self._target.parent)
        return manifest

    @contextmanager
    def _drawer(self) -> Iterator[_Drawer]:
        if self._target.suffix == TAR:
            with _TarDrawer(self._draft) as tar:
                yield tar
        else:
            yield _FolderDrawer(self._draft)


@contextmanager
def new_backup(target: Path) -> Iterator[NewBackup]:
    """A backup to be written; what an earlier one left there unfinished is taken away.

    Raises PlaceTaken when there is something at the target already, and BackupUnderWay.
    """
    _require_free(target)
    passing = target.with_name(f".{target.name}.unfinished")
    passing.mkdir(mode=0o700, exist_ok=True)
    number = os.open(passing, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupUnderWay(f"another backup to {target} is being written") from None
        try:
            for path in passing.iterdir():
                _remove(path)
            yield NewBackup(target, passing)
        finally:
            shutil.rmtree(passing)
    finally:
        os.close(number)


def _require_free(target: Path) -> None:
    if not target.parent.is_dir():
        raise BackupNotFound(f"there is no folder {target.parent}")
    if target.exists():
        raise PlaceTaken(f"{target} exists already: a backup is never written over another")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


# ---------------------------------------------------------------- what is written


def _write(drawer: _Drawer, source: Source, origin: Origin, progress: Progress) -> Manifest:
    files = list(source.files())
    tables = tuple(_write_table(drawer, source, table, progress) for table in source.tables())
    manifest = Manifest(
        kind=source.kind,
        release=origin.release,
        taken_at=origin.taken_at,
        schemas=origin.schemas,
        incarnation=source.incarnation,
        tables=tables,
        blobs=_write_blobs(drawer, source, progress),
        files=tuple(
            _put(drawer, f"files/{name}", content, name)
            for name, content in files
            if origin.takes_files
        ),
        left_out=() if origin.takes_files else tuple(name for name, _ in files),
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    _put(drawer, MANIFEST, text)
    _put(drawer, CHECKSUM, f"{sha256(text)}  {MANIFEST}\n".encode())
    drawer.flush()
    return manifest


def _write_table(drawer: _Drawer, source: Source, table: Table, progress: Progress) -> TableEntry:
    tally = Tally()
    parts = []
    for number, (encoded, count) in enumerate(
        _parts(spoken(source.rows(table), table.name, progress)), 1
    ):
        tally.add(encoded, count)
        packed = zlib.compress(ROWS_HEAD + count.to_bytes(4, "big") + encoded, 1)
        parts.append(_put(drawer, f"tables/{table.name}/{number:06}.z", packed))
    progress(f"{table.name}: {tally.rows:,} rows")
    return TableEntry(
        name=table.name,
        columns=table.columns,
        primary=table.primary,
        rows=tally.rows,
        sha256=tally.checksum,
        parts=tuple(parts),
    )


def _parts(rows: Iterator[Row]) -> Iterator[tuple[bytes, int]]:
    """Encoded rows with their number, about a part's size at a time."""
    buffer, count = bytearray(), 0
    for row in rows:
        buffer += _encode(row)
        count += 1
        if len(buffer) >= _PART_SIZE:
            yield bytes(buffer), count
            buffer, count = bytearray(), 0
    if count:
        yield bytes(buffer), count


def _write_blobs(drawer: _Drawer, source: Source, progress: Progress) -> BlobEntry:
    count = size = 0
    digests = hashlib.sha256()
    missing = []
    for blob in source.blobs():
        if blob.file is None:
            missing.append(blob.digest)
            continue
        drawer.put(blob_name(blob.digest), blob.file, blob.size)
        digests.update(blob.digest.encode())
        count, size = count + 1, size + blob.size
        if count % _BLOBS_BETWEEN_WORDS == 0:
            progress(f"blobs: {count:,}")
    progress(f"blobs: {count:,}, {size:,} bytes")
    return BlobEntry(count=count, size=size, sha256=digests.hexdigest(), missing=tuple(missing))


def _put(drawer: _Drawer, name: str, content: bytes, short: str = "") -> Part:
    drawer.put(name, io.BytesIO(content), len(content))
    return Part(short or name, len(content), sha256(content))


# ---------------------------------------------------------------- where it is written


class _FolderDrawer:
    """Members as files of a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(mode=0o700)

    def put(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a member."""
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            shutil.copyfileobj(content, file, _PIECE)
            file.flush()
            os.fsync(file.fileno())

    def flush(self) -> None:
        """Have the disk take the names, too."""
        for folder, _, _ in os.walk(self._path):
            flush_folder(Path(folder))


class _TarDrawer:
    """Members one behind the other in a tar file."""

    def __init__(self, path: Path) -> None:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(number, "w+b")
        self._tar = tarfile.open(fileobj=self._file, mode="w")  # noqa: SIM115 - see __exit__

    def __enter__(self) -> "_TarDrawer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a member."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, content)
        forget_members(self._tar)

    def flush(self) -> None:
        """Write the end, have the disk take it all."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
