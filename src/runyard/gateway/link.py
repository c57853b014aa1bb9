"""A worker as the engine speaks to it, over one connection after the other.

A link lives as long as its session. While the worker is cut off nothing reaches it: what the engine
gives it is not sent, and what the engine asks waits until the worker is back, when it is asked anew, or
until its session is over, when there is no answer.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeAlias, assert_never

import msgspec
from msgspec import Raw

from runyard.engine.engine import Engine
from runyard.engine.files import FILE_LIMIT
from runyard.engine.patience import until_done
from runyard.engine.sessions import AssignedRun, AttemptEnd, HeldRun, Session
from runyard.gateway.transfers import Transfer
from runyard.model.companies import Company
from runyard.model.errors import CodeRefused, NoWorker, RunyardError
from runyard.model.ids import AllocationId, CompanyId, RunId, VersionId, encode_public_id
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.model.tasks import Declaration, Version
from runyard.protocol import frames
from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.frames import FromServer, FromWorker, Lease

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]
Answering: TypeAlias = type[frames.Recalled] | type[frames.Killed] | type[frames.Inspected]
Answered: TypeAlias = frames.Recalled | frames.Killed | frames.Inspected
Asking: TypeAlias = frames.Recall | frames.Kill | frames.Inspect

SPARE_STEPS = 64
"""Steps on their way beyond one for each slot: of runs whose lease was just lost."""
MOST_BLOBS = 64
"""Blobs that a worker may want at the same time."""
ASSIGNED_BYTES = 4 * 1024 * 1024
"""Bytes of inputs and steps in one frame, the last run's as large as they are."""


class Wire(Protocol):
    """The connection that a link has at the moment."""

    def send(self, frame: FromServer) -> None:
        """Send a frame; never waits."""

    def ask(self, answer: Answering) -> int:
        """A number for a question."""

    def settles(self, answer: Answered) -> bool:
        """Whether this answers a question that was asked on this connection."""

    async def drained(self) -> None:
        """Return once the worker has read most of what it was sent."""

    def close(self, detail: str) -> None:
        """End it."""

    def refuse(self, code: str, detail: str) -> None:
        """End it, telling why."""


@dataclass(eq=False)
class Question:
    """Something that the engine wants to know of a worker."""

    kind: Answering
    asking: Callable[[int], Asking]
    runs: frozenset[RunId]
    """What it is about."""
    answer: "asyncio.Future[Any]"


