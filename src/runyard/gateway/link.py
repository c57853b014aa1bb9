"""One worker's conversation, translated."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeAlias, assert_never

import msgspec
from msgspec import Raw

from runyard.engine.engine import Engine
from runyard.engine.files import FILE_LIMIT
from runyard.engine.sessions import (
    AssignedRun,
    AttemptEnd,
    HeldRun,
    Session,
    WorkerHello,
)
from runyard.engine.workers import Applicant
from runyard.gateway.transfers import Transfer
from runyard.model.companies import Company
from runyard.model.errors import (
    CodeRefused,
    NoWorker,
    RunyardError,
    WorkerLocked,
    WorkerNameInUse,
    WorkerNotAllowed,
)
from runyard.model.ids import AllocationId, CompanyId, RunId, VersionId, encode_public_id
from runyard.model.runs import CALL_TOKEN, RunError
from runyard.model.tasks import Declaration, Version
from runyard.model.tokens import Token
from runyard.protocol import frames
from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.frames import FromServer, FromWorker, Lease
from runyard.protocol.session import Monotonic, ServerSession, SessionState
from runyard.telemetry import LINK_FAILED, WORKER_WAITS, emit

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]
HEARTBEATS_PER_LEASE = 3
REFUSALS: Mapping[type[RunyardError], str] = {
    WorkerLocked: "locked",
    WorkerNameInUse: "name_taken",
}
"""What a worker is told so that it knows what to do next; of everything else: come again."""


class Transport(Protocol):
    """What a link needs of a connection."""

    def listen(
        self, receive: Callable[[list[FromWorker]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""

    def send(self, frame: FromServer) -> None:
        """Send a frame; never waits."""

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


class WorkerLink:
    """A connected worker, as the engine speaks to it, and what the worker says."""

    def __init__(
        self, engine: Engine, transport: Transport, spawn: Spawn, visitor: Visitor
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._spawn = spawn
        self._visitor = visitor
        self._talk = ServerSession()
        self._session: Session | None = None
        self._applicant: Applicant | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._lines: dict[int, Callable[[str], None]] = {}
        self._transfers: dict[int, Transfer] = {}

    def open(self) -> None:
        """Listen from now on."""
        self._transport.listen(self._receive, self._closed)

    # ------------------------------------------------------------ what the engine says

    def introduce(self, version: Version, company: Company) -> None:
        """Tell it of a version before its first run."""
        declaration = version.declaration
        self._transport.send(
            frames.Introduction(
                version_id=version.id,
                company_id=company.id,
                company=company.slug,
                task=declaration.name,
                bundle_digest=version.bundle_digest,
                module=declaration.module,
                function=declaration.function,
                requirements=declaration.requirements,
                timeout=declaration.policies.timeout,
            )
        )

    def assign(self, runs: Sequence[AssignedRun]) -> None:
        """Hand it claimed runs, in order."""
        self._transport.send(frames.Assignments(tuple([_assignment(run) for run in runs])))

    async def recall(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """Take back those that have not begun; none when the worker is gone."""
        request, answer = self._ask(frames.Recalled)
        self._transport.send(frames.Recall(request, _leases(runs)))
        recalled: frames.Recalled | None = await answer
        return set() if recalled is None else {lease.run_id for lease in recalled.runs}

    async def kill(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """End these; those of which no code executes any more when this returns."""
        request, answer = self._ask(frames.Killed)
        self._transport.send(frames.Kill(request, _leases(runs)))
        killed: frames.Killed | None = await answer
        return set() if killed is None else {lease.run_id for lease in killed.runs}

    async def inspect(
        self, company: Company, bundle_digest: str, on_line: Callable[[str], None]
    ) -> tuple[Declaration, ...]:
        """The tasks in a bundle; raises CodeRefused, NoWorker when the worker leaves meanwhile."""
        request, answer = self._ask(frames.Inspected)
        self._lines[request] = on_line
        self._transport.send(
            frames.Inspect(
                request=request,
                company_id=company.id,
                company=company.slug,
                bundle_digest=bundle_digest,
            )
        )
        try:
            inspected: frames.Inspected | None = await answer
        finally:
            del self._lines[request]
        if inspected is None:
            raise NoWorker("the worker that inspected the bundle left; try again")
        if (problem := inspected.problem) is not None:
            raise CodeRefused(problem.reason, file=problem.file, line=problem.line)
        return inspected.declarations

    def warm(
        self, allocation: AllocationId, version: VersionId, children: int, deadline: timedelta
    ) -> None:
        """Keep so many children ready with a version that was introduced; 0: none any more."""
        self._transport.send(
            frames.Warm(
                allocation_id=allocation,
                version_id=version,
                children=children,
                deadline=deadline,
            )
        )

    def call(self, allocation: AllocationId, run: RunId, public_id: str, value: bytes) -> None:
        """Execute this in a child of the allocation."""
        self._transport.send(frames.Call(allocation, run, public_id, value))

    def drain(self) -> None:
        """Take no further runs, finish what has begun, leave."""
        self._transport.send(frames.Drain())

    def close(self, detail: str) -> None:
        """The conversation is over; a worker that still lives connects again."""
        self._transport.close(detail)

    def refuse(self, code: str, detail: str) -> None:
        """Send it away, telling why."""
        self._transport.send(self._talk.refuse(code, detail))
        self._transport.close(detail)

    # ------------------------------------------------------------ what the worker says

    def _receive(self, arrived: list[FromWorker]) -> None:
        for frame in arrived:
            try:
                reply = self._talk.receive(frame, self._now())
                if reply is not None:
                    self._transport.send(reply)
                self._hear(frame)
            except ProtocolViolation as violation:
                self._transport.close(f"protocol violation: {violation}")
                return
            except Exception as error:  # noqa: BLE001 - nothing that follows may be lost unnoticed
                emit(LINK_FAILED, detail=f"{type(error).__name__}: {error}")
                self._transport.close("the server failed to understand; connect again")
                return

    def _hear(self, frame: FromWorker) -> None:  # noqa: C901, PLR0915 - one exhaustive match
        session = self._session
        if session is None:
            if isinstance(frame, frames.Hello):
                self._spawn(self._admit(frame))
            elif isinstance(frame, frames.Goodbye):
                self._transport.close(frame.detail or "the worker left")
            return
        match frame:
            case frames.Ended(ends):
                self._engine.ended(session, [_attempt_end(end) for end in ends])
            case frames.Begun(starts):
                for start in starts:
                    self._engine.begun(session, start.run_id, start.token, start.at)
            case frames.Capacity(runs):
                self._engine.set_capacity(session, runs)
            case frames.Heartbeat():
                self._engine.hear(session)
            case frames.LogLines(run, token, lines, dropped):
                self._engine.logged(session, run, token, lines, dropped)
            case frames.Recalled() | frames.Killed() | frames.Inspected():
                self._settle(session, frame)
            case frames.InspectionLine(request, text):
                if request in self._lines:
                    self._lines[request](text)
            case frames.FilePart(transfer):
                if transfer in self._transfers:
                    self._transfers[transfer].add(frame)
            case frames.Goodbye(detail):
                self._transport.close(detail or "the worker left")
            case frames.FileOffered():
                self._transfers[frame.transfer] = Transfer(partial(self._say_taken, frame.transfer))
                self._spawn(self._keep_file(session, frame))
            case frames.Progress(run, token, done, total):
                self._engine.attempts.progressed(session, run, token, done, total)
            case frames.StepDone():
                self._spawn(self._record_step(session, frame))
            case frames.BlobWanted(digest, offset):
                self._spawn(self._send_blob(digest, offset))
            case frames.CallEnded(version_id=version):
                self._engine.calls.ended(session, _call_end(frame), version)
            case frames.Warmed():
                self._engine.allocations.warmed(
                    session,
                    frame.allocation_id,
                    frame.version_id,
                    children=frame.children,
                    memory=frame.memory,
                    error=frame.error,
                )
            case frames.Hello():
                raise ProtocolViolation("a second hello")
            case _:
                assert_never(frame)

    def _closed(self, detail: str) -> None:
        self._talk.end()
        if self._applicant is not None:
            self._engine.workers.withdraw(self._applicant)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self._answers.clear()
        for transfer in self._transfers.values():
            transfer.break_off()
        if self._session is not None:
            session, self._session = self._session, None
            self._spawn(self._engine.disconnect(session, detail))

    async def _admit(self, hello: frames.Hello) -> None:
        if self._talk.protocol is None:
            spoken = ", ".join(map(str, frames.PROTOCOL_VERSIONS))
            offered = ", ".join(map(str, hello.protocol)) or "none"
            self.refuse(
                "protocol",
                f"this server speaks protocol {spoken}, the worker {offered}: "
                "both should be of the same release",
            )
            return
        try:
            session = await self._engine.connect(self, self._introduced(hello))
        except WorkerNotAllowed as condition:
            self._keep_waiting(condition)
        except RunyardError as problem:
            self._turn_away(problem)
        else:
            await self._welcome(session)

    async def _welcome(self, session: Session) -> None:
        if self._talk.state is SessionState.ENDED:
            await self._engine.disconnect(session, "it left before it was let in")
            return
        assert self._talk.protocol is not None
        lease = self._engine.lease
        self._session = session
        self._transport.send(
            self._talk.welcome(
                frames.Welcome(
                    protocol=self._talk.protocol,
                    session_id=session.id,
                    lease=lease,
                    heartbeat=lease / HEARTBEATS_PER_LEASE,
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

    def decided(self) -> None:
        """An administrator has decided about it."""
        self._applicant = None
        if self._talk.hello is not None and self._talk.state is SessionState.PENDING:
            self._spawn(self._admit(self._talk.hello))

    def _turn_away(self, problem: RunyardError) -> None:
        """Tell it why, and whether there is any use in another try."""
        if (code := REFUSALS.get(type(problem))) is not None:
            self.refuse(code, problem.detail)
        else:
            self._transport.close(problem.detail)

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
        )

    # ------------------------------------------------------------ requests and transfers

    def _ask(
        self, kind: type[frames.Recalled] | type[frames.Killed] | type[frames.Inspected]
    ) -> tuple[int, "asyncio.Future[Any]"]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._session is None:
            answer.set_result(None)
            return 0, answer
        request = self._talk.ask(kind)
        self._answers[request] = answer
        return request, answer

    def _settle(
        self, session: Session, frame: frames.Recalled | frames.Killed | frames.Inspected
    ) -> None:
        if isinstance(frame, frames.Recalled) and not frame.request:  # given back unasked
            given = [(lease.run_id, lease.token) for lease in frame.runs]
            self._spawn(self._engine.returned(session, given))
        if self._talk.settle(frame):
            answer = self._answers.pop(frame.request)
            if not answer.done():
                answer.set_result(frame)

    async def _record_step(self, session: Session, step: frames.StepDone) -> None:
        try:
            kept = await self._engine.attempts.record_step(
                session, step.run_id, step.token, step.name, step.occurrence, bytes(step.value)
            )
        except RunyardError:
            kept = False  # not recorded: the attempt must not go on as if it were
        self._transport.send(frames.StepRecorded(step.request, lost=not kept))

    async def _send_blob(self, digest: str, offset: int) -> None:
        size = await self._engine.files.blob_size(digest)
        if size is None or size == 0:
            self._transport.send(frames.BlobPart(digest, 0, b"", size))
            return
        try:
            await self._send_parts(digest, offset, size)
        except FileNotFoundError:  # pruned since its size was looked up
            self._transport.send(frames.BlobPart(digest, 0, b"", None))

    async def _send_parts(self, digest: str, offset: int, size: int) -> None:
        at = offset
        async for data in self._engine.files.blob(digest, offset):
            for start in range(0, len(data), frames.PART_SIZE):
                part = data[start : start + frames.PART_SIZE]
                self._transport.send(frames.BlobPart(digest, at, part, size))
                at += len(part)

    async def _keep_file(self, session: Session, offered: frames.FileOffered) -> None:
        held = session.holding(offered.run_id, offered.token)
        if held is None:
            del self._transfers[offered.transfer]  # its parts are not wanted
            detail = "the run's lease is over"
            self._transport.send(frames.FileStored(offered.transfer, None, detail))
            return
        transfer = self._transfers[offered.transfer]
        try:
            file = await self._engine.files.keep(
                held.company_id,
                offered.name,
                offered.content_type,
                transfer.parts(),
                limit=FILE_LIMIT,
                run=held.run_id,
            )
            self._transport.send(frames.FileStored(offered.transfer, file.id))
        except RunyardError as problem:
            self._transport.send(frames.FileStored(offered.transfer, None, problem.detail))
        except ConnectionError:
            return  # the link is closed; nobody waits for an answer
        except OSError as problem:  # the disk is full: one run's trouble, not the worker's
            detail = f"the file could not be stored: {problem.strerror}"
            self._transport.send(frames.FileStored(offered.transfer, None, detail))
        finally:
            del self._transfers[offered.transfer]

    def _say_taken(self, transfer: int, received: int) -> None:
        self._transport.send(frames.FileTaken(transfer, received))

    def _now(self) -> Monotonic:
        return Monotonic(self._engine.clock.monotonic().total_seconds())


def _assignment(run: AssignedRun) -> frames.Assignment:
    claimed = run.claimed
    return frames.Assignment(
        claimed.run_id,
        claimed.token,
        claimed.version_id,
        encode_public_id(claimed.public_id),
        claimed.attempt + 1,
        Raw(claimed.input),
        tuple([frames.Step(name, at, Raw(value)) for name, at, value in run.steps]),
    )


def _leases(runs: Sequence[HeldRun]) -> tuple[Lease, ...]:
    return tuple([Lease(run.run_id, run.token) for run in runs])


def _attempt_end(end: frames.End) -> AttemptEnd:
    return AttemptEnd(
        run_id=end.run_id,
        token=end.token,
        outcome=end.outcome,
        finished_at=end.finished_at,
        begun_at=end.begun_at,
        output=None if end.output is None else bytes(end.output),
        error=_told_error(end),
        logged_errors=end.logged_errors,
    )


def _call_end(end: frames.CallEnded) -> AttemptEnd:
    return AttemptEnd(
        run_id=end.run_id,
        token=CALL_TOKEN,
        outcome=end.outcome,
        finished_at=end.finished_at,
        begun_at=end.begun_at,
        output=end.output,
        error=end.error if end.signal is None else _told_error(end),
        logged_errors=end.logged_errors,
    )


def _told_error(end: frames.End | frames.CallEnded) -> RunError | None:
    """The error, naming the signal that came from outside if one did."""
    if end.signal is None:
        return end.error
    name = _signal_name(end.signal)
    error = end.error or RunError(kind="Killed", message="")
    if name in error.message:
        return error
    message = "; ".join(filter(None, (error.message, f"killed by {name} from outside")))
    return msgspec.structs.replace(error, message=message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
