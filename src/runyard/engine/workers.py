"""Workers as administrators see and steer them: allowed, locked, drained, removed.

What was decided stands in the worker's row; every server looks there, at once for decisions made
at it, as soon as it is told for those made elsewhere, and acts upon it for the workers that are
connected to it: one that waits is welcomed, a locked one is sent away with what it executes, one
that drains gives back what has not begun. A token that lets nobody in any more is looked for in the
same way.
"""

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.foundation import Foundation
from runyard.engine.news import Topic
from runyard.engine.patience import until_done
from runyard.engine.resuming import Resuming
from runyard.engine.sessions import Session
from runyard.engine.steering import Steering
from runyard.model.companies import Company
from runyard.model.errors import WorkerBuiltIn, WorkerNotFound
from runyard.model.ids import CompanyId, TokenId, WorkerId
from runyard.model.workers import Worker, WorkerState
from runyard.telemetry import MAINTENANCE_FAILED, WORKER_DISMISSED, emit

OWN_LOOK = timedelta(seconds=5)
"""Nothing is decided elsewhere, but tokens expire."""
NOTE_EVERY = timedelta(minutes=1)
TOKEN_VOID = "the token was revoked or has expired"

Lose = Callable[[Session, str], Awaitable[None]]


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker and how it is now."""

    worker: Worker
    online: bool
    busy: int
    """Runs that it holds."""


class Applying(Protocol):
    """A connected worker that waits to be allowed."""

    def decided(self) -> None:
        """Something was decided about it: it may be let in now."""

    def refuse(self, code: str, detail: str) -> None:
        """Send it away, telling why."""


@dataclass(frozen=True, eq=False)
class Applicant:
    """A worker in request, connected here."""

    worker_id: WorkerId
    token_id: TokenId | None
    port: Applying


class Workers:
    """Who executes runs, and who may."""

    def __init__(
        self, foundation: Foundation, steering: Steering, resuming: Resuming, lose: Lose
    ) -> None:
        """`lose` sees to the runs of a session that is over."""
        self._store = foundation.store
        self._clock: Clock = foundation.clock
        self._sessions = foundation.sessions
        self._dispatcher = foundation.dispatcher
        self._peers = foundation.peers
        self._steering = steering
        self._resuming = resuming
        self._lose = lose
        self._applicants: set[Applicant] = set()
        self._looking = asyncio.Lock()
        self._wakeup = asyncio.Event()
        self._noted_at = timedelta()
        self.on_turn: Callable[[], None] = _nobody_cares
        """Called when a worker drains, or does so no longer."""

    # ------------------------------------------------------------ what administrators do

    async def list(self, company: Company | None = None) -> builtins.list[WorkerView]:
        """All workers, or those that serve a company."""
        workers = await self._store.workers.list(None if company is None else company.id)
        elsewhere = await self._sessions.held_elsewhere()
        return [self._view(worker, elsewhere) for worker in workers]

    async def view(self, worker: Worker) -> WorkerView:
        """One worker, and how it is now."""
        return self._view(worker, await self._sessions.held_elsewhere())

    async def load(self, company: CompanyId | None, ref: str) -> Worker:
        """A worker by its id or name: of a company, or (None) any by id, one of the installation by
        name. Raises WorkerNotFound.
        """
        found = await self._store.workers.find_by_name(company, ref)
        if found is None and ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await self._store.workers.find(WorkerId(int(ref)))
        if found is None or company not in {None, found.company_id}:
            raise WorkerNotFound(_not_found(company, ref))
        return found

    async def load_serving(self, company: CompanyId, ref: str) -> Worker:
        """A worker that serves a company, its own or one that serves all; raises WorkerNotFound."""
        try:
            return await self.load(company, ref)
        except WorkerNotFound:
            found = await self.load(None, ref)
            if found.company_id is not None:
                raise
            return found

    async def allow(self, worker: Worker) -> Worker:
        """Let it execute, from now on; it drains no longer."""
        await self._store.workers.set_state(worker.id, WorkerState.ALLOWED)
        await self._store.workers.set_draining(worker.id, draining=False)
        return await self._acted_upon(worker)

    async def keep_out(self, worker: Worker) -> Worker:
        """Send it away and keep it out; what it executes is ended and executed elsewhere."""
        _require_separate(worker)
        await self._store.workers.set_state(worker.id, WorkerState.LOCKED)
        return await self._acted_upon(worker)

    async def drain(self, worker: Worker) -> Worker:
        """Give it nothing more; what has begun there goes on."""
        await self._store.workers.set_draining(worker.id, draining=True)
        return await self._acted_upon(worker)

    async def remove(self, worker: Worker) -> None:
        """Forget it. If it is connected, it is sent away; when it comes again it is a new one."""
        _require_separate(worker)
        await self._store.workers.remove(worker.id)
        self._peers.say(Topic.WORKERS)
        await self.look()

    # ------------------------------------------------------------ those who wait

    def apply(self, applicant: Applicant) -> None:
        """A worker waits to be allowed."""
        self._applicants.add(applicant)
        self._wakeup.set()

    def withdraw(self, applicant: Applicant) -> None:
        """It waits no longer."""
        self._applicants.discard(applicant)

    def notice(self) -> None:
        """Something may have been decided: look soon."""
        self._wakeup.set()

    async def look(self) -> None:
        """Act upon what was decided, wherever that was."""
        async with self._looking:
            if not self._applicants and not self._sessions:
                return
            for session in await self._resuming.let_go():
                session.port.close("the worker has gone on at another server")
            known = {worker.id: worker for worker in await self._store.workers.list()}
            valid = await self._valid_tokens()
            self._tell_applicants(known, valid)
            for session in builtins.list(self._sessions):
                await self._judge(session, known.get(session.worker.id), valid)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self._clock.wait(self._wakeup, self._interval())
            self._wakeup.clear()
            try:
                await self.look()
                await self._note_seen()
            except Exception as error:  # noqa: BLE001 - the supervisor of a duty
                detail = f"{type(error).__name__}: {error}"
                emit(MAINTENANCE_FAILED, duty="workers", detail=detail)

    # ------------------------------------------------------------ looking

    def _interval(self) -> timedelta | None:
        """None while no worker is there that anything could be decided about."""
        if not self._applicants and not any(s.token_id is not None for s in self._sessions):
            return None
        return self._peers.look if self._store.is_shared else OWN_LOOK

    async def _valid_tokens(self) -> set[TokenId]:
        places = (*self._applicants, *self._sessions)
        presented = {place.token_id for place in places if place.token_id is not None}
        if not presented:
            return set()
        return await self._store.tokens.valid(sorted(presented), self._clock.now())

    def _tell_applicants(self, known: dict[WorkerId, Worker], valid: set[TokenId]) -> None:
        for applicant in tuple(self._applicants):
            if applicant.token_id is not None and applicant.token_id not in valid:
                self._applicants.discard(applicant)
                applicant.port.refuse("token", TOKEN_VOID)
                continue
            worker = known.get(applicant.worker_id)
            if worker is None or worker.state is not WorkerState.REQUEST:
                self._applicants.discard(applicant)
                applicant.port.decided()

    async def _judge(self, session: Session, worker: Worker | None, valid: set[TokenId]) -> None:
        if session.token_id is not None:
            if session.token_id not in valid:
                await self._dismiss(session, "token", TOKEN_VOID)
            elif worker is None:
                await self._dismiss(
                    session,
                    "removed",
                    f"an administrator has removed the worker {session.worker.name}",
                )
            elif worker.state is not WorkerState.ALLOWED:
                await self._dismiss(
                    session,
                    "locked",
                    f"an administrator has locked the worker {session.worker.name}",
                )
        if worker is not None and worker.draining != session.worker.draining:
            session.worker = worker
            await self._turn(session)

    async def _turn(self, session: Session) -> None:
        """The worker drains from now on, or does so no longer."""
        is_asked = session.worker.draining or self._sessions.draining
        session.draining = is_asked or session.is_leaving
        self.on_turn()
        if session.draining:
            await self._dispatcher.barrier()
            unbegun = [held.run_id for held in session.unbegun()]
            if taken := await self._steering.take_back(unbegun):
                await self._dispatcher.hand_back(taken)
        else:
            self._dispatcher.notice_room()

    async def _dismiss(self, session: Session, code: str, detail: str) -> None:
        """End what it executes, give its runs to others, send it away."""
        if not session.is_open:
            return
        session.draining = True
        await self._dispatcher.barrier()
        await self._steering.silence(session)
        emit(WORKER_DISMISSED, worker_id=session.worker.id, name=session.worker.name, detail=detail)
        await self._lose(session, detail)
        session.port.refuse(code, detail)

    async def _acted_upon(self, worker: Worker) -> Worker:
        self._peers.say(Topic.WORKERS)
        await self.look()
        found = await self._store.workers.find(worker.id)
        if found is None:
            raise WorkerNotFound(f"there is no worker {worker.name} any more")
        return found

    # ------------------------------------------------------------ who is there

    async def _note_seen(self) -> None:
        """Write down who is there, once a minute; the worker inside a server is where that is."""
        now = self._clock.monotonic()
        if now - self._noted_at < NOTE_EVERY:
            return
        self._noted_at = now
        seen = [
            (session.worker.id, self._clock.now(), len(session.held))
            for session in self._sessions
            if session.token_id is not None and now - session.last_heard < NOTE_EVERY
        ]
        if seen:
            await until_done(self._clock, "note workers", lambda: self._store.workers.note(seen))

    def _view(self, worker: Worker, elsewhere: set[WorkerId]) -> WorkerView:
        online = worker.id in elsewhere or any(
            session.worker.id == worker.id for session in self._sessions
        )
        if online:  # what is written down is up to a minute old, of a built-in one its start
            worker = msgspec.structs.replace(worker, last_seen_at=self._clock.now())
        for session in self._sessions:
            if session.worker.id == worker.id:
                return WorkerView(worker=worker, online=True, busy=len(session.held))
        return WorkerView(worker=worker, online=online, busy=worker.busy if online else 0)


def _nobody_cares() -> None:
    """Before anybody does."""


def _not_found(company: CompanyId | None, ref: str) -> str:
    if company is not None or ref.isdigit():
        return f"there is no worker {ref}"
    return (
        f"no worker {ref} serves the whole installation; one of a company is found "
        "by its id, or by its name when the company is named as well"
    )


def _require_separate(worker: Worker) -> None:
    """Raise WorkerBuiltIn for one that is part of a server."""
    if not worker.address:
        raise WorkerBuiltIn(
            f"the worker {worker.name} is part of a server: drain it, "
            "or start the server with --slots 0"
        )
