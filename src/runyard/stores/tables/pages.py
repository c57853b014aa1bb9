"""Pages of lists with their totals, whose cost is bounded whatever is in the store.

Most lists are ranges of indexes in which every run fits, and a page reads what it shows. Where
several things are asked for that no index has together (a worker and a task, a schedule and a
state), a page goes along one index and passes over what does not fit. Then, in this order:

1. The newest thousand runs along the likeliest index are looked at: enough where hits are not rare.
2. If they do not fill the page, the other indexes are asked: one in which a thousand runs stand, or
   fewer, is read to its end, and gives the whole answer.
3. If there is none, ten thousand runs along the first index are looked at. A page that is not full
   by then ends there: it is short, even empty, and says where the next one goes on.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from runyard.model.ids import CompanyId
from runyard.stores.contract.listing import MOST_LOOKED_AT, Position, RunFilter
from runyard.stores.filters import Listing, listings_of
from runyard.stores.tables.pieces import Database, Row
from runyard.stores.tables.totals import Total, Totals

LOOKED_AT_FIRST = 1_000
"""So many runs are looked at before another index is asked."""


class Part(msgspec.Struct, frozen=True):
    """What a page has to show."""

    rows: Sequence[Row]
    """One more than the page may have, if there are more."""
    last: Row | None = None
    """The last run that was looked at, if that was not the end of the list."""


class Pages:
    """The rows of pages, and how many there are of all pages."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._totals = Totals(db)

    async def part(
        self, company: CompanyId, wanted: RunFilter, after: Position | None, limit: int
    ) -> Part:
        """The next `limit` rows that fit and one more, or as many as were found."""
        first, *others = listings_of(wanted, after)
        if not first.passes_over:
            return await self._plain(company, first, limit)
        return await self._passing_over(company, first, others, limit)

    async def page(
        self, company: CompanyId, wanted: RunFilter, after: Position | None, limit: int
    ) -> tuple[Part, Total]:
        """The same, and how many fit on all pages."""
        first, *others = listings_of(wanted, after)
        if not first.passes_over:
            return await asyncio.gather(
                self._plain(company, first, limit), self._totals.total(company, wanted)
            )
        part = await self._passing_over(company, first, others, limit)
        if after is None and part.last is None and len(part.rows) <= limit:
            return part, Total(len(part.rows), is_exact=True)
        return part, await self._totals.total(company, wanted)

    async def _plain(self, company: CompanyId, listing: Listing, limit: int) -> Part:
        """All runs along the index fit."""
        if not listing.branches:
            return Part(())
        return Part(
            await self._db.listed(
                "page_of_runs", "page_branch", listing, company_id=company, limit=limit + 1
            )
        )

    async def _passing_over(
        self, company: CompanyId, first: Listing, others: Sequence[Listing], limit: int
    ) -> Part:
        """Those that fit among the runs along one index or another."""
        if others:
            found = await self._sifted(company, first, limit, LOOKED_AT_FIRST)
            if found.last is None:
                return found
        for other in others:
            found = await self._few(company, other, limit)
            if found.last is None:
                return found
        return await self._sifted(company, first, limit, MOST_LOOKED_AT)

    async def _sifted(self, company: CompanyId, listing: Listing, limit: int, most: int) -> Part:
        return _part(
            await self._db.listed(
                "sifted_runs",
                "sifted_branch",
                listing,
                company_id=company,
                limit=limit + 1,
                most=most,
            )
        )

    async def _few(self, company: CompanyId, listing: Listing, limit: int) -> Part:
        return _part(
            await self._db.listed(
                "few_runs",
                "few_branch",
                listing,
                company_id=company,
                limit=limit + 1,
                most=LOOKED_AT_FIRST,
            )
        )


def _part(rows: Sequence[Row]) -> Part:
    """The rows, of which the last may only say how far was looked."""
    if rows and rows[-1][-1]:
        return Part(rows[:-1], rows[-1])
    return Part(rows)
