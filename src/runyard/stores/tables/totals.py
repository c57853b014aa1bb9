"""How many runs fit a filter, without looking at them all.

By task, states and causes the answer stands in the kept counts, exact whatever its size. Under other
filters as many runs as the limit are looked at; if that is not the end of them, what was found is
remembered for a while, because a total beyond the limit does not soon become a small one, and every
page of a long list asks for it again.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from runyard.model.ids import CompanyId
from runyard.stores.base import TOTAL_LIMIT, RunFilter
from runyard.stores.codes import CAUSE_CODES, STATE_CODES
from runyard.stores.filters import listing_of
from runyard.stores.tables.pieces import Database, Row

REMEMBERED_FOR = timedelta(minutes=1)
MOST_REMEMBERED = 1_000

_KEPT = RunFilter()
"""A filter that asks for no more than task, states and causes equals this one in all else."""
_KEPT_FIELDS = frozenset({"task_id", "states", "causes"})
_OTHER_FIELDS = tuple(name for name in RunFilter.__struct_fields__ if name not in _KEPT_FIELDS)


class Totals:
    """The totals of lists."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._large: dict[tuple[CompanyId, RunFilter], tuple[int, float]] = {}
        """What was found of totals beyond the limit, and until when that holds."""

    async def total(self, company: CompanyId, wanted: RunFilter) -> tuple[int, bool]:
        """How many there are, and whether that is exact; if not, there are at least so many."""
        if all(getattr(wanted, name) == getattr(_KEPT, name) for name in _OTHER_FIELDS):
            return await self._kept(company, wanted), True
        known = self._large.get((company, wanted))
        now = asyncio.get_running_loop().time()
        if known is not None and now < known[1]:
            return known[0], False
        looked_at, fitting = await self._counted(company, wanted)
        if looked_at <= TOTAL_LIMIT:
            return fitting, True
        found = min(fitting, TOTAL_LIMIT)
        self._remember((company, wanted), (found, now + REMEMBERED_FOR.total_seconds()))
        return found, False

    async def _kept(self, company: CompanyId, wanted: RunFilter) -> int:
        if wanted.task_id is None:
            rows = await self._db.all("kept_counts", company_id=company)
        else:
            rows = await self._db.all(
                "kept_counts_of_task", company_id=company, task_id=wanted.task_id
            )
        return sum(_fitting(rows, wanted))

    async def _counted(self, company: CompanyId, wanted: RunFilter) -> tuple[int, int]:
        """How many were looked at, and how many of them fit."""
        listing = listing_of(wanted)
        if not listing.branches:
            return 0, 0
        [(looked_at, fitting)] = await self._db.listed(
            "count_of_runs", "count_branch", listing, company_id=company, limit=TOTAL_LIMIT + 1
        )
        return int(looked_at), int(fitting)

    def _remember(self, question: tuple[CompanyId, RunFilter], answer: tuple[int, float]) -> None:
        self._large.pop(question, None)
        if len(self._large) >= MOST_REMEMBERED:
            del self._large[next(iter(self._large))]
        self._large[question] = answer


def _fitting(rows: Iterable[Row], wanted: RunFilter) -> Iterable[int]:
    """The counts of those (state, cause, count) that the filter asks for."""
    states = {STATE_CODES[state] for state in wanted.states}
    causes = {CAUSE_CODES[cause] for cause in wanted.causes}
    for state, cause, count in rows:
        if (not states or state in states) and (not causes or cause in causes):
            yield int(count)
