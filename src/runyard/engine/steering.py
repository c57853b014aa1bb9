"""Stopping runs that may be anywhere: queued, on their way to a worker, or executing.

A run that is on its way is found at its session only once its claim has come back; so whoever
wants to stop runs first closes the way in (a gate, or the run's own state), then waits for claims
under way, then asks the sessions. What a session takes back has not begun and never will; what it
kills is dead before it answers.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from runyard.engine.attempts import Attempts
from runyard.engine.foundation import Foundation
from runyard.engine.patience import until_done
from runyard.engine.sessions import HeldRun, Session
from runyard.engine.transitions import sources, target
from runyard.model.ids import CompanyId, GateId, RunId
from runyard.model.runs import Outcome, RunError
from runyard.model.states import Cause
from runyard.stores.base import Finish, LeasedRun, Move


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs were ended."""

    killed: tuple[RunId, ...]
    """Cancelled, and no code of them executes any more."""
    unconfirmed: tuple[RunId, ...]
    """Cancelled, but their worker cannot be reached; it kills them itself once its lease is over."""


class Steering:
    """Takes runs back and kills them, wherever they are."""

    def __init__(self, foundation: Foundation, attempts: Attempts) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._sessions = foundation.sessions
        self._dispatcher = foundation.dispatcher
        self._attempts = attempts
        self._watch = foundation.watch

    async def take_back(self, wanted: Iterable[RunId]) -> list[HeldRun]:
        """Take back those of these runs that have not begun; they still have to be put somewhere."""
        taken: list[HeldRun] = []
        for session, runs in self._sessions.holders(wanted).items():
            back = await self._within_lease(session, session.port.recall(runs))
            taken.extend(self._release(session, runs, back))
        return taken

    async def hold_back(self, company: CompanyId, gate: GateId | None = None) -> None:
        """Put every run of a company (or gate) that was claimed but has not begun back into the
        queue. Its gates are closed already.
        """
        await self._dispatcher.barrier()
        unbegun = [
            held
            for session in self._sessions
            for held in session.unbegun()
            if held.company_id == company and gate in {None, held.gate_id}
        ]
        if taken := await self.take_back(run.run_id for run in unbegun):
            await self._dispatcher.hand_back(taken)

    def begun_of(self, company: CompanyId, gate: GateId) -> list[HeldRun]:
        """Runs of a gate that have begun here, recorded so or not yet."""
        return [
            held
            for session in self._sessions
            for held in session.held.values()
            if held.company_id == company and held.gate_id == gate and held.begun_at is not None
        ]

    async def returned(self, session: Session, leases: Iterable[tuple[RunId, int]]) -> None:
        """A worker gives runs back of its own accord; they have not begun and go to their places."""
        runs = [
            held
            for run, token in leases
            if (held := session.held.get(run)) is not None and held.token == token
        ]
        if released := self._release(session, runs, {run.run_id for run in runs}):
            await self._dispatcher.hand_back(released)

    async def drop_unbegun(self, company: CompanyId, gate: GateId) -> list[RunId]:
        """Cancel runs of a gate that were claimed but never begun; which."""
        await self._dispatcher.barrier()
        wanted = [
            held.run_id
            for session in self._sessions
            for held in session.unbegun()
            if held.company_id == company and held.gate_id == gate
        ]
        taken = await self.take_back(wanted)
        if again := [held for held in taken if held.attempt]:
            await self._dispatcher.hand_back(again)
        return await self._record_kills([held for held in taken if not held.attempt])

    async def kill(self, leased: Sequence[LeasedRun]) -> KillReport:
        """Cancel these leased runs; what executes is dead when this returns."""
        await self._dispatcher.barrier()
        await self._attempts.settled()
        holders = self._sessions.holders([run.run_id for run in leased])
        killed: list[RunId] = []
        for session, runs in holders.items():
            killed.extend(await self._kill_at(session, runs))
        # Held by another server, by a worker that does not answer, or by nobody any more.
        unconfirmed = await self._void([run for run in leased if run.run_id not in killed])
        return KillReport(killed=tuple(killed), unconfirmed=tuple(unconfirmed))

    async def _kill_at(self, session: Session, runs: Sequence[HeldRun]) -> list[RunId]:
        dead = await self._within_lease(session, session.port.kill(runs))
        ended = self._release(session, runs, dead)
        await self._attempts.settled()  # ends that came in before the kill are recorded first
        return await self._record_kills(ended)

    async def silence(self, session: Session) -> None:
        """End everything that a worker executes, before its leases are given to others."""
        if held := [run for run in session.held.values() if not run.ending]:
            await self._within_lease(session, session.port.kill(held))

    async def _within_lease(
        self, session: Session, asking: Coroutine[Any, Any, set[RunId]]
    ) -> set[RunId]:
        """The worker's answer; none once it has been silent for longer than its lease lasts. A worker
        that gives signs of life and no answers loses its session.
        """
        answered = asyncio.Event()
        answer = asyncio.ensure_future(asking)
        answer.add_done_callback(lambda _: answered.set())
        try:
            if await self._clock.wait(answered, self._sessions.lease):
                return answer.result()
            session.is_deaf = True
            return set()
        finally:
            answer.cancel()

    async def _record_kills(self, runs: Sequence[HeldRun]) -> list[RunId]:
        now = self._clock.now()
        error = RunError(kind="Killed", message="killed on request")
        finishes = [
            Finish(
                run_id=run.run_id,
                company_id=run.company_id,
                token=run.token,
                state=target(Cause.CANCELLED),
                cause=Cause.CANCELLED,
                outcome=Outcome.KILLED,
                begun_at=run.begun_at,
                finished_at=now,
                error=error,
            )
            for run in runs
        ]
        accepted = await until_done(
            self._clock, "record kills", lambda: self._store.runs.finish(finishes)
        )
        for run in runs:
            self._dispatcher.notice(run.gate_id, run.company_id)
        await self._told_of({run.run_id: run.company_id for run in runs})
        if len(accepted) == len(runs):
            return accepted
        return [*accepted, *await self._recorded_earlier(runs, set(accepted))]

    async def _recorded_earlier(self, runs: Sequence[HeldRun], accepted: set[RunId]) -> list[RunId]:
        """Those that an earlier try has recorded, whose answer got lost."""
        found = []
        for run in runs:
            if run.run_id not in accepted:
                now = await self._store.runs.find(run.company_id, run.run_id)
                if now is not None and now.cause is Cause.CANCELLED:
                    found.append(run.run_id)
        return found

    async def _void(self, leased: Sequence[LeasedRun]) -> list[RunId]:
        """Cancel runs whose worker cannot be reached from here: their leases end with that."""
        moved = await self._store.runs.move(
            [
                Move(
                    run_id=run.run_id,
                    company_id=run.company_id,
                    sources=sources(Cause.CANCELLED),
                    state=target(Cause.CANCELLED),
                    cause=Cause.CANCELLED,
                    at=self._clock.now(),
                    token=run.token,
                )
                for run in leased
            ]
        )
        for run in moved:
            if (pair := self._sessions.holder(run.id)) is not None:
                self._release(pair[0], [pair[1]], {run.id})
            self._dispatcher.notice(run.gate_id, run.company_id)
        await self._told_of({run.id: run.company_id for run in moved})
        return [run.id for run in moved]

    def _release(self, session: Session, runs: Sequence[HeldRun], ids: set[RunId]) -> list[HeldRun]:
        """Those of these runs that the session no longer has; their late reports are void."""
        released = [run for run in runs if run.run_id in ids and not run.ending]
        for run in released:
            run.ending = True
            session.held.pop(run.run_id, None)
        self._dispatcher.notice_room()
        return released

    async def _told_of(self, runs: dict[RunId, CompanyId]) -> None:
        self._watch.ended(list(runs))
        await self._watch.changed_in(runs)
