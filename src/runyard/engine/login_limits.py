"""How often somebody may try to sign in.

Tries are taken from three buckets that fill up again with time: one for the user from this address,
one for the user from anywhere, and one for the address. A stranger who guesses is slowed down long
before the user is, who comes from elsewhere and gives the right answer: that gives its try back.
Buckets belong to one server and are forgotten when they are full.
"""

import ipaddress
import math
from collections.abc import Hashable
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.model.errors import TooManyLogins

MOST_BUCKETS = 20_000


class Allowance(msgspec.Struct, frozen=True):
    """So many at once, then one for each interval."""

    at_once: int
    interval: timedelta


HERE = Allowance(5, timedelta(seconds=30))
ANYWHERE = Allowance(50, timedelta(seconds=6))
OF_ADDRESS = Allowance(30, timedelta(seconds=3))


class _Bucket(msgspec.Struct):
    allowance: Allowance
    left: float
    at: timedelta

    def fill(self, now: timedelta) -> None:
        """Put in what has come since."""
        gained = (now - self.at) / self.allowance.interval
        self.left = min(self.left + gained, self.allowance.at_once)
        self.at = now

    @property
    def until_one(self) -> timedelta:
        """How long until there is one to take."""
        return self.allowance.interval * max(0.0, 1.0 - self.left)


class LoginLimits:
    """Slows guesses down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}

    def take(self, email: str, address: str) -> None:
        """Take one try; raises TooManyLogins with the time to wait."""
        buckets = self._of(email, address)
        wait = max(bucket.until_one for bucket in buckets)
        if wait > timedelta():
            seconds = math.ceil(wait.total_seconds())
            raise TooManyLogins(
                f"there were too many tries to sign in; try again in {seconds} s", retry_after=wait
            )
        for bucket in buckets:
            bucket.left -= 1

    def give_back(self, email: str, address: str) -> None:
        """The try was right: it counts for nothing."""
        for bucket in self._of(email, address):
            bucket.left = min(bucket.left + 1, bucket.allowance.at_once)

    def _of(self, email: str, address: str) -> list[_Bucket]:
        network = network_of(address)
        wanted: list[tuple[Hashable, Allowance]] = [
            ((email, network), HERE),
            (("email", email), ANYWHERE),
            (("address", network), OF_ADDRESS),
        ]
        return [self._bucket(name, allowance) for name, allowance in wanted]

    def _bucket(self, name: Hashable, allowance: Allowance) -> _Bucket:
        now = self._clock.monotonic()
        found = self._buckets.get(name)
        if found is None:
            if len(self._buckets) >= MOST_BUCKETS:
                self._forget_full(now)
            found = self._buckets[name] = _Bucket(allowance, allowance.at_once, now)
        found.fill(now)
        return found

    def _forget_full(self, now: timedelta) -> None:
        for bucket in self._buckets.values():
            bucket.fill(now)
        self._buckets = {
            name: bucket
            for name, bucket in self._buckets.items()
            if bucket.left < bucket.allowance.at_once
        }
        if len(self._buckets) >= MOST_BUCKETS:  # a flood from everywhere: the oldest give way
            oldest = sorted(self._buckets, key=lambda name: self._buckets[name].left)
            self._buckets = {name: self._buckets[name] for name in oldest[: MOST_BUCKETS // 2]}


def network_of(address: str) -> str:
    """What one caller has to itself: an address, or with IPv6 the network of its house."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
