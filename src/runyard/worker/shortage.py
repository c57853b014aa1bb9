"""When the machine has no process, no memory or no descriptor left for another child.

Then nothing is at fault, neither a run nor its code: what cannot be started goes elsewhere or is
tried again later, with growing pauses, and the children that live go on. A pause has two parts. At
first the worker asks for nothing, so that others may take what it gives back; then it takes runs
again for the children that it has, and starts no further ones until the pause is over.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FIRST = 0.5
"""Seconds of the first pause, and for which the worker asks for nothing in each."""
LONGEST = 15.0
OUT_OF = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})
"""What it is called when there is no process, memory or descriptor for something new."""


async def in_thread(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Do this beside the loop; raises OSError where there is no thread for it."""
    try:
        return await asyncio.to_thread(work, *args, **more)
    except RuntimeError as error:
        raise BlockingIOError(errno.EAGAIN, str(error)) from error


class NoProcess(Exception):
    """There is no room for another child on this machine now; says why."""


class Shortage:
    """Whether children can be started now, as far as is known."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pause = 0.0
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self.is_on = False
        """Whether starting another child is not even tried."""
        self.is_fresh = False
        """Whether the worker asks for nothing at all."""
        self.reason = ""
        self.on_change: list[Callable[[], None]] = []
        """Called when a pause begins, when runs are taken again, and when the pause is over."""

    def met(self, reason: str) -> None:
        """Something could not be started."""
        self._loop.call_soon(self._tell)  # whoever tried is to see to what it has first
        if self.is_on:
            return
        self.is_on = self.is_fresh = True
        self.reason = reason
        self._pause = min(LONGEST, 2 * self._pause or FIRST)
        self._timers = (
            self._loop.call_later(FIRST, self._turn),
            self._loop.call_later(self._pause, self._over),
        )

    def eased(self) -> None:
        """A child was started: the next pause is a short one again."""
        self._pause = 0.0

    def close(self) -> None:
        """Try nothing more."""
        for timer in self._timers:
            timer.cancel()

    def _turn(self) -> None:
        self.is_fresh = False
        self._tell()

    def _over(self) -> None:
        self.is_on = self.is_fresh = False
        self._tell()

    def _tell(self) -> None:
        for listener in self.on_change:
            listener()
