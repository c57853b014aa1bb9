"""How many runs a worker wants to have: enough that no child waits for work, and nothing that waits
long here while another worker may be idle."""

PREFETCH_DURATION = 0.02
"""Seconds of work that should wait at the worker."""
LEAST_PREFETCH, MOST_PREFETCH = 2, 64
LONG = 1.0
"""Seconds after which nothing should wait behind a run: another worker may be idle."""
RUN_OVERHEAD = 0.0001
"""Seconds between two runs of a child."""
SMOOTHING = 0.05
"""Share of the newest run in the average duration."""


class Appetite:
    """What a worker's runs have been like, and how many it wants for that."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._duration: float | None = None
        self.long = 0
        """Children whose run is a long one, at the last look."""

    def learn(self, duration: float) -> None:
        """A run took this many seconds."""
        known = self._duration
        self._duration = duration if known is None else known + SMOOTHING * (duration - known)

    def wanted(self, busy: int) -> int:
        """How many runs should be here at most, when so many children are at work."""
        return self._slots + self._prefetch * (self._slots - min(self.long, busy))

    @property
    def _prefetch(self) -> int:
        """Runs that should wait for each child whose run is not a long one."""
        duration = self._duration or PREFETCH_DURATION
        if duration >= LONG:
            return 0
        prefetch = round(PREFETCH_DURATION / (duration + RUN_OVERHEAD))
        return max(LEAST_PREFETCH, min(MOST_PREFETCH, prefetch))
