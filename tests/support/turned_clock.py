"""A clock that stands still until a test turns it."""

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta

from runyard.engine.clock import uuid7_bytes

BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class TurnedClock:
    """A `Clock` for tests: time passes only by `advance`, chance and ids repeat themselves."""

    def __init__(self, at: datetime = BEGINNING, seed: int = 7) -> None:
        self._now = at
        self._elapsed = timedelta(hours=1)
        self._random = random.Random(seed)
        self._sleepers: list[tuple[timedelta, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> timedelta:
        return self._elapsed

    def elapsed(self) -> float:
        return self._elapsed.total_seconds()

    def at(self, elapsed: float) -> datetime:
        return self._now - self._elapsed + timedelta(seconds=elapsed)

    def adjust(self, database_now: datetime) -> timedelta:
        return timedelta()

    def chance(self) -> float:
        return 0.5

    def new_uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    def new_public_id(self) -> bytes:
        return uuid7_bytes(int(self._now.timestamp() * 1000), self._random.randbytes(10))

    async def wait(self, wakeup: asyncio.Event, lasting: timedelta | None) -> bool:
        if lasting is None:
            await wakeup.wait()
            wakeup.clear()
            return True
        over = asyncio.Event()
        sleeper = (self._elapsed + lasting, over)
        self._sleepers.append(sleeper)
        waits = [asyncio.ensure_future(wakeup.wait()), asyncio.ensure_future(over.wait())]
        try:
            if lasting > timedelta():
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._sleepers.remove(sleeper)
        if wakeup.is_set():
            wakeup.clear()
            return True
        return False

    def advance(self, by: timedelta) -> None:
        """Let so much time pass; whoever slept until then wakes up."""
        self._now += by
        self._elapsed += by
        for until, over in self._sleepers:
            if until <= self._elapsed:
                over.set()
