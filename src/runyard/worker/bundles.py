"""Unpacking bundles: whatever the archive says, nothing is written outside its folder."""

import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

MOST_FILES = 20_000
MOST_BYTES = 1024 * 1024 * 1024
LARGEST_RATIO = 200
"""A file that unpacks to more than this many times its packed size (beyond the first MiB) is a
trap."""
FREE_SIZE = 1024 * 1024
COPY_SIZE = 256 * 1024


class BundleRefused(Exception):
    """The archive is broken or not harmless; the message says where."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a bundle into a new, read-only folder, which appears complete or not at all."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack_all(opened, unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleRefused(f"not a readable zip archive: {error}") from error
    except FileExistsError:
        return
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unpack_all(opened: zipfile.ZipFile, folder: Path) -> None:
    entries = opened.infolist()
    if len(entries) > MOST_FILES:
        raise BundleRefused(f"{len(entries)} files; at most {MOST_FILES} are allowed")
    left = MOST_BYTES
    for entry in entries:
        path = folder / _safe_path(entry)
        if entry.is_dir():
            path.mkdir(0o755, parents=True, exist_ok=True)
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
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if unsafe or not path.parts or max(len(os.fsencode(part)) for part in path.parts) > 255:
        raise BundleRefused(f"{name!r} is not a path inside the bundle")
    return path
