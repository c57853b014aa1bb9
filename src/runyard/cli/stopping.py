"""When to stop: a signal, a second signal, or a server that cannot go on."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runyard.server.app import Server

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """What signals have asked for so far."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._insisted = asyncio.Event()

    def ask(self) -> None:
        """One more signal has arrived."""
        (self._insisted if self._asked.is_set() else self._asked).set()

    async def wait_with(self, server: "Server") -> None:
        """Returns at the first signal; raises when the server cannot go on."""
        await _first(self._asked.wait(), server.failed())

    async def in_thread(self, work: Callable[[], None]) -> bool:
        """Does blocking work beside the loop. Whether it came to its end before a signal."""
        await _first(self._asked.wait(), asyncio.to_thread(work))
        return not self._asked.is_set()

    async def graceful(self, work: Coroutine[Any, Any, None], stop: Callable[[], None]) -> None:
        """Does work to its end. The first signal asks it to stop, a second one breaks it off."""
        working = asyncio.ensure_future(work)
        try:
            await _first(_waited(working), self._asked.wait())
            if not working.done():
                stop()
                await _first(_waited(working), self._insisted.wait())
            if working.done():
                working.result()
        finally:
            working.cancel()
            await asyncio.wait({working})

    async def second_or(self, ending: Coroutine[Any, Any, object]) -> None:
        """Returns when the ending is done, or abandoned for a second signal."""
        await _first(self._insisted.wait(), ending)


@contextmanager
def stop_signals() -> Iterator[Stopping]:
    """Takes the signals that ask a program to stop, for the length of the block."""
    loop = asyncio.get_running_loop()
    stopping = Stopping()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.ask)
    try:
        yield stopping
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _waited(task: "asyncio.Future[None]") -> None:
    await asyncio.wait({task})


async def _first(*works: Coroutine[Any, Any, object]) -> None:
    """Returns, or raises, with whichever ends first; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
