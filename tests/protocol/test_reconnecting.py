"""How long a worker waits between its tries to connect."""

from datetime import timedelta

from runyard.protocol.reconnecting import FIRST, LONGEST, STEADY, Backoff


def test_each_failure_doubles_the_wait_up_to_a_limit():
    backoff = Backoff()

    delays = [backoff.delay(1.0) for _ in range(40)]

    assert delays[:3] == [FIRST, FIRST * 2, FIRST * 4]
    assert delays[-1] == LONGEST
    assert delays == sorted(delays)


def test_chance_spreads_workers_over_half_of_the_wait():
    assert Backoff().delay(0.0) == FIRST / 2
    assert FIRST / 2 < Backoff().delay(0.5) < FIRST


def test_only_a_connection_that_lasted_starts_over():
    backoff = Backoff()
    for _ in range(5):
        backoff.delay(1.0)

    backoff.lasted(timedelta(milliseconds=300))
    assert backoff.delay(1.0) == FIRST * 32
    backoff.lasted(STEADY)

    assert backoff.delay(1.0) == FIRST
