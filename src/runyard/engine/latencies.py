"""How long calls take: counts by bounds, so that a million of them cost no more than one."""

from bisect import bisect_left
from datetime import timedelta

import msgspec

BOUNDS = tuple(
    timedelta(microseconds=micros)
    for micros in (
        *(250, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 20_000, 50_000),
        *(100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 30_000_000),
        *(60_000_000,),
    )
)
"""Upper bounds; what takes longer than the last is counted beyond it."""
_SECONDS = tuple(bound.total_seconds() for bound in BOUNDS)


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """So many calls took at most this long, and longer than the bucket before."""

    up_to: timedelta | None
    """None: longer than every bound."""
    count: int


class Latencies:
    """Counts how long something takes."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.count = 0
        self._total = 0.0

    def note(self, seconds: float) -> None:
        """It took this long once."""
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self.count += 1
        self._total += seconds

    @property
    def mean(self) -> timedelta | None:
        """The mean of all; None when there were none."""
        return timedelta(seconds=self._total / self.count) if self.count else None

    def quantile(self, share: float) -> timedelta | None:
        """The bound below which this share of all lies; None when there were none, or beyond."""
        wanted = share * self.count
        passed = 0
        for bound, count in zip(BOUNDS, self._counts, strict=False):
            passed += count
            if count and passed >= wanted:
                return bound
        return None

    def buckets(self) -> tuple[Bucket, ...]:
        """The counts, without bounds that nothing came near."""
        pairs = zip((*BOUNDS, None), self._counts, strict=True)
        return tuple(Bucket(up_to=bound, count=count) for bound, count in pairs if count)
