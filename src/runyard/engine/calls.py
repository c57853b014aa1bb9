"""Real-time calls: from a caller to a warm child and back, with nothing on disk in between.

The corridor: judge the input by the version that serves, take a place, hand it to the session that
keeps the allocation, hear of the end, judge the output, remember the call, tell the caller. A call is
never tried again: whoever waits for it decides about that.

There are two ways in. `call` finds everything out that a call needs, and waits where it has to.
`begin` takes what an earlier call has found out (an `Opening`), does nothing but look whether it still
holds, and waits for nothing; whatever it cannot do at once is left to `call`. From the place that a
call takes until its end both are one.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Protocol

import msgspec

from runyard.engine.allocations import Allocations, Kept
from runyard.engine.attempts import cause_of, judged_output
from runyard.engine.call_records import CallRecords
from runyard.engine.calls_elsewhere import EndedCalls
from runyard.engine.files import REFERENCE_MARK, Files
from runyard.engine.foundation import Foundation
from runyard.engine.logbook import Logbook
from runyard.engine.patience import until_done
from runyard.engine.realtime import MonthlyLimits, RealtimeSettings
from runyard.engine.sessions import AttemptEnd, HeldRun, Session
from runyard.engine.starts import VALUES_LIMIT, StartedRun, StartRequest, Starts
from runyard.engine.transitions import target
from runyard.model.allocations import Allocation, Overflow, Recording
from runyard.model.companies import Company
from runyard.model.errors import (
    AllocationNotFound,
    CallsPaused,
    InputRefused,
    KeptElsewhere,
    LimitReached,
    TaskNotFound,
    TooLarge,
    VersionNotFound,
)
from runyard.model.ids import CompanyId, RunId, TaskId, VersionId, encode_public_id
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.model.shapes import Shape
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Task
from runyard.stores.contract.calls import CallRecord

LOOK_EVERY = timedelta(seconds=1)
MOVING = timedelta(seconds=5)
"""How long a call waits for the children of a worker that its allocation has just gone to."""
GRACE = timedelta(seconds=2)
"""How much longer than its deadline a call is waited for: its worker ends it, if it lives."""


class Caller(Protocol):
    """Who is told what becomes of a call: one of these, once."""

    def told(self, record: CallRecord) -> None:
        """It was executed, and how that ended."""

    def refused(self, reason: Exception) -> None:
        """It was not executed after all, or it is durable and its record could not be kept."""


class Spilled(msgspec.Struct, frozen=True):
    """No child was free: the call became a durable run."""

    run: StartedRun


class Opening:
    """What one call has found out, for the next ones: as long as `changes` stands where it stood."""

    __slots__ = ("changes", "company", "input_shape", "kept", "task", "version_id")

    def __init__(
        self,
        company: Company,
        task: Task,
        kept: Kept,
        version_id: VersionId,
        input_shape: Shape,
        changes: int,
    ) -> None:
        self.company = company
        self.task = task
        self.kept = kept
        self.version_id = version_id
        self.input_shape = input_shape
        self.changes = changes


class _UnderWay:
    """A call that executes."""

    __slots__ = (
        "_held",
        "allocation",
        "begun",
        "caller",
        "calls",
        "input",
        "is_cancelled",
        "is_durable",
        "kept",
        "public_id",
        "run_id",
        "session",
        "task",
    )

    def __init__(
        self, calls: "Calls", run: RunId, task: Task, kept: Kept, accepted: bytes, caller: Caller
    ) -> None:
        self.calls = calls
        self.run_id = run
        self.public_id = calls.clock.new_public_id()
        self.begun = calls.clock.elapsed()
        self.task = task
        self.kept = kept
        self.allocation = kept.allocation  # as it is now: what changes is for later calls
        self.input = accepted
        self.caller = caller
        self.session: Session | None = None
        """Where it executes; None: it waits for its place."""
        self.is_durable = False
        """Whether its caller is told only once its record is on disk."""
        self.is_cancelled = False
        """Whether somebody has asked for its end."""
        self._held: HeldRun | None = None

    @property
    def held(self) -> HeldRun:
        """The call as its session holds it; made for the few that log lines or keep files."""
        if self._held is None:
            self._held = held_call(self.run_id, self.public_id, self.task)
        return self._held

    def enter(self) -> None:
        """It has its place."""
        self.calls.hand(self)

    def turn_away(self, reason: LimitReached) -> None:
        """It gets none."""
        self.caller.refused(reason)


class _Patient:
    """A caller who waits in a task of its own."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: asyncio.Future[CallRecord] = asyncio.get_running_loop().create_future()

    def told(self, record: CallRecord) -> None:
        """It was executed."""
        if not self.answer.done():  # its task may have been cancelled
            self.answer.set_result(record)

    def refused(self, reason: Exception) -> None:
        """It was not."""
        if not self.answer.done():
            self.answer.set_exception(reason)


