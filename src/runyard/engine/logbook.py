"""Log lines of runs: kept in groups, and on disk before the run's end is.

Lines are outside the durability promise, but a run that has ended must show its last line; so whoever
records an end first flushes what is pending.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from runyard.engine.clock import Clock
from runyard.engine.secrets import Secrets
from runyard.engine.sessions import HeldRun
from runyard.engine.watch import Watch
from runyard.model.errors import Busy
from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.stores.contract.logs import LogChunk
from runyard.stores.contract.store import Store
from runyard.telemetry import LINES_DELAYED, LINES_REFUSED, emit

GATHERING = timedelta(milliseconds=100)
AFTER_FAILURE = timedelta(milliseconds=200)
MOST_LINES = 1_000
MOST_PENDING = 500
"""Chunks of lines, each of at most 64 KB as workers send them."""
WRITTEN_AT_ONCE = 64
"""Chunks in one piece of writing: all that may be pending would be more than a store takes."""


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a run's log, and where to go on."""

    lines: tuple[LogLine, ...]
    next_after: int | None
    """Pass as `after` for the next page; None: these were the last for now."""
    dropped: int
    """Lines left out because the run logged more than is kept."""


class _Entry(msgspec.Struct):
    """Lines as a worker sent them, numbered from 1 within their attempt."""

    held: HeldRun
    lines: tuple[LogLine, ...]
    dropped: int


