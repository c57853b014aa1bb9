"""Stopping runs that may be anywhere: queued, on their way to a worker, or executing.

A run that is on its way is found at its session only once its claim has come back; so whoever
wants to stop runs first closes the way in (a gate, or the run's own state), then waits for claims
under way, then asks the sessions. What a session takes back has not begun and never will; what it
kills is dead before it answers. Runs that sessions of other servers hold are `elsewhere`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from runyard.engine.attempts import Attempts
from runyard.engine.foundation import Foundation
from runyard.engine.patience import until_done
from runyard.engine.sessions import HeldRun, Session
from runyard.engine.transitions import sources, target
from runyard.model.ids import CompanyId, GateId, RunId
from runyard.model.runs import Outcome, RunError
from runyard.model.states import Cause
from runyard.stores.contract.leases import LeasedRun
from runyard.stores.contract.peering import Answer
from runyard.stores.contract.runs import Finish, Move


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
        self._directory = foundation.directory
        self._elsewhere = foundation.elsewhere
        self._calls_elsewhere = foundation.calls_elsewhere

    async def take_back(self, wanted: Iterable[RunId]) -> list[HeldRun]:
        """Take back those of these runs that have not begun; they still have to be put somewhere."""
        taken: list[HeldRun] = []
        for session, runs in self._sessions.holders(wanted).items():
            back = await self._sessions.within_lease(session, session.port.recall(runs))
            taken.extend(self._release(session, runs, back))
        return taken

    async def hold_back(self, company: CompanyId, gate: GateId | None = None) -> None:
        """Put every run of a company (or gate) that was claimed but has not begun back into the
        queue, and let no call of it begin anywhere. Its gates are closed already.
        """
        await self._dispatcher.barrier()
        unbegun = [
            held
            for session in self._sessions
            for held in session.unbegun()
            if held.company_id == company and gate in {None, held.gate_id}
        ]
        if unbegun:
            await self._put_back(unbegun)
        gates = [g for g in self._directory.gates_of(company) if gate in {None, g.id}]
        await self._calls_elsewhere.close(company, {gate.task_id for gate in gates})
        await self._elsewhere.given_back([gate.id for gate in gates])

    async def _put_back(self, unbegun: Sequence[HeldRun]) -> None:
        """Take these back and put them into the queue. From the first that is taken to the last that
        is queued, whoever looks for all runs waits at the barrier.
        """
        taken: list[HeldRun] = []
        arrived = self._dispatcher.set_out()
        try:
            taken = await self.take_back(run.run_id for run in unbegun)
        finally:
            await self._dispatcher.hand_back(taken, arrived)

    async def hold_back_closed(self) -> bool:
        """Put back every run that was claimed here before another server closed its gate, and record
        what has begun; whether there was anything of it.
        """
        await self._dispatcher.barrier()
        gates = self._directory.gates
        held = [
            run
            for session in self._sessions
            for run in session.held.values()
            if (gate := gates.get(run.gate_id)) is None or not gate.is_open
        ]
        if held:
            await self._put_back([run for run in held if run.begun_at is None])
            await self._attempts.record_beginnings()
        return bool(held)

    async def fence(self) -> None:
        """Take back what has not begun from workers whose leases cannot be renewed in time. Whoever
        lives gives it to others then, and counts upon its not being begun here.
        """
        unbegun = [
            held
            for session in self._sessions
            if self._sessions.is_lapsing(session)
            for held in session.unbegun()
        ]
        if unbegun:
            await self._put_back(unbegun)

    def begun_of(self, company: CompanyId, gate: GateId) -> list[HeldRun]:
        """Runs of a gate that have begun here, recorded so or not yet."""
        return [
            held
            for session in self._sessions
            for held in session.held.values()
            if held.company_id == company and held.gate_id == gate and held.begun_at is not None
        ]

    def has_begun_here(self, run: RunId) -> bool:
        """Whether a run has begun at a worker that is connected here, recorded so or not yet."""
        pair = self._sessions.holder(run)
        return pair is not None and pair[1].begun_at is not None

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
        """Cancel runs of a gate that were claimed here but never begun; which."""
        await self._dispatcher.barrier()
        return await self._drop(
            [
                held.run_id
                for session in self._sessions
                for held in session.unbegun()
                if held.company_id == company and held.gate_id == gate
            ]
        )

    async def drop_elsewhere(self, gate: GateId, created_before: datetime) -> dict[RunId, Answer]:
        """Have runs of a gate cancelled that other servers have claimed but never begun; what became
        of each that there was.
        """
        answers = await self._elsewhere.drop(gate, created_before)
        self._watch.ended([run for run, answer in answers.items() if answer is Answer.DONE])
        return answers

    async def drop_held(self, leases: Mapping[RunId, int]) -> list[RunId]:
        """Cancel those of these runs that are held here under these tokens and have never begun."""
        await self._dispatcher.barrier()
        dropped = await self._drop([run.run_id for _, run in self._held_under(leases)])
        await self._attempts.record_beginnings()
        return dropped

    async def _drop(self, wanted: Sequence[RunId]) -> list[RunId]:
        taken = await self.take_back(wanted)
        if again := [held for held in taken if held.attempt]:
            await self._dispatcher.hand_back(again)
        return await self._record_kills([held for held in taken if not held.attempt])

    async def park_elsewhere(self, run: LeasedRun) -> bool:
        """Have a run put aside by the server that has claimed it; whether it has."""
        return await self._elsewhere.park(run)

    async def kill(
        self, leased: Sequence[LeasedRun], if_begun: Sequence[LeasedRun] = ()
    ) -> KillReport:
        """Cancel these leased runs, here or elsewhere; what executes is dead when this returns. Of
        `if_begun`, which only their own servers know, those that have begun by now.
        """
        await self._dispatcher.barrier()
        await self._attempts.settled()
        killed: list[RunId] = []
        for session, runs in self._sessions.holders([run.run_id for run in leased]).items():
            killed.extend(await self._kill_at(session, runs))
        answers = await self._elsewhere.kill([run for run in leased if run.run_id not in killed])
        answers |= await self._elsewhere.kill(if_begun, only_begun=True)
        killed += [run for run, answer in answers.items() if answer is Answer.DONE]
        # Of a worker or a server that does not answer, or held by nobody any more.
        left = [run for run in leased if run.run_id not in killed]
        left += [run for run in if_begun if answers.get(run.run_id) is Answer.UNCONFIRMED]
        unconfirmed = await self._void(left)
        ended_there = [run for run, answer in answers.items() if answer is not Answer.LEFT]
        self._watch.ended(ended_there)
        unconfirmed += await self._voided_there(left, set(unconfirmed), answers)
        return KillReport(killed=tuple(killed), unconfirmed=tuple(unconfirmed))

    async def _voided_there(
        self, left: Sequence[LeasedRun], known: set[RunId], answers: Mapping[RunId, Answer]
    ) -> list[RunId]:
        """Those that another server has cancelled without a word of its worker."""
        found = []
        for run in left:
            if run.run_id not in known and answers.get(run.run_id) is Answer.UNCONFIRMED:
                now = await self._store.runs.find(run.company_id, run.run_id)
                if now is not None and now.cause is Cause.CANCELLED:
                    found.append(run.run_id)
        return found

    async def kill_held(
        self, leases: Mapping[RunId, int], *, only_begun: bool = False
    ) -> KillReport:
        """Cancel those of these runs that are held here under these tokens."""
        await self._dispatcher.barrier()
        await self._attempts.settled()
        held: dict[Session, list[HeldRun]] = {}
        for session, run in self._held_under(leases):
            if not only_begun or run.begun_at is not None or run.attempt:
                held.setdefault(session, []).append(run)
        killed: list[RunId] = []
        for session, runs in held.items():
            killed.extend(await self._kill_at(session, runs))
        left = [run for runs in held.values() for run in runs if not run.ending]
        return KillReport(killed=tuple(killed), unconfirmed=tuple(await self._void(left)))

    def _held_under(self, leases: Mapping[RunId, int]) -> list[tuple[Session, HeldRun]]:
        return [
            pair
            for run, token in leases.items()
            if (pair := self._sessions.holder(run)) is not None and pair[1].token == token
        ]

    async def _kill_at(self, session: Session, runs: Sequence[HeldRun]) -> list[RunId]:
        dead = await self._sessions.within_lease(session, session.port.kill(runs))
        ended = self._release(session, runs, dead)
        await self._attempts.settled()  # ends that came in before the kill are recorded first
        return await self._record_kills(ended)

    async def silence(self, session: Session) -> None:
        """End everything that a worker executes, before its leases are given to others."""
        if held := [run for run in session.held.values() if not run.ending]:
            await self._sessions.within_lease(session, session.port.kill(held))

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

    async def _void(self, leased: Sequence[LeasedRun | HeldRun]) -> list[RunId]:
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
