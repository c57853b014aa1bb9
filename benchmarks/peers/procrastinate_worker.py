"""The Procrastinate worker: ten tasks at a time in one process. Usage: procrastinate_worker DSN install|work"""

import sys

import uvloop  # type: ignore[import-not-found,unused-ignore]

from benchmarks.peers.procrastinate_app import application


async def install(dsn: str) -> None:
    """Create Procrastinate's tables and functions in an empty database."""
    async with application(dsn, 4).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def work(dsn: str) -> None:
    """Execute tasks inside this process until it is stopped; woken by NOTIFY."""
    async with application(dsn, 16).open_async() as app:
        await app.run_worker_async(concurrency=10, listen_notify=True)


if __name__ == "__main__":
    uvloop.run({"install": install, "work": work}[sys.argv[2]](sys.argv[1]))
