"""A worker and its server in one process: frames are handed over as they are.

Nothing is encoded and nothing copied. What the worker sends in one turn of the event loop reaches
the server as one list, in the next turn, so a burst of reports costs one hop. What the server
sends reaches the worker at once: a claimed run leaves for its child before the server does
anything else. That is safe because the server is only ever entered by the loop, never out of the
worker's code; so neither end is entered while it is at work. The end of a call is the exception: somebody
waits for it, so it arrives at once too, unless something else was said before it. The server answers that one,
and may hand over the call that has waited for the child: so the worker says it last, when it is done with it. The loop itself is handed in (`call_soon`), because nothing here may know of one.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from runyard.protocol.frames import CallEnded, Frame, FromServer, FromWorker

Sent = TypeVar("Sent")
Heard = TypeVar("Heard")

CallSoon = Callable[[Callable[[], None]], object]


class MemoryEnd(Generic[Sent, Heard]):
    """One end of a pair. Frames sent before the other end listens are kept for it."""

    def __init__(self, call_soon: CallSoon, urgent: type[Frame]) -> None:
        """`urgent`: what is delivered at once; of all others the loop's next turn is soon enough."""
        self._call_soon = call_soon
        self._urgent = urgent
        self._peer: MemoryEnd[Heard, Sent] | None = None
        self._inbox: list[Heard] = []
        self._receive: Callable[[list[Heard]], None] | None = None
        self._closed: Callable[[str], None] | None = None
        self._delivering = False
        self._end: str | None = None

    def listen(self, receive: Callable[[list[Heard]], None], closed: Callable[[str], None]) -> None:
        """From now on `receive` gets what the other end sends; `closed` is called once, last."""
        self._receive = receive
        self._closed = closed
        self._wake()

    def send(self, frame: Sent) -> None:
        """Hand a frame to the other end. After the end of the conversation it goes nowhere."""
        peer = self._peer
        if peer is None or self._end is not None:
            return
        inbox = peer._inbox  # noqa: SLF001 - the two ends are one thing
        receive = peer._receive  # noqa: SLF001
        if inbox or receive is None or not isinstance(frame, self._urgent):
            inbox.append(frame)
            peer._wake()  # noqa: SLF001
        else:
            receive([frame])

    async def drained(self) -> None:
        """There is nothing to wait for."""

    def close(self, detail: str = "") -> None:
        """End the conversation, for both ends, after what was already sent."""
        for end in (self, self._peer):
            if end is not None and end._end is None:  # noqa: SLF001
                end._end = detail  # noqa: SLF001
                end._wake()  # noqa: SLF001

    def abort(self, detail: str = "") -> None:
        """The same: what was sent has arrived."""
        self.close(detail)

    def _wake(self) -> None:
        if self._receive is not None and not self._delivering:
            self._delivering = True
            self._call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        if self._inbox and self._receive is not None:
            frames = self._inbox
            self._inbox = []
            self._receive(frames)
        if self._end is not None and self._closed is not None:
            closed = self._closed
            self._closed = None
            closed(self._end)


WorkerEnd = MemoryEnd[FromWorker, FromServer]
ServerEnd = MemoryEnd[FromServer, FromWorker]


def memory_pair(call_soon: CallSoon) -> tuple[WorkerEnd, ServerEnd]:
    """The two ends of a conversation within one event loop."""
    worker = WorkerEnd(call_soon, urgent=CallEnded)
    server = ServerEnd(call_soon, urgent=Frame)
    worker._peer = server  # noqa: SLF001
    server._peer = worker  # noqa: SLF001
    return worker, server
