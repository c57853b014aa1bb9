"""Ids from the installation's one sequence, dealt from durably reserved blocks."""

import asyncio

from runyard.stores.contract.store import Store

BLOCK = 4096
"""Ids reserved at a time. A crash skips what was left of a block; ids are never used twice."""


class Ids:
    """Deals ids; only every few thousandth asks the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 0
        self._end = 0
        self._refill = asyncio.Lock()

    async def take(self, count: int = 1) -> int:
        """The first of so many consecutive ids."""
        if self._next + count > self._end:
            await self._reserve(count)
        first = self._next
        self._next += count
        return first

    def take_at_hand(self) -> int | None:
        """An id, when one is left of the block; None: `take` reserves the next block."""
        if self._next >= self._end:
            return None
        self._next += 1
        return self._next - 1

    async def _reserve(self, count: int) -> None:
        async with self._refill:
            if self._next + count <= self._end:
                return
            size = max(BLOCK, count)
            self._next = await self._store.reserve_ids(size)
            self._end = self._next + size
