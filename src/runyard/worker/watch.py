"""Watching what runs take: time, memory, processes. Costs nothing while nothing runs."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from runyard.worker.child import Child
from runyard.worker.clock import monotonic
from runyard.worker.descendants import descendants_of, memory_of, proportional_memory_of
from runyard.worker.execution import Ending, Execution
from runyard.worker.settings import ChildLimits
from runyard.worker.shortage import in_thread

LOOK_EVERY = timedelta(milliseconds=100)
MEASURE_EVERY = timedelta(seconds=1)
"""Between two looks at what runs keep on the disk."""
BLOCK_SIZE = 512
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
        self._measuring: asyncio.Task[None] | None = None
        self._measure_at = 0.0

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
        if self._measuring is not None:
            self._measuring.cancel()

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
        if self._measuring is None and monotonic() >= self._measure_at:
            self._measure_at = monotonic() + MEASURE_EVERY.total_seconds()
            self._measuring = self._loop.create_task(self._measure(busy))

    async def _measure(self, children: Iterable[Child]) -> None:
        """Look at the folders of these children, in a thread: a task may fill them with files."""
        try:
            for child in children:
                runs, folder = child.runs, child.folder / "run"
                with suppress(OSError):  # there is no thread for it: another time
                    is_too_much = await in_thread(is_overfull, folder, self._limits)
                    if is_too_much and child.runs == runs and child.pipeline:
                        self._end(child, Ending.DISK)
        finally:
            self._measuring = None

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


def is_overfull(folder: Path, limits: ChildLimits) -> bool:
    """Whether there is more in a folder, or there are more files, than a run may have."""
    size, count, waiting = 0, 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                entries = list(itertools.islice(found, limits.scratch_files))
        except OSError:
            continue  # gone meanwhile, or locked by the task
        count += len(entries)
        for entry in entries:
            with suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_blocks * BLOCK_SIZE
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
        if size > limits.scratch or count >= limits.scratch_files:
            return True
    return False
