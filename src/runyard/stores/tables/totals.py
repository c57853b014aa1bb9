"""How many runs fit a filter, without looking at them all.

By task, states and causes the answer stands in the kept counts, exact whatever its size. With instants
of creation it is these, less what was created before or after, as long as that is little. Under other
filters as many runs as the limit are looked at along one index, and then along another, until one
comes to its end. What took long to count is remembered:

- A total that is exact holds until a run comes or goes that may fit. The kept counts tell: of runs
  that have ended they only grow, and so does the count of those that were deleted. As long as both
  are what they were, the very same runs are there. So are all runs together, as long as a filter
  asks for nothing of them that changes.
- A total beyond the limit does not soon become a small one, and is remembered for a while as "at
  least".
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import msgspec

from runyard.model.ids import CompanyId
from runyard.stores.codes import CAUSE_CODES, FIRST_FINAL_CODE, GONE_CODE, STATE_CODES
from runyard.stores.contract.listing import TOTAL_LIMIT, RunFilter
from runyard.stores.filters import Listing, listings_of, outside_of
from runyard.stores.tables.pieces import Database, Row

REMEMBERED_FOR = timedelta(minutes=1)
MOST_REMEMBERED = 1_000
WORTH_REMEMBERING = 500
"""To count fewer takes no longer than to see that nothing has changed."""

_KEPT = RunFilter()
"""A filter that asks for no more than task, states and causes equals this one in all else."""
_KEPT_FIELDS = frozenset({"task_id", "states", "causes"})
_OTHER_FIELDS = tuple(name for name in RunFilter.__struct_fields__ if name not in _KEPT_FIELDS)


_CREATION_FIELDS = frozenset({"created_from", "created_before"})
_LAST_ID = 2**63 - 1


class Total(msgspec.Struct, frozen=True):
    """How many there are."""

    count: int
    is_exact: bool
    """If not, there are at least so many."""


Mark = tuple[int, int]
"""How many runs there are that a total depends on, and how many have been deleted."""


class _Remembered(msgspec.Struct, frozen=True):
    total: Total
    mark: Mark | None = None
    """What an exact total holds for; None: not known yet."""
    until: float = 0
    """How long another one holds."""


class Totals:
    """The totals of lists."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._remembered: dict[tuple[CompanyId, RunFilter], _Remembered] = {}

    async def total(self, company: CompanyId, wanted: RunFilter) -> Total:
        """How many runs of a company fit."""
        if all(getattr(wanted, name) == getattr(_KEPT, name) for name in _OTHER_FIELDS):
            rows = await self._kept(company, wanted)
            return Total(sum(_fitting(rows, wanted)), is_exact=True)
        known = self._remembered.get((company, wanted))
        mark: Mark | None = None
        if known is not None:
            if asyncio.get_running_loop().time() < known.until:
                return known.total
            if known.total.is_exact:
                mark = _mark(await self._kept(company, wanted), wanted)
                if mark == known.mark:
                    return known.total
        if _bounds_creation_alone(wanted):
            total = await self._all_but_few(company, wanted)
            if total is not None:
                return total
        return await self._found(company, wanted, mark)

    async def _all_but_few(self, company: CompanyId, wanted: RunFilter) -> Total | None:
        """All that the kept counts know, but those created before or after, if these are few."""
        begin, end = wanted.created_from, wanted.created_before
        outside = outside_of(wanted)
        if not outside.branches or (begin is not None and end is not None and begin >= end):
            return Total(0, is_exact=True)
        if not outside.all_fit:
            return None
        task = wanted.task_id
        rows = await self._db.listed(
            "count_outside",
            "count_branch",
            outside,
            company_id=company,
            first_task=0 if task is None else task,
            last_task=_LAST_ID if task is None else task,
            limit=WORTH_REMEMBERING,
        )
        others = int(rows[0][3]) if rows else 0
        if others == WORTH_REMEMBERING:
            return None
        kept = sum(_fitting([row[:3] for row in rows], wanted))
        return Total(kept - others, is_exact=True)

    async def _found(self, company: CompanyId, wanted: RunFilter, mark: Mark | None) -> Total:
        """What counting gives, remembered if it took long."""
        most = 0
        for listing in listings_of(wanted):
            looked_at, fitting = await self._counted(company, listing)
            if looked_at <= TOTAL_LIMIT:
                total = Total(fitting, is_exact=True)
                if looked_at >= WORTH_REMEMBERING and _is_settled(wanted):
                    self._remember((company, wanted), _Remembered(total, mark))
                return total
            most = max(most, min(fitting, TOTAL_LIMIT))
        total = Total(most, is_exact=False)
        until = asyncio.get_running_loop().time() + REMEMBERED_FOR.total_seconds()
        self._remember((company, wanted), _Remembered(total, until=until))
        return total

    async def _kept(self, company: CompanyId, wanted: RunFilter) -> list[Row]:
        """The kept counts (state, cause, count) of a company, or of the task that is asked for."""
        if wanted.task_id is None:
            return await self._db.all("kept_counts", company_id=company)
        return await self._db.all("kept_counts_of_task", company_id=company, task_id=wanted.task_id)

    async def _counted(self, company: CompanyId, listing: Listing) -> tuple[int, int]:
        """How many were looked at, and how many of them fit."""
        if not listing.branches:
            return 0, 0
        [(looked_at, fitting)] = await self._db.listed(
            "count_of_runs", "count_branch", listing, company_id=company, limit=TOTAL_LIMIT + 1
        )
        return int(looked_at), int(fitting)

    def _remember(self, question: tuple[CompanyId, RunFilter], answer: _Remembered) -> None:
        self._remembered.pop(question, None)
        if len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[question] = answer


def _fitting(rows: Iterable[Row], wanted: RunFilter) -> Iterable[int]:
    """The counts of those (state, cause, count) that the filter asks for."""
    states = {STATE_CODES[state] for state in wanted.states}
    causes = {CAUSE_CODES[cause] for cause in wanted.causes}
    for state, cause, count in rows:
        if state == GONE_CODE:
            continue
        if (not states or state in states) and (not causes or cause in causes):
            yield int(count)


def _bounds_creation_alone(wanted: RunFilter) -> bool:
    """Whether the kept counts have all that is asked for but the instants of creation."""
    others = (name for name in _OTHER_FIELDS if name not in _CREATION_FIELDS)
    return all(getattr(wanted, name) == getattr(_KEPT, name) for name in others)


def _is_settled(wanted: RunFilter) -> bool:
    """Whether the runs that fit stay the same until one comes or goes: all of them have ended, or
    nothing is asked for that changes before.
    """
    if wanted.by_end or wanted.causes:
        return True
    if wanted.states:
        return all(STATE_CODES[state] >= FIRST_FINAL_CODE for state in wanted.states)
    return wanted.worker_id is None


def _mark(rows: Iterable[Row], wanted: RunFilter) -> Mark:
    """What is the same as long as the runs are that fit a filter that is settled."""
    held = [row for row in rows if not wanted.by_end or row[0] >= FIRST_FINAL_CODE]
    gone = sum(int(count) for state, _, count in held if state == GONE_CODE)
    return sum(_fitting(held, wanted)), gone
