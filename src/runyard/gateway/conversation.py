"""One connection of a worker: the hello, who is let in and as what, and what arrives afterwards."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from runyard.engine.engine import Engine
from runyard.engine.resuming import Claimed
from runyard.engine.sessions import Session, WorkerHello
from runyard.engine.workers import Applicant
from runyard.gateway.link import Answered, Answering, Spawn, WorkerLink
from runyard.model.errors import (
    RunyardError,
    SessionLapsed,
    WorkerLocked,
    WorkerNameInUse,
    WorkerNotAllowed,
)
from runyard.model.ids import CompanyId
from runyard.model.tokens import Token
from runyard.model.workers import NAME_RULE, is_worker_name
from runyard.protocol import frames
from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.frames import FromServer, FromWorker, Lease
from runyard.protocol.session import Monotonic, ServerSession, SessionState
from runyard.telemetry import LINK_FAILED, WORKER_WAITS, emit

HEARTBEATS_PER_LEASE = 4
MOST_SLOTS = 10_000
MOST_LABELS = 100
LONGEST_TEXT = 500


class HelloUnfit(ProtocolViolation):
    """A worker says of itself what cannot be."""


REFUSALS: Mapping[type[RunyardError], str] = {
    HelloUnfit: "unfit",
    WorkerLocked: "locked",
    WorkerNameInUse: "name_taken",
    SessionLapsed: "lapsed",
}
"""What a worker is told so that it knows what to do next; of everything else: come again."""


class Transport(Protocol):
    """What a conversation needs of a connection."""

    def listen(
        self, receive: Callable[[list[FromWorker]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""

    def send(self, frame: FromServer) -> None:
        """Send a frame; never waits."""

    async def drained(self) -> None:
        """Return once most of what was sent has left."""

    def close(self, detail: str = "") -> None:
        """End the conversation."""


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the door, before the first word."""

    address: str
    """Where the connection comes from."""
    token: Token | None
    """The valid worker token that was presented; None: it is the worker of this very process."""

    @property
    def company_id(self) -> CompanyId | None:
        """The company whose runs it may execute; None: all."""
        return None if self.token is None else self.token.company_id


