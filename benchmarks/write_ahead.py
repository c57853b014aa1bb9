"""Counting commits of SQLite databases from outside, by reading their write-ahead logs."""

import struct
from pathlib import Path

import msgspec

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")


class _Generation(msgspec.Struct, frozen=True):
    """What a log holds between two restarts of it: its salts, and how many commits so far."""

    salts: tuple[int, int]
    commits: int


class CommitCounter:
    """Counts the commits of all databases under a folder since it was made.

    A log that was restarted between two looks loses what was committed since the first one, so look often.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._look()
        self._counted = 0

    def __call__(self) -> int:
        """Commits since the counter was made."""
        seen = self._look()
        for path, generation in seen.items():
            before = self._known.get(path)
            is_same = before is not None and before.salts == generation.salts
            self._counted += generation.commits - (before.commits if before and is_same else 0)
        self._known |= seen
        return self._counted

    def _look(self) -> dict[Path, _Generation]:
        found = {path: _generation(path) for path in self._folder.rglob("*-wal")}
        return {path: generation for path, generation in found.items() if generation is not None}


def _generation(path: Path) -> _Generation | None:
    """The log's valid frames: those that carry its header's salts; a commit's last frame names a size."""
    with path.open("rb") as log:
        head = log.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return None
        _magic, _format, page_size, _sequence, *salts = _HEADER.unpack(head)[:6]
        commits = 0
        while len(frame := log.read(_FRAME.size)) == _FRAME.size:
            _page, size_after_commit, *frame_salts = _FRAME.unpack(frame)[:4]
            if frame_salts != salts:
                break
            commits += bool(size_after_commit)
            log.seek(page_size, 1)
    return _Generation((salts[0], salts[1]), commits)
