"""What all doors of a server share."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta

from runyard.engine.engine import Engine
from runyard.model.errors import Overloaded
from runyard.web.errors import Stopping
from runyard.web.events import OpenStreams
from runyard.web.forwarding import Forwarding


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Most bytes of what callers send."""

    body: int = 1024 * 1024
    """A JSON body."""
    starts: int = 16 * 1024 * 1024
    """The body of one start, of one run or many."""
    bundle: int = 100 * 1024 * 1024
    file: int = 256 * 1024 * 1024


class Pressure:
    """Whether starts were refused just now because more is being written than the disk takes.

    Until the moment has come that callers were told to try again, further ones are refused before
    their bodies are read: an overloaded server must not spend itself on reading.
    """

    def __init__(self) -> None:
        self._refused: Overloaded | None = None
        self._until = timedelta()

    def note(self, refused: Overloaded, now: timedelta) -> None:
        """A start was refused at this monotonic instant."""
        self._refused = refused
        self._until = now + refused.retry_after

    def refuse(self, now: timedelta) -> None:
        """Raise Overloaded while a refusal of before still holds."""
        if self._refused is not None:
            if now < self._until:
                raise Overloaded(self._refused.detail, retry_after=self._until - now)
            self._refused = None

    @property
    def is_high(self) -> bool:
        """Whether a refusal may still hold."""
        return self._refused is not None


@dataclass(frozen=True, kw_only=True)
class House:
    """The engine behind the doors, the streams that are open, and the limits that hold."""

    engine: Engine
    public_url: str
    """What absolute links begin with; no slash at its end."""
    life: str
    """A word that no other life of this server has had."""
    limits: Limits = Limits()
    streams: OpenStreams = field(default_factory=OpenStreams)
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers by route name and status, for metrics."""
    shortened: Counter[str] = field(default_factory=Counter)
    """Requests that have taken a short way (`web.shortcuts`), by route name; their answers are counted
    with all others."""
    pressure: Pressure = field(default_factory=Pressure)
    forwarding: Forwarding = field(default_factory=Forwarding)
    """To other servers, for what only they can answer."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do this in the background."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def is_stopping(self) -> bool:
        """Whether the server takes nothing new any more."""
        return self.streams.is_ending

    def refuse_while_stopping(self) -> None:
        """Raise Stopping once the server takes nothing new any more."""
        if self.is_stopping:
            raise Stopping
