"""Workers."""

from datetime import datetime

from runyard.model.workers import WorkerState
from runyard.protocol.shapes.parts import Page, Shown


class Worker(Shown, frozen=True, kw_only=True):
    """A process that executes runs."""

    id: int
    company: str | None
    """Slug; null: it serves every company."""
    name: str
    state: WorkerState
    """request: an administrator has to allow it. allowed. locked: it is kept out."""
    online: bool
    busy: int
    """Runs that it holds; of a worker of another server, as it was within the last minute."""
    slots: int
    """How many runs it executes at once."""
    labels: tuple[str, ...]
    """What tasks can require of it."""
    version: str
    """Release of Runyard that it runs."""
    host: str
    """Empty for a company's token unless the worker is the company's own."""
    os: str
    address: str
    """From where it connects; empty for the one inside a server, and like `host`."""
    isolation: str
    """What its children are kept from."""
    draining: bool
    """Whether it gets no further runs until it is allowed again."""
    created_at: datetime
    last_seen_at: datetime | None
    """Written down once a minute."""


class WorkerPage(Page, frozen=True, kw_only=True):
    """Workers by name."""

    items: tuple[Worker, ...]
