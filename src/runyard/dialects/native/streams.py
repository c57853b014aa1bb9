"""What happens, as server-sent events.

Events are `state` (a run), `lines`, `progress`, and `resync` when a reader was too slow or events
are gone: read what matters again and connect again.

A run's stream begins with what its log has already and the run as it is, and ends after the run's
final state. Its event ids are log line numbers: with `Last-Event-ID` the lines go on after that one.
A company's stream begins now; its ids are places in this server's memory, and a place that it does
not have any more (or that another life of the server had) leads to `resync`.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from runyard.dialects.native import wire
from runyard.dialects.native.naming import shown_run
from runyard.engine.engine import Engine
from runyard.engine.watch import Event, Follower, Lines, Progressed, Resync, StateChanged
from runyard.model.companies import Company
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Run
from runyard.protocol.shapes import events as event_shapes
from runyard.web.authentication import authenticate
from runyard.web.events import EventStream, ServerSentEvent
from runyard.web.requests import Request

_LINES_AT_ONCE = 500

Events = AsyncGenerator[ServerSentEvent, None]


async def watch_run(request: Request) -> EventStream:
    """Watch a run: its state, its log lines and its progress, until it has ended."""
    run = await request.engine.runs.load(request.company, request.params["run"])
    story = _Story(request.engine, request.company, run.id, _line_number(_last_id(request)))
    return _stream(request, story.events())


async def watch_company(request: Request) -> EventStream:
    """Watch a company: states, log lines and progress of its runs, from now on."""
    life = request.house.life
    return _stream(request, _company_events(request, life, _sequence(_last_id(request), life)))


def _stream(request: Request, events: Events) -> EventStream:
    header = request.headers.get(b"authorization")
    return EventStream(
        events,
        request.house.streams,
        lambda: authenticate(request.engine.tokens, header, request.token.kind),
    )


class _Story:
    """One run as its reader has been told of it so far."""

    def __init__(self, engine: Engine, company: Company, run_id: RunId, told: int) -> None:
        self._engine = engine
        self._company = company
        self._run_id = run_id
        self._told = told
        """Number of the last log line that was told."""

    @property
    def _look(self) -> timedelta | None:
        """How often it looks by itself, since other servers change runs too."""
        watch = self._engine.watch
        return None if watch.hears_everything else watch.look

    async def events(self) -> Events:
        """All that is still to be told, until the run has ended."""
        with self._engine.watch.following(self._company.id, self._run_id) as follower:
            run = await self._load()
            async for event in self._stored_lines():
                yield event
            yield await self._state(run)
            while not run.is_final:
                happened = await _next(follower, self._look)
                if isinstance(happened, Lines):
                    for event in self._untold(happened.lines):
                        yield event
                    continue
                if isinstance(happened, Progressed):
                    yield ServerSentEvent("progress", _progress_shape(happened))
                    continue
                if isinstance(happened, Resync):
                    yield _RESYNC
                    return
                before, run = run, await self._load()
                if run.is_final or happened is None:
                    async for event in self._stored_lines():
                        yield event
                if run != before:
                    yield await self._state(run)

    async def _load(self) -> Run:
        return await self._engine.runs.load(self._company, str(self._run_id))

    async def _state(self, run: Run) -> ServerSentEvent:
        return self._event("state", await shown_run(self._engine, run))

    async def _stored_lines(self) -> Events:
        while True:
            page = await self._engine.logs.read(
                self._company.id, self._run_id, LogLevel.TRACE, self._told, _LINES_AT_ONCE
            )
            for event in self._untold(page.lines):
                yield event
            if page.next_after is None:
                return

    def _untold(self, lines: tuple[LogLine, ...]) -> list[ServerSentEvent]:
        new = [line for line in lines if line.number > self._told]
        if not new:
            return []
        self._told = new[-1].number
        return [self._event("lines", _lines_shape(self._run_id, new))]

    def _event(self, name: str, value: object) -> ServerSentEvent:
        return ServerSentEvent(name, value, str(self._told))


async def _company_events(request: Request, life: str, after: int | None) -> Events:
    engine = request.engine
    with engine.watch.following(request.company.id, after=after) as follower:
        while True:
            happened = await follower.next()
            place = f"{life}-{happened.sequence}"
            match happened:
                case StateChanged(run=run):
                    yield ServerSentEvent("state", await shown_run(engine, run), place)
                case Lines(run_id=run_id, lines=lines):
                    yield ServerSentEvent("lines", _lines_shape(run_id, list(lines)), place)
                case Progressed():
                    yield ServerSentEvent("progress", _progress_shape(happened), place)
                case _:
                    yield _RESYNC
                    return


_RESYNC = ServerSentEvent("resync", event_shapes.Resync())


async def _next(follower: Follower, look: timedelta | None) -> Event | None:
    """What happened next, or None when it is time to look by oneself."""
    if look is None:
        return await follower.next()
    try:
        async with asyncio.timeout(look.total_seconds()):
            return await follower.next()
    except TimeoutError:
        return None


def _lines_shape(run_id: RunId, lines: list[LogLine]) -> event_shapes.RunLines:
    return event_shapes.RunLines(
        run_id=run_id, lines=tuple(wire.line_shape(line) for line in lines)
    )


def _progress_shape(event: Progressed) -> event_shapes.RunProgressed:
    return event_shapes.RunProgressed(run_id=event.run_id, done=event.done, total=event.total)


def _last_id(request: Request) -> str:
    return request.headers.get(b"last-event-id", b"").decode("latin-1")


def _line_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _sequence(text: str, life: str) -> int | None:
    """The place to go on from; -1, which no memory has, for one of another life; None for now."""
    if not text:
        return None
    of, _, number = text.partition("-")
    return _line_number(number) if of == life and number.isdigit() else -1
