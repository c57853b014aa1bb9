"""Reading: a few connections, each carrying as many queries at once as come.

Queries are sent as they come, also while earlier answers are under way, so that a query costs no
waiting for a connection. A connection that was lost is opened again by the next query.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import psycopg

from runyard.model.errors import StorageUnavailable
from runyard.stores.postgres.connecting import FOR_READING, Connector, DatabaseRefused, pause
from runyard.stores.postgres.link import Bound, Link, LinkLost, Rows

PATIENCE = timedelta(seconds=10)
"""How long a reader waits for a database that cannot be reached."""
_FIRST_BACK_OFF = 0.05
_LONGEST_BACK_OFF = 1.0


class Readers:
    """The reading connections of one server."""

    def __init__(self, connector: Connector, count: int) -> None:
        self._connector = connector
        self._links: list[Link | None] = [None] * count
        self._opening = [asyncio.Lock() for _ in range(count)]

    async def read(self, query: Bound) -> Rows:
        """The rows of a query. Raises StorageUnavailable when the database cannot be reached."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE.total_seconds()
        back_off = _FIRST_BACK_OFF
        while True:
            try:
                link = self._idlest() or await self._open_one()
                [rows] = await link.send([query])
            except (LinkLost, psycopg.OperationalError, DatabaseRefused) as problem:
                if isinstance(problem, psycopg.errors.QueryCanceled) or loop.time() > until:
                    raise StorageUnavailable(
                        f"the database does not answer: {problem}"
                    ) from problem
                await pause(back_off)
                back_off = min(2 * back_off, _LONGEST_BACK_OFF)
            else:
                return rows

    async def close(self) -> None:
        """Let go of all connections."""
        for link in self._links:
            if link is not None:
                await link.close()

    def _idlest(self) -> Link | None:
        """The open link with the least under way; None when one more should be opened."""
        links = [link for link in self._links if link is not None and link.is_open]
        if not links:
            return None
        idlest = min(links, key=_load)
        return idlest if idlest.load == 0 or len(links) == len(self._links) else None

    async def _open_one(self) -> Link:
        for place, lock in enumerate(self._opening):
            link = self._links[place]
            if link is not None and link.is_open:
                continue
            async with lock:
                link = self._links[place]
                if link is None or not link.is_open:
                    link = self._links[place] = await self._connector.open_link(FOR_READING)
                return link
        return min(self._open_links(), key=_load)

    def _open_links(self) -> Sequence[Link]:
        return [link for link in self._links if link is not None and link.is_open]


def _load(link: Link) -> int:
    return link.load
