"""Producer of Procrastinate tasks: coroutines over a pool. Usage: procrastinate_side DSN --count ..."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
import uvloop

from benchmarks.peers import measure
from benchmarks.peers.procrastinate_app import application

Produce = Callable[[int], Awaitable[None]]


class ProcrastinateOnPostgres(measure.Peer):
    """Finished tasks are counted by their status."""

    def __init__(self, dsn: str) -> None:
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._app = application(dsn, measure.PRODUCERS)
        self._loop.run_until_complete(self._app.open_async())
        self._counting = psycopg.connect(dsn, autocommit=True)
        self._noop = self._app.tasks["noop"]
        self._timed = self._app.tasks["timed"]

    def start(self, count: int, producers: int) -> None:
        """A producer sends its next start when the last one is committed."""

        async def produce(share: int) -> None:
            for _ in range(share):
                await self._noop.defer_async()

        self._together(produce, measure.shares(count, producers))

    def start_batches(self, count: int, producers: int) -> None:
        """One INSERT and one commit a batch."""

        async def produce(share: int) -> None:
            for _ in range(share // measure.BATCH):
                await self._noop.batch_defer_async(*({} for _ in range(measure.BATCH)))

        self._together(produce, measure.shares(count, producers, measure.BATCH))

    def _together(self, produce: Produce, shares: list[int]) -> None:
        async def together() -> None:
            await asyncio.gather(*map(produce, shares))

        self._loop.run_until_complete(together())

    def finished(self) -> int:
        """Counted by the database."""
        row = self._counting.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        ).fetchone()
        return int(row[0]) if row else 0

    def start_timed(self, address: str) -> None:
        """The clock starts before the INSERT is sent."""
        self._loop.run_until_complete(
            self._timed.defer_async(sent_ns=time.monotonic_ns(), address=address)
        )

    def close(self) -> None:
        """Close the pool and the counting connection."""
        self._counting.close()
        self._loop.run_until_complete(self._app.close_async())


if __name__ == "__main__":
    plan = measure.plan_from_arguments()
    measure.measure(ProcrastinateOnPostgres(plan.url), plan)
