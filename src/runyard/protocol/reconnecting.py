"""How long to wait before the next try to connect."""

from datetime import timedelta

FIRST = timedelta(milliseconds=100)
LONGEST = timedelta(seconds=15)
STEADY = timedelta(seconds=5)
"""A connection that lasted this long was a good one: the next break starts over."""


class Backoff:
    """Waits twice as long after each failure, up to a limit, never two workers in step."""

    def __init__(self) -> None:
        self._failures = 0

    def delay(self, chance: float) -> timedelta:
        """How long to wait now; `chance` in [0, 1) spreads workers that lost their server at once."""
        longest: timedelta = min(LONGEST, FIRST * (1 << min(self._failures, 20)))
        self._failures += 1
        return longest * (0.5 + chance / 2)

    def lasted(self, duration: timedelta) -> None:
        """There was a connection, for this long."""
        if duration >= STEADY:
            self._failures = 0
