"""Time, ids and chance: the only place that asks the machine for any of them.

Lease and timeout arithmetic is monotonic, due times follow the wall clock. `now()` is the
monotonic clock plus an offset taken from the database (or this machine), so that it never steps
back between two readings; `adjust` takes a new offset.
"""

import asyncio
import os
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol

_VERSION_AND_VARIANT = 0x7000_8000_0000_0000_0000
_RANDOM_BITS = 0x0FFF_3FFF_FFFF_FFFF_FFFF
"""Of the last ten bytes of a UUIDv7."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


class Clock(Protocol):
    """What the engine knows of time and chance."""

    def now(self) -> datetime:
        """The current instant, UTC."""

    def monotonic(self) -> timedelta:
        """Time since some instant; never steps, so differences are true durations."""

    def elapsed(self) -> float:
        """The same as `monotonic`, as seconds: for what happens ten thousand times a second."""

    def at(self, elapsed: float) -> datetime:
        """What `now` would have said when `elapsed` said this."""

    def adjust(self, database_now: datetime) -> timedelta:
        """Follow this clock from now on; by how much `now()` has jumped."""

    async def wait(self, wakeup: asyncio.Event, lasting: timedelta | None) -> bool:
        """Wait for the event, or so long; True when the event came. Clears the event."""

    def chance(self) -> float:
        """A random number in [0, 1)."""

    def new_uuid(self) -> uuid.UUID:
        """A random UUID."""

    def new_public_id(self) -> bytes:
        """16 bytes of a UUIDv7: rising with time, not guessable."""


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._entropy = b""
        self._used = 0

    def now(self) -> datetime:
        """The current instant, UTC."""
        return datetime.fromtimestamp(time.monotonic() + self._offset, UTC)

    def monotonic(self) -> timedelta:
        """Time since the machine started."""
        return timedelta(seconds=time.monotonic())

    def elapsed(self) -> float:
        """Seconds since the machine started."""
        return time.monotonic()

    def at(self, elapsed: float) -> datetime:
        """The instant, UTC, at which `elapsed` said this."""
        return datetime.fromtimestamp(elapsed + self._offset, UTC)

    def adjust(self, database_now: datetime) -> timedelta:
        """Follow the database's clock; by how much `now()` has jumped."""
        offset = database_now.timestamp() - time.monotonic()
        jump = timedelta(seconds=offset - self._offset)
        self._offset = offset
        return jump

    async def wait(self, wakeup: asyncio.Event, lasting: timedelta | None) -> bool:
        """Wait for the event, or so long."""
        try:
            async with asyncio.timeout(None if lasting is None else lasting.total_seconds()):
                await wakeup.wait()
        except TimeoutError:
            return False
        wakeup.clear()
        return True

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def new_uuid(self) -> uuid.UUID:
        """A random UUID."""
        return uuid.uuid4()

    def new_public_id(self) -> bytes:
        """16 bytes of a UUIDv7."""
        if self._used + 10 > len(self._entropy):  # one system call for hundreds of ids
            self._entropy = os.urandom(4000)
            self._used = 0
        tail = self._entropy[self._used : self._used + 10]
        self._used += 10
        millis = int((time.monotonic() + self._offset) * 1000)
        return uuid7_bytes(millis, tail)


def uuid7_bytes(millis: int, tail: bytes) -> bytes:
    """A UUIDv7 of this millisecond with ten random bytes."""
    random_bits = int.from_bytes(tail, "big") & _RANDOM_BITS
    return (millis << 80 | _VERSION_AND_VARIANT | random_bits).to_bytes(16, "big")
