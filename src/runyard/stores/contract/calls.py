"""The part of the Store contract that is about allocations and the real-time calls through them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.allocations import Allocation
from runyard.model.ids import AllocationId, CompanyId, RunId, SessionId, TaskId, VersionId, WorkerId
from runyard.model.runs import RunError
from runyard.model.states import Cause, RunState
from runyard.stores.contract.listing import Position, RunFilter


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that has ended, with its values; written once."""

    id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    allocation_id: AllocationId
    state: RunState
    cause: Cause
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime
    worker_id: WorkerId
    logged_errors: int
    input: bytes
    output: bytes | None
    error: RunError | None


class CallPage(msgspec.Struct, frozen=True):
    """Calls newest first, with their values."""

    records: tuple[CallRecord, ...]
    next: Position | None = None
    """The last call that was looked at, if there are more and these are fewer than were asked for."""


class CallCount(msgspec.Struct, frozen=True):
    """How many calls fit a filter."""

    count: int
    is_exact: bool
    """If not, there are at least so many, or were a minute ago."""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where an allocation's children are kept: with a session, and so by a server."""

    allocation_id: AllocationId
    session_id: SessionId
    server: str


class Allocations(Protocol):
    """Allocations and where they are kept."""

    async def put(self, allocation: Allocation) -> Allocation:
        """Keep it; one that the task has already is changed and keeps its id and creation."""

    async def delete(self, company: CompanyId, task: TaskId) -> bool:
        """False when the task has none."""

    async def find(self, company: CompanyId, task: TaskId) -> Allocation | None:
        """The allocation of a task."""

    async def list(self, company: CompanyId | None = None) -> list[Allocation]:
        """Those of a company, or all; by creation."""

    async def place(
        self,
        allocation: AllocationId,
        session: SessionId,
        server: str,
        now: datetime,
        *,
        instead_of: SessionId | None = None,
    ) -> bool:
        """Keep it with this session. Guard: it is kept nowhere, with a session that is over, or with
        the one that this takes the place of.
        """

    async def displace(self, allocation: AllocationId, session: SessionId) -> None:
        """Keep it with this session no longer."""

    async def placements(self, now: datetime) -> Sequence[Placement]:
        """Where allocations are kept, as far as those sessions live."""


class Calls(Protocol):
    """Records of calls."""

    async def record(self, records: Sequence[CallRecord]) -> None:
        """Keep these durably."""

    async def find(self, company: CompanyId, run: RunId) -> CallRecord | None:
        """One call with its values."""

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> CallRecord | None:
        """One call by its public id."""

    async def page(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> CallPage:
        """Calls newest first: by creation, or by end when the filter bounds the ends. Looks at
        `MOST_LOOKED_AT` calls, and may then be short.
        """

    async def count(self, company: CompanyId, filter: RunFilter) -> CallCount:  # noqa: A002
        """How many calls fit a filter; looks at one beyond `TOTAL_LIMIT` at most."""

    async def count_up(self, company: CompanyId, month: int, calls: int) -> int:
        """So many more calls of a company were executed in a month (such as 202603); how many
        now, whatever was pruned since.
        """

    async def prune(
        self, company: CompanyId, task: TaskId, created_before: datetime, limit: int
    ) -> int:
        """Delete records of a task's calls from before then, oldest first; how many."""
