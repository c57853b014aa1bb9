"""The part of the Store contract that is about what runs log."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLevel, LogLine


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive lines of one run."""

    company_id: CompanyId
    run_id: RunId
    lines: tuple[LogLine, ...]
    dropped: int = 0


class Logs(Protocol):
    """Log lines (relaxed: outside R1)."""

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep lines, in order per run."""

    async def read(
        self, company: CompanyId, run: RunId, *, at_least: LogLevel, after: int, limit: int
    ) -> list[LogLine]:
        """Lines with a number above `after`, in order."""

    async def last_number(self, company: CompanyId, run: RunId) -> int:
        """The number of the run's last line; 0 when it has none."""

    async def dropped(self, company: CompanyId, run: RunId) -> int:
        """How many lines were left out."""