class Conversation:
    """One connection, from the first word to the last."""

    def __init__(
        self, engine: Engine, transport: Transport, spawn: Spawn, visitor: Visitor
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._spawn = spawn
        self._visitor = visitor
        self._talk = ServerSession()
        self._session: Session | None = None
        self._link: WorkerLink | None = None
        self._applicant: Applicant | None = None
        self._has_said_goodbye = False

    def open(self) -> None:
        """Listen from now on."""
        self._transport.listen(self._receive, self._closed)

    @property
    def link(self) -> WorkerLink | None:
        """The worker's session as the engine speaks to it, once there is one."""
        return self._link

    # ------------------------------------------------------------ what a link needs

    def send(self, frame: FromServer) -> None:
        """Send a frame."""
        self._transport.send(frame)

    async def drained(self) -> None:
        """Return once the worker has read most of what it was sent."""
        await self._transport.drained()

    def ask(self, answer: Answering) -> int:
        """A number for a question."""
        return self._talk.ask(answer)

    def settles(self, answer: Answered) -> bool:
        """Whether this answers a question that was asked on this connection."""
        return self._talk.settle(answer)

    def close(self, detail: str) -> None:
        """End it."""
        self._transport.close(detail)

    def refuse(self, code: str, detail: str) -> None:
        """Send the worker away, telling why."""
        self._transport.send(self._talk.refuse(code, detail))
        self._transport.close(detail)

    def decided(self) -> None:
        """An administrator has decided about the worker that waits."""
        self._applicant = None
        if self._talk.hello is not None and self._talk.state is SessionState.PENDING:
            self._spawn(self._admit(self._talk.hello))

    # ------------------------------------------------------------ what arrives

    def _receive(self, arrived: list[FromWorker]) -> None:
        for frame in arrived:
            try:
                if type(frame) is frames.CallEnded and self._talk.state is SessionState.OPEN:
                    self._hear_call_end(frame)  # whoever calls waits for each microsecond
                else:
                    reply = self._talk.receive(frame, self._now())
                    self._hear(frame, reply)
            except ProtocolViolation as violation:
                self._transport.close(f"protocol violation: {violation}")
                return
            except Exception as error:  # noqa: BLE001 - nothing that follows may be lost unnoticed
                emit(LINK_FAILED, detail=f"{type(error).__name__}: {error}")
                self._transport.close("the server failed to understand; connect again")
                return

    def _hear(self, frame: FromWorker, reply: FromServer | None) -> None:
        match frame:
            case frames.Hello():
                self._spawn(self._admit(frame))
            case frames.Heartbeat():
                self._hear_heartbeat(reply)
            case frames.Goodbye(detail):
                self._has_said_goodbye = True
                self._transport.close(detail or "the worker left")
            case _:
                if self._link is not None and self._link.wire is self:
                    self._link.hear(frame)

    def _hear_call_end(self, frame: frames.CallEnded) -> None:
        if self._link is not None and self._link.wire is self:
            self._link.hear_call_end(frame)

    def _hear_heartbeat(self, reply: FromServer | None) -> None:
        """A sign of life. Its answer lets the worker count on its leases: where these stand in a
        database that others read, they are renewed there first.
        """
        session = self._session
        if session is not None:
            self._engine.hear(session)
            if session.is_resumable and self._engine.must_renew(session):
                self._spawn(self._answer_heartbeat(session, reply))
                return
        if reply is not None:
            self._transport.send(reply)

    async def _answer_heartbeat(self, session: Session, reply: FromServer | None) -> None:
        await self._engine.renew(session)
        if reply is not None and self._talk.state is SessionState.OPEN:
            self._transport.send(reply)

    def _closed(self, detail: str) -> None:
        self._talk.end()
        if self._applicant is not None:
            self._engine.workers.withdraw(self._applicant)
        session, link = self._session, self._link
        if session is None or link is None or link.wire is not self:
            return
        if session.is_resumable and session.is_open and not self._has_said_goodbye:
            link.detach()
            self._engine.cut_off(session, detail)
        else:
            link.end()
            self._spawn(self._engine.disconnect(session, detail))

    # ------------------------------------------------------------ who is let in

    async def _admit(self, hello: frames.Hello) -> None:
        if self._talk.protocol is None:
            self._refuse_protocol(hello)
            return
        try:
            _require_sound(hello)
            if hello.resume is not None:
                await self._resume(hello, hello.resume)
            else:
                await self._begin(hello)
        except WorkerNotAllowed as condition:
            self._keep_waiting(condition)
        except RunyardError as problem:
            self._turn_away(problem)

    async def _begin(self, hello: frames.Hello) -> None:
        link = WorkerLink(self._engine, self._spawn)
        session = await self._engine.connect(link, self._introduced(hello))
        if self._talk.state is SessionState.ENDED:
            await self._engine.disconnect(session, "it left before it was let in")
            return
        self._attach(link, session)
        self._welcome(session)

    async def _resume(self, hello: frames.Hello, resume: frames.Resume) -> None:
        """Let the worker go on with its session; raises SessionLapsed."""
        claim = Claimed(
            session_id=resume.session_id,
            key=resume.key,
            begun=tuple((start.run_id, start.token, start.at) for start in resume.begun),
            ended=tuple((lease.run_id, lease.token) for lease in resume.ended),
        )
        link = WorkerLink(self._engine, self._spawn)
        session = await self._engine.resume(link, self._introduced(hello), claim)
        if isinstance(session.port, WorkerLink):
            link = session.port  # it is the session's own, of an earlier connection
        if self._talk.state is SessionState.ENDED:
            if link.wire is None:
                self._engine.cut_off(session, "it left before it was let in again")
            return
        before = link.wire
        self._attach(link, session)
        if before is not None:
            before.close("the worker has connected again")
        reconciled = self._engine.reconcile(session, claim, link.asked)
        void = tuple(Lease(run, token) for run, token in reconciled.void)
        self._welcome(session, resumed=True, void=void)
        link.answer_for(reconciled.gone)
        link.ask_again()
        self._spawn(self._engine.put_back(reconciled))

    def _attach(self, link: WorkerLink, session: Session) -> None:
        self._session, self._link = session, link
        link.attach(session, self)

    def _welcome(
        self, session: Session, *, resumed: bool = False, void: tuple[Lease, ...] = ()
    ) -> None:
        assert self._talk.protocol is not None
        lease = self._engine.lease
        self._transport.send(
            self._talk.welcome(
                frames.Welcome(
                    protocol=self._talk.protocol,
                    session_id=session.id,
                    lease=lease,
                    heartbeat=lease / HEARTBEATS_PER_LEASE,
                    key=session.key,
                    resumed=resumed,
                    void=void,
                ),
                self._now(),
            )
        )

    def _keep_waiting(self, condition: WorkerNotAllowed) -> None:
        """It stays connected, and is let in as soon as an administrator allows it."""
        if self._talk.state is SessionState.ENDED:
            return
        if self._talk.state is SessionState.GREETED:
            lease = self._engine.lease
            pending = frames.Pending(lease / HEARTBEATS_PER_LEASE, condition.detail)
            self._transport.send(self._talk.keep_waiting(pending, lease, self._now()))
            emit(WORKER_WAITS, worker_id=condition.worker, address=self._visitor.address)
        token = self._visitor.token
        self._applicant = Applicant(condition.worker, None if token is None else token.id, self)
        self._engine.workers.apply(self._applicant)

    def _turn_away(self, problem: RunyardError) -> None:
        """Tell it why, and whether there is any use in another try."""
        if (code := REFUSALS.get(type(problem))) is not None:
            self.refuse(code, problem.detail)
        else:
            self._transport.close(problem.detail)

    def _refuse_protocol(self, hello: frames.Hello) -> None:
        spoken = ", ".join(map(str, frames.PROTOCOL_VERSIONS))
        offered = ", ".join(map(str, hello.protocol)) or "none"
        self.refuse(
            "protocol",
            f"this server speaks protocol {spoken}, the worker {offered}: "
            "both should be of the same release",
        )

    def _introduced(self, hello: frames.Hello) -> WorkerHello:
        token = self._visitor.token
        return WorkerHello(
            name=hello.name,
            version=hello.version,
            host=hello.host,
            os=hello.os,
            address=self._visitor.address,
            slots=hello.slots,
            labels=hello.labels,
            isolation=hello.isolation,
            company_id=self._visitor.company_id,
            token_id=None if token is None else token.id,
            allowed=token is None or token.joins,
            is_resumable=token is not None,
        )

    def _now(self) -> Monotonic:
        return Monotonic(self._engine.clock.monotonic().total_seconds())


def _require_sound(hello: frames.Hello) -> None:
    """Raise HelloUnfit for what no worker says of itself."""
    if not 1 <= hello.slots <= MOST_SLOTS:
        raise HelloUnfit(f"slots: {hello.slots}; allowed are 1 to {MOST_SLOTS}")
    if not is_worker_name(hello.name):
        raise HelloUnfit(f"name: {hello.name[:80]!r}; allowed are {NAME_RULE}")
    texts = {"version": hello.version, "host": hello.host, "os": hello.os}
    texts["isolation"] = hello.isolation
    texts |= {f"label {at}": label for at, label in enumerate(hello.labels, 1)}
    for what, text in texts.items():
        if len(text) > LONGEST_TEXT or not text.isprintable():
            raise HelloUnfit(f"{what}: allowed are {LONGEST_TEXT} printable characters")
    if len(hello.labels) > MOST_LABELS:
        raise HelloUnfit(f"labels: {len(hello.labels)}; allowed are {MOST_LABELS}")
