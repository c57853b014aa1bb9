"""Real-time calls: from a caller to a warm child and back, with nothing on disk in between.

The corridor: judge the input by the version that serves, take a place, hand it to the session that
keeps the allocation, wait for the end, judge the output, remember the call, answer. A call is never
tried again: whoever waits for it decides about that.
"""

import asyncio
from datetime import timedelta

import msgspec

from runyard.engine.allocations import Allocations, Kept
from runyard.engine.attempts import cause_of, judged_output
from runyard.engine.call_records import CallRecords
from runyard.engine.files import Files
from runyard.engine.foundation import Foundation
from runyard.engine.logbook import Logbook
from runyard.engine.realtime import MonthlyLimits, RealtimeSettings
from runyard.engine.sessions import AttemptEnd, HeldRun, Session
from runyard.engine.starts import VALUES_LIMIT, StartedRun, StartRequest, Starts
from runyard.engine.transitions import target
from runyard.model.allocations import Allocation, Overflow, Recording
from runyard.model.companies import Company
from runyard.model.errors import CallsPaused, KeptElsewhere, LimitReached, TooLarge
from runyard.model.ids import CompanyId, RunId, TaskId, VersionId, encode_public_id
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Task
from runyard.stores.contract.calls import CallRecord

LOOK_EVERY = timedelta(seconds=1)
GRACE = timedelta(seconds=2)
"""How much longer than its deadline a call is waited for: its worker ends it, if it lives."""


class Spilled(msgspec.Struct, frozen=True):
    """No child was free: the call became a durable run."""

    run: StartedRun


