"""What bounds the real-time calls of a company beside the limits of its allocations.

Places: how many execute at once. Each server counts the calls that it gives out itself, for it alone
gives out the children of what it keeps.
A monthly limit: how many are executed in a month, off unless the operator sets one. Counts are written a
second behind the calls; servers of one database learn of each other's then.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from runyard.engine.clock import Clock
from runyard.model.companies import Company
from runyard.model.errors import Busy, LimitReached, MonthlyLimitReached
from runyard.model.ids import CompanyId
from runyard.stores.contract.store import Store

BEHIND = timedelta(seconds=1)
DEFAULT_PLACES = 32
_DECEMBER = 12


class RealtimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose for real-time calls."""

    places: int = DEFAULT_PLACES
    """Calls of a company that execute at once."""
    most_allocations: int = 0
    """Allocations of a company; 0: any number."""
    monthly_limit: int = 0
    """Calls of a company in a calendar month (UTC); 0: any number."""


class Entrant(Protocol):
    """Whoever wants one of the places of an allocation."""

    def enter(self) -> None:
        """It has one, and gives it back when it is done."""

    def turn_away(self, reason: LimitReached) -> None:
        """It has waited for one for as long as it may."""


class Places:
    """The places of one company's calls, here."""

    __slots__ = ("_starved", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._starved: dict[Callable[[], bool], None] = {}
        """How those are given one place each whose callers wait for one, in turn."""

    @property
    def is_contended(self) -> bool:
        """Whether somebody waits for a place."""
        return bool(self._starved)

    def await_place(self, admit: Callable[[], bool]) -> None:
        """Call this when there is a place. It takes one if it can; whether it wants another."""
        self._starved.setdefault(admit)

    def give_back(self) -> None:
        """A place is free again."""
        self.taken -= 1
        while self._starved and self.taken < self.most:
            admit = next(iter(self._starved))
            del self._starved[admit]
            if admit():
                self._starved[admit] = None


class _Count:
    """The calls of one company in one month."""

    __slots__ = ("month", "unwritten", "used")

    def __init__(self, month: int, used: int) -> None:
        self.month = month
        self.used = used
        self.unwritten = 0


class MonthlyLimits:
    """Counts the calls of companies, where they are limited."""

    def __init__(self, store: Store, clock: Clock, most: int) -> None:
        self._store = store
        self._clock = clock
        self.most = most
        self._counts: dict[CompanyId, _Count] = {}
        self._wakeup = asyncio.Event()
        self._writing = asyncio.Lock()

    async def take(self, company: Company) -> None:
        """Count a call that is about to execute; raises MonthlyLimitReached."""
        if not self.most:
            return
        now = self._clock.now()
        count = self._counts.get(company.id)
        if count is None or count.month != month_of(now):
            count = await self._loaded(company.id, month_of(now))
        if count.used >= self.most:
            raise MonthlyLimitReached(
                f"company {company.slug!r} has executed {self.most} calls this month, as many as "
                "the operator allows (realtime_monthly_limit)",
                retry_after=month_after(now) - now,
            )
        count.used += 1
        count.unwritten += 1
        self._wakeup.set()

    def give_back(self, company: Company) -> None:
        """The call was not executed after all."""
        count = self._counts.get(company.id)
        if self.most and count is not None:
            count.used -= 1
            count.unwritten -= 1

    async def _loaded(self, company: CompanyId, month: int) -> _Count:
        await self.flush()
        used = await self._store.calls.count_up(company, month, 0)
        found = self._counts.get(company)
        if found is None or found.month != month:  # nobody was faster
            found = self._counts[company] = _Count(month, used)
        return found

    async def flush(self) -> None:
        """Write down what has been counted."""
        async with self._writing:
            for company, count in tuple(self._counts.items()):
                if not count.unwritten:
                    continue
                writing, count.unwritten = count.unwritten, 0
                try:
                    total = await self._store.calls.count_up(company, count.month, writing)
                except Busy:
                    count.unwritten += writing
                    raise
                count.used = total + count.unwritten

    async def run(self) -> None:
        """Write counts down behind the calls, until cancelled."""
        while True:
            await self._clock.wait(self._wakeup, None)
            await self._clock.wait(asyncio.Event(), BEHIND)
            with contextlib.suppress(Busy):
                await self.flush()
            if any(count.unwritten for count in self._counts.values()):
                self._wakeup.set()


def month_of(at: datetime) -> int:
    """The calendar month, UTC, such as 202603."""
    at = at.astimezone(UTC)
    return at.year * 100 + at.month


def month_after(at: datetime) -> datetime:
    """When the next one begins."""
    at = at.astimezone(UTC)
    year, month = (at.year + 1, 1) if at.month == _DECEMBER else (at.year, at.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
