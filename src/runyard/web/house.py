"""What all doors of a server share."""

from collections import Counter
from dataclasses import dataclass, field

from runyard.engine.engine import Engine
from runyard.web.errors import Stopping
from runyard.web.events import OpenStreams


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Most bytes of what callers send."""

    body: int = 1024 * 1024
    """A JSON body."""
    starts: int = 16 * 1024 * 1024
    """The body of one start, of one run or many."""
    bundle: int = 100 * 1024 * 1024
    file: int = 256 * 1024 * 1024


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

    def refuse_while_stopping(self) -> None:
        """Raise Stopping once the server takes nothing new any more."""
        if self.streams.is_ending:
            raise Stopping
