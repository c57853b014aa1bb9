"""What runs log."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from runyard.protocol.shapes.parts import LARGEST_PAGE, Asked, Count, Shown

LARGEST_LOG_PAGE = 1_000


class LogQuery(Asked, frozen=True, kw_only=True):
    """Which lines."""

    level: Annotated[str, Meta(pattern="^(trace|debug|info|warning|error|fatal)$")] = "trace"
    """The lowest level that is answered."""
    after: Count = 0
    """Number of the last line already known."""
    limit: Annotated[int, Meta(ge=1, le=LARGEST_LOG_PAGE)] = LARGEST_PAGE


class LogLine(Shown, frozen=True, kw_only=True):
    """One line of a run's log."""

    number: int
    at: datetime
    level: str
    """trace, debug, info, warning, error or fatal."""
    text: str
    attempt: int


class LogPage(Shown, frozen=True, kw_only=True):
    """Lines in order."""

    lines: tuple[LogLine, ...]
    next_after: int
    """`after` of the next page."""
    dropped: int
    """Lines left out because the run logged more than is kept."""
