"""The log of one run while it executes: numbered, batched, and never larger than is kept.

The first `FIRST_KEPT` bytes go to the server as they come. Beyond that only the last `LAST_KEPT`
bytes are held here until the run is over; what falls out is counted. Lines stay encoded until
they are sent, so that a flood costs little more than receiving it.
"""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec

from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.protocol.frames import LogLines
from runyard.worker.clock import instant
from runyard.worker.packets import decode_lines

FIRST_KEPT = 2 * 1024 * 1024
LAST_KEPT = 8 * 1024 * 1024
BATCH_SIZE = 64 * 1024
BATCH_DURATION = timedelta(milliseconds=250)
LINE_SIZE = 16 * 1024
"""Most bytes of a line from the standard streams; longer ones are continued on the next."""


class Chunk(NamedTuple):
    """Some consecutive lines, still encoded."""

    first: int
    """Number of its first line."""
    lines: int
    body: bytes
    at: float
    level: LogLevel | None
    """None: `body` is an encoded list; else it is plain text of this level."""


class LogBook:
    """The log of one attempt."""

    def __init__(self, run_id: int, token: int, attempt: int) -> None:
        self._run_id = RunId(run_id)
        self._token = token
        self._attempt = attempt
        self._next = 1
        self._first_left = FIRST_KEPT
        self._ready: list[Chunk] = []
        self._ready_size = 0
        self._last: deque[Chunk] = deque()
        self._last_size = 0
        self._dropped = 0

    def add_encoded(self, count: int, body: bytes) -> None:
        """Lines that the SDK gathered."""
        self._add(Chunk(self._next, count, body, 0.0, None))

    def add_text(self, text: bytes, *, at: float, level: LogLevel) -> None:
        """Whole lines from a standard stream."""
        self._add(Chunk(self._next, text.count(b"\n") + 1, text, at, level))

    def add_line(self, text: str, *, at: float, level: LogLevel) -> None:
        """One line of the worker's own, such as the progress of a build."""
        self.add_text(text.encode(), at=at, level=level)

    @property
    def is_full(self) -> bool:
        """Whether enough has come for a batch of its own."""
        return self._ready_size >= BATCH_SIZE

    @property
    def has_ready(self) -> bool:
        """Whether there is anything that can be sent now."""
        return bool(self._ready)

    def send(self, send: Callable[[LogLines], None]) -> None:
        """Send what can be sent before the run is over."""
        if self._ready:
            chunks, self._ready, self._ready_size = self._ready, [], 0
            self._send_chunks(chunks, 0, send)

    def finish(self, send: Callable[[LogLines], None]) -> None:
        """The run is over: send the rest."""
        self.send(send)
        if self._last:
            dropped, self._dropped = self._dropped, 0
            while self._last:
                self._send_chunks([self._last.popleft()], dropped, send)
                dropped = 0

    def _add(self, chunk: Chunk) -> None:
        self._next += chunk.lines
        size = len(chunk.body) + 32
        if self._first_left > 0:
            self._first_left -= size
            self._ready.append(chunk)
            self._ready_size += size
            return
        self._last.append(chunk)
        self._last_size += size
        while self._last_size > LAST_KEPT:
            oldest = self._last.popleft()
            self._last_size -= len(oldest.body) + 32
            self._dropped += oldest.lines

    def _send_chunks(
        self, chunks: list[Chunk], dropped: int, send: Callable[[LogLines], None]
    ) -> None:
        lines = tuple(line for chunk in chunks for line in self._lines(chunk))
        send(LogLines(self._run_id, self._token, lines, dropped))

    def _lines(self, chunk: Chunk) -> list[LogLine]:
        if chunk.level is not None:
            at = instant(chunk.at)
            texts = chunk.body.decode("utf-8", "replace").split("\n")
            return [
                LogLine(chunk.first + index, at, chunk.level, text.rstrip("\r"), self._attempt)
                for index, text in enumerate(texts)
            ]
        try:
            return [
                LogLine(
                    chunk.first + index,
                    instant(line.at),
                    LogLevel(line.level),
                    line.text,
                    self._attempt,
                )
                for index, line in enumerate(decode_lines(chunk.body))
            ]
        except (msgspec.DecodeError, ValueError, OverflowError, OSError):
            # Not from the SDK: something else wrote to the child's channel.
            return []


class LineSplitter:
    """Whole lines out of the bytes of one standard stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The whole lines so far, without the last line break; empty: there is none yet."""
        end = data.rfind(b"\n")
        if end < 0:
            self._rest += data
            if len(self._rest) > LINE_SIZE:
                return self.rest()
            return b""
        whole = self._rest + data[:end]
        self._rest = data[end + 1 :]
        return whole or b" "

    def rest(self) -> bytes:
        """What is left when no more comes: a line without its break."""
        rest, self._rest = self._rest, b""
        return rest
