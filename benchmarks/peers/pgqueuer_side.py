"""Producer of pgqueuer tasks: coroutines with a connection each. Usage: pgqueuer_side DSN --count ..."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg  # type: ignore[import-not-found]
import uvloop
from pgqueuer import Queries  # type: ignore[import-not-found]

from benchmarks.peers import measure

Produce = Callable[[Queries, int], Awaitable[None]]


class PgQueuerOnPostgres(measure.Peer):
    """Finished tasks are counted in the log that the worker writes with every outcome."""

    def __init__(self, dsn: str) -> None:
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._connections = [
            self._loop.run_until_complete(asyncpg.connect(dsn)) for _ in range(measure.PRODUCERS)
        ]
        self._queues = [Queries.from_asyncpg_connection(each) for each in self._connections]

    def start(self, count: int, producers: int) -> None:
        """A producer sends its next start when the last one is committed."""

        async def produce(queue: Queries, share: int) -> None:
            for _ in range(share):
                await queue.enqueue("noop", None)

        self._together(produce, measure.shares(count, producers))

    def start_batches(self, count: int, producers: int) -> None:
        """One INSERT and one commit a batch."""

        async def produce(queue: Queries, share: int) -> None:
            size = measure.BATCH
            for _ in range(share // size):
                await queue.enqueue(["noop"] * size, [None] * size, [0] * size)

        self._together(produce, measure.shares(count, producers, measure.BATCH))

    def _together(self, produce: Produce, shares: list[int]) -> None:
        async def together() -> None:
            await asyncio.gather(*map(produce, self._queues, shares))

        self._loop.run_until_complete(together())

    def finished(self) -> int:
        """Counted by the database."""
        done: int = self._loop.run_until_complete(
            self._connections[0].fetchval(
                "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
            )
        )
        return done

    def start_timed(self, address: str) -> None:
        """The clock starts before the INSERT is sent."""
        payload = f"{time.monotonic_ns()} {address}".encode()
        self._loop.run_until_complete(self._queues[0].enqueue("timed", payload))

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            self._loop.run_until_complete(connection.close())


if __name__ == "__main__":
    plan = measure.plan_from_arguments()
    measure.measure(PgQueuerOnPostgres(plan.url), plan)