class Calls:
    """Executes calls in the children of allocations."""

    def __init__(
        self,
        foundation: Foundation,
        logbook: Logbook,
        files: Files,
        starts: Starts,
        settings: RealtimeSettings,
    ) -> None:
        self.clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._peers = foundation.peers
        self._sessions = foundation.sessions
        self._secrets = foundation.secrets
        self.allocations = Allocations(foundation, settings)
        """Which tasks are kept warm, and where."""
        self.records = CallRecords(foundation.store, foundation.clock, logbook)
        """What is kept of calls."""
        self.months = MonthlyLimits(foundation.store, foundation.clock, settings.monthly_limit)
        self._files = files
        self._starts = starts
        self._under_way: dict[RunId, _UnderWay] = {}
        self._wakeup = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ the way that waits

    async def call(
        self,
        company: Company,
        ref: str,
        raw: bytes,
        *,
        durable: bool = False,
        spills: bool = True,
    ) -> CallRecord | Spilled:
        """Execute a task now and wait for its end. `durable`: its record is on disk before.
        `spills`: whether it may become a run where the allocation says so.

        Raises TaskNotFound, AllocationNotFound, CallsPaused, KeptElsewhere, LimitReached,
        MonthlyLimitReached, InputRefused, TooLarge, Busy when records cannot be written.
        """
        task = await self._directory.task(company.id, ref)
        kept = self.allocations.kept(task)
        _refuse_paused(company, task)
        if kept.session is None:
            await self._demand_here(kept)
        await self._arrived(kept, task)
        _, version = kept.serving()
        if len(raw) > VALUES_LIMIT:
            raise TooLarge(f"the input has {len(raw)} bytes; allowed: {VALUES_LIMIT}")
        shape = await self._directory.input_shape(version)
        accepted = await self._files.complete(company, shape, shape.accept(raw))
        shape.refuse_addresses(accepted)  # a call does not wait for a file to be fetched
        await self.records.make_room()
        run, caller = RunId(await self._ids.take()), _Patient()
        call = _UnderWay(self, run, task, kept, accepted, caller)
        call.is_durable = durable
        if not self._directory.is_fresh:
            await self._directory.refresh_gates()
        if self.months.most:
            await self.months.take(company)
        await self._arrived(kept, task)
        try:
            kept.let_in(call)
            record = await caller.answer
        except BaseException as failure:
            if call.session is None:
                kept.withdraw(call)
                self.months.give_back(company)
            may_spill = spills and kept.allocation.overflow is Overflow.SPILL
            if not may_spill or not isinstance(failure, LimitReached):
                raise
            return await self._spill(company, task, accepted)
        return record

    async def _arrived(self, kept: Kept, task: Task) -> None:
        """Wait for an allocation that is on its way to another worker of this server."""
        if kept.is_moving:
            await self.allocations.until_ready(task, MOVING)

    async def demand_here(self, task: Task) -> None:
        """Raise KeptElsewhere when another server has to be asked, AllocationNotFound when nobody."""
        kept = self.allocations.kept(task)
        if kept.session is None:
            await self._demand_here(kept)

    async def _demand_here(self, kept: Kept) -> None:
        if kept.elsewhere is not None:
            server = kept.elsewhere.server
            address = await self._peers.address_of(server)
            if address is not None:
                raise KeptElsewhere(server, address)

    async def _spill(self, company: Company, task: Task, accepted: bytes) -> Spilled:
        request = StartRequest(task=str(task.id), input=accepted)
        started = await self._starts.start(company, [request])
        return Spilled(started.runs[0])

    # ------------------------------------------------------------ the way that does not wait

    async def opening(self, company: Company, ref: str) -> Opening | None:
        """What `begin` needs for calls of this task; None where each call has to find it out."""
        try:
            task = await self._directory.task(company.id, ref)
            kept = self.allocations.kept(task)
            _, version = kept.serving()
            shape = await self._directory.input_shape(version)
            await self._directory.output_shape(version)
            _refuse_paused(company, task)
        except (TaskNotFound, AllocationNotFound, CallsPaused):  # since the last call
            return None
        if shape.has_files or self.months.most or not self._directory.has(company, ref, task):
            return None
        return Opening(company, task, kept, version, shape, self._directory.changes)

    def begin(self, opening: Opening, raw: bytes, caller: Caller, *, durable: bool = False) -> bool:
        """Execute a call, and tell the caller what became of it. False: nothing was done, because
        something is not as it was, or not at hand: `call` finds out what, waits for it or refuses.
        """
        kept = opening.kept
        session = kept.session
        if (
            session is None
            or not session.is_open
            or kept.version_id != opening.version_id
            or not self._directory.is_unchanged(opening.changes)
            or not self._directory.is_gate_open(opening.task.gate_id)
            or not kept.lets_in
            or self.records.are_many
            or len(raw) > VALUES_LIMIT
        ):
            return False
        try:
            accepted = opening.input_shape.accept(raw)
        except InputRefused:
            return False
        if REFERENCE_MARK in accepted:
            return False
        run = self._ids.take_at_hand()
        if run is None:
            return False
        call = _UnderWay(self, RunId(run), opening.task, kept, accepted, caller)
        call.is_durable = durable
        if kept.has_room:
            kept.take()
            self._execute(call, session)
        else:
            kept.let_in(call)
        return True

    # ------------------------------------------------------------ from place to end

    def hand(self, call: _UnderWay) -> None:
        """Hand a call that has its place to the session that keeps its task warm."""
        try:
            # Both may be otherwise since it began to wait.
            if not self._directory.is_gate_open(call.task.gate_id):
                raise CallsPaused(self._why_closed(call.task))
            session, _ = call.kept.serving()
        except CallsPaused as reason:
            call.kept.leave()
            call.caller.refused(reason)
            return
        self._execute(call, session)

    def _execute(self, call: _UnderWay, session: Session) -> None:
        call.session = session
        self._under_way[call.run_id] = session.calls[call.run_id] = call
        self._wakeup.set()
        session.port.call(
            call.allocation.id, call.run_id, encode_public_id(call.public_id), call.input
        )

    def _why_closed(self, task: Task) -> str:
        if self._directory.is_fresh:
            return f"task {task.name!r} was paused while the call waited"
        return f"task {task.name!r} may be paused: the database is not at hand"

    def ended(self, session: Session, end: AttemptEnd, version: VersionId) -> None:
        """A call is over."""
        call = self._under_way.get(end.run_id)
        if call is None or call.session is not session:
            return
        del self._under_way[end.run_id], session.calls[end.run_id]
        version = version or call.task.version_id  # who refuses or loses a call may not know which
        shape = self._directory.output_shape_at_hand(version)
        if shape is not None:
            self._finish(call, end, version, shape)
        else:
            self._spawn(self._finish_later(call, end, version))

    async def _finish_later(self, call: _UnderWay, end: AttemptEnd, version: VersionId) -> None:
        shape_of = self._directory.output_shape
        try:
            shape = await until_done(self.clock, "judge a call", partial(shape_of, version))
        except VersionNotFound:  # a worker may say anything; the caller has to be told
            version = call.task.version_id
            shape = await until_done(self.clock, "judge a call", partial(shape_of, version))
        self._finish(call, end, version, shape)

    def _finish(self, call: _UnderWay, end: AttemptEnd, version: VersionId, shape: Shape) -> None:
        """Judge what came of a call, keep its record, give its place back, tell the caller."""
        if end.output is not None:
            end = judged_output(shape, end)
        record = self._record_of(call, end, version)
        call.kept.leave()
        if call.kept.left:
            self.allocations.expect()
        call.kept.latencies.note(self.clock.elapsed() - call.begun)
        if not _is_kept(call.allocation, record):
            call.caller.told(record)
        elif call.is_durable:
            self._spawn(self._keep_and_tell(record, call.caller))
        else:
            self.records.keep(record)
            call.caller.told(record)

    async def _keep_and_tell(self, record: CallRecord, caller: Caller) -> None:
        try:
            await self.records.keep_now(record)
        except Exception as reason:  # noqa: BLE001 - whatever it is, somebody waits for an answer
            caller.refused(reason)
        else:
            caller.told(record)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record_of(self, call: _UnderWay, end: AttemptEnd, version: VersionId) -> CallRecord:
        task, session = call.task, call.session
        assert session is not None
        is_ended = call.is_cancelled and end.outcome is Outcome.LOST
        cause = Cause.CANCELLED if is_ended else cause_of(end)
        return CallRecord(
            id=call.run_id,
            public_id=call.public_id,
            company_id=task.company_id,
            task_id=task.id,
            version_id=version,
            allocation_id=call.allocation.id,
            state=target(cause),
            cause=cause,
            created_at=self.clock.at(call.begun),
            started_at=end.begun_at,
            finished_at=end.finished_at,
            worker_id=session.worker.id,
            logged_errors=end.logged_errors,
            input=call.input,
            output=end.output,
            error=self._secrets.error(end.error),
        )

    # ------------------------------------------------------------ other ends

    def lost(self, session: Session) -> None:
        """The session that kept these calls is gone, or its worker is cut off and has ended them."""
        for call in tuple(self._under_way.values()):
            if call.session is session:
                self._lose(call, "its worker disappeared")
        self.allocations.leave(session)

    async def kill(self, company: CompanyId, task: TaskId) -> EndedCalls:
        """End the calls of a task that execute now at this server."""
        by_session: dict[Session, list[HeldRun]] = {}
        for call in self._under_way.values():
            if call.task.id == task and call.task.company_id == company:
                call.is_cancelled = True
                assert call.session is not None
                by_session.setdefault(call.session, []).append(call.held)
        dead: list[RunId] = []
        left: list[RunId] = []
        for session, calls in by_session.items():
            killed = await self._sessions.within_lease(session, session.port.kill(calls))
            dead.extend(sorted(killed))
            left.extend(call.run_id for call in calls if call.run_id not in killed)
            for run in killed:
                if (found := self._under_way.get(run)) is not None:
                    self._lose(found, "it was killed")
        return EndedCalls(ended=tuple(dead), left=tuple(left))

    def _lose(self, call: _UnderWay, message: str) -> None:
        end = AttemptEnd(
            run_id=call.run_id,
            token=CALL_TOKEN,
            outcome=Outcome.LOST,
            finished_at=self.clock.now(),
            error=RunError(kind="WorkerLost", message=message),
        )
        assert call.session is not None
        self.ended(call.session, end, call.kept.version_id or VersionId(0))

    async def run(self) -> None:
        """Keep tasks warm, keep records, and answer calls whose worker does not, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.allocations.run())
            group.create_task(self.records.run())
            group.create_task(self.months.run())
            group.create_task(self._answer_for_the_silent())

    async def _answer_for_the_silent(self) -> None:
        while True:
            await self.clock.wait(self._wakeup, None)
            while self._under_way:
                await self.clock.wait(asyncio.Event(), LOOK_EVERY)
                self._give_up(self.clock.elapsed())

    def _give_up(self, now: float) -> None:
        for call in tuple(self._under_way.values()):
            allowed = call.allocation.deadline + call.allocation.wait + GRACE
            if now - call.begun > allowed.total_seconds():
                self._lose(call, "its worker did not answer")


def held_call(run: RunId, public_id: bytes, task: Task) -> HeldRun:
    """A call as its session holds it, for the lines and files that come of it."""
    return HeldRun(
        run_id=run,
        public_id=public_id,
        company_id=task.company_id,
        task_id=task.id,
        version_id=task.version_id,
        gate_id=task.gate_id,
        token=CALL_TOKEN,
        attempt=0,
        rank=0,
        lines_before=0,
    )


def _is_kept(allocation: Allocation, record: CallRecord) -> bool:
    match allocation.recording:
        case Recording.ALL:
            return True
        case Recording.ERRORS:
            return record.state is not RunState.COMPLETED
        case Recording.NONE:
            return False


def _refuse_paused(company: Company, task: Task) -> None:
    if not company.runnable:
        raise CallsPaused(f"the orchestrator of company {company.slug!r} is paused")
    if task.withdrawn_at is not None:
        raise CallsPaused(f"task {task.name!r} was withdrawn: its bundle no longer has it")
    if not task.runnable:
        raise CallsPaused(f"task {task.name!r} is set not runnable")
