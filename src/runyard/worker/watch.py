"""Watching what runs take: time, memory, processes. Costs nothing while nothing runs."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

from runyard.worker.child import Child
from runyard.worker.clock import monotonic
from runyard.worker.descendants import descendants_of, memory_of, proportional_memory_of
from runyard.worker.execution import Ending, Execution
from runyard.worker.settings import ChildLimits

LOOK_EVERY = timedelta(milliseconds=100)
NEVER = float("inf")


class Watch:
    """One for all children of a pool."""

    def __init__(
        self,
        limits: ChildLimits,
        *,
        busy: Callable[[], Iterable[Child]],
        end: Callable[[Child, Ending], None],
        looked: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._busy = busy
        self._end = end
        self._looked = looked
        self._loop = asyncio.get_running_loop()
        self._look_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._next_deadline = NEVER

    def begun(self, execution: Execution) -> None:
        """A run has begun."""
        if self._look_timer is None:
            self._look_timer = self._loop.call_later(LOOK_EVERY.total_seconds(), self._look)
        timeout = execution.introduction.timeout
        if timeout is not None:
            execution.deadline = monotonic() + timeout.total_seconds()
            if execution.deadline < self._next_deadline:
                self._set_deadline(execution.deadline)

    def close(self) -> None:
        """Stop watching."""
        for timer in (self._look_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()

    def _set_deadline(self, at: float) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._next_deadline = at
        delay = max(0.0, at - monotonic())
        self._deadline_timer = self._loop.call_later(delay, self._expire)

    def _expire(self) -> None:
        now = monotonic()
        self._deadline_timer = None
        self._next_deadline = NEVER
        remaining = NEVER
        for child in tuple(self._busy()):
            if child.ending is not None or (deadline := child.pipeline[0].deadline) is None:
                continue
            if deadline <= now:
                self._end(child, Ending.TIMED_OUT)
            else:
                remaining = min(remaining, deadline)
        if remaining < NEVER:
            self._set_deadline(remaining)

    def _look(self) -> None:
        self._look_timer = None
        busy = tuple(self._busy())
        if not busy:
            return
        self._look_timer = self._loop.call_later(LOOK_EVERY.total_seconds(), self._look)
        for child in busy:
            if child.pid is not None and child.ending is None and child.pipeline[0].has_begun:
                self._look_at(child, child.pid)
        self._looked()

    def _look_at(self, child: Child, pid: int) -> None:
        ending = excess_of(pid, self._limits)
        if ending is not None:
            self._end(child, ending)


def excess_of(pid: int, limits: ChildLimits) -> Ending | None:
    """What a process and all that it started take beyond the limits; None when they keep them."""
    below = tuple(descendants_of(pid))
    if len(below) > limits.processes:
        return Ending.PROCESSES
    memory = memory_of(pid, shared=True) + sum(memory_of(p, shared=False) for p in below)
    if memory <= limits.memory:
        return None
    if not below:
        return Ending.MEMORY
    # Forked processes have most pages in common: count these once. Looked at only now, as it costs.
    left = limits.memory
    for process in (pid, *below):
        left -= proportional_memory_of(process)
        if left < 0:
            return Ending.MEMORY
    return None
