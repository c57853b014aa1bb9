"""Log lines of runs, and the levels they have."""

from datetime import datetime
from enum import IntEnum

import msgspec


class LogLevel(IntEnum):
    """Six levels, rising."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    FATAL = 5

    @property
    def word(self) -> str:
        """The level as the native API writes it."""
        return self.name.lower()


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One line of a run's log. Lines are numbered from 1 within their run."""

    number: int
    at: datetime
    level: LogLevel
    text: str
    attempt: int = 1
