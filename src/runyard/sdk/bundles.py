"""The files of an unpacked bundle: which of them are code, and under which names it is imported.

A bundle is a folder of Python files and whatever they read. Modules are named by where they stand:
`tasks/zip.py` is `tasks.zip`. Where there is a folder `src`, names begin inside it. Left aside are
hidden files, virtual environments, tests (`tests/`, `test_*.py`, `*_test.py`, `conftest.py`),
`setup.py` and `__main__.py`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runyard.model.errors import CodeRefused

SOURCE_FOLDER = "src"
_LEFT_ASIDE = {"tests", "test", "__pycache__", "node_modules", "venv", "env", "build", "dist"}
_NO_MODULE = re.compile(r"(?:test_.*|.*_test|conftest|setup|noxfile|__main__)\.py")
_FOR_PEOPLE = re.compile(r"(?:readme|license|licence|changelog|notice)(?:\..*)?", re.IGNORECASE)


class Source(NamedTuple):
    """A Python file of a bundle."""

    path: Path
    shown: str
    """Where it stands inside the bundle; for people."""
    module: str
    """Its dotted name."""

    @property
    def is_package(self) -> bool:
        """Whether it is what a package executes when it is imported."""
        return self.path.name == "__init__.py"


def import_roots(folder: Path) -> tuple[Path, ...]:
    """Where the bundle's modules are imported from, first to last."""
    source = folder / SOURCE_FOLDER
    is_layout = source.is_dir() and not (source / "__init__.py").exists()
    return (source, folder) if is_layout else (folder,)


def extend_path(folder: Path) -> None:
    """Let this process import the modules of the unpacked bundle."""
    for root in reversed(import_roots(folder)):
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))


def sources(folder: Path) -> list[Source]:
    """The bundle's modules, by path; raises CodeRefused for a name that cannot be imported."""
    return [_source(folder, path) for path in files(folder) if is_module(path)]


def files(folder: Path) -> Iterator[Path]:
    """All files that belong to the bundle's code, in a fixed order."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            if path.name not in _LEFT_ASIDE and not (path / "pyvenv.cfg").exists():
                yield from files(path)
        elif not _FOR_PEOPLE.fullmatch(path.name) and path.suffix != ".pyc":
            yield path


def is_module(path: Path) -> bool:
    """Whether this file is imported to look for tasks."""
    return path.suffix == ".py" and not _NO_MODULE.fullmatch(path.name)


def _source(folder: Path, path: Path) -> Source:
    shown = path.relative_to(folder).as_posix()
    root = next(root for root in import_roots(folder) if path.is_relative_to(root))
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    for part in parts:
        if "." in part:
            reason = f"{part!r} cannot be part of a module's name; rename it without the dot"
            raise CodeRefused(reason, file=shown)
    return Source(path, shown, ".".join(parts))
