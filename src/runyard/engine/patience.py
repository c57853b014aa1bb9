"""Changes that must happen although the store cannot take them now."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from runyard.engine.clock import Clock
from runyard.model.errors import Busy
from runyard.telemetry import MAINTENANCE_FAILED, emit

AFTER_FAILURE = timedelta(milliseconds=200)

T = TypeVar("T")


async def until_done(clock: Clock, duty: str, work: Callable[[], Awaitable[T]]) -> T:
    """What this answers, tried again for as long as the store is full, away or overloaded.

    For what has happened already and only has to be written down: a claim that must reach its
    worker, a child that is dead, a worker that is gone. Giving up would leave runs without holder.
    """
    while True:
        try:
            return await work()
        except Busy as problem:
            emit(MAINTENANCE_FAILED, duty=duty, detail=problem.detail)
            await clock.wait(asyncio.Event(), AFTER_FAILURE)
