"""What is kept of calls: written behind them, in groups, or before their answer where asked.

A fast call is answered before its record is on disk; the record follows within `BEHIND`. A crash
may lose the records of that time, and nothing else: that is the one exception of the promise that
what was acknowledged is kept. No more than `MOST_PENDING` records wait: beyond that calls wait for
theirs, so that memory stays bounded whatever the disk does.
"""

import asyncio
from datetime import timedelta

from runyard.engine.clock import Clock
from runyard.engine.logbook import Logbook
from runyard.model.errors import Busy
from runyard.model.ids import CompanyId, RunId
from runyard.stores.contract.calls import CallCount, CallPage, CallRecord
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.store import Store
from runyard.telemetry import CALLS_DELAYED, CALLS_REFUSED, emit

BEHIND = timedelta(milliseconds=25)
AFTER_FAILURE = timedelta(milliseconds=200)
MOST_PENDING = 10_000
WRITTEN_AT_ONCE = 1_000


class CallRecords:
    """Keeps records of calls."""

    def __init__(self, store: Store, clock: Clock, logbook: Logbook) -> None:
        self._store = store
        self._clock = clock
        self._logbook = logbook
        self._pending: list[CallRecord] = []
        self._wakeup = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def has_pending(self) -> bool:
        """Whether records wait to be kept."""
        return bool(self._pending) or self._writing.locked()

    @property
    def are_many(self) -> bool:
        """Whether as many wait as may: a call has to wait for these before it begins."""
        return len(self._pending) >= MOST_PENDING

    async def make_room(self) -> None:
        """Return once not too many wait any more. Raises Busy when these cannot be written."""
        if self.are_many:
            await self.flush()

    def keep(self, record: CallRecord) -> None:
        """Keep it soon."""
        self._pending.append(record)
        self._wakeup.set()

    async def keep_now(self, record: CallRecord) -> None:
        """Keep it; on disk when this returns."""
        await self._store.calls.record([record])

    async def find(self, company: CompanyId, run: RunId) -> CallRecord | None:
        """One call that was recorded."""
        await self._caught_up()
        return await self._store.calls.find(company, run)

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> CallRecord | None:
        """One call by its public id."""
        await self._caught_up()
        return await self._store.calls.find_by_public_id(company, public_id)

    async def page(
        self, company: CompanyId, wanted: RunFilter, after: Position | None, limit: int
    ) -> CallPage:
        """Calls newest first."""
        await self._caught_up()
        return await self._store.calls.page(company, wanted, after, limit)

    async def count(self, company: CompanyId, wanted: RunFilter) -> CallCount:
        """How many calls fit a filter, of some ten thousand that are looked at."""
        return await self._store.calls.count(company, wanted)

    async def _caught_up(self) -> None:
        """What was answered can be read."""
        if self.has_pending:
            await self.flush()

    async def flush(self) -> None:
        """Keep everything that is pending now, after the lines that belong to it."""
        async with self._writing:
            if self._logbook.has_pending:
                await self._logbook.flush()
            # They stay in the list until they are written, so that it is seen how many there are.
            left = len(self._pending)
            while left:
                records = self._pending[: min(left, WRITTEN_AT_ONCE)]
                try:
                    await self._store.calls.record(records)
                except Busy:  # they wait
                    raise
                except Exception as error:  # noqa: BLE001 - an unfit record must not keep the others
                    detail = f"{type(error).__name__}: {error}"
                    emit(CALLS_REFUSED, count=len(records), detail=detail)
                del self._pending[: len(records)]
                left -= len(records)

    async def run(self) -> None:
        """Keep pending records every now and then, until cancelled."""
        while True:
            await self._wakeup.wait()
            await self._clock.wait(asyncio.Event(), BEHIND)
            self._wakeup.clear()
            try:
                await self.flush()
            except Busy as problem:  # the disk is full or the database away: the records wait
                emit(CALLS_DELAYED, count=len(self._pending), detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()
