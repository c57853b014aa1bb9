"""Unpacking bundles: whatever the archive says, nothing is written outside its folder."""

import os
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from runyard.worker.removal import remove_tree

MOST_FILES = 20_000
MOST_BYTES = 1024 * 1024 * 1024
LARGEST_RATIO = 200
"""A file that unpacks to more than this many times its packed size (beyond the first MiB) is a
trap."""
DEEPEST = 50
"""Folders in each other."""
MOST_BYTES_OF_NAME = 512
"""Bytes of the archive's list for each file, on average."""
FREE_SIZE = 1024 * 1024
COPY_SIZE = 256 * 1024

_END = struct.Struct("<4s8xI6x")
"""The end of an archive; the number is the size of its list of files."""
_END_MARK = b"PK\5\6"
_LARGE_MARK = b"PK\6\7"
"""Stands before the end of archives beyond 4 GiB, which say their sizes elsewhere."""
_TAIL_SIZE = 22 + 65_535 + 20


_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
)
"""What the reading of a damaged archive raises; names that are no text are a ValueError."""


class BundleRefused(Exception):
    """The archive is broken or not harmless; the message says where."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a bundle into a new, read-only folder, which appears complete or not at all."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        _refuse_long_directory(archive)
        with zipfile.ZipFile(archive) as opened:
            _unpack_all(opened, unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except _UNREADABLE as error:
        raise BundleRefused(f"not a readable zip archive: {error}") from error
    except FileExistsError:
        return
    finally:
        remove_tree(unfinished)


def _refuse_long_directory(archive: Path) -> None:
    """Refuse an archive whose list of files would itself fill the memory: it is read at once."""
    with open(archive, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_SIZE))
        tail = file.read()
    end = tail.rfind(_END_MARK)
    if end < 0 or len(tail) < end + _END.size:
        raise BundleRefused("not a readable zip archive: its end is missing")
    _, length = _END.unpack_from(tail, end)
    if _LARGE_MARK in tail or length > MOST_FILES * MOST_BYTES_OF_NAME:
        raise BundleRefused(f"its list of files is too long; at most {MOST_FILES} are allowed")


def _unpack_all(opened: zipfile.ZipFile, folder: Path) -> None:
    entries = opened.infolist()
    if len(entries) > MOST_FILES:
        raise BundleRefused(f"{len(entries)} files; at most {MOST_FILES} are allowed")
    left = MOST_BYTES
    for entry in entries:
        path = folder / _safe_path(entry)
        if entry.is_dir():
            _make_folders(path)
            continue
        _make_folders(path.parent)
        left -= _unpack_one(opened, entry, path, left)


def _unpack_one(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, left: int) -> int:
    allowed = min(left, entry.compress_size * LARGEST_RATIO + FREE_SIZE)
    written = 0
    try:
        with opened.open(entry) as source, open(path, "xb") as target:
            while data := source.read(COPY_SIZE):
                written += len(data)
                if written > allowed:
                    raise BundleRefused(f"{entry.filename} unpacks to too much")
                target.write(data)
    except FileExistsError:
        raise BundleRefused(f"{entry.filename} is there twice") from None
    path.chmod(0o755 if (entry.external_attr >> 16) & stat.S_IXUSR else 0o644)
    return written


def _make_folders(folder: Path) -> None:
    try:
        folder.mkdir(0o755, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BundleRefused(f"{folder.name} is both a file and a folder") from None


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BundleRefused(f"{name} is a link or a device; only files and folders are allowed")
    path = PurePosixPath(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleRefused(f"{name} is compressed in a way that is not read here")
    if len(path.parts) > DEEPEST:
        raise BundleRefused(f"{name[:100]}... lies deeper than {DEEPEST} folders")
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if unsafe or not path.parts or max(len(os.fsencode(part)) for part in path.parts) > 255:
        raise BundleRefused(f"{name!r} is not a path inside the bundle")
    return path
