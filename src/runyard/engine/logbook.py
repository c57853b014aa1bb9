"""Log lines of runs: kept in groups, and on disk before the run's end is.

Lines are outside the durability promise, but a run that has ended must show its last line; so whoever
records an end first flushes what is pending.
"""

import asyncio
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.stores.base import LogChunk, Store

GATHERING = timedelta(milliseconds=100)
MOST_LINES = 1_000


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a run's log, and where to go on."""

    lines: tuple[LogLine, ...]
    next_after: int | None
    """Pass as `after` for the next page; None: these were the last for now."""
    dropped: int
    """Lines left out because the run logged more than is kept."""


class Logbook:
    """Keeps and shows log lines."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pending: list[LogChunk] = []
        self._wakeup = asyncio.Event()
        self._flushing = asyncio.Lock()

    @property
    def has_pending(self) -> bool:
        """Whether lines wait to be kept."""
        return bool(self._pending) or self._flushing.locked()

    def add(self, chunk: LogChunk) -> None:
        """Keep these lines soon."""
        self._pending.append(chunk)
        self._wakeup.set()

    async def flush(self) -> None:
        """Keep everything that is pending now."""
        async with self._flushing:
            if self._pending:
                chunks, self._pending = self._pending, []
                await self._store.logs.append(chunks)

    async def run(self) -> None:
        """Keep pending lines every now and then, until cancelled."""
        while True:
            await self._wakeup.wait()
            await self._clock.wait(asyncio.Event(), GATHERING)
            self._wakeup.clear()
            await self.flush()

    async def read(
        self, company: CompanyId, run: RunId, at_least: LogLevel, after: int, limit: int
    ) -> LogPage:
        """Lines of at least this level with numbers above `after`."""
        if self.has_pending:
            await self.flush()
        limit = min(limit, MOST_LINES)
        lines = await self._store.logs.read(
            company, run, at_least=at_least, after=after, limit=limit + 1
        )
        shown = tuple(lines[:limit])
        return LogPage(
            lines=shown,
            next_after=shown[-1].number if len(lines) > limit else None,
            dropped=await self._store.logs.dropped(company, run),
        )
