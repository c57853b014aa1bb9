"""Packs task code into the archive that is deployed. The same files make the same bytes."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runyard.model.errors import Refused

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "venv", "env", "build", "dist", "htmlcov"}
)
SKIPPED_ENDINGS = (".pyc", ".pyo", ".swp", "~")
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first instant that a zip can say."""
REGULAR_FILE = 0o100644 << 16


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle, ready to be sent."""

    name: str
    """The bundle's name unless its sender chooses another."""
    content: bytes
    files: tuple[str, ...]


def pack(path: Path) -> Archive:
    """Packs one Python file, or a folder with everything in it that belongs to the code.

    Left out: what starts with a dot (version control, virtual environments, caches of tools),
    compiled Python, and folders that are made by a build. Links are not followed. Raises Refused
    when nothing is left.
    """
    if not path.exists():
        raise Refused(f"There is nothing at {path}.")
    root, files = (path.parent, [path]) if path.is_file() else (path, sorted(_files(path)))
    if not files:
        raise Refused(f"{path} holds no files that could be deployed.")
    names = tuple(file.relative_to(root).as_posix() for file in files)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in zip(names, files, strict=True):
            archive.writestr(_entry(name), file.read_bytes())
    bundle_name = path.stem if path.is_file() else path.resolve().name
    return Archive(name=bundle_name, content=content.getvalue(), files=names)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or _is_skipped(path):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _is_skipped(path: Path) -> bool:
    name = path.name
    if name.startswith(".") or name.endswith(SKIPPED_ENDINGS):
        return True
    if not path.is_dir():
        return False
    return name in SKIPPED_FOLDERS or name.endswith(".egg-info") or (path / "pyvenv.cfg").exists()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = REGULAR_FILE
    return entry
