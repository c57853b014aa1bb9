"""Removing folders that task code has filled: whatever their depth, whatever their permissions."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def remove_tree(root: Path) -> None:
    """Remove a folder and all that is in it, as far as that is possible; links are not followed.

    Folders are not descended into: a task makes them deeper than any recursion reaches. What lies
    in a folder of the root is moved up into the root, until there is nothing left.
    """
    with suppress(OSError):
        while folders := _remove_files(root):
            for folder in folders:
                _lift(folder, root)
        root.rmdir()


def _lift(folder: Path, root: Path) -> None:
    with suppress(FileNotFoundError):  # somebody else removes it, too
        for inner in _remove_files(folder):
            inner.rename(root / f".{os.urandom(8).hex()}")
        folder.rmdir()


def _remove_files(folder: Path) -> list[Path]:
    """Remove all but the folders in a folder; these."""
    folder.chmod(stat.S_IRWXU)
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)
    return folders
