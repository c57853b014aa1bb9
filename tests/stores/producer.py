"""A process that holds a SQLite store in the folder it is given, and prints what was acknowledged."""

import asyncio
import itertools
import sys
from pathlib import Path

from runyard.stores.sqlite.store import open_sqlite
from tests.stores.builders import KnownTask, World, a_finish


async def main() -> None:
    world = World(await open_sqlite(Path(sys.argv[1])))
    await world.add_company()
    await world.connect()
    task = await world.add_task()
    for _ in itertools.count():
        await asyncio.gather(*(one_run(world, task) for _ in range(5)))


async def one_run(world: World, task: KnownTask) -> None:
    run = await task.start()
    say("started", run)
    for claimed in await world.claim(task, 2):
        end = a_finish(claimed, output=b"%d" % claimed.run_id)
        if await world.store.runs.finish([end]):
            say("finished", claimed.run_id)


def say(word: str, run: int) -> None:
    sys.stdout.write(f"{word} {run}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
