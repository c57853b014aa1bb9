"""`python -m tests.faults.doomed serve ...`: Runyard, but it is killed at a named point of a run's life.

DOOMED names the point and the how-manieth time, such as "after claim 3". A point is a write that
the engine asks its store for, and when: `before` it is handed over, `during` its transaction
(handed over, not answered), or `after` it is on disk, before anybody has been told.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from runyard.cli import main
from runyard.stores.tables.leases import LeaseTable
from runyard.stores.tables.runs import RunTable

WRITES = {"start": RunTable, "claim": LeaseTable, "begin": RunTable, "finish": RunTable}
TIMES = ("before", "during", "after")
POINTS = tuple(f"{time} {write}" for write in WRITES for time in TIMES)


def die() -> None:
    """What kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def doomed(write: Callable[..., Awaitable[Any]], time: str, count: int) -> Callable[..., Any]:
    """The same write, deadly from the `count`th time on."""
    left = count

    def deadly(self: object, *values: Any, **options: Any) -> Awaitable[Any]:
        nonlocal left
        left -= 1
        if left > 0:
            return write(self, *values, **options)
        if time == "before":
            die()
        asked = asyncio.ensure_future(write(self, *values, **options))
        if time == "during":
            asyncio.get_running_loop().call_later(0, die)
        return _then_die(asked)

    return deadly


async def _then_die(asked: "asyncio.Future[Any]") -> Any:
    await asked
    die()


if __name__ == "__main__":
    time, write, count = os.environ["DOOMED"].split()  # noqa: TID251 - how a test tells its server
    table = WRITES[write]
    setattr(table, write, doomed(getattr(table, write), time, int(count)))
    sys.exit(main())
