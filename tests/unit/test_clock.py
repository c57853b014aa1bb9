"""The machine's clock, and the ids that begin with it."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from runyard.engine.clock import SystemClock, to_micros, uuid7_bytes

MOMENT = timedelta(milliseconds=20)


def test_now_is_aware_and_rises_with_the_monotonic_clock() -> None:
    clock = SystemClock()

    first, second = clock.now(), clock.now()

    assert first.tzinfo is UTC
    assert first <= second
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=5)  # noqa: TID251 - the machine's own word


def test_it_follows_another_clock_and_says_by_how_much_it_jumped() -> None:
    clock = SystemClock()
    hour = timedelta(hours=1)
    before = clock.monotonic()

    jump = clock.adjust(clock.now() + hour)
    back = clock.adjust(clock.now() - hour)

    assert abs(jump - hour) < timedelta(seconds=1)
    assert abs(back + hour) < timedelta(seconds=1)
    assert timedelta() <= clock.monotonic() - before < timedelta(seconds=5)


async def test_a_wait_ends_with_the_event_or_the_time() -> None:
    clock, wakeup = SystemClock(), asyncio.Event()
    before = clock.monotonic()

    came = await clock.wait(wakeup, MOMENT)
    waited = clock.monotonic() - before
    wakeup.set()
    came_at_once = await clock.wait(wakeup, None)

    assert (came, came_at_once) == (False, True)
    assert waited >= MOMENT * 0.9
    assert not wakeup.is_set()


def test_public_ids_rise_with_time_and_never_repeat() -> None:
    clock = SystemClock()
    ids = [clock.new_public_id() for _ in range(2_000)]

    first = uuid.UUID(bytes=ids[0])

    assert len(set(ids)) == len(ids)
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert [i[:6] for i in ids] == sorted(i[:6] for i in ids)


def test_an_id_carries_its_millisecond() -> None:
    raw = uuid7_bytes(0x0123456789AB, bytes(range(10)))

    assert raw[:6] == bytes.fromhex("0123456789ab")
    assert len(raw) == 16


def test_micros_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
