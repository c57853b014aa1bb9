"""Places in a queue."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runyard.engine.ranks import DEFAULT_AGEING, rank

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OFF = timedelta(days=36_500)

priorities = st.integers(1, 99)
waits = st.timedeltas(timedelta(), timedelta(days=30))


@given(first=waits, second=waits, priority=priorities)
def test_within_a_priority_whoever_came_first_goes_first(
    first: timedelta, second: timedelta, priority: int
) -> None:
    """R8"""
    ranks = [rank(NOW + wait, priority, DEFAULT_AGEING) for wait in (first, second)]

    assert (ranks[0] < ranks[1]) == (first < second)


@given(better=priorities, worse=priorities, waited=waits)
def test_each_point_of_priority_is_worth_one_ageing_interval(
    better: int, worse: int, waited: timedelta
) -> None:
    """R8: nothing starves."""
    old, new = rank(NOW, worse, DEFAULT_AGEING), rank(NOW + waited, better, DEFAULT_AGEING)

    assert (old < new) == (waited > (worse - better) * DEFAULT_AGEING)


@given(waited=waits)
def test_a_very_long_ageing_turns_it_off(waited: timedelta) -> None:
    assert rank(NOW + waited, 1, OFF) < rank(NOW, 2, OFF)


def test_ranks_fit_the_column_they_stand_in() -> None:
    assert rank(NOW, 99, OFF) < 2**63
