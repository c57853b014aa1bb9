"""The part of the Store contract that is about workers and their sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, SessionId, WorkerId
from runyard.model.workers import Worker, WorkerState


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that begins."""

    id: SessionId
    worker_id: WorkerId
    server: str
    lease_expires_at: datetime
    resume_digest: bytes | None = None
    """SHA-256 of the key that resumes it; None: nothing does."""


class OpenSession(msgspec.Struct, frozen=True):
    """A session that was not closed."""

    id: SessionId
    worker_id: WorkerId
    server: str
    lease_expires_at: datetime


class Workers(Protocol):
    """Workers and their sessions (a session is the holder of a worker's leases)."""

    async def register(self, worker: Worker) -> Worker:
        """Insert a worker, or update the one of that (company, name), keeping its id, its age and
        whether it drains. One in request becomes what it comes as; any other state stays.
        """

    async def set_state(self, worker: WorkerId, state: WorkerState) -> bool:
        """Allow or lock. False when there is no such worker."""

    async def set_draining(self, worker: WorkerId, draining: bool) -> bool:  # noqa: FBT001 - the value
        """Give it nothing more, or go on. False when there is no such worker."""

    async def remove(self, worker: WorkerId) -> bool:
        """Forget it. False when there is no such worker."""

    async def find(self, worker: WorkerId) -> Worker | None:
        """One by its id."""

    async def find_by_name(self, company: CompanyId | None, name: str) -> Worker | None:
        """One by its name among those of a company (not the installation's), or the installation."""

    async def note(self, seen: Sequence[tuple[WorkerId, datetime, int]]) -> None:
        """When workers were last seen, and how many runs each held (relaxed)."""

    async def open_session(self, opened: OpenedSession, at: datetime) -> None:
        """A worker connected."""

    async def succeed_session(
        self, closed: SessionId, opened: OpenedSession, digest: bytes, at: datetime
    ) -> bool:
        """Close a session and open another that has its leases under their tokens, in one piece.

        False, and nothing has changed, unless the session is open, has not lapsed, and this is its
        digest. Saying it again for the same two sessions succeeds again.
        """

    async def renew(self, sessions: Sequence[SessionId], lease_expires_at: datetime) -> None:
        """Keep the leases of these sessions (relaxed). Closed sessions stay closed."""

    async def close_session(self, session: SessionId, at: datetime) -> bool:
        """Its leases are void from now on. False: it was closed before, perhaps by its successor."""

    async def expire_sessions(self, now: datetime, server: str | None = None) -> list[SessionId]:
        """Close every open session whose lease has expired (or all of that server that nobody can
        resume); which.
        """

    async def shorten_sessions(self, server: str, lease_expires_at: datetime) -> None:
        """Let the leases of a server's open sessions end at this instant, if not earlier."""

    async def forget_sessions(self, closed_before: datetime) -> None:
        """Delete sessions that were closed before this instant (relaxed)."""

    async def open_sessions(self) -> list[OpenSession]:
        """Every session that was not closed; its lease may have lapsed."""

    async def list(self, company: CompanyId | None = None) -> list[Worker]:
        """All workers, or those that serve a company."""