class WorkerLink:
    """One worker, from its welcome to the end of its session."""

    def __init__(self, engine: Engine, spawn: Spawn) -> None:
        self._engine = engine
        self._spawn = spawn
        self._wire: Wire | None = None
        self._session: Session | None = None
        self._questions: dict[int, Question] = {}
        """By their numbers on the connection that there is, or were on the last one."""
        self._lines: dict[int, Callable[[str], None]] = {}
        self._transfers: dict[int, Transfer] = {}
        self._blobs = 0
        self._steps = 0
        self._inspected: set[str] = set()
        """Bundles that the worker was asked to look into: they are nobody's until they are deployed."""

    # ------------------------------------------------------------ connections

    @property
    def wire(self) -> Wire | None:
        """The connection; None: the worker is cut off."""
        return self._wire

    def attach(self, session: Session, wire: Wire) -> None:
        """There is a connection; the welcome was not sent yet."""
        self._session = session
        self._wire = wire

    def ask_again(self) -> None:
        """The worker has been welcomed back: what was asked meanwhile is asked now."""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.answer.done():
                self._put(question)

    @property
    def asked(self) -> frozenset[RunId]:
        """Runs that somebody waits for an answer about."""
        pending = [q.runs for q in self._questions.values() if not q.answer.done()]
        return frozenset().union(*pending)

    def answer_for(self, gone: frozenset[RunId]) -> None:
        """These had not begun when the worker was cut off, and will not: that answers recalls."""
        for number, question in tuple(self._questions.items()):
            if question.kind is frames.Recalled and not question.answer.done():
                leases = tuple(Lease(run, 0) for run in question.runs & gone)
                question.answer.set_result(frames.Recalled(number, leases))
                del self._questions[number]

    def detach(self) -> None:
        """The connection broke; there may be another one."""
        self._wire = None
        for transfer in self._transfers.values():
            transfer.break_off()

    def end(self) -> None:
        """The session is over: nothing is answered any more."""
        self.detach()
        self._session = None
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.answer.done():
                question.answer.set_result(None)

    # ------------------------------------------------------------ what the engine says

    def introduce(self, version: Version, company: Company) -> None:
        """Tell it of a version before its first run."""
        declaration = version.declaration
        self._send(
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
        if len(runs) == 1 or sum(map(_size, runs)) <= ASSIGNED_BYTES:
            self._assign(runs)
        else:
            for run in runs:
                self._assign([run])

    def _assign(self, runs: Sequence[AssignedRun]) -> None:
        try:
            self._send(frames.Assignments(tuple([_assignment(run) for run in runs])))
        except ProtocolViolation as violation:
            self._refuse_run(runs[0], str(violation))

    def _refuse_run(self, run: AssignedRun, detail: str) -> None:
        """A run that is too large to be sent at all: its steps, since inputs are limited."""
        session, claimed = self._session, run.claimed
        if session is not None:
            error = RunError(kind="TooLarge", message=f"it cannot be sent to a worker: {detail}")
            end = AttemptEnd(
                run_id=claimed.run_id,
                token=claimed.token,
                outcome=Outcome.NOT_LOADED,
                finished_at=self._engine.clock.now(),
                error=error,
            )
            self._engine.ended(session, [end])

    def recorded(self, runs: Sequence[tuple[RunId, int]]) -> None:
        """Tell it that these ends are on disk, or of no interest."""
        self._send(frames.Recorded(tuple([Lease(run, token) for run, token in runs])))

    async def recall(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """Take back those that have not begun; none when the worker is gone."""
        leases = _leases(runs)
        answer = self._ask(frames.Recalled, lambda number: frames.Recall(number, leases), runs)
        recalled: frames.Recalled | None = await answer
        return set() if recalled is None else {lease.run_id for lease in recalled.runs}

    async def kill(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """End these; those of which no code executes any more when this returns."""
        leases = _leases(runs)
        answer = self._ask(frames.Killed, lambda number: frames.Kill(number, leases), runs)
        killed: frames.Killed | None = await answer
        return set() if killed is None else {lease.run_id for lease in killed.runs}

    async def inspect(
        self, company: Company, bundle_digest: str, on_line: Callable[[str], None]
    ) -> tuple[Declaration, ...]:
        """The tasks in a bundle; raises CodeRefused, NoWorker when the worker leaves meanwhile."""

        self._inspected.add(bundle_digest)

        def asking(number: int) -> frames.Inspect:
            self._lines[number] = on_line
            return frames.Inspect(
                request=number,
                company_id=company.id,
                company=company.slug,
                bundle_digest=bundle_digest,
            )

        try:
            inspected: frames.Inspected | None = await self._ask(frames.Inspected, asking)
        finally:
            self._lines = {n: told for n, told in self._lines.items() if told is not on_line}
        if inspected is None:
            raise NoWorker("the worker that inspected the bundle left; try again")
        if (problem := inspected.problem) is not None:
            raise CodeRefused(problem.reason, file=problem.file, line=problem.line)
        return inspected.declarations

    def warm(
        self, allocation: AllocationId, version: VersionId, children: int, deadline: timedelta
    ) -> None:
        """Keep so many children ready with a version that was introduced; 0: none any more."""
        self._send(
            frames.Warm(
                allocation_id=allocation,
                version_id=version,
                children=children,
                deadline=deadline,
            )
        )

    def call(self, allocation: AllocationId, run: RunId, public_id: str, value: bytes) -> None:
        """Execute this in a child of the allocation."""
        self._send(frames.Call(allocation, run, public_id, value))

    def drain(self) -> None:
        """Take no further runs, finish what has begun, leave."""
        self._send(frames.Drain())

    def close(self, detail: str) -> None:
        """The conversation is over; a worker that still lives connects again."""
        if self._wire is not None:
            self._wire.close(detail)
        else:
            self.end()

    def refuse(self, code: str, detail: str) -> None:
        """Send it away, telling why."""
        if self._wire is not None:
            self._wire.refuse(code, detail)
        else:
            self.end()

    def _send(self, frame: FromServer) -> None:
        if self._wire is not None:
            self._wire.send(frame)

    # ------------------------------------------------------------ what the worker says

    def hear(self, frame: FromWorker) -> None:  # noqa: C901 - one exhaustive match
        """Take note of what was said in a session."""
        session = self._session
        if session is None:
            return
        match frame:
            case frames.CallEnded():
                self.hear_call_end(frame)
            case frames.Ended(ends):
                self._engine.ended(session, [_attempt_end(end) for end in ends])
            case frames.Begun(starts):
                for start in starts:
                    self._engine.begun(session, start.run_id, start.token, start.at)
            case frames.Capacity(runs, leaving, short):
                self._engine.note_shortage(session, short)
                self._engine.set_capacity(session, runs)
                if leaving:
                    self._engine.leaving(session)
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
            case frames.FileOffered():
                self._take_offer(session, frame)
            case frames.Progress(run, token, done, total):
                self._engine.attempts.progressed(session, run, token, done, total)
            case frames.StepDone():
                self._take_step(session, frame)
            case frames.BlobWanted():
                self._want_blob(session, frame)
            case frames.Warmed():
                self._engine.allocations.warmed(
                    session,
                    frame.allocation_id,
                    frame.version_id,
                    children=frame.children,
                    memory=frame.memory,
                    error=frame.error,
                )
            case frames.Hello() | frames.Heartbeat() | frames.Goodbye():
                raise ProtocolViolation(f"{type(frame).__name__} within a session")
            case _:
                assert_never(frame)

    def hear_call_end(self, frame: frames.CallEnded) -> None:
        """Take note of the end of a call."""
        if self._session is not None:
            self._engine.calls.ended(self._session, _call_end(frame), frame.version_id)

    # ------------------------------------------------------------ requests and transfers

    def _ask(
        self,
        kind: Answering,
        asking: Callable[[int], Asking],
        runs: Sequence[HeldRun] = (),
    ) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._session is None:
            answer.set_result(None)
        else:
            about = frozenset(run.run_id for run in runs)
            self._put(Question(kind, asking, about, answer))
        return answer

    def _put(self, question: Question) -> None:
        """Ask, now or once there is a connection."""
        if self._wire is None:
            number = -1 - len(self._questions)
            while number in self._questions:
                number -= 1
            self._questions[number] = question
            return
        number = self._wire.ask(question.kind)
        self._questions[number] = question
        self._wire.send(question.asking(number))

    def _settle(self, session: Session, frame: Answered) -> None:
        if isinstance(frame, frames.Recalled) and not frame.request:  # given back unasked
            given = [(lease.run_id, lease.token) for lease in frame.runs]
            self._spawn(self._engine.returned(session, given))
        if self._wire is not None and self._wire.settles(frame):
            question = self._questions.pop(frame.request)
            if not question.answer.done():
                question.answer.set_result(frame)

    def _take_step(self, session: Session, step: frames.StepDone) -> None:
        if self._steps >= session.worker.slots + SPARE_STEPS:
            raise ProtocolViolation("more steps at once than runs can execute")
        self._steps += 1
        self._spawn(self._record_step(session, step))

    async def _record_step(self, session: Session, step: frames.StepDone) -> None:
        try:
            kept = await self._engine.attempts.record_step(
                session, step.run_id, step.token, step.name, step.occurrence, bytes(step.value)
            )
        except RunyardError:
            kept = False  # not recorded: the attempt must not go on as if it were
        finally:
            self._steps -= 1
        self._send(frames.StepRecorded(step.request, lost=not kept))

    def _want_blob(self, session: Session, wanted: frames.BlobWanted) -> None:
        if self._blobs >= MOST_BLOBS:
            raise ProtocolViolation(f"more than {MOST_BLOBS} blobs are wanted at once")
        self._blobs += 1
        self._spawn(self._send_blob(session, wanted.digest, wanted.offset))

    async def _send_blob(self, session: Session, digest: str, offset: int) -> None:
        wire = self._wire

        async def found() -> int | None:
            if await self._may_have(session.worker.company_id, digest):
                return await self._engine.files.blob_size(digest)
            return None

        try:
            size = await until_done(self._engine.clock, "find a blob", found)
            if wire is None:
                return
            if size is None or size == 0:
                wire.send(frames.BlobPart(digest, 0, b"", size))
            else:
                # A database that is away is found out before the first part, if at all.
                parts = partial(self._send_parts, wire, digest, offset, size)
                await until_done(self._engine.clock, "send a blob", parts)
        except FileNotFoundError:  # pruned since its size was looked up
            if wire is not None:
                wire.send(frames.BlobPart(digest, 0, b"", None))
        finally:
            self._blobs -= 1

    async def _may_have(self, company: CompanyId | None, digest: str) -> bool:
        """Whether a worker of this company may have a blob: those of others do not exist for it."""
        if company is None or digest in self._inspected:
            return True
        return await self._engine.files.has_blob(company, digest)

    async def _send_parts(self, wire: Wire, digest: str, offset: int, size: int) -> None:
        at = offset
        async for data in self._engine.files.blob(digest, offset):
            for start in range(0, len(data), frames.PART_SIZE):
                part = data[start : start + frames.PART_SIZE]
                await wire.drained()
                if self._wire is not wire:
                    return  # what is still wanted is asked for on the next connection
                wire.send(frames.BlobPart(digest, at, part, size))
                at += len(part)

    def _take_offer(self, session: Session, offered: frames.FileOffered) -> None:
        held = session.holding(offered.run_id, offered.token)
        if held is None:
            self._send(frames.FileStored(offered.transfer, None, "the run's lease is over"))
            return
        if offered.transfer in self._transfers:
            raise ProtocolViolation("a transfer that is under way already")
        said = partial(self._say_taken, offered.transfer)
        self._transfers[offered.transfer] = transfer = Transfer(said)
        self._spawn(self._keep_file(held, offered, transfer))

    async def _keep_file(
        self, held: HeldRun, offered: frames.FileOffered, transfer: Transfer
    ) -> None:
        try:
            file = await self._engine.files.keep(
                held.company_id,
                offered.name,
                offered.content_type,
                transfer.parts(),
                limit=FILE_LIMIT,
                run=held.run_id,
                patient=True,
            )
            self._send(frames.FileStored(offered.transfer, file.id))
        except RunyardError as problem:
            self._send(frames.FileStored(offered.transfer, None, problem.detail))
        except ConnectionError:
            return  # the connection broke: it will be sent again
        except OSError as problem:  # the disk is full: one run's trouble, not the worker's
            detail = f"the file could not be stored: {problem.strerror}"
            self._send(frames.FileStored(offered.transfer, None, detail))
        finally:
            if self._transfers.get(offered.transfer) is transfer:
                del self._transfers[offered.transfer]

    def _say_taken(self, transfer: int, received: int) -> None:
        self._send(frames.FileTaken(transfer, received))


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


def _size(run: AssignedRun) -> int:
    return len(run.claimed.input) + sum(len(value) for _, _, value in run.steps)


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
