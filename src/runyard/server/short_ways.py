"""HTTP in which a request whose head came before may take a short way; see `runyard.web.shortcuts`.

Only the simplest requests have one: a POST whose head comes in one piece, and a small body with it or
after it, on a connection where nothing else is under way. Whatever a head says is in its bytes, so equal bytes need not be parsed again; what has changed
meanwhile about whoever sends it is for the shortcut to see.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from runyard.server.connections import LEAST_PROGRESS, BoundedHttp
from runyard.web.asgi import Headers
from runyard.web.shortcuts import REMEMBER, Shortcut

MOST_HEADS = 4_096
LONGEST_KNOWN = 4_096
"""Heads that are kept, and their bytes: those that are sent again and again."""
LARGEST_BODY = 64 * 1024
"""Bytes of a body that is waited for here."""
_MOST_HELD = 64 * 1024
"""Bytes that may come while an answer is being made; beyond, the connection is not read."""
_POST = b"POST "
_END = b"\r\n\r\n"


class KnownHeads:
    """The heads that have a shortcut, of all connections of a server."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Shortcut, int]] = {}
        self._shared: Headers | None = None
        self._lines = b""

    def find(self, head: bytes) -> tuple[Shortcut, int] | None:
        """The shortcut for this head, and how many bytes of a body it announces."""
        return self._known.get(head)

    def keep(self, head: bytes, size: int, shortcut: Shortcut) -> None:
        """From now on requests with this head, which announces so many bytes, take the short way."""
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[head] = (shortcut, size)

    def shared_lines(self, headers: Headers) -> bytes:
        """The headers that every answer has, as they stand on the wire; they change once a second."""
        if headers is not self._shared:
            self._lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
            self._shared = headers
        return self._lines


class ShortHttp(BoundedHttp):
    """One connection. While a request on the short way is under way, what else comes waits."""

    def __init__(self, heads: KnownHeads, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**options)
        self._known = heads
        self._packet = b""
        """What has just come, while it may be one whole request."""
        self._begun = b""
        """A known head and as much of its body as has come, while some of it is missing."""
        self._is_answering = False
        self._held = b""
        """What has come while an answer is being made."""
        self._is_last = False
        """Whether the connection ends with the answer that is being made."""
        self._answers = 0
        self._answers_then = 0
        """How many there were when the connection was last looked at."""

    def data_received(self, data: bytes) -> None:
        """Take the short way, the ordinary one, or wait."""
        if self._is_answering or self._held:
            self._hold(data)
        elif self._begun:
            self._read_request(self._begun + data)
        elif data.startswith(_POST) and self._is_at_rest:
            self._read_request(data)
        else:
            super().data_received(data)

    @property
    def _is_at_rest(self) -> bool:
        """Whether the next byte is the first one of a request, and no answer is under way."""
        cycle = self.cycle
        if cycle is None:
            return self._head == 0
        return cycle.response_complete and not cycle.more_body and self._head < 0

    def _read_request(self, data: bytes) -> None:
        """Read what is a request from its first byte on."""
        self._begun = b""
        end = data.find(_END) + len(_END)
        known = self._known.find(data[:end])
        if known is not None and len(data) < end + known[1]:
            self._begun = data
        elif known is None or len(data) > end + known[1] or not self._takes(known[0], data[end:]):
            self._packet = data
            super().data_received(data)
            self._packet = b""

    def _takes(self, shortcut: Shortcut, body: bytes) -> bool:
        """Whether this request is answered on the short way."""
        if self.flow.write_paused or self._is_crowded:
            return False
        self._is_answering = True  # the answer may come before `take` returns
        if shortcut.take(body, self):
            return True
        self._is_answering = False
        return False

    @property
    def _is_crowded(self) -> bool:
        """Whether there are more connections than are served."""
        return self.limit_concurrency is not None and (
            len(self.connections) >= self.limit_concurrency
        )

    # ------------------------------------------------------------ leaving shortcuts

    def on_headers_complete(self) -> None:
        """Let the endpoint leave a shortcut for this head, if it is one that can have one."""
        super().on_headers_complete()
        packet, self._packet = self._packet, b""  # another request may follow in the same packet
        if not packet or self.scope["http_version"] != "1.1" or not self.parser.should_keep_alive():
            return
        end = packet.find(_END) + len(_END)
        head = packet[:end]
        headers: Headers = self.scope["headers"]  # type: ignore[assignment]
        size = _announced(headers)
        if size is not None and len(packet) <= end + size and _is_plain(head, len(headers)):
            remember = partial(self._known.keep, head, size)
            self.scope[REMEMBER] = remember  # type: ignore[literal-required]

    # ------------------------------------------------------------ answering

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer the request that has taken the short way."""
        self._is_answering = False
        if self.transport.is_closing():
            return
        state = self.server_state
        state.total_requests += 1
        self._answers += 1
        if self._is_last:
            lines += b"connection: close\r\n"
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                STATUS_LINE[status],
                self._known.shared_lines(state.default_headers),
                lines,
                len(body),
                body,
            )
        )
        if self._is_last:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self._look_later()
        if self._held:
            self.loop.call_soon(self._go_on)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _MOST_HELD:
            self.flow.pause_reading()

    def _go_on(self) -> None:
        """Read what came while an answer was made."""
        held, self._held = self._held, b""
        if held and not self.transport.is_closing():
            self.flow.resume_reading()
            self.data_received(held)

    # ------------------------------------------------------------ ends

    def shutdown(self) -> None:
        """Close the connection, after the answer that is being made."""
        if self._is_answering:
            self._is_last = True
            return
        begun, self._begun = self._begun, b""
        if begun:
            super().data_received(begun)
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, unless it was used since this was last asked.

        Answers of the short way set no timer each, which would cost as much as reading the request.
        """
        is_used = self._is_answering or self._begun or self._answers != self._answers_then
        if is_used and not self.transport.is_closing():
            self._look_later()
        else:
            super().timeout_keep_alive_handler()

    def _look_later(self) -> None:
        self._answers_then = self._answers
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _waiting_for(self) -> tuple[object, ...]:
        if self.transport.is_closing() or self.flow.write_paused:
            return super()._waiting_for()
        if self._is_answering:
            return ()
        if self._begun:
            requests = self._heads + self._answers
            return ("to send a body", requests, len(self._begun) // LEAST_PROGRESS)
        return super()._waiting_for()


def _is_plain(head: bytes, headers: int) -> bool:
    """Whether the parser has read just these bytes as a head: the request line, a line for each header,
    an empty one. A parser that took other ends of lines, or folded ones, would end a head elsewhere.
    """
    lines = headers + 2
    return len(head) <= LONGEST_KNOWN and head.count(b"\n") == head.count(b"\r\n") == lines


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The bytes of the body, for a request that is simple enough for a short way."""
    size = None
    for name, value in headers:
        match name:
            case b"content-length" if size is None and value.isdigit() and len(value) < 6:
                size = int(value)
            case b"content-length" | b"transfer-encoding" | b"expect" | b"upgrade":
                return None
            case b"connection" if value.lower() != b"keep-alive":
                return None
    return size if size is not None and size <= LARGEST_BODY else None
