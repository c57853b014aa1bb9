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
