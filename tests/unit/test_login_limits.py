"""How often somebody may try to sign in."""

from datetime import timedelta

import pytest

from runyard.engine.login_limits import (
    ANYWHERE,
    HERE,
    MOST_BUCKETS,
    OF_ADDRESS,
    LoginLimits,
    network_of,
)
from runyard.model.errors import TooManyLogins
from tests.support.turned_clock import TurnedClock


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def limits(clock: TurnedClock) -> LoginLimits:
    return LoginLimits(clock)


def tries_until_refused(limits: LoginLimits, email: str, address: str) -> int:
    for number in range(1000):
        try:
            limits.take(email, address)
        except TooManyLogins:
            return number
    raise AssertionError("never refused")


def test_a_user_has_a_few_tries_from_one_address(limits: LoginLimits) -> None:
    assert tries_until_refused(limits, "ann", "192.0.2.1") == HERE.at_once
    assert tries_until_refused(limits, "ann", "192.0.2.2") == HERE.at_once


def test_tries_come_back_one_by_one(limits: LoginLimits, clock: TurnedClock) -> None:
    tries_until_refused(limits, "ann", "192.0.2.1")

    clock.advance(HERE.interval)

    assert tries_until_refused(limits, "ann", "192.0.2.1") == 1


def test_an_address_may_not_try_many_users(limits: LoginLimits) -> None:
    tries = [tries_until_refused(limits, f"user {n}", "192.0.2.1") for n in range(20)]

    assert sum(tries) == OF_ADDRESS.at_once


def test_a_user_is_not_guessed_from_everywhere(limits: LoginLimits) -> None:
    tries = [tries_until_refused(limits, "ann", f"192.0.2.{n}") for n in range(40)]

    assert sum(tries) == ANYWHERE.at_once


def test_a_refusal_takes_nothing(limits: LoginLimits, clock: TurnedClock) -> None:
    tries_until_refused(limits, "ann", "192.0.2.1")
    for _ in range(100):
        with pytest.raises(TooManyLogins):
            limits.take("ann", "192.0.2.1")

    clock.advance(HERE.interval)

    limits.take("ann", "192.0.2.1")


def test_the_wait_that_is_told_suffices(limits: LoginLimits, clock: TurnedClock) -> None:
    tries_until_refused(limits, "ann", "192.0.2.1")
    with pytest.raises(TooManyLogins) as refusal:
        limits.take("ann", "192.0.2.1")

    clock.advance(refusal.value.retry_after)

    limits.take("ann", "192.0.2.1")


def test_a_right_answer_gives_its_try_back(limits: LoginLimits) -> None:
    for _ in range(1000):
        limits.take("ann", "192.0.2.1")
        limits.give_back("ann", "192.0.2.1")


def test_a_flood_from_everywhere_is_bounded_in_memory(limits: LoginLimits) -> None:
    for number in range(MOST_BUCKETS):
        limits.take(f"user {number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(limits._buckets) <= MOST_BUCKETS + 3


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_house_is_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_full_bucket_never_holds_more(limits: LoginLimits, clock: TurnedClock) -> None:
    limits.take("ann", "192.0.2.1")
    clock.advance(timedelta(days=9))

    assert tries_until_refused(limits, "ann", "192.0.2.1") == HERE.at_once
