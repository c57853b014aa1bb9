"""What a run asks of the child it is in, and what the child tells the run about itself.

The SDK never talks to a socket. Whatever task code says or wants (a log line, a step to be
recorded, a file) goes through the `Channel` that was handed in with the run. The worker's child
has one that reaches the server; `runyard.sdk.testing` has one that keeps everything in memory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from runyard.model.files import FileReference
from runyard.model.logs import LogLevel


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is, for the code inside it."""

    run_id: int
    public_id: str
    attempt: int
    """Number of this attempt, from 1."""
    task: str
    """The task's name."""
    company: str
    """The company's slug."""
    steps: Mapping[tuple[str, int], bytes] = {}
    """What earlier attempts recorded: JSON by (name, occurrence)."""


class AttemptOver(BaseException):
    """The attempt must end now, whatever the task's code would like to do.

    Not an `Exception`, so that code which catches those does not go on.
    """


class Channel(Protocol):
    """The child, as a run sees it. Its methods may be called from any thread of the run.

    To end an attempt at once (its lease is lost) they raise `AttemptOver`, which comes out of
    `LoadedTask.call` as it is. Anything else that they raise is to the task's code, and to how the
    attempt is reported, as if the code had raised it.
    """

    def begin(self) -> None:
        """The next instruction is the task's own code."""

    def line(self, level: LogLevel, text: str) -> None:
        """A line for the run's log, without a line break at its end."""

    def progress(self, done: float, total: float | None) -> None:
        """How far the run says it has come."""

    def record(self, name: str, occurrence: int, value: bytes) -> None:
        """Record a step's result (JSON); returns once it is on disk."""

    def scratch(self) -> Path:
        """The run's own folder, made when first asked for and removed when the run is over."""

    def fetch(self, file: FileReference) -> Path:
        """A local, readable copy of a stored file; may be shared, so it is not to be changed."""

    def keep(self, path: Path, *, name: str, content_type: str) -> FileReference:
        """Store a local file as one that the run returns."""
