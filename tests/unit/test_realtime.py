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


class Somebody:
    """An entrant who notes what becomes of it."""

    def __init__(self, kept: Kept) -> None:
        self.is_in = False
        self.reason: LimitReached | None = None
        self.turned_away = asyncio.Event()
        kept.let_in(self)

    def enter(self) -> None:
        self.is_in = True

    def turn_away(self, reason: LimitReached) -> None:
        self.reason = reason
        self.turned_away.set()


def are_in(*those: Somebody) -> list[bool]:
    return [each.is_in for each in those]


async def test_what_the_company_has_no_place_for_is_refused_or_waits() -> None:
    places = Places(2)
    one, other = kept(places), kept(places, overflow=Overflow.REJECT)
    assert are_in(Somebody(one), Somebody(other)) == [True, True]

    with pytest.raises(LimitReached, match="realtime_pool"):
        Somebody(other)
    waiting = Somebody(one)
    assert not waiting.is_in
    other.leave()
    assert waiting.is_in
    assert (places.taken, one.in_flight, other.in_flight) == (2, 2, 0)
    one.leave()
    one.leave()
    assert places.taken == 0


async def test_allocations_that_wait_for_the_company_take_turns() -> None:
    places = Places(1)
    one, other = kept(places), kept(places)
    Somebody(one)
    all_waiting = [Somebody(one), Somebody(one), Somebody(other), Somebody(other)]
    assert are_in(*all_waiting) == [False] * 4

    one.leave()
    after_one = are_in(*all_waiting)
    one.leave()
    after_two = are_in(*all_waiting)
    other.leave()
    after_three = are_in(*all_waiting)
    one.leave()

    assert after_one == [True, False, False, False]
    assert after_two == [True, False, True, False]
    assert after_three == [True, True, True, False]
    assert are_in(*all_waiting) == [True] * 4
    other.leave()
    assert (places.taken, one.in_flight, other.in_flight) == (0, 0, 0)
    assert not places.is_contended


async def test_whoever_gives_up_leaves_no_place_taken() -> None:
    places = Places(1)
    one, other = kept(places), kept(places, wait=timedelta(milliseconds=1))
    Somebody(one)

    impatient = Somebody(other)
    await impatient.turned_away.wait()
    assert "no child became free" in str(impatient.reason)
    gone = Somebody(other)
    assert other.withdraw(gone)
    one.leave()

    assert are_in(impatient, gone) == [False, False]
    assert (places.taken, other.in_flight, len(other.waiting)) == (0, 0, 0)
    assert Somebody(other).is_in
    assert places.taken == 1


async def test_those_who_wait_are_turned_away_one_after_the_other() -> None:
    one = kept(Places(1), wait=timedelta(milliseconds=1))
    Somebody(one)

    first = Somebody(one)
    await first.turned_away.wait()
    second = Somebody(one)
    await second.turned_away.wait()

    assert are_in(first, second) == [False, False]
    assert not one.waiting


async def test_thousands_who_leave_at_once_do_not_pile_up() -> None:
    places = Places(1)
    one = kept(places)
    Somebody(one)

    class Hasty(Somebody):
        def enter(self) -> None:
            super().enter()
            one.leave()

    hasty = [Hasty(one) for _ in range(5_000)]
    one.leave()

    assert all(are_in(*hasty))
    assert (places.taken, one.in_flight) == (0, 0)


async def test_a_higher_limit_admits_no_more_than_the_company_has_places() -> None:
    places = Places(2)
    one = kept(places, limit=1)
    Somebody(one)
    waiting = [Somebody(one), Somebody(one)]

    one.allocation = kept(places, limit=3).allocation
    one.admit()
    raised = are_in(*waiting)
    one.leave()

    assert raised == [True, False]
    assert are_in(*waiting) == [True, True]
    assert places.taken == 2


def test_months_are_those_of_utc() -> None:
    late = datetime.fromisoformat("2026-12-31T23:30:00-01:00")

    assert month_of(late) == 202701
    assert month_after(late) == datetime(2027, 2, 1, tzinfo=UTC)
    assert month_after(datetime(2026, 12, 5, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
