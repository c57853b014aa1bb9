"""Single runs: looked at, waited for, stopped, held aside, started again."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from runyard.engine.call_records import CallRecords
from runyard.engine.call_views import merged, run_from_call, values_of_call
from runyard.engine.foundation import Foundation
from runyard.engine.starts import RestartRequest, Starts
from runyard.engine.steering import KillReport, Steering
from runyard.engine.transitions import next_state, sources, target
from runyard.model.companies import Company
from runyard.model.errors import IllegalTransition, RunNotFound
from runyard.model.ids import CompanyId, RunId, SessionId, decode_public_id
from runyard.model.runs import Attempt, Run
from runyard.model.states import FINAL_STATES, Cause, RunState
from runyard.stores.contract.calls import CallRecord
from runyard.stores.contract.leases import LeasedRun
from runyard.stores.contract.listing import Position, RunFilter, RunPage
from runyard.stores.contract.runs import Move, RunValues

LONGEST_WAIT = timedelta(minutes=5)
TRIES = 20
"""How often a change is tried again when the run moves under it at the same moment."""


class Runs:
    """Everything a caller may do with runs that exist."""

    def __init__(
        self, foundation: Foundation, starts: Starts, steering: Steering, calls: CallRecords
    ) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._starts = starts
        self._calls = calls
        self._dispatcher = foundation.dispatcher
        self._steering = steering
        self._watch = foundation.watch

    # ------------------------------------------------------------ looking

    async def load(self, company: Company, ref: str) -> Run:
        """The run of this id or public id; raises RunNotFound."""
        found: Run | None = None
        call: CallRecord | None = None
        if ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await self._store.runs.find(company.id, RunId(int(ref)))
            if found is None:
                call = await self._calls.find(company.id, RunId(int(ref)))
        elif (raw := decode_public_id(ref)) is not None:
            found = await self._store.runs.find_by_public_id(company.id, raw)
            if found is None:
                call = await self._calls.find_by_public_id(company.id, raw)
        if call is not None:
            return run_from_call(call)
        if found is None:
            raise RunNotFound(f"there is no run {ref!r}")
        return found

    async def find_many(self, company: Company, runs: Sequence[RunId]) -> list[Run]:
        """Several runs; unknown ones are absent."""
        return await self._store.runs.find_many(company.id, runs)

    async def page(
        self, company: Company, wanted: RunFilter, after: Position | None, limit: int
    ) -> RunPage:
        """Runs and calls newest first."""
        page = await self._store.runs.page(company.id, wanted, after, limit)
        calls = await self._calls.page(company.id, wanted, after, limit + 1)
        if not calls.records and calls.next is None:
            return page
        return merged(wanted, page, calls, await self._calls.count(company.id, wanted), limit)

    async def values(self, company: Company, run: RunId) -> RunValues:
        """Input, output and error; raises RunNotFound."""
        values = await self._store.runs.values(company.id, run)
        if values is None and (call := await self._calls.find(company.id, run)) is not None:
            values = values_of_call(call)
        if values is None:
            raise RunNotFound(f"there is no run {run}")
        return values

    async def outputs(self, company: Company, runs: Sequence[RunId]) -> dict[RunId, RunValues]:
        """The values of several runs and calls; those that are not there are absent."""
        found = await self._store.runs.outputs(company.id, runs)
        for run in runs:
            if run not in found and (call := await self._calls.find(company.id, run)) is not None:
                found[run] = values_of_call(call)
        return found

    async def attempts(self, company: Company, run: RunId) -> list[Attempt]:
        """Its ended attempts."""
        return await self._store.histories.attempts(company.id, run)

    async def wait(self, company: Company, ref: str, patience: timedelta) -> Run:
        """The run once it has ended, or as it is when the time is over; raises RunNotFound."""
        run = await self.load(company, ref)
        if run.is_final:
            return run
        waited = await self._watch.wait(company.id, run.id, min(patience, LONGEST_WAIT))
        if waited is None:
            raise RunNotFound(f"there is no run {ref!r}")
        return waited

    # ------------------------------------------------------------ changing

    async def cancel(self, company: Company, ref: str) -> Run:
        """End a run whatever its state. Once this returns it does not execute, and never will.

        Raises RunNotFound, IllegalTransition when it has ended already.
        """
        run = await self.load(company, ref)
        for _ in range(TRIES):
            next_state(run.state, Cause.CANCELLED)  # raises for ended runs
            if run.state is RunState.RUNNING:
                await self._steering.kill([lease_of(run)])
            else:
                await self._move(run, Cause.CANCELLED)
            run = await self.load(company, str(run.id))
            if run.is_final:
                return run
        raise IllegalTransition(f"run {run.id} keeps changing; try again")

    async def withdraw(self, company: Company, ref: str, note: str) -> Run:
        """End a run that is not executing. Once this returns it never will.

        `note`: what its history says about it. Raises RunNotFound, IllegalTransition for runs that
        execute, wait inside their code, or have ended.
        """
        note = note.replace("\0", "\ufffd")
        return await self._withdrawn(company, ref, Cause.CANCELLED, note)

    async def give_up(self, company: Company, run: RunId) -> Run:
        """Fail a run that is not executing because no slot was free for it; raises like `withdraw`."""
        return await self._withdrawn(company, str(run), Cause.NO_SLOT, None)

    async def _withdrawn(self, company: Company, ref: str, cause: Cause, note: str | None) -> Run:
        run = await self.load(company, ref)
        for _ in range(TRIES):
            next_state(run.state, Cause.CANCELLED)  # raises for ended runs
            if run.state is RunState.RUNNING:
                self._refuse_executing(run)
                moved = await self._taken_from_worker(run, cause, note)
                if not moved:  # afterwards it is parked, where another server has it
                    await self._steering.park_elsewhere(lease_of(run))
            elif run.state is RunState.WAITING:
                raise IllegalTransition(f"run {run.id} waits inside its code")
            else:
                moved = await self._move(run, cause, note)
            if moved:
                return moved[0]
            run = await self.load(company, str(run.id))
        raise IllegalTransition(f"run {run.id} keeps changing; try again")

    def _refuse_executing(self, run: Run) -> None:
        if run.begun_at is not None or self._steering.has_begun_here(run.id):
            raise IllegalTransition(f"run {run.id} is executing")

    async def kill(self, company: Company, ref: str) -> KillReport:
        """End a run that is executing; raises IllegalTransition when it is not."""
        run = await self.load(company, ref)
        if run.state not in {RunState.RUNNING, RunState.WAITING}:
            raise IllegalTransition(f"run {run.id} is {run.state}, not running")
        return await self._steering.kill([lease_of(run)])

    async def park(self, company: Company, ref: str) -> Run:
        """Hold a queued or scheduled run aside; raises IllegalTransition for others."""
        run = await self.load(company, ref)
        for _ in range(TRIES):
            if run.state is not RunState.RUNNING or run.begun_at is not None:
                break
            if parked := await self.parked_from_worker(run):
                return parked
            is_parked = await self._steering.park_elsewhere(lease_of(run))
            run = await self.load(company, str(run.id))
            if is_parked and run.state is RunState.PARKED:
                return run
        return await self._change(company, run, Cause.PARKED)

    async def release(self, company: Company, ref: str) -> Run:
        """Let a parked run into the queue, or to its due instant if that is still to come."""
        run = await self.load(company, ref)
        is_later = run.due_at is not None and run.due_at > self._clock.now()
        return await self._change(company, run, Cause.POSTPONED if is_later else Cause.RELEASED)

    async def restart(self, company: Company, ref: str, how: RestartRequest | None = None) -> Run:
        """Start a new run with the input of an ended or parked one.

        Raises IllegalTransition for others, TaskNotRunnable, InputGone.
        """
        run = await self.load(company, ref)
        if not run.is_final and run.state is not RunState.PARKED:
            raise IllegalTransition(
                f"run {run.id} is {run.state}; only ended and parked runs are restarted"
            )
        new = await self._starts.restart(company, run, how or RestartRequest())
        return await self.load(company, str(new))

    async def delete(self, company: Company, runs: Sequence[RunId]) -> int:
        """Delete ended runs with everything that belongs to them; how many."""
        return await self._store.runs.delete(company.id, runs)

    async def parked_from_worker(self, run: Run) -> Run | None:
        """The parked run if a worker that is connected here gave it back unbegun."""
        moved = await self._taken_from_worker(run, Cause.PARKED)
        return moved[0] if moved else None

    async def _taken_from_worker(
        self, run: Run, cause: Cause, note: str | None = None
    ) -> list[Run]:
        """The run moved so, if a worker that is connected here gave it back unbegun."""
        await self._dispatcher.barrier()
        taken = await self._steering.take_back([run.id])
        if not taken:
            return []
        # One after the other in one turn of the loop: no claim comes between queue and move.
        _, moved = await asyncio.gather(
            self._dispatcher.hand_back(taken), self._move(run, cause, note)
        )
        return moved

    async def _change(self, company: Company, run: Run, cause: Cause) -> Run:
        next_state(run.state, cause)
        moved = await self._move(run, cause)
        if not moved:
            run = await self.load(company, str(run.id))
            next_state(run.state, cause)
            moved = await self._move(run, cause)
        if not moved:
            raise IllegalTransition(f"run {run.id} keeps changing; try again")
        return moved[0]

    async def _move(self, run: Run, cause: Cause, note: str | None = None) -> list[Run]:
        now = self._clock.now()
        state = target(cause)
        queued = state is RunState.QUEUED
        later = run.due_at if state is RunState.SCHEDULED else None
        if queued:
            self._dispatcher.expect(run.gate_id, run.company_id)
        moved = await self._store.runs.move(
            [
                Move(
                    run_id=run.id,
                    company_id=run.company_id,
                    sources=tuple(s for s in sources(cause) if s is not RunState.RUNNING),
                    state=state,
                    cause=cause if not run.is_final and state in FINAL_STATES else None,
                    unbegun_only=cause is Cause.NO_SLOT,
                    at=now,
                    due_at=later,
                    rank=self._starts.rank_at(now, run.priority) if queued else None,
                    put_off_until=now if queued else later,
                    is_recorded=state not in FINAL_STATES or note is not None,
                    note=note,
                )
            ]
        )
        if queued:
            self._dispatcher.notice_again(run.gate_id, run.company_id)
        await self._told_of(moved)
        return moved

    async def _told_of(self, moved: Sequence[Run]) -> None:
        if not moved:
            return
        self._watch.ended([run.id for run in moved if run.is_final])
        await self._watch.changed(moved[0].company_id, [run.id for run in moved])


def lease_of(run: Run) -> LeasedRun:
    """The lease under which a run is held, as far as the run itself tells."""
    return LeasedRun(
        run_id=run.id,
        company_id=CompanyId(run.company_id),
        task_id=run.task_id,
        version_id=run.version_id,
        gate_id=run.gate_id,
        session_id=SessionId(0),
        token=run.lease_token,
        attempt=run.attempt,
        begun_at=run.begun_at,
        priority=run.priority,
        rank=run.rank,
    )
