"""Callbacks: what they say, and what became of them."""

from datetime import datetime
from typing import Literal

from runyard.model.callbacks import CallbackState
from runyard.protocol.shapes.parts import Page, PageQuery, Reference, Shown
from runyard.protocol.shapes.runs import Run


class RunEnded(Shown, frozen=True, kw_only=True):
    """What a callback says."""

    type: Literal["run.completed", "run.failed", "run.cancelled"]
    timestamp: datetime
    """When the run ended."""
    data: Run
    """The run, without its input."""
    outputs_left_out: bool = False
    """Its outputs are larger than a callback carries: `data.outputs` is missing."""


class Callback(Shown, frozen=True, kw_only=True):
    """A request that a run's end leads to."""

    id: int
    public_id: str
    """Its `webhook-id`: the same however often it is sent."""
    run_id: int
    url: str
    """Where it goes; what stands behind a question mark is not shown."""
    state: CallbackState
    tries: int
    """How often it was sent."""
    due_at: datetime | None
    """When it is sent, or sent again."""
    answered: int | None
    """The HTTP status of its receiver's last answer."""
    detail: str
    """Why the last try failed."""
    created_at: datetime
    ended_at: datetime | None
    """When it was delivered or given up."""


class CallbackPage(Page, frozen=True, kw_only=True):
    """Callbacks, newest first."""

    items: tuple[Callback, ...]


class CallbackQuery(PageQuery, frozen=True, kw_only=True):
    """Which callbacks."""

    state: CallbackState | None = None
    """Only those in this state."""
    run: Reference | None = None
    """Only those of this run, by its id or public id."""


class Resent(Shown, frozen=True, kw_only=True):
    """How many callbacks are sent again."""

    resent: int


class CallbackSecret(Shown, frozen=True, kw_only=True):
    """What receivers verify a company's callbacks with."""

    secret: str
    """In the form of Standard Webhooks."""
    previous: str | None
    """The secret before, while it signs as well."""
    previous_until: datetime | None
    """Until when it does."""
