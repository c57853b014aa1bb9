"""The source tree as the tests of its shape see it."""

import ast
import subprocess
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "runyard"


def modules(package: str = "") -> list[Path]:
    """The modules of a package of Runyard (all of them by default), by path."""
    return sorted((SOURCE / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(), filename=str(path))


def relative(path: Path) -> str:
    """A path as people name it in this repository."""
    return str(path.relative_to(REPOSITORY)) if path.is_absolute() else str(path)


def repository_files() -> list[Path]:
    """Everything that belongs to the repository: what git knows, and what it would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    paths = (REPOSITORY / name for name in sorted(set(listed.stdout.split("\0"))) if name)
    return [path for path in paths if path.is_file()]
