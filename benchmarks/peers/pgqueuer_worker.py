"""The pgqueuer worker: one process, uvloop, a pool of connections. Usage: pgqueuer_worker DSN"""

import logging
import sys

import asyncpg  # type: ignore[import-not-found]
import uvloop
from pgqueuer import PgQueuer  # type: ignore[import-not-found]
from pgqueuer.models import Job  # type: ignore[import-not-found]

from benchmarks.peers.measure import report_start

_BATCH = 100


async def work(dsn: str) -> None:
    """Execute tasks inside this process until it is stopped."""
    pool = await asyncpg.create_pool(dsn, min_size=4, max_size=8)
    queue = PgQueuer.from_asyncpg_pool(pool)

    @queue.entrypoint("noop")  # type: ignore[untyped-decorator]
    async def noop(_job: Job) -> None:
        return None

    @queue.entrypoint("timed")  # type: ignore[untyped-decorator]
    async def timed(job: Job) -> None:
        sent_ns, address = job.payload.decode().split(" ", 1)
        report_start(int(sent_ns), address)

    await queue.run(batch_size=_BATCH)


if __name__ == "__main__":
    logging.getLogger("pgqueuer").setLevel(logging.ERROR)
    uvloop.run(work(sys.argv[1]))
