"""Server-sent events: bytes in, values out, and where to go on after a lost connection."""

from collections.abc import Iterator

import msgspec

from runyard.protocol.shapes.events import Resync, RunLines, RunProgressed
from runyard.sdk.client.requests import Request, ServerEvent, read
from runyard.sdk.client.shapes import Run

EVENT_STREAM = "text/event-stream"


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A run is in another state."""

    run: Run


Event = StateChanged | RunLines | RunProgressed | Resync


class EventParser:
    """Finds the events in a stream of bytes."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, received: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes complete."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._finished()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value
        return None

    def _finished(self) -> ServerEvent | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        return ServerEvent(name or "message", "\n".join(data), self._id) if data or name else None


class Feed:
    """A stream of events of a run or a company, across as many connections as it takes."""

    def __init__(self, path: str, *, run_id: int | None, after_line: int = 0) -> None:
        self._path = path
        self._run_id = run_id
        self._after_line = after_line
        # The event ids of one run's stream are the numbers of its log lines.
        self._last_id = str(after_line) if after_line else None
        self.is_over = False

    def request(self) -> Request:
        """What opens the stream, or opens it again where it broke off."""
        headers = {"accept": EVENT_STREAM}
        if self._last_id is not None:
            headers["last-event-id"] = self._last_id
        return Request(method="GET", path=self._path, headers=headers, is_repeatable=True)

    def receive(self, received: ServerEvent) -> Event | None:
        """What the event says; None when it says nothing to a caller."""
        if received.id is not None:
            self._last_id = received.id
        event = _event(received)
        match event:
            case RunLines():
                return self._unseen(event)
            case StateChanged(run=run) if run.id == self._run_id and run.is_final:
                self.is_over = True
        return event

    def _unseen(self, event: RunLines) -> RunLines | None:
        """The event without lines that an earlier connection delivered."""
        if self._run_id is None:
            return event
        fresh = tuple(line for line in event.lines if line.number > self._after_line)
        if not fresh:
            return None
        self._after_line = fresh[-1].number
        return msgspec.structs.replace(event, lines=fresh)


def _event(received: ServerEvent) -> Event | None:
    match received.name:
        case "state":
            return StateChanged(run=read(received.data, Run))
        case "lines":
            return read(received.data, RunLines)
        case "progress":
            return read(received.data, RunProgressed)
        case "resync":
            return Resync()
        case _:
            return None
