"""Server-sent events: a stream that ends when its source, its reader, its token or the server does.

A comment goes out whenever nothing else did for a while, so that nobody between the two ends takes
the connection for dead, and so that a reader that is gone is noticed. The token is looked at again
every second, whether events come or not and whether they are read or not: a stream never outlives
the right to read it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta

import msgspec

from runyard.model.errors import RunyardError
from runyard.web.asgi import Receive, Send
from runyard.web.responses import ENCODER, SECURITY_HEADERS, Response

KEEP_ALIVE = timedelta(seconds=15)
LOOK_AT_TOKEN = timedelta(seconds=1)

EVENT_STREAM = "text/event-stream"

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # Proxies that collect answers would hold events back.
    (b"x-accel-buffering", b"no"),
    *SECURITY_HEADERS,
]


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event: a name and a JSON value, with an id when a reader may go on from there."""

    name: str
    value: object
    id: str | None = None

    def encode(self) -> bytes:
        """The event as it is sent. JSON has no line breaks, so one data line holds it."""
        head = f"event: {self.name}\n"
        if self.id is not None:
            head += f"id: {self.id}\n"
        return b"%sdata: %s\n\n" % (head.encode(), ENCODER.encode(self.value))


class OpenStreams:
    """The streams that a server has open, so that it can end them when it stops."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let every stream end, now and from now on."""
        self._ending.set()

    @property
    def is_ending(self) -> bool:
        """Whether the server stops."""
        return self._ending.is_set()

    async def wait_for_end(self) -> None:
        """Return once streams shall end."""
        await self._ending.wait()


class EventStream(Response):
    """An answer of server-sent events."""

    def __init__(
        self,
        events: AsyncGenerator[ServerSentEvent, None],
        streams: OpenStreams,
        still_valid: Callable[[], Awaitable[object]] | None = None,
        keep_alive: timedelta = KEEP_ALIVE,
        look: timedelta = LOOK_AT_TOKEN,
    ) -> None:
        """`still_valid` raises a RunyardError once the reader's token is not valid any more. Without
        it the stream is one answer that takes long: it ends by itself, whoever listens, and what
        still arrives belongs to its source.
        """
        super().__init__()
        self._events = events
        self._streams = streams
        self._still_valid = still_valid
        self._keep_alive = keep_alive.total_seconds()
        self._look = look.total_seconds()

    async def send(self, receive: Receive, send: Send) -> None:
        """Write events out until one of the four ends comes."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(send))
            watching = [group.create_task(self._streams.wait_for_end())]
            if self._still_valid is not None:
                watching.append(group.create_task(_wait_for_disconnect(receive)))
                watching.append(group.create_task(self._wait_for_loss(self._still_valid)))
            await asyncio.wait([writing, *watching], return_when=asyncio.FIRST_COMPLETED)
            for task in (writing, *watching):
                task.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def send_head(self, send: Send) -> None:
        """Write out the headers alone."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send) -> None:
        async with aclosing(self._events) as events, asyncio.TaskGroup() as group:
            upcoming = group.create_task(_next(events))
            try:
                while True:
                    done, _ = await asyncio.wait([upcoming], timeout=self._keep_alive)
                    if not done:
                        await _send_part(send, b": keep-alive\n\n")
                        continue
                    event = upcoming.result()
                    if event is None:
                        return
                    upcoming = group.create_task(_next(events))
                    await _send_part(send, event.encode())
            finally:
                upcoming.cancel()

    async def _wait_for_loss(self, still_valid: Callable[[], Awaitable[object]]) -> None:
        """Return once the reader's token is not valid any more."""
        never = asyncio.Event()
        while True:
            try:
                async with asyncio.timeout(self._look):
                    await never.wait()
            except TimeoutError:
                try:
                    await still_valid()
                except RunyardError:
                    return


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _next(events: AsyncGenerator[ServerSentEvent, None]) -> ServerSentEvent | None:
    return await anext(events, None)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
