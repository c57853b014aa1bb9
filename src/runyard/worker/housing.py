"""The folder of a worker: whose it is, and what of it may go."""

import fcntl
import os
from collections.abc import Collection
from pathlib import Path

ASIDE = ".removed-"


class FolderTaken(Exception):
    """Another worker keeps its things in this folder."""


class FolderLock:
    """Keeps other workers out of a folder for as long as this process lives, or until `release`."""

    def __init__(self, folder: Path) -> None:
        """Raises FolderTaken."""
        self._number = os.open(folder / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._number)
            raise FolderTaken(
                f"another worker keeps its bundles and environments in {folder}: "
                "give each one a folder of its own"
            ) from None

    def release(self) -> None:
        """Let others in."""
        os.close(self._number)


def set_aside(folder: Path, used: Collection[str], spare: int) -> list[Path]:
    """Take the entries that were not used for longest out of a folder, but for these and for some to
    spare; where they stand now. From here on nobody finds them, however long their removal takes.
    """
    unused = [
        entry
        for entry in os.scandir(folder)
        if entry.name not in used and not entry.name.startswith(".")
    ]
    unused.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    aside = [folder / f"{ASIDE}{os.urandom(8).hex()}" for _ in unused[spare:]]
    for entry, target in zip(unused[spare:], aside, strict=True):
        os.rename(entry.path, target)
    return aside
