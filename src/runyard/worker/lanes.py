"""Lanes: the runs that the same children can execute, waiting for one of them."""

from collections import deque
from pathlib import Path
from typing import NamedTuple

from runyard.worker.child import Child
from runyard.worker.environments import Environment
from runyard.worker.execution import Execution

SMOOTHING = 0.1
"""Share of the newest run in the average duration."""
FAILED_STARTS = 3
"""Children in a row that may die before they take anything; then what they load is at fault."""


class LaneKey(NamedTuple):
    """Whose children can execute a run: its company's, with its bundle and its requirements."""

    company_id: int
    bundle_digest: str
    requirements: tuple[str, ...]


class Supply(NamedTuple):
    """What children of a lane need."""

    bundle: Path
    environment: Environment


class Lane:
    """One lane."""

    def __init__(self, key: LaneKey) -> None:
        self.key = key
        self.supply: Supply | None = None
        """None: it is still being fetched and built."""
        self.waiting: deque[Execution] = deque()
        self.children: dict[int, Child] = {}
        self.idle: list[Child] = []
        """The one that was busy last stands last, and goes first."""
        self.duration: float | None = None
        """Seconds that its runs take, smoothed; None: none has ended."""
        self.failed_starts = 0
        """Children in a row that died before they took a run."""

    def learn(self, duration: float) -> None:
        """A run took this many seconds."""
        if self.duration is None:
            self.duration = duration
        else:
            self.duration += SMOOTHING * (duration - self.duration)
