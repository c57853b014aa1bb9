"""Real-time calls: children kept warm for allocations, and the calls that they execute.

Calls take no slots. A call goes to an idle child of its allocation's crew; there is one, because
the server gives out no more calls than the allocation has children, but for the moments in which a
child that died or was worn is being replaced: then the call waits for the next one.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterable
from functools import partial

import msgspec

from runyard.model.ids import AllocationId, RunId, VersionId
from runyard.model.logs import LogLevel
from runyard.model.runs import CALL_TOKEN, Outcome, RunError
from runyard.protocol.frames import (
    Assignment,
    Call,
    CallEnded,
    FromWorker,
    Introduction,
    Warm,
    Warmed,
)
from runyard.worker.child import Child
from runyard.worker.clock import instant, not_later, wall
from runyard.worker.crews import Crew
from runyard.worker.endings import MOST_COUNTED, end_of_child
from runyard.worker.execution import Ending, Execution
from runyard.worker.handing import drop_files, output_of, placed, reclaimed
from runyard.worker.lanes import FAILED_STARTS, Supply
from runyard.worker.nursery import Nursery
from runyard.worker.packets import (
    INLINE_LIMIT,
    Answer,
    Finished,
    FromChild,
    Lines,
    Load,
    Piece,
    Prepare,
    Prepared,
    ProgressMade,
    SelfKill,
    StepTaken,
    Work,
    decode_from_child,
    encode,
)
from runyard.worker.parcels import Parcels
from runyard.worker.printing import Prints
from runyard.worker.reports import Reports
from runyard.worker.settings import WorkerSettings
from runyard.worker.shortage import NoProcess
from runyard.worker.supplies import NotSupplied, Supplies
from runyard.worker.watch import Watch


class Calls:
    """Everything that this worker does for allocations."""

    def __init__(
        self,
        settings: WorkerSettings,
        supplies: Supplies,
        nursery: Nursery,
        parcels: Parcels,
        *,
        send: Callable[[FromWorker], None],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._settings = settings
        self._supplies = supplies
        self._nursery = nursery
        nursery.shortage.on_change.append(self._shortage_changed)
        self._parcels = parcels
        self._send = send
        self._spawn = spawn
        self._reports = Reports(send)
        self._crews: dict[AllocationId, Crew] = {}
        """Those that serve calls now."""
        self._coming: dict[AllocationId, Crew] = {}
        """Those that will, once they are complete."""
        self._crew_of: dict[Child, Crew] = {}
        self._held: dict[int, tuple[Execution, Crew]] = {}
        self._prints = Prints()
        self._dying: dict[int, asyncio.Future[None]] = {}
        self._busy: dict[Child, None] = {}
        self._watch = Watch(
            settings.limits, busy=self._busy_children, end=self._end_child, looked=_nothing
        )
        self._is_closed = False
        self._loop = asyncio.get_running_loop()

    # ------------------------------------------------------------ what the server asks

    def warm(self, order: Warm, introduction: Introduction) -> None:
        """Keep as many children ready as this says, with this version."""
        current = self._crews.get(order.allocation_id)
        coming = self._coming.pop(order.allocation_id, None)
        if order.children == 0:
            for crew in (current, coming):
                if crew is not None:
                    self._dismiss(crew)
            self._crews.pop(order.allocation_id, None)
            return
        fitting = next((c for c in (current, coming) if c is not None and _fits(c, order)), None)
        if coming is not None and coming is not fitting:
            self._dismiss(coming)
        crew = fitting or Crew(order, introduction)
        crew.wanted = order.children
        crew.bound(introduction, order.deadline)
        crew.refused = None
        if current is None:
            self._crews[order.allocation_id] = crew
        elif crew is not current:
            self._coming[order.allocation_id] = crew
        if crew is fitting:
            self._staff(crew)
        else:
            self._spawn(self._supply(crew))

    def call(self, call: Call) -> None:
        """Execute this now."""
        crew = self._crews.get(call.allocation_id)
        if crew is None:
            error = RunError(kind="NotAllocated", message="the allocation is not kept here")
            self._refuse(call, VersionId(0), error)
            return
        refusal = crew.error or (None if crew.preparing else crew.short)
        if refusal is not None and not crew.children:
            self._refuse(call, VersionId(crew.version_id), refusal)
            return
        assignment = Assignment(
            call.run_id,
            CALL_TOKEN,
            VersionId(crew.version_id),
            call.public_id,
            1,
            msgspec.Raw(call.input),
        )
        execution = Execution(assignment, crew.introduction, 0)
        self._held[execution.run_id] = (execution, crew)
        if self._supplies.has_files(assignment.input):
            self._spawn(self._fetch_files(execution))
        else:
            self._take(execution, crew)

    async def kill(self, runs: Iterable[RunId]) -> None:
        """End these calls; returns when no code of them executes any more."""
        deaths = [death for run in runs if (death := self._kill(int(run))) is not None]
        if deaths:
            await asyncio.wait(deaths)

    def give_up(self) -> None:
        """The server is gone: nobody waits for an answer any more."""
        for crew in (*self._crews.values(), *self._coming.values()):
            self._dismiss(crew)
        self._crews.clear()
        self._coming.clear()
        for run in tuple(self._held):
            self._kill(run)

    @property
    def held(self) -> int:
        """Calls here."""
        return len(self._held)

    @property
    def are_expected(self) -> bool:
        """Whether the server may give further ones: it keeps something warm here still."""
        return bool(self._crews)

    def supplies_in_use(self) -> list[Supply]:
        """What crews use."""
        crews = (*self._crews.values(), *self._coming.values(), *self._crew_of.values())
        return [crew.supply for crew in crews if crew.supply is not None]

    def close(self) -> None:
        """End what watches."""
        self._is_closed = True
        self._watch.close()

    # ------------------------------------------------------------ crews

    async def _supply(self, crew: Crew) -> None:
        introduction = crew.introduction
        try:
            crew.supply = await self._supplies.obtain(
                introduction.bundle_digest, introduction.requirements, _unheard
            )
        except NotSupplied as failure:
            self._fail(crew, RunError(kind=failure.kind, message=str(failure)))
            return
        self._staff(crew)

    def _staff(self, crew: Crew) -> None:
        """Start the children that the crew lacks, let those go that are too many."""
        if crew.supply is None or crew.is_dismissed or self._is_closed:
            return
        for _ in range(crew.missing):
            if not self._start_child(crew):
                self._be_short(crew)
                break
        while crew.children > crew.wanted and crew.idle:
            self._end_child(crew.idle[0], Ending.RETIRED)
        if crew.is_complete:
            crew.short = None
        self._tell(crew)

    def _start_child(self, crew: Crew) -> bool:
        """Whether there was room for one; if not, `_shortage_changed` tries again."""
        assert crew.supply is not None
        introduction = crew.introduction
        if self._nursery.shortage.is_on:
            return False
        try:
            child = self._nursery.start(crew.supply, self)
        except NoProcess:
            return False
        except OSError as error:  # the disk is full
            self._nursery.shortage.met(f"no process could be made for it: {error.strerror}")
            return False
        self._crew_of[child] = crew
        crew.preparing[child] = None
        load = Load(
            introduction.module, introduction.function, introduction.task, introduction.company
        )
        child.send(encode(Prepare(crew.version_id, load)))
        return True

    def _be_short(self, crew: Crew) -> None:
        """A child is missing that cannot be started now; without another no call waits for it."""
        crew.short = RunError(kind="NoProcess", message=self._nursery.shortage.reason)
        while crew.waiting and not crew.children and not crew.preparing:
            self._end(crew.waiting.popleft(), crew, Outcome.LOST, error=crew.short)

    def _shortage_changed(self) -> None:
        if not self._nursery.shortage.is_on:
            for crew in (*self._crews.values(), *self._coming.values()):
                if crew.error is None:
                    self._staff(crew)

    def _is_ready(self, child: Child, crew: Crew, packet: Prepared) -> None:
        if child not in crew.preparing or packet.version_id != crew.version_id:
            raise ValueError("a version was loaded that nobody asked for")
        del crew.preparing[child]
        child.resident = packet.resident
        if packet.error is not None:
            self._end_child(child, Ending.RETIRED)
            self._fail(crew, packet.error)
            return
        crew.failed_starts = 0
        crew.error = None
        crew.idle.append(child)
        self._relieve(crew)
        self._hand_out(crew)
        if crew.is_complete:
            crew.short = None
            self._take_over(crew)
        elif crew.short is not None:
            self._tell(crew)

    def _take_over(self, crew: Crew) -> None:
        """A complete crew serves the calls from now on."""
        if self._coming.get(crew.allocation_id) is crew:
            del self._coming[crew.allocation_id]
            before = self._crews.get(crew.allocation_id)
            self._crews[crew.allocation_id] = crew
            if before is not None:
                for execution in before.waiting:
                    self._renew(execution, crew)
                before.waiting.clear()
                self._dismiss(before)
            self._hand_out(crew)
        self._tell(crew)

    def _renew(self, execution: Execution, crew: Crew) -> None:
        """A call that waited for the crew before is executed by this one."""
        version = VersionId(crew.version_id)
        execution.assignment = msgspec.structs.replace(execution.assignment, version_id=version)
        execution.introduction = crew.introduction
        self._held[execution.run_id] = (execution, crew)
        crew.waiting.append(execution)

    def _dismiss(self, crew: Crew) -> None:
        """It takes no further calls; its children leave as soon as they have nothing to do."""
        crew.is_dismissed = True
        crew.wanted = 0
        for execution in tuple(crew.waiting):
            error = RunError(kind="NotAllocated", message="the allocation is no longer kept here")
            self._end(execution, crew, Outcome.LOST, error=error)
        crew.waiting.clear()
        for child in (*crew.idle, *crew.preparing):
            self._end_child(child, Ending.RETIRED)

    def _fail(self, crew: Crew, error: RunError) -> None:
        """Its version cannot be loaded: the crew before goes on, if there is one."""
        crew.error = error
        waiting = tuple(crew.waiting)
        crew.waiting.clear()
        for execution in waiting:
            self._end(execution, crew, Outcome.NOT_LOADED, error=error)
        if self._coming.get(crew.allocation_id) is crew:
            del self._coming[crew.allocation_id]
            self._dismiss(crew)
            serving = self._crews[crew.allocation_id]
            serving.refused = error
            self._tell(serving)
        elif not crew.is_dismissed:
            for child in tuple(crew.preparing):
                self._end_child(child, Ending.RETIRED)
            self._tell(crew)

    def _tell(self, crew: Crew) -> None:
        if self._crews.get(crew.allocation_id) is crew:
            self._send(
                Warmed(
                    allocation_id=crew.allocation_id,
                    version_id=VersionId(crew.version_id),
                    children=crew.children,
                    memory=crew.memory,
                    error=crew.error or crew.refused or crew.short,
                )
            )

    # ------------------------------------------------------------ calls

    def _refuse(self, call: Call, version: VersionId, error: RunError) -> None:
        is_of_code = error.kind not in {"NotAllocated", "NoProcess"}
        outcome = Outcome.NOT_LOADED if is_of_code else Outcome.LOST
        end = CallEnded(
            run_id=call.run_id,
            version_id=version,
            outcome=outcome,
            finished_at=instant(wall()),
            error=error,
        )
        # Not at once: the server may hand over the next one as soon as it hears of this.
        self._loop.call_soon(self._send, end)

    async def _fetch_files(self, execution: Execution) -> None:
        staged = self._nursery.staging(f"call-{execution.run_id}")
        try:
            await self._supplies.stage(execution.assignment.input, staged)
        except NotSupplied as failure:
            shutil.rmtree(staged, ignore_errors=True)
            if execution.run_id in self._held:
                error = RunError(kind=failure.kind, message=str(failure))
                self._end(execution, self._held[execution.run_id][1], Outcome.RAISED, error=error)
            return
        if (held := self._held.get(execution.run_id)) is None:
            shutil.rmtree(staged, ignore_errors=True)
            return
        execution.staged = staged
        self._take(execution, held[1])

    def _take(self, execution: Execution, crew: Crew) -> None:
        if crew.idle:
            self._hand(crew.idle.pop(), execution, crew)
        else:
            crew.waiting.append(execution)

    def _hand_out(self, crew: Crew) -> None:
        while crew.waiting and crew.idle:
            self._hand(crew.idle.pop(), crew.waiting.popleft(), crew)

    def _hand(self, child: Child, execution: Execution, crew: Crew) -> None:
        execution.child = child
        assignment = execution.assignment
        packet = encode(
            Work(
                execution.run_id,
                crew.version_id,
                assignment.public_id,
                1,
                bytes(assignment.input),
                is_call=True,
            )
        )
        if execution.staged is not None or len(packet) > INLINE_LIMIT:
            try:
                packet = placed(child, execution, packet)
            except OSError as problem:  # the disk is full
                crew.idle.append(child)
                error = RunError(kind="NotStored", message=f"its input was not stored: {problem}")
                self._loop.call_soon(
                    partial(self._end, execution, crew, Outcome.RAISED, error=error)
                )
                return
        crew.busy[child] = None
        self._busy[child] = None
        child.pipeline.append(execution)
        if not child.send(packet):  # an earlier call closed the child's channel
            child.pipeline.pop()
            crew.busy.pop(child)
            self._busy.pop(child)
            reclaimed(child, execution, self._nursery.staging)
            self._end_child(child, Ending.UNRULY)
            crew.waiting.appendleft(execution)
            return
        execution.begun_at = wall()
        self._watch.begun(execution)

    def _kill(self, run_id: int) -> "asyncio.Future[None] | None":
        """Begin to end a call. What to wait for, or None when nothing of it executes."""
        held = self._held.pop(run_id, None)
        if held is None:
            return self._dying.get(run_id)
        execution, crew = held
        self._reports.forget(execution)
        if execution.child is None:
            if execution in crew.waiting:
                crew.waiting.remove(execution)
            drop_files(execution)
            return None
        death = asyncio.get_running_loop().create_future()
        self._dying[run_id] = death
        death.add_done_callback(lambda _: self._dying.pop(run_id))
        execution.child.deaths.append(death)
        self._end_child(execution.child, Ending.KILLED)
        return death

    # ------------------------------------------------------------ what children say

    def heard(self, child: Child, data: bytes) -> bool:
        """A child said something."""
        if child.ending is Ending.UNRULY:
            return True
        try:
            packet = decode_from_child(data)
            if isinstance(packet, Finished):
                self._has_finished(child, packet)
                return False  # if it has another call by now, that has hardly begun
            if isinstance(packet, Prepared):
                self._is_ready(child, self._crew_of[child], packet)
            else:
                self._has_said(child, packet)
        except (msgspec.DecodeError, IndexError, ValueError):
            # Whatever it has done to its channel: nothing that it says counts any more.
            self._end_child(child, Ending.UNRULY)
        return True

    def _has_finished(self, child: Child, packet: Finished) -> None:
        execution = child.pipeline[0]
        if execution.run_id != packet.run_id or execution.begun_at is None:
            raise ValueError("a call ended that had not begun")
        if not 0 <= packet.logged_errors <= MOST_COUNTED:
            raise ValueError("errors of a number that cannot be")
        # A quick child is through before its beginning is looked at.
        finished_at = max(not_later(packet.finished_at), execution.begun_at)
        output = output_of(child, packet)
        if packet.has_printed:
            child.read_streams()
        self._prints.end(child, execution)
        child.pipeline.popleft()
        child.runs += 1
        if packet.resident:
            child.resident = packet.resident
        crew = self._crew_of[child]
        held = self._held.pop(execution.run_id, None)
        drop_files(execution)
        # First: with the news of the end, the next call may come that has waited for this child.
        self._go_on(child, crew)
        if held is not None:
            if execution.log is not None:
                self._close_log(execution)
            self._send(
                CallEnded(
                    run_id=execution.assignment.run_id,
                    version_id=VersionId(crew.version_id),
                    outcome=packet.outcome,
                    begun_at=instant(execution.begun_at) if packet.begun_at else None,
                    finished_at=instant(finished_at),
                    output=output,
                    error=packet.error,
                    logged_errors=packet.logged_errors,
                )
            )

    def _go_on(self, child: Child, crew: Crew) -> None:
        """A child has ended a call: give it the next one, or let it rest or leave."""
        del crew.busy[child]
        del self._busy[child]
        if child.ending is not None:
            return
        if crew.is_dismissed or crew.children >= crew.wanted:
            self._end_child(child, Ending.RETIRED)
            return
        crew.idle.append(child)
        if self._is_worn(child) and child not in crew.replaced and self._start_child(crew):
            crew.replaced[child] = None
        if crew.waiting:
            self._hand_out(crew)

    def _is_worn(self, child: Child) -> bool:
        settings = self._settings
        return child.runs >= settings.recycle_runs or child.resident > settings.recycle_memory

    def _relieve(self, crew: Crew) -> None:
        """A fresh child is ready: a worn one may leave."""
        for child in tuple(crew.replaced):
            if crew.children <= crew.wanted:
                return
            if child in crew.idle:
                self._end_child(child, Ending.RETIRED)

    def _has_said(self, child: Child, packet: FromChild) -> None:
        execution = child.pipeline[0]
        match packet:
            case Piece(data):
                child.add_piece(data)
            case Lines(_, count, body):
                if not 0 < count <= len(body):
                    raise ValueError("lines of a number that cannot be")
                execution.logbook().add_encoded(count, body)
                self._reports.lines(execution)
            case ProgressMade():
                return  # whoever waits for a call waits for its end
            case SelfKill(_, number):
                child.announced_signal = number
            case StepTaken():  # a call is never taken up again: there is nothing to record
                if packet.pieces:
                    child.take_pieces()
                child.answer(Answer(b""))
            case _:
                self._parcels.receive(child, execution, packet)

    def printed(self, child: Child, level: LogLevel, data: bytes) -> None:
        """Something was written to a child's standard streams."""
        execution = self._prints.add(child, level, data)
        if execution is not None:
            self._reports.lines(execution)

    # ------------------------------------------------------------ ends

    def _close_log(self, execution: Execution) -> None:
        execution.logbook().finish(self._send)
        self._reports.forget(execution)

    def _end(
        self,
        execution: Execution,
        crew: Crew,
        outcome: Outcome,
        *,
        error: RunError | None = None,
        signal: int | None = None,
    ) -> None:
        """Answer a call that did not end by itself."""
        if self._held.pop(execution.run_id, None) is None:
            return
        drop_files(execution)
        if execution.log is not None:
            self._close_log(execution)
        begun_at = execution.begun_at
        end = CallEnded(
            run_id=execution.assignment.run_id,
            version_id=VersionId(crew.version_id),
            outcome=outcome,
            begun_at=None if begun_at is None else instant(begun_at),
            finished_at=instant(wall()),
            error=error,
            signal=signal,
        )
        # Not at once, as in `_refuse`: this may be in the middle of a change of the crew.
        self._loop.call_soon(self._send, end)

    def _end_child(self, child: Child, ending: Ending) -> None:
        """Kill a child with all that it started; `died` hears of it."""
        if child.ending is not None:
            return
        child.ending = ending
        child.condemned = child.pipeline[0] if child.pipeline else None
        crew = self._crew_of[child]
        if child in crew.idle:
            crew.idle.remove(child)
        crew.preparing.pop(child, None)
        crew.replaced.pop(child, None)
        self._nursery.kill(child)

    def died(self, child: Child, code: int) -> None:
        """A child and all that it started are dead."""
        crew = self._crew_of.pop(child)
        is_early = child in crew.preparing
        crew.remove(child)
        self._busy.pop(child, None)
        if child.unborn:
            crew.replaced.clear()  # they go on, until there is room for others
        untaken = self._untaken_call(child, crew)
        child.confirm_deaths()
        if child.pipeline:
            self._end_victim(child, crew, code)
        if untaken is not None:
            crew.waiting.appendleft(untaken)
            self._hand_out(crew)
        if crew.is_dismissed or self._is_closed:
            return
        if is_early and not child.unborn:
            crew.failed_starts += 1
        if crew.failed_starts >= FAILED_STARTS:
            crew.failed_starts = 0
            message = f"its children die while they load it (exit status {code})"
            self._fail(crew, RunError(kind="ChildNotStarted", message=message))
            return
        if crew.error is None:
            self._staff(crew)

    def _untaken_call(self, child: Child, crew: Crew) -> Execution | None:
        """The call that was put before a child which was dead already: the next child gets it."""
        if child.ending is not None or crew.is_dismissed or crew.error is not None:
            return None
        for execution in child.take_back_runs():
            reclaimed(child, execution, self._nursery.staging)
            execution.begun_at = None
            return execution
        return None

    def _end_victim(self, child: Child, crew: Crew, code: int) -> None:
        execution = child.pipeline.popleft()
        self._prints.end(child, execution)
        self._parcels.forget(child)
        outcome, error, number = end_of_child(child, execution, code)
        self._end(execution, crew, outcome, error=error, signal=number)

    def _busy_children(self) -> Iterable[Child]:
        return self._busy


def _fits(crew: Crew, order: Warm) -> bool:
    is_same = crew.version_id == int(order.version_id)
    return is_same and crew.error is None and not crew.is_dismissed


def _unheard(text: str) -> None:
    """What the making of an environment says, where nobody waits for it."""


def _nothing() -> None:
    """There is nothing to balance."""
