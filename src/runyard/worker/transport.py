"""How frames travel between a worker and its server: in memory now, over a socket elsewhere."""

from collections.abc import Callable
from typing import Protocol

from runyard.protocol.frames import FromServer, FromWorker


class Transport(Protocol):
    """One conversation, in order and without loss until it is closed."""

    @property
    def acknowledged(self) -> bool:
        """Whether a frame that was sent has arrived, so that heartbeats need no confirmation."""

    def listen(
        self, receive: Callable[[list[FromServer]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""

    def send(self, frame: FromWorker) -> None:
        """Send a frame; never waits."""

    def close(self, detail: str = "") -> None:
        """End the conversation."""
