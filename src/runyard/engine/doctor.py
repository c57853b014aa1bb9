"""Proof, on the live database, that the promises hold."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from runyard.engine.audit_chain import AuditChain
from runyard.engine.colleagues import Colleague, slots_of
from runyard.engine.foundation import Foundation
from runyard.engine.keys import Keys
from runyard.model.errors import RunyardError

SHOWN_BREACHES = 20
AUDIT_ENTRIES = 1_000
LARGEST_DRIFT = timedelta(seconds=1)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at."""

    checks: tuple[Check, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether all checks passed."""
        return all(check.ok for check in self.checks)


class Doctor:
    """Looks at a live installation."""

    def __init__(self, foundation: Foundation, keys: Keys, chain: AuditChain) -> None:
        self._keys = keys
        self._chain = chain
        self._store = foundation.store
        self._clock = foundation.clock
        self._sessions = foundation.sessions
        self._peers = foundation.peers
        self._colleagues = foundation.colleagues

    async def examine(self) -> Diagnosis:
        """Look at everything; never raises for what it finds."""
        try:
            checks = [await self._store_check(), await self._clock_check()]
            checks.append(await self._promise_check())
            checks += [*await self._audit_checks(), *await self._server_checks()]
            others = await self._colleagues.list()
        except RunyardError as problem:
            checks = [Check(name="store", ok=False, detail=problem.detail)]
            others = []
        checks += [self._key_check(), self._worker_check(others), *self._isolation_checks(others)]
        return Diagnosis(checks=tuple(checks))

    async def _store_check(self) -> Check:
        found = await self._store.statistics()
        detail = (
            f"{found.kind} {found.version}, schema {found.schema_version}, "
            f"{found.size / 1e6:.1f} MB, {found.waiting} writes waiting"
        )
        return Check(name="store", ok=True, detail=detail)

    async def _clock_check(self) -> Check:
        drift = await self._store.database_now() - self._clock.now()
        detail = f"{drift.total_seconds():+.3f} s from the database's clock"
        return Check(name="clock", ok=abs(drift) <= LARGEST_DRIFT, detail=detail)

    async def _promise_check(self) -> Check:
        breaches = await self._store.runs.breaches(self._clock.now(), SHOWN_BREACHES)
        if not breaches:
            detail = (
                "every run that has not ended is held by exactly one thing; no limit is exceeded"
            )
            return Check(name="promises", ok=True, detail=detail)
        told = "; ".join(f"{b.promise}: run {b.run_id}: {b.detail}" for b in breaches)
        return Check(name="promises", ok=False, detail=told)

    def _key_check(self) -> Check:
        if self._keys.are_right:
            return Check(name="master key", ok=True, detail="the one of this database")
        detail = "not the one of this database; this server sends no callbacks"
        return Check(name="master key", ok=False, detail=detail)

    async def _audit_checks(self) -> list[Check]:
        """Whether the end of the audit log is what was written, where this server can tell."""
        if not self._keys.are_right:
            return []
        found = await self._chain.verify_newest(AUDIT_ENTRIES)
        detail = f"the newest {found.entries:,} entries are what was written"
        if found.broken is not None:
            detail = f"entry {found.broken.place}: {found.broken.detail}; see runyard audit verify"
        return [Check(name="audit log", ok=found.broken is None, detail=detail)]

    async def _server_checks(self) -> list[Check]:
        """The servers that share the database, where any do."""
        listed = [server for server in await self._peers.list() if server.left_at is None]
        if len(listed) < 2:
            return []
        gone = [server.name for server in listed if not server.is_connected]
        detail = f"{len(listed) - len(gone)} connected"
        if gone:
            detail += f"; neither connected nor stopped: {', '.join(gone)}"
        return [Check(name="servers", ok=True, detail=detail)]

    def _worker_check(self, others: Sequence[Colleague]) -> Check:
        slots = sum(session.worker.slots for session in self._sessions) + slots_of(others)
        detail = f"{len(self._sessions) + len(others)} online with {slots} slots"
        return Check(name="workers", ok=slots > 0, detail=detail)

    def _isolation_checks(self, others: Sequence[Colleague]) -> list[Check]:
        workers = [session.worker for session in self._sessions]
        workers += [colleague.worker for colleague in others]
        return [
            Check(name=f"isolation of {worker.name}", ok=True, detail=worker.isolation)
            for worker in workers
        ]
