"""Proof, on the live database, that the promises hold."""

from datetime import timedelta

import msgspec

from runyard.engine.foundation import Foundation
from runyard.engine.keys import Keys
from runyard.model.errors import RunyardError

SHOWN_BREACHES = 20
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

    def __init__(self, foundation: Foundation, keys: Keys) -> None:
        self._keys = keys
        self._store = foundation.store
        self._clock = foundation.clock
        self._sessions = foundation.sessions

    async def examine(self) -> Diagnosis:
        """Look at everything; never raises for what it finds."""
        try:
            checks = [await self._store_check(), await self._clock_check()]
            checks.append(await self._promise_check())
        except RunyardError as problem:
            checks = [Check(name="store", ok=False, detail=problem.detail)]
        checks += [self._key_check(), self._worker_check(), *self._isolation_checks()]
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

    def _worker_check(self) -> Check:
        slots = sum(session.worker.slots for session in self._sessions)
        detail = f"{len(self._sessions)} online with {slots} slots"
        return Check(name="workers", ok=slots > 0, detail=detail)

    def _isolation_checks(self) -> list[Check]:
        return [
            Check(
                name=f"isolation of {session.worker.name}", ok=True, detail=session.worker.isolation
            )
            for session in self._sessions
        ]
