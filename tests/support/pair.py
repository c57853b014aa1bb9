"""Two servers over one PostgreSQL database, with one clock that a test turns by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from runyard.stores.postgres.peering import PostgresPeering
from runyard.stores.postgres.store import open_postgres
from tests.support.turned_clock import TurnedClock
from tests.support.yard import Yard, opened_yard

PATIENCE = 20.0


class Pair:
    """Two servers. While the clock stands still neither looks at the database of its own accord."""

    def __init__(self, here: Yard, there: Yard, dsn: str) -> None:
        self.here = here
        self.there = there
        self.dsn = dsn

    @property
    def clock(self) -> TurnedClock:
        return self.here.clock

    def cut_off(self, yard: Yard) -> None:
        """Break the connection over which a server listens, as a network does."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND objsubid = 1 AND pid = %s",
                (listening_backend(yard),),
            )


def listening_backend(yard: Yard) -> int:
    """The process of the database that serves a server's listening connection."""
    peering = yard.store.peering
    assert isinstance(peering, PostgresPeering)
    assert peering._link is not None
    return peering._link.backend


async def until(condition: Callable[[], bool]) -> None:
    """Wait for real time to make this true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - whatever it is, nobody tells of it
            await asyncio.sleep(0.002)  # noqa: TID251 - other processes need real time


@asynccontextmanager
async def opened_pair(dsn: str, folder: Path) -> AsyncIterator[Pair]:
    """Two servers that know of each other."""
    clock = TurnedClock()
    stores = [await open_postgres(dsn, folder / name) for name in ("here", "there")]
    try:
        async with (
            opened_yard(stores[0], clock, "here") as here,
            opened_yard(stores[1], clock, "there") as there,
        ):
            await until(lambda: all(y.engine.peers.are_there for y in (here, there)))
            yield Pair(here, there, dsn)
    finally:
        for store in stores:
            await store.close()
