"""The places of a company's calls: never more than there are, and everybody gets a turn."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runyard.engine.allocations import Kept
from runyard.engine.realtime import Places, month_after, month_of
from runyard.model.allocations import Allocation, Overflow, Recording
from runyard.model.errors import LimitReached

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def kept(places: Places, **chosen: Any) -> Kept:
    how: dict[str, Any] = {"limit": 2, "overflow": Overflow.WAIT, "wait": timedelta(minutes=1)}
    return Kept(
        Allocation(
            id=1,
            company_id=1,
            task_id=1,
            deadline=timedelta(minutes=1),
            recording=Recording.ALL,
            retention=timedelta(days=1),
            run_as=None,
            created_at=NOW,
            **{**how, **chosen},
        ),
        places,
    )


async def settled(*waiting: "asyncio.Task[None]") -> list[bool]:
    """Which of these have their place, once all have had the chance to take it."""
    for _ in range(5):
        await asyncio.sleep(0)  # noqa: TID251 - lets others go on, waits for nothing
    return [task.done() for task in waiting]


async def test_what_the_company_has_no_place_for_is_refused_or_waits() -> None:
    places = Places(2)
    one, other = kept(places), kept(places, overflow=Overflow.REJECT)
    await one.enter()
    await other.enter()

    with pytest.raises(LimitReached, match="realtime_pool"):
        await other.enter()
    waiting = asyncio.ensure_future(one.enter())
    assert await settled(waiting) == [False]
    other.leave()
    assert await settled(waiting) == [True]
    assert (places.taken, one.in_flight, other.in_flight) == (2, 2, 0)
    one.leave()
    one.leave()
    assert places.taken == 0


async def test_allocations_that_wait_for_the_company_take_turns() -> None:
    places = Places(1)
    one, other = kept(places), kept(places)
    await one.enter()
    first = [asyncio.ensure_future(one.enter()) for _ in range(2)]
    second = [asyncio.ensure_future(other.enter()) for _ in range(2)]
    assert await settled(*first, *second) == [False] * 4

    one.leave()
    after_one = await settled(*first, *second)
    one.leave()
    after_two = await settled(*first, *second)
    other.leave()
    after_three = await settled(*first, *second)
    one.leave()

    assert after_one == [True, False, False, False]
    assert after_two == [True, False, True, False]
    assert after_three == [True, True, True, False]
    assert await settled(*first, *second) == [True] * 4
    other.leave()
    assert (places.taken, one.in_flight, other.in_flight) == (0, 0, 0)
    assert not places.is_contended


async def test_whoever_gives_up_leaves_no_place_taken() -> None:
    places = Places(1)
    one, other = kept(places), kept(places, wait=timedelta(milliseconds=1))
    await one.enter()

    with pytest.raises(LimitReached, match="no child became free"):
        await other.enter()
    cancelled = asyncio.ensure_future(other.enter())
    await settled(cancelled)
    cancelled.cancel()
    await settled(cancelled)
    one.leave()

    assert cancelled.cancelled()
    assert (places.taken, other.in_flight, len(other.waiting)) == (0, 0, 0)
    await other.enter()
    assert places.taken == 1


async def test_a_higher_limit_admits_no_more_than_the_company_has_places() -> None:
    places = Places(2)
    one = kept(places, limit=1)
    await one.enter()
    waiting = [asyncio.ensure_future(one.enter()) for _ in range(2)]
    await settled(*waiting)

    one.allocation = kept(places, limit=3).allocation
    one.admit()
    raised = await settled(*waiting)
    one.leave()

    assert raised == [True, False]
    assert await settled(*waiting) == [True, True]
    assert places.taken == 2


def test_months_are_those_of_utc() -> None:
    late = datetime.fromisoformat("2026-12-31T23:30:00-01:00")

    assert month_of(late) == 202701
    assert month_after(late) == datetime(2027, 2, 1, tzinfo=UTC)
    assert month_after(datetime(2026, 12, 5, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
