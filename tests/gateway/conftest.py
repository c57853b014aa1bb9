"""A gateway over a real engine, and a worker's end of the line that a test holds in its hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from runyard.gateway.conversation import Visitor
from runyard.gateway.gateway import Gateway
from runyard.model.tokens import Token
from runyard.protocol.frames import (
    PROTOCOL_VERSIONS,
    Capacity,
    FromServer,
    FromWorker,
    Hello,
    Welcome,
)
from runyard.protocol.memory import WorkerEnd, memory_pair
from runyard.stores.sqlite.store import open_sqlite
from tests.support.yard import Yard, opened_yard

T = TypeVar("T")


class Line:
    """What a worker would say and hear."""

    def __init__(self, end: WorkerEnd) -> None:
        self.heard: list[FromServer] = []
        self.closed: str | None = None
        self._end = end
        self._news = asyncio.Event()
        end.listen(self._receive, self._close)

    def say(self, *frames: FromWorker) -> None:
        for frame in frames:
            self._end.send(frame)

    def leave(self) -> None:
        self._end.close("left")

    async def hears(self, kind: type[T]) -> T:
        """The next frame of this kind, taken out of what was heard."""
        return await self._until(lambda: self._take(kind))

    async def is_closed(self) -> str:
        return await self._until(lambda: self.closed)

    async def _until(self, look: Callable[[], T | None]) -> T:
        async with asyncio.timeout(10):
            while (found := look()) is None:
                self._news.clear()
                await self._news.wait()
            return found

    def _take(self, kind: type[T]) -> T | None:
        for at, frame in enumerate(self.heard):
            if isinstance(frame, kind):
                del self.heard[at]
                return frame
        return None

    def _receive(self, frames: list[FromServer]) -> None:
        self.heard.extend(frames)
        self._news.set()

    def _close(self, detail: str) -> None:
        self.closed = detail
        self._news.set()


class Doorway:
    """An engine with its gateway."""

    def __init__(self, yard: Yard, gateway: Gateway) -> None:
        self.yard = yard
        self.gateway = gateway

    def line(self, token: Token | None = None) -> Line:
        """A conversation that has not begun; without a token: of the server's own worker."""
        theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)
        self.gateway.accept(ours, Visitor(address="10.0.0.7", token=token))
        return Line(theirs)

    async def worker(self, capacity: int = 2, name: str = "wire") -> Line:
        """A worker that was let in."""
        line = self.line()
        line.say(hello(name=name))
        await line.hears(Welcome)
        line.say(Capacity(capacity))
        return line


def hello(
    *, name: str = "wire", protocol: tuple[int, ...] = PROTOCOL_VERSIONS, slots: int = 2
) -> Hello:
    """A worker's first words."""
    return Hello(
        protocol=protocol,
        name=name,
        version="0",
        host="here",
        os="linux",
        python="3.11",
        slots=slots,
    )


@pytest.fixture
async def door(memory_path: Path) -> AsyncIterator[Doorway]:
    store = await open_sqlite(memory_path)
    try:
        async with opened_yard(store) as yard, Gateway(yard.engine) as gateway:
            yield Doorway(yard, gateway)
    finally:
        await store.close()
