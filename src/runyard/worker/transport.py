"""How frames travel between a worker and its server, and where connections come from."""

from collections.abc import Callable, Coroutine
from typing import Protocol

from runyard.protocol.frames import FromServer, FromWorker, Refusal

Spawn = Callable[[Coroutine[object, object, None]], None]
"""Begins what the worker itself waits for in the end."""


class NotConnected(Exception):
    """There is no connection now; another try may bring one."""


class WorkerRefused(Exception):
    """The server does not let this worker in; `code` says which kind of refusal it is."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail or refusal.code)
        self.code = refusal.code


class Transport(Protocol):
    """One conversation, in order and without loss until it is closed."""

    def listen(
        self, receive: Callable[[list[FromServer]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""

    def send(self, frame: FromWorker) -> None:
        """Send a frame; never waits."""

    def close(self, detail: str = "") -> None:
        """End the conversation, after what was already sent."""

    def abort(self, detail: str = "") -> None:
        """End the conversation at once: the other end does not listen any more."""


class Line(Protocol):
    """Where a worker's connections come from."""

    @property
    def is_within(self) -> bool:
        """Whether both ends are one process: a frame that was sent has arrived, and the end of the
        conversation is the end of the worker.
        """

    async def connect(self, spawn: Spawn) -> Transport:
        """A new connection; raises NotConnected or WorkerRefused."""


class Within:
    """A line inside one process: the one connection that there will ever be."""

    def __init__(self, transport: Transport, *, is_within: bool = True) -> None:
        self._transport = transport
        self._is_within = is_within

    @property
    def is_within(self) -> bool:
        """Both ends live and die together."""
        return self._is_within

    async def connect(self, spawn: Spawn) -> Transport:
        """The connection."""
        return self._transport
