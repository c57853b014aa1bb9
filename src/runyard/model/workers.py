"""Workers: the processes that execute runs."""

from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import CompanyId, WorkerId

LONGEST_NAME = 500
NAME_RULE = f"1 to {LONGEST_NAME} printable characters, not digits alone: those are ids"


def is_worker_name(name: str) -> bool:
    """Whether a worker may be called so: on one line, and never to be taken for another one's id."""
    is_line = 0 < len(name) <= LONGEST_NAME and name.isprintable()
    return is_line and not (name.isascii() and name.isdigit())


class WorkerState(StrEnum):
    """Whether an administrator lets a worker execute."""

    REQUEST = "request"
    ALLOWED = "allowed"
    LOCKED = "locked"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A process that connects and executes runs, as last seen."""

    id: WorkerId
    company_id: CompanyId | None
    """None: it serves every company."""
    name: str
    state: WorkerState
    version: str
    host: str
    os: str
    address: str
    slots: int
    labels: tuple[str, ...]
    created_at: datetime
    last_seen_at: datetime | None
    draining: bool
    """Takes no further runs, until it is allowed again."""
    isolation: str = ""
    """The isolation level that its children reach."""
    busy: int = 0
    """Runs that it held when it was last seen."""