class _UnderWay:
    """A call that executes."""

    __slots__ = ("allocation", "answer", "begun_at", "held", "is_cancelled", "kept", "session")

    def __init__(self, kept: Kept, session: Session, held: HeldRun, begun_at: timedelta) -> None:
        self.kept = kept
        self.allocation = (
            kept.allocation
        )  # as it is now: a deadline that changes is for later calls
        self.session = session
        self.held = held
        self.begun_at = begun_at
        self.answer: asyncio.Future[tuple[AttemptEnd, VersionId]] = (
            asyncio.get_running_loop().create_future()
        )
        self.is_cancelled = False
        """Whether somebody has asked for its end."""


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
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._peers = foundation.peers
        self.allocations = Allocations(foundation, settings)
        """Which tasks are kept warm, and where."""
        self.records = CallRecords(foundation.store, foundation.clock, logbook)
        """What is kept of calls."""
        self.months = MonthlyLimits(foundation.store, foundation.clock, settings.monthly_limit)
        self._files = files
        self._starts = starts
        self._under_way: dict[RunId, _UnderWay] = {}
        self._wakeup = asyncio.Event()

    # ------------------------------------------------------------ the corridor

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
        MonthlyLimitReached, InputRefused, TooLarge.
        """
        task = await self._directory.task(company.id, ref)
        kept = self.allocations.kept(task)
        _refuse_paused(company, task)
        if kept.session is None:
            await self._demand_here(kept)
        session, version = kept.serving()
        if len(raw) > VALUES_LIMIT:
            raise TooLarge(f"the input has {len(raw)} bytes; allowed: {VALUES_LIMIT}")
        shape = await self._directory.input_shape(version)
        accepted = await self._files.complete(company, shape, shape.accept(raw))
        shape.refuse_addresses(accepted)  # a call does not wait for a file to be fetched
        begun_at = self._clock.monotonic()
        if self.months.most:
            await self.months.take(company)
        try:
            await kept.enter()
        except BaseException as failure:
            self.months.give_back(company)
            may_spill = spills and kept.allocation.overflow is Overflow.SPILL
            if not may_spill or not isinstance(failure, LimitReached):
                raise
            return await self._spill(company, task, accepted)
        try:
            return await self._execute(task, kept, session, accepted, begun_at, durable)
        finally:
            kept.leave()
            if kept.left:
                self.allocations.expect()
            kept.latencies.note((self._clock.monotonic() - begun_at).total_seconds())

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

    async def _execute(
        self,
        task: Task,
        kept: Kept,
        session: Session,
        accepted: bytes,
        begun_at: timedelta,
        durable: bool,  # noqa: FBT001
    ) -> CallRecord:
        created_at = self._clock.now()
        run = RunId(await self._ids.take())
        public_id = self._clock.new_public_id()
        self._refuse_closed(task)
        if session is not kept.session:  # gone or draining since this began to wait for a place
            session, _ = kept.serving()
        call = _UnderWay(kept, session, held_call(run, public_id, task), begun_at)
        end, version = await self._ended(call, accepted)
        if end.output is not None:
            end = judged_output(await self._directory.output_shape(version), end)
        is_ended = call.is_cancelled and end.outcome is Outcome.LOST
        cause = Cause.CANCELLED if is_ended else cause_of(end)
        record = CallRecord(
            id=run,
            public_id=public_id,
            company_id=task.company_id,
            task_id=task.id,
            version_id=version,
            allocation_id=kept.allocation.id,
            state=target(cause),
            cause=cause,
            created_at=created_at,
            started_at=end.begun_at,
            finished_at=end.finished_at,
            worker_id=session.worker.id,
            logged_errors=end.logged_errors,
            input=accepted,
            output=end.output,
            error=end.error,
        )
        if _is_kept(kept.allocation, record):
            await (self.records.keep_now if durable else self.records.keep)(record)
        return record

    async def _ended(self, call: _UnderWay, accepted: bytes) -> tuple[AttemptEnd, VersionId]:
        """Hand a call to its session; how it ended, and which version that was."""
        session, held = call.session, call.held
        run, public_id = held.run_id, encode_public_id(held.public_id)
        self._under_way[run] = call
        session.calls[run] = held
        self._wakeup.set()
        try:
            session.port.call(call.kept.allocation.id, run, public_id, accepted)
            return await call.answer
        finally:
            del self._under_way[run]
            session.calls.pop(run, None)

    def _refuse_closed(self, task: Task) -> None:
        """Raise CallsPaused when the task was closed while the call waited for its place."""
        gate = self._directory.gates.get(task.gate_id)
        if gate is not None and not gate.is_open:
            raise CallsPaused(f"task {task.name!r} was paused while the call waited")

    async def _spill(self, company: Company, task: Task, accepted: bytes) -> Spilled:
        request = StartRequest(task=str(task.id), input=accepted)
        started = await self._starts.start(company, [request])
        return Spilled(started.runs[0])

    # ------------------------------------------------------------ ends

    def ended(self, session: Session, end: AttemptEnd, version: VersionId) -> None:
        """A call is over."""
        call = self._under_way.get(end.run_id)
        if call is not None and call.session is session and not call.answer.done():
            call.answer.set_result((end, version))

    def lost(self, session: Session) -> None:
        """The session that kept these calls is gone, or its worker is cut off and has ended them."""
        for call in tuple(self._under_way.values()):
            if call.session is session:
                self._lose(call, "its worker disappeared")
        self.allocations.leave(session)

    async def kill(self, company: CompanyId, task: TaskId) -> list[RunId]:
        """End the calls of a task that execute now; those of which no code executes any more."""
        by_session: dict[Session, list[HeldRun]] = {}
        for call in self._under_way.values():
            if call.held.task_id == task and call.held.company_id == company:
                call.is_cancelled = True
                by_session.setdefault(call.session, []).append(call.held)
        dead: list[RunId] = []
        for session, calls in by_session.items():
            killed = await session.port.kill(calls)
            dead.extend(sorted(killed))
            for run in killed:
                if (found := self._under_way.get(run)) is not None:
                    self._lose(found, "it was killed")
        return dead

    def _lose(self, call: _UnderWay, message: str) -> None:
        if call.answer.done():
            return
        end = AttemptEnd(
            run_id=call.held.run_id,
            token=CALL_TOKEN,
            outcome=Outcome.LOST,
            finished_at=self._clock.now(),
            error=RunError(kind="WorkerLost", message=message),
        )
        version = call.kept.version_id or VersionId(0)
        call.answer.set_result((end, version))

    async def run(self) -> None:
        """Keep tasks warm, keep records, and answer calls whose worker does not, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.allocations.run())
            group.create_task(self.records.run())
            group.create_task(self.months.run())
            group.create_task(self._answer_for_the_silent())

    async def _answer_for_the_silent(self) -> None:
        while True:
            await self._clock.wait(self._wakeup, None)
            while self._under_way:
                await self._clock.wait(asyncio.Event(), LOOK_EVERY)
                self._give_up(self._clock.monotonic())

    def _give_up(self, now: timedelta) -> None:
        for call in tuple(self._under_way.values()):
            allowed = call.allocation.deadline + call.allocation.wait + GRACE
            if now - call.begun_at > allowed:
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