class Logbook:
    """Keeps and shows log lines."""

    def __init__(self, store: Store, clock: Clock, watch: Watch, secrets: Secrets) -> None:
        self._store = store
        self._clock = clock
        self._watch = watch
        self._secrets = secrets
        self._pending: list[_Entry] = []
        self._left_out: dict[tuple[RunId, int], _Entry] = {}
        """Pending entries that only count lines, by their lease."""
        self._wakeup = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._noting = asyncio.Lock()
        """Lines of the server's own are numbered one after the other."""

    @property
    def has_pending(self) -> bool:
        """Whether lines wait to be kept."""
        return bool(self._pending) or self._flushing.locked()

    def add(self, held: HeldRun, lines: tuple[LogLine, ...], dropped: int) -> None:
        """Keep these lines soon, without the secrets in them. While nothing can be written only so many
        are kept in memory.
        """
        lines = self._secrets.lines(lines)
        if len(self._pending) >= MOST_PENDING:
            self._leave_out(held, dropped + len(lines))
        else:
            self._pending.append(_Entry(held, lines, dropped))
        self._wakeup.set()

    def _leave_out(self, held: HeldRun, dropped: int) -> None:
        """Count lines that cannot be kept, in one entry a run however many there are."""
        lease = (held.run_id, held.token)
        entry = self._left_out.get(lease)
        if entry is None:
            entry = self._left_out[lease] = _Entry(held, (), 0)
            self._pending.append(entry)
        entry.dropped += dropped

    async def note(self, company: CompanyId, run: RunId, level: LogLevel, text: str) -> None:
        """Keep a line of the server's own in the log of a run that no worker has. A store that takes
        nothing now loses it.
        """
        async with self._noting:
            with contextlib.suppress(Busy):
                last = await self._store.logs.last_number(company, run)
                shown = self._secrets.text(text)
                line = LogLine(last + 1, self._clock.now(), level, shown, attempt=0)
                chunk = LogChunk(company_id=company, run_id=run, lines=(line,))
                await self._store.logs.append([chunk])
                self._watch.logged(company, run, chunk.lines)

    async def flush(self) -> None:
        """Keep everything that is pending now, then show it to whoever follows."""
        async with self._flushing:
            # They stay in the list until they are written, so that it is seen how many there are.
            left = len(self._pending)
            while left:
                entries = self._pending[: min(left, WRITTEN_AT_ONCE)]
                counting = self._taken_up(entries)
                try:
                    await self._keep(entries)
                except Busy:
                    self._go_on_counting(counting)
                    raise
                except Exception as error:  # noqa: BLE001 - unfit lines must not keep ends waiting
                    detail = f"{type(error).__name__}: {error}"
                    emit(LINES_REFUSED, count=sum(len(e.lines) for e in entries), detail=detail)
                del self._pending[: len(entries)]
                left -= len(entries)

    def _taken_up(self, entries: Sequence[_Entry]) -> Sequence[tuple[tuple[RunId, int], _Entry]]:
        """Those of these that count left out lines: while they are written nothing is added to them."""
        found = [((e.held.run_id, e.held.token), e) for e in entries if not e.lines]
        counting = [(lease, e) for lease, e in found if self._left_out.get(lease) is e]
        for lease, _ in counting:
            del self._left_out[lease]
        return counting

    def _go_on_counting(self, counting: Sequence[tuple[tuple[RunId, int], _Entry]]) -> None:
        """They were not written: one entry a run goes on counting."""
        merged: set[int] = set()
        for lease, entry in counting:
            newer = self._left_out.setdefault(lease, entry)
            if newer is not entry:
                newer.dropped += entry.dropped
                merged.add(id(entry))
        if merged:
            self._pending = [entry for entry in self._pending if id(entry) not in merged]

    async def _keep(self, entries: Sequence[_Entry]) -> None:
        chunks = [await self._chunk(entry) for entry in entries]
        await self._store.logs.append(chunks)
        for chunk in chunks:
            self._watch.logged(chunk.company_id, chunk.run_id, chunk.lines)

    async def _chunk(self, entry: _Entry) -> LogChunk:
        """The entry with its lines numbered within their run: after those of earlier attempts."""
        held, lines = entry.held, entry.lines
        if held.lines_before is None:
            await self._find_place(held)
        if before := held.lines_before:
            lines = tuple([replace(line, number=line.number + before) for line in lines])
        if held.is_taken_over:
            lines = tuple([line for line in lines if line.number > held.lines_kept])
        return LogChunk(
            company_id=held.company_id, run_id=held.run_id, lines=lines, dropped=entry.dropped
        )

    async def _find_place(self, held: HeldRun) -> None:
        """Where the lines of this attempt begin within their run."""
        last = await self._store.logs.last_number(held.company_id, held.run_id)
        held.lines_before = last
        if held.is_taken_over and last:  # some of them may be this attempt's
            held.lines_kept = last
            held.lines_before = await self._last_before_attempt(held, last)

    async def _last_before_attempt(self, held: HeldRun, last: int) -> int:
        """Number of the last line that earlier attempts left; attempts follow each other."""
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            [line] = await self._store.logs.read(
                held.company_id, held.run_id, at_least=LogLevel.TRACE, after=middle, limit=1
            )
            if line.attempt > held.attempt:
                high = middle
            else:
                low = line.number
        return low

    async def run(self) -> None:
        """Keep pending lines every now and then, until cancelled."""
        while True:
            await self._wakeup.wait()
            await self._clock.wait(asyncio.Event(), GATHERING)
            self._wakeup.clear()
            try:
                await self.flush()
            except Busy as problem:  # the disk is full or the database away: the lines wait
                emit(LINES_DELAYED, count=len(self._pending), detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()

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

    async def kept(
        self, company: CompanyId, run: RunId, after: int, limit: int
    ) -> Sequence[LogLine]:
        """Lines with numbers above `after` that are on disk by now: of a run that has ended all, of
        others all but those of the last moment.
        """
        return await self._store.logs.read(
            company, run, at_least=LogLevel.TRACE, after=after, limit=min(limit, MOST_LINES)
        )

    async def last_kept(self, company: CompanyId, run: RunId) -> int:
        """Number of the last line that is on disk; 0 when there is none."""
        return await self._store.logs.last_number(company, run)

    async def dropped(self, company: CompanyId, run: RunId) -> int:
        """Lines left out because the run logged more than is kept."""
        return await self._store.logs.dropped(company, run)
