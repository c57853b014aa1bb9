"""The facade that every door calls: the parts of the engine, composed once.

async with Engine(store, SystemClock(), EngineSettings(server="one")) as engine:
    company = await engine.companies.load("acme")
    started = await engine.starts.start(company, [StartRequest(task="Zip code")])
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from runyard import __version__
from runyard.engine.actors import Actors
from runyard.engine.api_keys import ApiKeys
from runyard.engine.at_once import AtOnce
from runyard.engine.attempts import Attempts
from runyard.engine.audit import Audit
from runyard.engine.audit_chain import AuditChain
from runyard.engine.callbacks import Callbacks
from runyard.engine.calls import Calls
from runyard.engine.calls_elsewhere import CallsElsewhere
from runyard.engine.clock import Clock
from runyard.engine.code import Code
from runyard.engine.colleagues import Colleagues
from runyard.engine.companies import Companies
from runyard.engine.couriers import Couriers
from runyard.engine.deploys import Deploys
from runyard.engine.directory import Directory
from runyard.engine.dispatch import Dispatcher
from runyard.engine.doctor import Doctor
from runyard.engine.elsewhere import Elsewhere
from runyard.engine.errands import Errands
from runyard.engine.explain import Explain
from runyard.engine.fetching import FILE_LIMIT
from runyard.engine.files import Files
from runyard.engine.foundation import Foundation
from runyard.engine.hearing import Hearing
from runyard.engine.history import History
from runyard.engine.ids import Ids
from runyard.engine.keys import Keys
from runyard.engine.logbook import Logbook
from runyard.engine.logins import DEFAULT_IDLE, DEFAULT_LASTING, Logins
from runyard.engine.maintenance import Maintenance
from runyard.engine.news import Topic
from runyard.engine.orchestrator import Orchestrator
from runyard.engine.overview import Overview
from runyard.engine.passwords import Passwords
from runyard.engine.peers import Peers
from runyard.engine.preparing import Preparing
from runyard.engine.ranks import DEFAULT_AGEING
from runyard.engine.reach import Reach
from runyard.engine.realtime import RealtimeSettings
from runyard.engine.remote_control import RemoteControl
from runyard.engine.resuming import Claimed, Reconciled, Resuming
from runyard.engine.run_lists import RunLists
from runyard.engine.runs import Runs
from runyard.engine.schedules import Schedules
from runyard.engine.secrets import Secrets
from runyard.engine.sessions import AttemptEnd, Session, Sessions, WorkerHello, WorkerPort
from runyard.engine.signing import Signing
from runyard.engine.starts import Starts
from runyard.engine.steering import Steering
from runyard.engine.systems import Systems
from runyard.engine.tasks import Tasks
from runyard.engine.tickets import Tickets, TicketSettings
from runyard.engine.tokens import Tokens
from runyard.engine.users import Users
from runyard.engine.watch import Watch
from runyard.engine.workers import Workers
from runyard.model.errors import Busy
from runyard.model.ids import RunId
from runyard.model.logs import LogLine
from runyard.model.servers import Server
from runyard.outbound.base import Nowhere, Outbound
from runyard.stores.contract.store import Store, StoreStatistics
from runyard.telemetry import WORKER_CONNECTED, WORKER_SHORT, emit

MOST_PER_SLOT = 100
"""Runs that a worker may hold for each of its slots."""
DEFAULT_LEASE = timedelta(seconds=10)


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose, as far as the engine is concerned."""

    server: str
    """Name of this server among those that share the database."""
    is_name_given: bool = True
    """Whether it must have exactly that name, or another one while somebody else has it."""
    address: str = ""
    """Where it answers, as it tells the others."""
    lease: timedelta = DEFAULT_LEASE
    """How long a worker may be silent before its runs go to another."""
    ageing: timedelta = DEFAULT_AGEING
    """How much later a run must be queued, for each point of priority, to go first all the same."""
    login_idle: timedelta = DEFAULT_IDLE
    """How long a login may go unused."""
    login_lasting: timedelta = DEFAULT_LASTING
    """How long a login holds at most."""
    tickets: TicketSettings = TicketSettings()
    """How long signed tokens live."""
    realtime: RealtimeSettings = RealtimeSettings()
    """What bounds real-time calls."""
    file_limit: int = FILE_LIMIT
    """Most bytes of a file that is fetched for a run."""
    master_key: bytes = b"none"
    """What secrets are derived from. One that is known to others keeps nothing secret."""


class EngineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers for metrics."""

    store: StoreStatistics
    workers: int
    slots: int
    held_runs: int
    """Runs and calls that are with workers."""
    callbacks_delivered: int
    callbacks_failed: int
    """Tries that failed."""


class Engine:
    """What Runyard decides."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: EngineSettings,
        outbound: Outbound | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self.clock = clock
        self.lease = settings.lease
        """How long a worker may be silent before its runs go to another."""
        self._parts = parts = _foundation(store, clock, settings)
        self.logs = logbook = Logbook(store, clock, parts.watch, parts.secrets)
        self.watch, self.directory = parts.watch, parts.directory
        self.files = files = Files(store, clock, parts.ids)
        self.attempts = attempts = Attempts(parts, logbook)
        self._steering = steering = Steering(parts, attempts)
        self._reach_out(parts, outbound or Nowhere())
        self.starts = starts = Starts(parts, files, self.callbacks, settings.ageing)
        self.companies = Companies(parts)
        self.tokens = tokens = Tokens(parts)
        self.remote_control = RemoteControl(tokens)
        self.systems = Systems(parts, self._keys)
        self._passwords = Passwords()
        self._let_people_in(parts, settings)
        self.deploys = Deploys(parts, files)
        self.code = Code(files)
        self.calls = calls = Calls(parts, logbook, files, starts, settings.realtime)
        self.allocations = calls.allocations
        self.tasks = Tasks(parts, steering, calls)
        self.runs = Runs(parts, starts, steering, calls.records)
        self.at_once = AtOnce(parts, self.runs)
        self.schedules = schedules = Schedules(parts, starts)
        self.orchestrator = Orchestrator(parts, steering)
        self.explain = Explain(parts)
        self.history = History(parts)
        self.reach = Reach(parts)
        self.run_lists = RunLists(parts)
        self.doctor = Doctor(parts, self._keys, self._audit_chain)
        self.maintenance = Maintenance(parts, attempts, schedules, tokens, self.logins)
        self._resuming = resuming = Resuming(parts, attempts, calls.lost)
        self.workers = Workers(parts, steering, resuming, self.maintenance.lose)
        self.overview = Overview(store, clock, self.workers)
        self._errands = Errands(parts, steering, self.runs, calls)
        self._loops: asyncio.Task[None] | None = None
        self._introduce(parts)

    def _let_people_in(self, parts: Foundation, settings: EngineSettings) -> None:
        self.users, self.logins = _people(parts, self._passwords, settings)
        self.actors = Actors(parts.store)
        self._audit_chain = AuditChain(parts.store, self._keys)
        self.audit = Audit(parts, self.actors, self.users, self._audit_chain)
        self.api_keys = ApiKeys(parts)
        self.signing = Signing(parts.store, parts.clock, self._keys)
        self.tickets = Tickets(
            parts, self.signing, self.users, self.logins, self.api_keys, settings.tickets
        )

    def _reach_out(self, parts: Foundation, outbound: Outbound) -> None:
        """Make the parts that send requests to other servers."""
        self._outbound = outbound
        self._keys = Keys(self._settings.master_key)
        self.callbacks = Callbacks(parts, self._keys, outbound.refuse)
        self._couriers = Couriers(parts, self.callbacks, outbound)
        self._preparing = Preparing(parts, self.files, self.logs, outbound)
        self._preparing.ageing = self._settings.ageing
        self._preparing.fetching.limit = self._settings.file_limit

    def _introduce(self, parts: Foundation) -> None:
        """Let those parts hear of each other that were made before they could."""
        self.starts.on_scheduled = self.schedules.on_change = self.maintenance.expect
        self.tokens.on_revoke = self._revoked
        self.api_keys.on_revoke = self.signing.on_rotate = self._tickets_changed
        self._preparing.on_scheduled = self.maintenance.expect
        self.starts.judge = self._outbound.refuse
        self.starts.on_preparing = self._preparing.begin
        self.starts.files_from = self.systems.files_from
        self.starts.how_to_open = self.systems.how_to_open_to
        self._preparing.how_to_open = self.systems.how_to_open
        self.systems.on_change = self.actors.forget
        self.maintenance.on_lost = self.calls.lost
        self.maintenance.on_note = self.systems.note_uses
        self.deploys.on_deployed = self.allocations.expect
        self.peers = parts.peers
        self._hearing = Hearing(
            parts,
            self.maintenance,
            self.tokens,
            self.logins,
            self._errands,
            self.workers.notice,
        )
        self.logins.on_change = self._tickets_changed
        self.workers.on_turn = self.allocations.expect
        self._hearing.on_directory = self.allocations.expect
        self.maintenance.on_look = self._errands.notice
        parts.directory.on_change = partial(parts.peers.say, Topic.DIRECTORY)

    def _revoked(self) -> None:
        self.systems.forget()
        self._parts.secrets.forget()
        self.actors.forget()
        self.workers.notice()
        self.tickets.forget()

    def _tickets_changed(self) -> None:
        self.tickets.forget()
        self.peers.say(Topic.TOKENS)

    async def __aenter__(self) -> Self:
        """Put right what an earlier life left, then run the loops."""
        await self._parts.directory.open()
        await self._parts.secrets.open()
        self._parts.sessions.server = await self.peers.enter(
            self._server, is_name_given=self._settings.is_name_given
        )
        await self._keys.open(self._store)
        await self._couriers.open()
        await self._preparing.open()
        await self.maintenance.open()
        self._loops = asyncio.ensure_future(self._run())  # owned by this object: see __aexit__
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the loops; everything acknowledged is on disk already."""
        if self._loops is None:
            return
        try:
            await self._last_writes(self._loops)
        finally:
            self._passwords.close()
            self._loops.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loops
            with contextlib.suppress(Busy):  # a database that is away sees that we left
                await self._couriers.close()
                await self._preparing.close()
                await self.peers.leave()

    async def _last_writes(self, loops: "asyncio.Task[None]") -> None:
        settled = asyncio.ensure_future(self.attempts.settled())
        # Loops that failed record nothing more: waiting for them would never end.
        await asyncio.wait((settled, loops), return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        await self.calls.records.flush()
        await self.calls.months.flush()
        await self.audit.flush()
        await self.logs.flush()
        await self.tokens.note_uses()
        await self.systems.note_uses()
        await self.logins.note_uses()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._parts.dispatcher.run())
            group.create_task(self._parts.secrets.run())
            group.create_task(self.attempts.run())
            group.create_task(self.logs.run())
            group.create_task(self.maintenance.run())
            group.create_task(self.workers.run())
            group.create_task(self.calls.run())
            group.create_task(self._hearing.run())
            group.create_task(self._couriers.run())
            group.create_task(self.audit.run())
            group.create_task(self._preparing.run())
            group.create_task(self.at_once.run())
            group.create_task(self._errands.run())
            group.create_task(self.peers.run(self._hearing.hear, self._hearing.missed))

    @property
    def _server(self) -> Server:
        now = self.clock.now()
        return Server(
            name=self._settings.server,
            incarnation=self._store.incarnation,
            address=self._settings.address,
            version=__version__,
            started_at=now,
            seen_at=now,
        )

    async def failed(self) -> None:
        """Return only when one of the engine's loops has failed, by raising what it raised."""
        if self._loops is not None:
            await asyncio.shield(self._loops)

    # ------------------------------------------------------------ the workers' door

    async def connect(self, port: WorkerPort, hello: WorkerHello) -> Session:
        """Open a session for a worker; runs come once it reports a capacity.

        Raises WorkerNotAllowed, WorkerLocked, WorkerNameInUse.
        """
        session = await self._parts.sessions.connect(port, hello)
        self.workers.notice()
        emit(
            WORKER_CONNECTED,
            worker_id=session.worker.id,
            session_id=session.id,
            name=hello.name,
            slots=hello.slots,
        )
        return session

    async def disconnect(self, session: Session, detail: str) -> None:
        """A worker is gone: its begun runs are lost, the others go back into the queue."""
        await self.maintenance.lose(session, detail)

    def cut_off(self, session: Session, detail: str) -> None:
        """A worker's connection broke; it may come back until its leases end."""
        self._resuming.cut_off(session, detail)

    async def resume(self, port: WorkerPort, hello: WorkerHello, claim: Claimed) -> Session:
        """The session with which a worker goes on. Its port is `port`, or that of its last connection
        to this server. `reconcile` follows. Raises SessionLapsed.
        """
        session = await self._resuming.resume(port, hello, claim)
        self.workers.notice()
        return session

    def reconcile(self, session: Session, claim: Claimed, asked: frozenset[RunId]) -> Reconciled:
        """Bring together what a session holds and what its worker has."""
        return self._resuming.reconcile(session, claim, asked)

    async def put_back(self, reconciled: Reconciled) -> None:
        """Put what is not at the worker back into the queue."""
        await self._resuming.put_back(reconciled)

    def must_renew(self, session: Session) -> bool:
        """Whether a worker may count on its leases only once they are renewed in the database."""
        return self._parts.sessions.must_renew(session)

    async def renew(self, session: Session) -> None:
        """Renew the leases of a worker that has just been heard."""
        await self._parts.sessions.keep(session)

    def hear(self, session: Session) -> None:
        """A sign of life."""
        self._parts.sessions.hear(session)

    def set_capacity(self, session: Session, runs: int) -> None:
        """How many runs the worker holds at most, begun or not; as many as it can have use for."""
        session.capacity = max(0, min(runs, session.worker.slots * MOST_PER_SLOT))
        if not session.is_ready:
            session.is_ready = True
            self.allocations.expect()
        self._parts.dispatcher.notice_room()

    def note_shortage(self, session: Session, reason: str) -> None:
        """Why a worker cannot start further children now; empty: it can."""
        if reason and not session.short:
            worker = session.worker
            emit(WORKER_SHORT, worker_id=worker.id, name=worker.name, detail=reason)
        session.short = reason

    def leaving(self, session: Session) -> None:
        """A worker is about to stop: it finishes what it has, and gets neither runs nor calls."""
        session.is_leaving = session.draining = True
        self.allocations.expect()

    def begun(self, session: Session, run: RunId, token: int, at: datetime) -> None:
        """An attempt reached its task's code."""
        self.attempts.begun(session, run, token, at)

    def ended(self, session: Session, ends: Sequence[AttemptEnd]) -> None:
        """Attempts are over."""
        self.attempts.ended(session, ends)

    async def returned(self, session: Session, leases: Sequence[tuple[RunId, int]]) -> None:
        """A worker gives back runs (with their lease tokens) that have not begun, unasked."""
        await self._steering.returned(session, leases)

    def logged(
        self, session: Session, run: RunId, token: int, lines: tuple[LogLine, ...], dropped: int
    ) -> None:
        """A run logged lines."""
        self.attempts.logged(session, run, token, lines, dropped)

    async def dispatching(self) -> None:
        """Return once every claim that is under way has reached its session."""
        await self._parts.dispatcher.barrier()

    async def drain(self) -> None:
        """Let every connected worker finish what has begun, and give it nothing more."""
        self._parts.sessions.draining = True
        for session in list(self._parts.sessions):
            session.draining = True
        self.allocations.expect()
        await self._parts.dispatcher.barrier()
        for session in list(self._parts.sessions):
            session.port.drain()

    @property
    def name(self) -> str:
        """This server's name among those that share its database."""
        return self._parts.sessions.server

    @property
    def is_draining(self) -> bool:
        """Whether it gives nothing out any more, because it is about to stop."""
        return self._parts.sessions.draining

    async def statistics(self) -> EngineStatistics:
        """Numbers for metrics."""
        sessions = list(self._parts.sessions)
        return EngineStatistics(
            store=await self._store.statistics(),
            workers=len(sessions),
            slots=sum(session.worker.slots for session in sessions),
            held_runs=sum(len(session.held) + len(session.calls) for session in sessions),
            callbacks_delivered=self._couriers.delivered,
            callbacks_failed=self._couriers.failed,
        )


def _foundation(store: Store, clock: Clock, settings: EngineSettings) -> Foundation:
    ids = Ids(store)
    directory = Directory(store, clock)
    peers = Peers(store, clock)
    sessions = Sessions(store, clock, ids, peers, settings.server, settings.lease)
    elsewhere = Elsewhere(store, clock, ids, sessions, peers)
    return Foundation(
        store=store,
        clock=clock,
        ids=ids,
        directory=directory,
        secrets=Secrets(store, clock),
        sessions=sessions,
        peers=peers,
        elsewhere=elsewhere,
        calls_elsewhere=CallsElsewhere(store, clock, sessions, elsewhere),
        colleagues=Colleagues(store, sessions, elsewhere, ids),
        dispatcher=Dispatcher(store, clock, directory, sessions, peers),
        watch=Watch(store, clock, peers),
    )


def _people(
    parts: Foundation, passwords: Passwords, settings: EngineSettings
) -> tuple[Users, Logins]:
    users = Users(parts.store, parts.clock, parts.ids, parts.directory, passwords)
    logins = Logins(
        parts.store,
        parts.clock,
        parts.ids,
        users,
        passwords,
        idle=settings.login_idle,
        lasting=settings.login_lasting,
    )
    return users, logins
