"""The part of the Store contract that is about leases: who may execute which run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, GateId, RunId, SessionId, TaskId, VersionId, WorkerId


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of one company to claim, and from which gates."""

    company_id: CompanyId
    count: int
    gate_ids: tuple[GateId, ...]
    """Non-empty as far as the dispatcher knows, fitting the worker's labels. The store itself
    verifies openness and limits, and takes the runs with the smallest (rank + gate offset, id)."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish for runs. Tokens rise from `first_token`, one for each claimed run."""

    session_id: SessionId
    worker_id: WorkerId
    first_token: int
    shares: tuple[Share, ...]
    at: datetime


class ClaimedRun(msgspec.Struct, frozen=True):
    """A run that now belongs to a session, with all a worker needs."""

    run_id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    token: int
    attempt: int
    """Attempts that have begun before this one."""
    rank: int
    input: bytes


class LeasedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a session holds."""

    run_id: RunId
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    session_id: SessionId
    token: int
    attempt: int
    begun_at: datetime | None
    priority: int
    rank: int


class Leases(Protocol):
    """Leases: which session holds which run."""

    async def claim(self, claim: Claim) -> list[ClaimedRun]:
        """Lease queued runs to a session (relaxed). Never exceeds a gate's limit, never takes a
        run of a closed gate: gate rows are locked before counting. In order of each share's ranks.
        """

    async def held_by(self, sessions: Sequence[SessionId], limit: int) -> list[LeasedRun]:
        """Runs that these sessions hold, smallest ids first."""

    async def of_gate(self, company: CompanyId, gate: GateId) -> list[LeasedRun]:
        """Runs of a gate that are running or waiting, smallest ids first."""

    async def abandoned(self, now: datetime, limit: int) -> list[LeasedRun]:
        """Running runs whose session is closed, lapsed or unknown, smallest ids first."""
