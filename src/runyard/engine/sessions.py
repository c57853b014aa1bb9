"""Worker sessions: who is connected, what each holds, and whether it still lives.

A session is one connection's life and the holder of leases. Whatever a worker reports is judged
here against the lease token it was given: a report under another token changes nothing. The door
that a worker came through is a `WorkerPort`; the engine never knows which one.
"""

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.ids import Ids
from runyard.engine.peers import Peers
from runyard.model.companies import Company
from runyard.model.errors import (
    Busy,
    NoWorker,
    SessionLapsed,
    WorkerLocked,
    WorkerNameInUse,
    WorkerNotAllowed,
)
from runyard.model.ids import (
    AllocationId,
    CompanyId,
    GateId,
    RunId,
    SessionId,
    TaskId,
    TokenId,
    VersionId,
    WorkerId,
)
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.model.tasks import Declaration, Task, Version
from runyard.model.workers import Worker, WorkerState
from runyard.stores.contract.leases import ClaimedRun
from runyard.stores.contract.runs import ProgressReport
from runyard.stores.contract.store import Store
from runyard.stores.contract.workers import OpenedSession

LAPSING = 0.7
"""Of a lease gone by without being renewed: at a third of it that was tried first."""


class HeldRun(msgspec.Struct):
    """A run that a session holds, as this server knows it."""

    run_id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    token: int
    attempt: int
    """Attempts that had begun before this one."""
    rank: int
    begun_at: datetime | None = None
    progress: ProgressReport | None = None
    """What it last said of its progress, while that is not written yet."""
    lines_before: int | None = None
    """Log lines that earlier attempts left; None until this attempt logs."""
    last_line: int = 0
    """Number of the last line of this attempt that has come; a worker may say lines again."""
    lines_kept: int = 0
    """Of a run that was taken over: number of its last line that is kept already."""
    is_taken_over: bool = False
    """Whether it began under another session: lines of this attempt may be kept already."""
    is_handed_back: bool = False
    """Its worker was asked to leave and ran out of time: losing it is nobody's failure."""
    ending: bool = False
    """Its end is being recorded, or it was taken back: later reports change nothing."""


class AssignedRun(msgspec.Struct, frozen=True):
    """What a port hands to its worker."""

    claimed: ClaimedRun
    steps: tuple[tuple[str, int, bytes], ...] = ()


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, as the worker reports it."""

    run_id: RunId
    token: int
    outcome: Outcome
    finished_at: datetime
    begun_at: datetime | None = None
    output: bytes | None = None
    error: RunError | None = None
    logged_errors: int = 0


class WorkerHello(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects."""

    name: str
    version: str
    host: str
    os: str
    address: str
    slots: int
    labels: tuple[str, ...] = ()
    isolation: str = ""
    company_id: CompanyId | None = None
    """The company it serves; None: all."""
    token_id: TokenId | None = None
    """By which token it was let in; None: it is part of this server."""
    allowed: bool = False
    """Whether it comes allowed (the one that is part of a server, or with a token that joins)."""
    is_resumable: bool = False
    """Whether it may come back on another connection."""


