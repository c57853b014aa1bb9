"""Workers whose connection broke, and who come back: here, or from a server that died.

A session whose worker is *cut off* keeps its runs and its leases. Nothing is claimed for it, and
what is asked of it waits. Its worker begins nothing meanwhile, and drops what had not begun; it comes
back with the session's key and says what it has. Then both sides are brought together: what the
worker does not have goes back into the queue, what is not its own any more it is told to end.

At another server of the same database the session is succeeded: in one piece of writing it is
closed, another one is opened, and its runs change hands, with their lease tokens. That goes only
while the session is open and has not lapsed, so of a successor and a rescue exactly one has the
runs. The server of before, if it lives, finds its session closed and lets go of it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec

from runyard.engine.attempts import Attempts
from runyard.engine.foundation import Foundation
from runyard.engine.news import Topic
from runyard.engine.sessions import HeldRun, Session, WorkerHello, WorkerPort
from runyard.model.ids import RunId, SessionId
from runyard.stores.contract.leases import LeasedRun
from runyard.telemetry import WORKER_CUT_OFF, WORKER_RESUMED, emit

MOST_HELD = 100_000
"""More runs than any session holds."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of the session that it wants to go on with."""

    session_id: SessionId
    key: str
    begun: tuple[tuple[RunId, int, datetime], ...] = ()
    """Runs that execute there, with their lease tokens."""
    ended: tuple[tuple[RunId, int], ...] = ()
    """Runs whose ends it will say again."""


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides have to do so that they have the same runs."""

    void: tuple[tuple[RunId, int], ...]
    """Not the worker's any more."""
    gone: frozenset[RunId]
    """Had not begun and never will there."""
    unbegun: tuple[HeldRun, ...]
    """Those of them that nobody else puts back into the queue."""
    arrived: asyncio.Event | None = None
    """Set once these are there."""


class Resuming:
    """Keeps sessions across connections."""

    def __init__(
        self, foundation: Foundation, attempts: Attempts, lose_calls: Callable[[Session], None]
    ) -> None:
        """`lose_calls`: calls do not outlive a connection."""
        self._store = foundation.store
        self._clock = foundation.clock
        self._sessions = foundation.sessions
        self._dispatcher = foundation.dispatcher
        self._peers = foundation.peers
        self._attempts = attempts
        self._lose_calls = lose_calls
        self._resuming = asyncio.Lock()

    def cut_off(self, session: Session, detail: str) -> None:
        """The connection broke; until the leases end the worker may come back."""
        if session.is_open:
            session.is_cut_off = True
            session.capacity = 0
            session.is_ready = False
            self._lose_calls(session)
            emit(
                WORKER_CUT_OFF,
                worker_id=session.worker.id,
                session_id=session.id,
                held=len(session.held),
                detail=detail,
            )

    async def resume(self, port: WorkerPort, hello: WorkerHello, claim: Claimed) -> Session:
        """The session that the worker goes on with; its port is `port` if it was another server's.

        Raises SessionLapsed, and what keeps a worker out.
        """
        session = self._sessions.standing(claim.session_id, claim.key, hello)
        if session is None:
            async with self._resuming:
                session = await self._succeed(port, hello, claim)
        else:
            session.last_heard = self._clock.monotonic()
            await self._sessions.keep(session)
        emit(
            WORKER_RESUMED,
            worker_id=session.worker.id,
            session_id=session.id,
            before=claim.session_id,
            held=len(session.held),
        )
        return session

    async def _succeed(self, port: WorkerPort, hello: WorkerHello, claim: Claimed) -> Session:
        session = await self._sessions.succeed(port, hello, claim.session_id, claim.key)
        leased = await self._store.leases.held_by([session.id], MOST_HELD)
        session.held.update({run.run_id: _held_from(run) for run in leased})
        self._sessions.add(session)
        self._peers.say(Topic.WORKERS)
        return session

    def reconcile(self, session: Session, claim: Claimed, asked: frozenset[RunId]) -> Reconciled:
        """Bring together what the session holds and what its worker has. Nothing is awaited: the
        worker is told in the same turn.

        `asked`: runs that somebody asks the worker about, who sees to them himself.
        """
        session.is_cut_off = False
        session.last_heard = self._clock.monotonic()
        there = {run: token for run, token, _ in claim.begun}
        there.update(claim.ended)
        void = tuple((r, t) for r, t, _ in claim.begun if not _is_held(session, r, t))
        for run, token, at in claim.begun:
            if _is_held(session, run, token):
                self._attempts.begun(session, run, token, at)
        missing = [
            held
            for held in session.held.values()
            if not held.ending and there.get(held.run_id) != held.token
        ]
        gone = frozenset(held.run_id for held in missing if held.begun_at is None)
        unbegun = [h for h in missing if h.begun_at is None and h.run_id not in asked]
        for held in unbegun:
            held.ending = True
            del session.held[held.run_id]
        # They had begun, and the worker knows nothing of them: that should not be.
        lost = [h for h in missing if h.begun_at is not None and h.run_id not in asked]
        self._attempts.lost(session, lost)
        for held in lost:
            session.held.pop(held.run_id, None)
        arrived = self._dispatcher.set_out() if unbegun else None
        return Reconciled(void=void, gone=gone, unbegun=tuple(unbegun), arrived=arrived)

    async def put_back(self, reconciled: Reconciled) -> None:
        """Put what never reached the worker, or never began there, back into the queue."""
        if reconciled.unbegun:
            await self._dispatcher.hand_back(reconciled.unbegun, reconciled.arrived)

    async def let_go(self) -> list[Session]:
        """Sessions that were cut off here and have a successor elsewhere; they are forgotten."""
        cut_off = [session for session in self._sessions if session.is_cut_off]
        if not cut_off or not self._store.is_shared:
            return []
        still_open = {found.id for found in await self._store.workers.open_sessions()}
        succeeded = [s for s in cut_off if s.id not in still_open and s.is_cut_off and s.is_open]
        for session in succeeded:
            self._sessions.forget(session)
        return succeeded


def _is_held(session: Session, run: RunId, token: int) -> bool:
    held = session.held.get(run)
    return held is not None and held.token == token and not held.ending


def _held_from(run: LeasedRun) -> HeldRun:
    """What the session of before, elsewhere, held."""
    return HeldRun(
        run_id=run.run_id,
        public_id=b"",
        company_id=run.company_id,
        task_id=run.task_id,
        version_id=run.version_id,
        gate_id=run.gate_id,
        token=run.token,
        # The row counts an attempt as soon as it has begun; here it is counted when it ends.
        attempt=run.attempt - (run.begun_at is not None),
        rank=run.rank,
        begun_at=run.begun_at,
        is_taken_over=True,
    )
