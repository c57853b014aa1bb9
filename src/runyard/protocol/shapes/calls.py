"""Allocations, and the real-time calls through them."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runyard.model.allocations import LARGEST_LIMIT, Overflow, Recording
from runyard.model.states import Cause, RunState
from runyard.protocol.shapes.parts import Asked, Object, Page, Shown
from runyard.protocol.shapes.runs import RunError
from runyard.protocol.shapes.tasks import TaskName


class AllocationChange(Asked, frozen=True, kw_only=True):
    """How a task is to be kept warm; what is left out is as said here."""

    limit: Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)] = 1
    """Calls that execute at once, and children that are kept for them."""
    overflow: Overflow = Overflow.REJECT
    """What becomes of a call when all of them are at work."""
    wait: timedelta = timedelta(seconds=1)
    """How long it may wait for one, if it may; at most PT60S."""
    deadline: timedelta = timedelta(seconds=60)
    """How long a call may take; at most PT900S."""
    recording: Recording = Recording.ALL
    """Which calls are kept as runs."""
    retention: timedelta = timedelta(hours=24)
    """How long they are kept."""


class Latency(Shown, frozen=True, kw_only=True):
    """So many calls took at most this long, and longer than the bound before."""

    up_to: timedelta | None
    """Null: longer than every bound."""
    count: int


class Allocation(Shown, frozen=True, kw_only=True):
    """A task that is kept warm for calls."""

    id: int
    task: TaskName
    limit: int
    overflow: Overflow
    wait: timedelta
    deadline: timedelta
    recording: Recording
    retention: timedelta
    created_at: datetime
    server: str | None
    """Who gives out its children; null: no worker is there that could keep them."""
    version: int | None
    """Number of the version that serves; null: none is ready, or another server knows."""
    children: int
    """Ready or at work. This and what follows is known to the server that keeps it."""
    in_flight: int
    """Calls that execute."""
    waiting: int
    """Calls that wait for a child."""
    memory: int
    """Bytes that its children have in use."""
    calls: int
    """Since the server keeps it."""
    p50: timedelta | None
    """The bound below which half of them lie."""
    p99: timedelta | None
    latencies: tuple[Latency, ...]
    error: RunError | None
    """Why the version that was deployed last is not the one that serves."""


class AllocationPage(Page, frozen=True, kw_only=True):
    """Allocations, oldest first."""

    items: tuple[Allocation, ...]


class NewCall(Asked, frozen=True, kw_only=True):
    """A call to make."""

    input: Object | UnsetType = UNSET
    """By the names of the task's inputs."""
    durable: bool = False
    """Whether the call is on disk before it is answered."""


class CallAnswer(Shown, frozen=True, kw_only=True):
    """How a call ended. `state` says whether it did what it was meant to."""

    id: int
    """Of the run that the call is kept as, if it is."""
    public_id: str
    state: RunState
    cause: Cause
    outputs: msgspec.Raw
    """By the names of the task's outputs; null when there are none."""
    error: RunError | None
    version: int
    duration: timedelta | None
    """From the first line of its code to its end; null when it never got there."""
