"""The run that this process executes now. A child executes one at a time."""

from pathlib import Path
from typing import Protocol

from runyard.sdk.channel import Channel, RunContext


class Unfinished(Protocol):
    """Something that may hold the beginning of a line when a run ends."""

    def finish_line(self) -> None:
        """Hand over what is held."""


class Current:
    """Which run is executed, and how it reaches its child."""

    __slots__ = ("channel", "context", "steps_taken", "streams")

    def __init__(self) -> None:
        self.context: RunContext | None = None
        self.channel: Channel | None = None
        self.steps_taken: dict[str, int] | None = None
        """How many steps of each name the run has had; None until the first one."""
        self.streams: tuple[Unfinished, ...] = ()
        """Captured streams, which outlive runs."""

    def enter(self, context: RunContext, channel: Channel) -> None:
        """From here on what is said and asked concerns this run."""
        self.context = context
        self.channel = channel
        self.steps_taken = None

    def leave(self) -> None:
        """The run is over."""
        for stream in self.streams:
            stream.finish_line()
        self.context = None
        self.channel = None

    def run(self) -> RunContext:
        """Which run this is; raises RuntimeError where there is none."""
        if self.context is None:
            raise RuntimeError("this code is not executed by a run")
        return self.context


CURRENT = Current()


class Context:
    """What the code of a task may know about its run. Outside a run it raises RuntimeError."""

    __slots__ = ()

    @property
    def run_id(self) -> int:
        """The run's number."""
        return CURRENT.run().run_id

    @property
    def public_id(self) -> str:
        """The run's id as it stands in addresses."""
        return CURRENT.run().public_id

    @property
    def attempt(self) -> int:
        """Which attempt of the run this is, from 1."""
        return CURRENT.run().attempt

    @property
    def task(self) -> str:
        """The name of the task."""
        return CURRENT.run().task

    @property
    def company(self) -> str:
        """The slug of the company that the run belongs to."""
        return CURRENT.run().company

    @property
    def scratch(self) -> Path:
        """A folder of the run's own, removed with everything in it when the run is over."""
        CURRENT.run()
        channel = CURRENT.channel
        if channel is None:
            raise RuntimeError("this code is not executed by a run")
        return channel.scratch()


context = Context()
