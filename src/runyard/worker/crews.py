"""Crews: the children that one allocation keeps warm with one version of its task.

A crew is complete when all of its children have loaded the version. A new version gets a crew of
its own; the one before serves calls until that is complete, then finishes what it does and is
dismissed. So a deploy fails no call.
"""

from collections import deque
from datetime import timedelta

import msgspec

from runyard.model.ids import AllocationId
from runyard.model.runs import RunError
from runyard.protocol.frames import Introduction, Warm
from runyard.worker.child import Child
from runyard.worker.execution import Execution
from runyard.worker.lanes import Supply


class Crew:
    """The children of one allocation at one version, and the calls that wait for one of them."""

    def __init__(self, order: Warm, introduction: Introduction) -> None:
        self.allocation_id: AllocationId = order.allocation_id
        self.introduction = introduction
        self.bound(introduction, order.deadline)
        self.version_id = int(introduction.version_id)
        self.wanted = order.children
        self.supply: Supply | None = None
        """None: it is still being fetched and built."""
        self.preparing: dict[Child, None] = {}
        self.idle: list[Child] = []
        """Ready; the one that was busy last stands last, and goes first."""
        self.busy: dict[Child, None] = {}
        self.replaced: dict[Child, None] = {}
        """Worn ones, which leave once a fresh one is ready."""
        self.waiting: deque[Execution] = deque()
        self.failed_starts = 0
        """Children in a row that died before they were ready."""
        self.error: RunError | None = None
        """Why the version cannot be loaded."""
        self.refused: RunError | None = None
        """Why the version that was to come after it cannot be."""
        self.short: RunError | None = None
        """Why it has fewer children than it wants: the machine has no process for them."""
        self.is_dismissed = False

    def bound(self, introduction: Introduction, deadline: timedelta) -> None:
        """Calls that begin from now on take no longer than this, nor than the task's own timeout."""
        self.introduction = _within(introduction, deadline)

    @property
    def children(self) -> int:
        """How many there are, at work or ready."""
        return len(self.idle) + len(self.busy)

    @property
    def missing(self) -> int:
        """How many children are yet to be started."""
        return self.wanted - self.children - len(self.preparing)

    @property
    def is_complete(self) -> bool:
        """Whether all of its children have loaded the version."""
        return self.supply is not None and self.children >= self.wanted

    @property
    def memory(self) -> int:
        """Bytes that its children have in use, as last looked."""
        return sum(child.resident for child in (*self.idle, *self.busy))

    def remove(self, child: Child) -> None:
        """It is dead, or on its way out."""
        if child in self.idle:
            self.idle.remove(child)
        for those in (self.busy, self.preparing, self.replaced):
            those.pop(child, None)


def _within(introduction: Introduction, deadline: timedelta) -> Introduction:
    """The version, whose runs take no longer than a call may."""
    timeout = introduction.timeout
    shorter = deadline if timeout is None else min(timeout, deadline)
    return msgspec.structs.replace(introduction, timeout=shorter)
