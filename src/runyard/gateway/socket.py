"""A worker's WebSocket as the server sees it: frames in order, bounded both ways.

What arrives is read one frame at a time, so a worker that floods is slowed down by its own
connection. What is sent waits in a queue while the worker reads slowly; one that does not read at
all loses its connection before the queue grows beyond `MOST_UNSENT`.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from runyard.protocol.codec import FRAME_LIMIT, ProtocolViolation, decode_from_worker, encode
from runyard.protocol.frames import FromServer, FromWorker
from runyard.web.asgi import Message, Receive, Send

LARGEST_MESSAGE = FRAME_LIMIT
"""Most bytes of one message; a larger one is refused before it has come."""
MOST_UNSENT = 64 * 1024 * 1024
"""Bytes that may wait for a worker to read them."""
MUCH_UNSENT = 4 * 1024 * 1024
"""Bytes beyond which blobs wait until the worker has read more."""
LAST_WORDS = timedelta(seconds=5)
"""How long a worker may take to read what was sent before the end."""
LONGEST_REASON = 120
"""Bytes of the reason of a close, as WebSockets allow."""

NORMAL, PROTOCOL_ERROR = 1000, 1002


class SocketTransport:
    """One accepted WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._unsent: list[bytes] = []
        self._unsent_size = 0
        self._news = asyncio.Event()
        self._end: str | None = None
        self._has_room = asyncio.Event()
        self._has_heard = False
        self._code = NORMAL
        self._hear: Callable[[list[FromWorker]], None] | None = None
        self._closed: Callable[[str], None] | None = None

    def listen(
        self, receive: Callable[[list[FromWorker]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""
        self._hear, self._closed = receive, closed

    def send(self, frame: FromServer) -> None:
        """Send a frame; never waits. After the end of the conversation it goes nowhere."""
        if self._end is not None:
            return
        data = encode(frame)
        self._unsent_size += len(data)
        if self._unsent_size > MOST_UNSENT:
            self._unsent.clear()
            self.close("the worker does not read what it is sent")
            return
        self._unsent.append(data)
        self._news.set()

    async def drained(self) -> None:
        """Return once the worker has read most of what it was sent, or will read no more."""
        while self._unsent_size > MUCH_UNSENT and self._end is None:
            self._has_room.clear()
            await self._has_room.wait()

    def close(self, detail: str = "") -> None:
        """End the conversation, after what was already sent."""
        if self._end is None:
            self._end = detail
            self._news.set()
            self._has_room.set()

    async def run(self, longest_silence: timedelta) -> None:
        """Carry frames until the conversation is over, or the worker silent for so long."""
        reading = asyncio.ensure_future(self._read())
        writing = asyncio.ensure_future(self._write())
        try:
            await self._until_over(reading, writing, longest_silence)
            if not writing.done():
                self._news.set()
                await asyncio.wait({writing}, timeout=LAST_WORDS.total_seconds())
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self.close()
            if self._closed is not None:
                self._closed(self._end or "the connection ended")

    async def _until_over(
        self, reading: "asyncio.Future[None]", writing: "asyncio.Future[None]", silence: timedelta
    ) -> None:
        while not reading.done() and not writing.done():
            self._has_heard = False
            await asyncio.wait(
                {reading, writing},
                timeout=silence.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not self._has_heard:
                self.close("no sign of life from the worker")
                return

    async def _read(self) -> None:
        while self._end is None:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self.close(message.get("reason") or "the connection broke off")
                return
            self._take(message)

    def _take(self, message: Message) -> None:
        self._has_heard = True
        data = message.get("bytes")
        try:
            if data is None:
                raise ProtocolViolation("text where frames are bytes")
            frame = decode_from_worker(data)
        except ProtocolViolation as violation:
            self._code = PROTOCOL_ERROR
            self.close(f"protocol violation: {violation}")
            return
        assert self._hear is not None
        self._hear([frame])

    async def _write(self) -> None:
        while self._unsent or self._end is None:
            await self._news.wait()
            self._news.clear()
            unsent, self._unsent = self._unsent, []
            for data in unsent:
                await self._send({"type": "websocket.send", "bytes": data})
                self._unsent_size -= len(data)
                self._has_room.set()
        reason = (self._end or "").encode()[:LONGEST_REASON].decode(errors="ignore")
        await self._send({"type": "websocket.close", "code": self._code, "reason": reason})
