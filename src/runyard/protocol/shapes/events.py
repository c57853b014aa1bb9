"""What a stream of events says, besides whole runs."""

from runyard.protocol.shapes.logs import LogLine
from runyard.protocol.shapes.parts import Shown


class RunLines(Shown, frozen=True, kw_only=True):
    """New lines of a run's log."""

    run_id: int
    lines: tuple[LogLine, ...]


class RunProgressed(Shown, frozen=True, kw_only=True):
    """A run came further."""

    run_id: int
    done: float
    total: float | None


class Resync(Shown, frozen=True, kw_only=True):
    """Events were left out: read what matters again, then watch again."""