class WorkerPort(Protocol):
    """A connected worker, as the engine speaks to it."""

    def introduce(self, version: Version, company: Company) -> None:
        """Tell it of a version before its first run."""

    def assign(self, runs: Sequence[AssignedRun]) -> None:
        """Hand it claimed runs, in order."""

    def recorded(self, runs: Sequence[tuple[RunId, int]]) -> None:
        """The ends of these, which it reported, are on disk or of no interest (to resumable ones)."""

    async def recall(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """Take back those that have not begun; which. None when the worker does not answer."""

    async def kill(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """End these; those of which no code executes any more when this returns."""

    async def inspect(
        self, company: Company, bundle_digest: str, on_line: Callable[[str], None]
    ) -> tuple[Declaration, ...]:
        """The tasks in a bundle; raises CodeRefused."""

    def warm(
        self, allocation: AllocationId, version: VersionId, children: int, deadline: timedelta
    ) -> None:
        """Keep so many children ready with a version that was introduced; 0: none any more."""

    def call(self, allocation: AllocationId, run: RunId, public_id: str, value: bytes) -> None:
        """Execute this in a child of the allocation."""

    def drain(self) -> None:
        """Take no further runs, finish what has begun, leave."""

    def close(self, detail: str) -> None:
        """The conversation is over; a worker that still lives connects again."""

    def refuse(self, code: str, detail: str) -> None:
        """Send it away, telling why; it ends everything that it executes."""


class CallUnderWay(Protocol):
    """A call that a session executes."""

    task: Task

    @property
    def held(self) -> HeldRun:
        """The call in the form of a held run, for the lines and files that come of it."""


class Session:
    """One connected worker."""

    def __init__(
        self, session_id: SessionId, worker: Worker, port: WorkerPort, token_id: TokenId | None
    ) -> None:
        self.id = session_id
        self.worker = worker
        self.port = port
        self.token_id = token_id
        """By which token its worker was let in; None: it is part of this server."""
        self.labels = frozenset(worker.labels)
        self.capacity = 0
        self.held: dict[RunId, HeldRun] = {}
        self.calls: dict[RunId, CallUnderWay] = {}
        """Calls that its children execute; they take no slots and have no leases."""
        self.kept: set[AllocationId] = set()
        """Allocations that it keeps warm."""
        self.claiming = 0
        """Runs asked for in claims that are under way."""
        self.introduced: set[VersionId] = set()
        self.last_heard = timedelta()
        self.renewed = timedelta.min
        self.is_open = True
        self.draining = worker.draining
        self.is_leaving = False
        """Whether its worker has said that it is about to stop."""
        self.short = ""
        """Why its worker cannot start further children now."""
        self.key = ""
        """With which its worker comes back; empty: it does not."""
        self.is_cut_off = False
        """Whether its connection broke and may be followed by another one."""
        self.promised = timedelta.min
        """When its worker was last told that it may count on its leases, without a renewal."""
        self.is_deaf = False
        """Whether it left a question unanswered for as long as its lease lasts."""
        self.is_ready = False
        """Whether it has said how much it takes: from then on it may be asked for things."""

    @property
    def room(self) -> int:
        """How many further runs it takes now."""
        if not self.is_reachable or self.draining:
            return 0
        return self.capacity - len(self.held) - self.claiming

    @property
    def is_reachable(self) -> bool:
        """Whether what is given to it arrives."""
        return self.is_open and not self.is_cut_off

    @property
    def must_last(self) -> bool:
        """Whether others count on its row: runs are leased to it, or it keeps something warm."""
        return bool(self.held or self.claiming or self.kept)

    @property
    def is_resumable(self) -> bool:
        """Whether its worker may come back on another connection."""
        return bool(self.key)

    def serves(self, company: CompanyId) -> bool:
        """Whether it executes runs of this company."""
        return self.worker.company_id is None or self.worker.company_id == company

    def has_labels(self, labels: Iterable[str]) -> bool:
        """Whether it has all of these."""
        return self.labels.issuperset(labels)

    def holding(self, run: RunId, token: int) -> HeldRun | None:
        """The run that it holds under this token, or the call."""
        if token == CALL_TOKEN:
            call = self.calls.get(run)
            return None if call is None else call.held
        held = self.held.get(run)
        return held if held is not None and held.token == token else None

    def unbegun(self) -> list[HeldRun]:
        """Runs that were claimed for it and have not begun."""
        return [held for held in self.held.values() if held.begun_at is None and not held.ending]


class Sessions:
    """The workers connected to this server."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, peers: Peers, server: str, lease: timedelta
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._peers = peers
        self.server = server
        self.lease = lease
        self._open: dict[SessionId, Session] = {}
        self._registering = asyncio.Lock()
        self.draining = False
        """Whoever connects now gets no runs: the server is about to stop."""

    def __iter__(self) -> Iterator[Session]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    async def connect(self, port: WorkerPort, hello: WorkerHello) -> Session:
        """Open a session for a worker.

        Raises WorkerNotAllowed, WorkerLocked, WorkerNameInUse.
        """
        async with self._registering:
            await self._require_free(hello)
            worker = await self._store.workers.register(await self._worker_from(hello))
            _require_allowed(worker)
            session = await self._opened(port, worker, hello)
        self._open[session.id] = session
        return session

    async def _opened(self, port: WorkerPort, worker: Worker, hello: WorkerHello) -> Session:
        now = self._clock.now()
        key = new_key() if hello.is_resumable else ""
        opened = await self._opening(worker, key)
        await self._store.workers.open_session(opened, now)
        return self._begun(opened, port, worker, hello, key)

    async def _opening(self, worker: Worker, key: str) -> OpenedSession:
        return OpenedSession(
            id=SessionId(await self._ids.take()),
            worker_id=worker.id,
            server=self.server,
            lease_expires_at=self.lease_end(self._clock.now()),
            resume_digest=digest_of_key(key) if key else None,
        )

    def _begun(
        self,
        opened: OpenedSession,
        port: WorkerPort,
        worker: Worker,
        hello: WorkerHello,
        key: str,
    ) -> Session:
        session = Session(opened.id, worker, port, hello.token_id)
        session.key = key
        session.last_heard = session.renewed = self._clock.monotonic()
        session.draining = session.draining or self.draining
        return session

    def standing(self, session: SessionId, key: str, hello: WorkerHello) -> Session | None:
        """A session of this server that its worker goes on with; None: it is not, or no longer, here."""
        found = self._open.get(session)
        if found is None or not found.key or not hmac.compare_digest(found.key, key):
            return None
        if found.worker.company_id != hello.company_id or found in self.silent():
            return None
        found.token_id = hello.token_id
        return found

    async def succeed(
        self, port: WorkerPort, hello: WorkerHello, before: SessionId, key: str
    ) -> Session:
        """A session in place of another server's, which still has to be added; raises SessionLapsed,
        WorkerNotAllowed, WorkerLocked.
        """
        lapsed = SessionLapsed("the session cannot be resumed: its leases are over, or given away")
        known = await self._store.workers.find_by_name(hello.company_id, hello.name)
        holders = {s.id: s.worker_id for s in await self._store.workers.open_sessions()}
        if known is None or holders.get(before) != known.id or before in self._open:
            raise lapsed
        worker = await self._store.workers.register(await self._worker_from(hello))
        _require_allowed(worker)
        opened = await self._opening(worker, key)
        succeeded = await self._store.workers.succeed_session(
            before, opened, digest_of_key(key), self._clock.now()
        )
        if not succeeded:
            raise lapsed
        return self._begun(opened, port, worker, hello, key)

    def add(self, session: Session) -> None:
        """It is this server's from now on."""
        self._open[session.id] = session

    async def _require_free(self, hello: WorkerHello) -> None:
        """Raise WorkerNameInUse while a worker of this name is connected here or elsewhere."""
        known = await self._store.workers.find_by_name(hello.company_id, hello.name)
        if known is None:
            return
        here = [session for session in self._open.values() if session.worker.id == known.id]
        if here or known.id in await self.held_elsewhere():
            where = f" at {known.address}" if known.address else ""
            raise WorkerNameInUse(
                f"a worker named {hello.name} is connected from the host {known.host}{where}; "
                "choose another name with --name"
            )

    async def held_elsewhere(self) -> set[WorkerId]:
        """Workers that have a live session at another server. What holds nothing renews no row: then
        its server speaks for it.
        """
        if not self._store.is_shared:
            return set()
        found = await self._store.workers.open_sessions()
        others = [session for session in found if session.server != self.server]
        if not others:
            return set()
        now = self._clock.now()
        connected = {server.name for server in await self._peers.list() if server.is_connected}
        return {s.worker_id for s in others if s.lease_expires_at > now or s.server in connected}

    def forget(self, session: Session) -> None:
        """It is gone; nothing more is claimed for it."""
        session.is_open = False
        self._open.pop(session.id, None)

    def hear(self, session: Session) -> None:
        """It gave a sign of life."""
        session.last_heard = self._clock.monotonic()

    def silent(self) -> list[Session]:
        """Sessions whose lease has lapsed without a sign of life, and those that do not answer."""
        deadline = self._clock.monotonic() - self.lease
        return [s for s in self._open.values() if s.last_heard < deadline or s.is_deaf]

    def holder(self, run: RunId) -> tuple[Session, HeldRun] | None:
        """Who holds a run."""
        for session in self._open.values():
            held = session.held.get(run)
            if held is not None:
                return session, held
        return None

    def holders(self, runs: Iterable[RunId]) -> dict[Session, list[HeldRun]]:
        """Who holds each of these runs; runs that nobody here holds are absent."""
        found: dict[Session, list[HeldRun]] = {}
        for run in runs:
            if (pair := self.holder(run)) is not None:
                found.setdefault(pair[0], []).append(pair[1])
        return found

    def fitting(self, company: CompanyId, labels: Iterable[str]) -> list[Session]:
        """Sessions that could execute runs of this company with these labels."""
        wanted = frozenset(labels)
        return [s for s in self._open.values() if s.serves(company) and s.has_labels(wanted)]

    def inspector(self, company: CompanyId) -> Session:
        """A session that can look into a bundle; raises NoWorker."""
        able = [
            s
            for s in self._open.values()
            if s.serves(company) and s.is_reachable and not s.draining
        ]
        if not able:
            raise NoWorker("no worker is connected that could inspect the bundle")
        return min(able, key=lambda session: len(session.held))

    async def within_lease(
        self, session: Session, asking: Coroutine[Any, Any, set[RunId]]
    ) -> set[RunId]:
        """A worker's answer; none once it has been silent for longer than its lease lasts. A worker
        that gives signs of life and no answers loses its session.
        """
        answered = asyncio.Event()
        answer = asyncio.ensure_future(asking)
        answer.add_done_callback(lambda _: answered.set())
        try:
            if await self._clock.wait(answered, self.lease):
                return answer.result()
            session.is_deaf = True
            return set()
        finally:
            answer.cancel()

    def lease_end(self, now: datetime) -> datetime:
        """Until when a lease lasts that is renewed now. On a database of our own this process
        knows whether its workers live, and a restart voids every lease: no row needs renewing."""
        return (
            now + self.lease if self._store.is_shared else datetime.max.replace(tzinfo=now.tzinfo)
        )

    def is_stale(self, session: Session) -> bool:
        """Whether its lease row may end before the worker's idea of its leases, or has done so while
        it held nothing (on a shared database).
        """
        if not self._store.is_shared:
            return False
        now = self._clock.monotonic()
        return now - session.renewed > self.lease / 3 or session.promised > session.renewed

    def must_renew(self, session: Session) -> bool:
        """Whether its worker may count on its leases only once their row is renewed."""
        if self._store.is_shared and session.must_last:
            return True
        session.promised = self._clock.monotonic()
        return False

    async def keep(self, session: Session) -> None:
        """Renew its leases, as far as the database can be reached. One that is away gives the leases
        to nobody else either, and everybody the time to renew once it is back.
        """
        if self.must_renew(session):
            with contextlib.suppress(Busy):
                await self.renew([session])

    def is_lapsing(self, session: Session) -> bool:
        """Whether its lease row will have lapsed before long, since it could not be renewed."""
        if not self._store.is_shared:
            return False
        return self._clock.monotonic() - session.renewed > self.lease * LAPSING

    async def renew(self, sessions: Sequence[Session]) -> None:
        """Keep the leases of these sessions on a shared database."""
        now = self._clock.monotonic()
        until = self.lease_end(self._clock.now())
        await self._store.workers.renew([session.id for session in sessions], until)
        for session in sessions:
            session.renewed = now

    async def _worker_from(self, hello: WorkerHello) -> Worker:
        return Worker(
            id=WorkerId(await self._ids.take()),
            company_id=hello.company_id,
            name=hello.name,
            state=WorkerState.ALLOWED if hello.allowed else WorkerState.REQUEST,
            version=hello.version,
            host=hello.host,
            os=hello.os,
            address=hello.address,
            slots=hello.slots,
            labels=hello.labels,
            created_at=self._clock.now(),
            last_seen_at=self._clock.now(),
            draining=False,
            isolation=hello.isolation,
        )


def new_key() -> str:
    """A key with which a worker comes back to its session."""
    return secrets.token_urlsafe(32)


def digest_of_key(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def _require_allowed(worker: Worker) -> None:
    if worker.state is WorkerState.LOCKED:
        raise WorkerLocked(f"an administrator has locked the worker {worker.name}")
    if worker.state is WorkerState.REQUEST:
        raise WorkerNotAllowed(
            worker.id,
            f"an administrator has to allow the worker {worker.name}: "
            f"runyard worker allow {worker.id}",
        )
