"""The worker's clocks: the one place in this package that reads them."""

import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds on a clock that never jumps, the same for every process of the machine."""

wall = time.time  # noqa: TID251 - this is this package's clock
"""Seconds since 1970, for what people read."""

_from_timestamp = datetime.fromtimestamp


def instant(seconds: float) -> datetime:
    """What `wall` said, as an aware UTC datetime."""
    return _from_timestamp(seconds, UTC)


def not_later(seconds: float) -> float:
    """What a child says `wall` said, at most what it says now; raises ValueError for no instant."""
    if not seconds > 0:  # false for what is not a number, too
        raise ValueError("not an instant")
    return min(seconds, wall())
