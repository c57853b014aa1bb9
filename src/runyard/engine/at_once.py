"""Runs that begin at once or not at all: whoever asks for one does not want it to wait for others.

Such a run is started like any other, with a row beside it that says when somebody looks whether it has a
slot. Whoever started it looks earlier, and fails it as soon as it is plain that it would wait. The row
outlives a server: what one could not decide any more, another one or its next life does.

A run has a slot when its worker holds fewer runs that came before it than it has slots. What has been
fetched ahead waits like what is queued; what has a slot and has still to be made ready (its bundle
unpacked, its environment built) does not.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from runyard.engine.foundation import Foundation
from runyard.engine.patience import AFTER_FAILURE
from runyard.engine.runs import Runs
from runyard.engine.sessions import HeldRun, Session
from runyard.model.companies import Company
from runyard.model.errors import IllegalTransition
from runyard.model.ids import CompanyId, RunId
from runyard.model.runs import Run
from runyard.model.states import RunState
from runyard.stores.contract.leases import LeasedRun
from runyard.telemetry import MAINTENANCE_FAILED, emit

WITHIN = timedelta(seconds=1)
"""How long a run may look for a slot where one may be free."""
HELD_FOR = timedelta(seconds=2)
"""How long others leave a run to a server that looks at it; and when it is looked at again where that was
too early, or just the wrong moment."""
LONGEST_LOOK = timedelta(minutes=1)
"""A server that has nothing to do asks the database no more often than that."""
LOOKED_AT_ONCE = 100
SHORTEST_PAUSE = timedelta(milliseconds=5)
LONGEST_PAUSE = timedelta(milliseconds=100)
MOST_HELD = 100_000
"""More runs than any session holds."""

_IN_QUEUE = frozenset({RunState.PARKED, RunState.QUEUED, RunState.RUNNING})
"""Where it can be told of a run whether it has a slot; before, it waits for no other run."""


class AtOnce:
    """Sees to it that no such run waits in the queue."""

    def __init__(self, foundation: Foundation, runs: Runs) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._sessions = foundation.sessions
        self._dispatcher = foundation.dispatcher
        self._peers = foundation.peers
        self._runs = runs
        self._wakeup = asyncio.Event()

    async def settled(self, company: Company, run_id: RunId) -> None:
        """Return once a run that was just started has a slot, or was failed because none is free."""
        self._wakeup.set()
        until, pause = self._clock.monotonic() + WITHIN, SHORTEST_PAUSE
        while (waiting := await self._waiting(company.id, run_id)) is not None:
            if waiting.state not in _IN_QUEUE:
                return  # its files are fetched first
            if self._clock.monotonic() >= until or self._is_hopeless(waiting):
                await self._give_up(company, run_id)
                return
            await self._clock.wait(asyncio.Event(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        await self._store.at_once.forget([run_id])

    async def run(self) -> None:
        """Look at what nobody has decided, until cancelled."""
        while True:
            try:
                sleep = await self._look()
            except Exception as error:  # noqa: BLE001 - the supervisor of this duty
                detail = f"{type(error).__name__}: {error}"
                emit(MAINTENANCE_FAILED, duty="at once", detail=detail)
                sleep = AFTER_FAILURE
            await self._clock.wait(self._wakeup, sleep)

    async def _look(self) -> timedelta:
        """Decide about all that are due; how long there will be none."""
        due_at, now = await self._store.at_once.next_due_at(), self._clock.now()
        if due_at is None or due_at > now:
            return LONGEST_LOOK if due_at is None else min(due_at - now, LONGEST_LOOK)
        due = await self._store.at_once.take(now, now + HELD_FOR, LOOKED_AT_ONCE)
        for company_id, run_id in due:
            waiting = await self._waiting(company_id, run_id)
            if waiting is None:
                await self._store.at_once.forget([run_id])
            elif waiting.state in _IN_QUEUE:
                await self._give_up(await self._directory.company_by_id(company_id), run_id)
        return timedelta()

    async def _give_up(self, company: Company, run_id: RunId) -> None:
        try:
            await self._runs.give_up(company, run_id)
        except IllegalTransition:
            return  # it begins or ends just now, and will be looked at once more
        await self._store.at_once.forget([run_id])

    # ------------------------------------------------------------ who has a slot

    async def _waiting(self, company: CompanyId, run_id: RunId) -> Run | None:
        """A run as it is, unless it has a slot, has had one, or is over."""
        held = self._sessions.holder(run_id)
        if held is not None and _has_slot(held[0], held[1]):
            return None
        run = await self._store.runs.find(company, run_id)
        if run is None or run.is_final or run.has_begun:
            return None
        if held is None and run.state is RunState.RUNNING and await self._has_slot_elsewhere(run):
            return None
        return run

    async def _has_slot_elsewhere(self, run: Run) -> bool:
        sessions = await self._store.workers.open_sessions()
        ids = [session.id for session in sessions if session.worker_id == run.worker_id]
        worker = None if run.worker_id is None else await self._store.workers.find(run.worker_id)
        if worker is None or not ids:
            return False
        leased = await self._store.leases.held_by(ids, MOST_HELD)
        return _before(run.id, leased) < worker.slots

    def _is_hopeless(self, run: Run) -> bool:
        """Whether nobody has a slot for it now: no worker here, and there is no other server."""
        if self._peers.are_there:
            return False
        gate = self._directory.gates.get(run.gate_id)
        if gate is None or not gate.is_open:
            return True
        return not any(
            session.serves(run.company_id)
            and session.has_labels(gate.labels)
            and _has_free_slot(session, run.id)
            for session in self._sessions
        )


def _has_slot(session: Session, held: HeldRun) -> bool:
    if held.begun_at is not None:
        return True
    before = _before(held.run_id, session.held.values())
    return session.is_reachable and before < session.worker.slots


def _has_free_slot(session: Session, run: RunId) -> bool:
    if not session.is_reachable or session.draining:
        return False
    others = len(session.held) - (run in session.held)
    return others < session.worker.slots


def _before(run: RunId, held: Iterable[HeldRun | LeasedRun]) -> int:
    """How many of these a worker was given before this run."""
    tokens = {each.run_id: each.token for each in held}
    mine = tokens.get(run)
    return len(tokens) if mine is None else sum(token < mine for token in tokens.values())
