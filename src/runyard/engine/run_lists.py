"""Lists of runs by several things at once: the newest of some lists together, page by page.

A filter of the store is one list, quick by its index. What a caller wants may be the union of
several (this task or that one, ended so or waiting): they are merged here, each read only as far as
the answer needs, and what a filter cannot say is judged run by run.
"""

import heapq
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

import msgspec

from runyard.engine.clock import to_micros
from runyard.engine.foundation import Foundation
from runyard.model.companies import Company
from runyard.model.runs import Run
from runyard.stores.contract.listing import Position, RunFilter

LARGEST_PART = 500


class RunList(msgspec.Struct, frozen=True):
    """Runs newest first, and whether there are more."""

    runs: tuple[Run, ...]
    has_more: bool


class RunLists:
    """Merges lists of runs."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store

    async def newest(
        self,
        company: Company,
        lists: Sequence[RunFilter],
        fits: Callable[[Run], bool],
        after: Run | None,
        count: int,
    ) -> RunList:
        """The newest runs that stand in any of these lists and fit; lists have no run in common.

        `after`: only those that come after this one.
        """
        position = None if after is None else Position(after.created_at, after.id)
        part = min(count + 1, LARGEST_PART)
        streams = [self._stream(company, wanted, position, part) for wanted in lists]
        found: list[Run] = []
        async for run in _merged(streams):
            if fits(run):
                found.append(run)
                if len(found) > count:
                    break
        for stream in streams:
            await stream.aclose()
        return RunList(tuple(found[:count]), len(found) > count)

    async def ready_from(self, company: Company, at: datetime) -> datetime:
        """The earliest creation of a run that could run from this instant on, or later: that instant,
        or the creation of a run that was put off until then.
        """
        earliest = await self._store.queues.earliest_put_off(company.id, at)
        return at if earliest is None else min(at, earliest)

    async def _stream(
        self, company: Company, wanted: RunFilter, after: Position | None, part: int
    ) -> AsyncGenerator[Run, None]:
        while True:
            page = await self._store.runs.part(company.id, wanted, after, part)
            for run in page.runs:
                yield run
            if page.next is None:
                return
            after = page.next


async def _merged(streams: Sequence[AsyncGenerator[Run, None]]) -> AsyncGenerator[Run, None]:
    """All of them, newest first."""
    heads: list[tuple[int, int, int, Run]] = []

    async def advance(number: int) -> None:
        run = await anext(streams[number], None)
        if run is not None:
            heapq.heappush(heads, (-to_micros(run.created_at), -run.id, number, run))

    for number in range(len(streams)):
        await advance(number)
    while heads:
        _, _, number, run = heapq.heappop(heads)
        yield run
        await advance(number)
