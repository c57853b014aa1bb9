"""The pool: which child executes which run, and what becomes of both.

A run waits in the lane of its (company, bundle, environment) until a slot is free. Slots are
children at work: a lane gets another child as long as there are slots, and idle children of any
lane stay warm until memory or number says that the least recently used must go.

While runs are short, one or two more are put before a busy child, so that it need not wait for
the worker between them. Nothing is lost by that: a run that a child has not taken can be taken
back, for a recall or for another child that has become idle.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from runyard.model.ids import VersionId
from runyard.model.logs import LogLevel
from runyard.model.runs import Outcome, RunError
from runyard.protocol.frames import Assignment, End, FromWorker, Introduction, Lease, Start
from runyard.worker.appetite import LONG, Appetite
from runyard.worker.child import Child
from runyard.worker.clock import instant, monotonic, not_later, wall
from runyard.worker.endings import end_as_told, end_of_child, end_of_run
from runyard.worker.execution import Ending, Execution
from runyard.worker.handing import drop_files, output_of, packet_for, reclaimed
from runyard.worker.lanes import FAILED_STARTS, Lane, LaneKey, Supply
from runyard.worker.nursery import Nursery
from runyard.worker.packets import (
    Answer,
    Finished,
    FromChild,
    Lines,
    MayBegin,
    Piece,
    ProgressMade,
    SelfKill,
    Started,
    decode_from_child,
)
from runyard.worker.parcels import Parcels
from runyard.worker.printing import Prints
from runyard.worker.reports import Reports
from runyard.worker.settings import WorkerSettings
from runyard.worker.shortage import NoProcess
from runyard.worker.supplies import NotSupplied, Supplies
from runyard.worker.watch import Watch

PIPELINED_UP_TO = 0.005
"""Seconds; longer runs are not put before a busy child."""
PIPELINE = 3
"""Runs before one child, the one that it executes included."""
STEAL_AFTER = 0.002
"""Seconds that a run has executed before the ones behind it may go to an idle child."""


class Outside(NamedTuple):
    """What a pool can do to the worker that it is in."""

    send: Callable[[FromWorker], None]
    ask: Callable[[], int]
    """A number for a request to the server."""
    spawn: Callable[[Coroutine[object, object, None]], None]
    emptied: Callable[[], None]
    """It holds no run any more."""
    may_begin: Callable[[], bool]
    """Whether the leases hold at this moment."""
    crowded: Callable[[], None]
    """Some of its children have long runs: what waits behind them may be in a wrong place."""
    keeping_in: Path | None = None
    """Folder for what may have to be sent again; None: nothing ever has."""


class Pool:
    """Everything that this worker holds, from assignment to end."""

    def __init__(
        self,
        settings: WorkerSettings,
        supplies: Supplies,
        nursery: Nursery,
        outside: Outside,
    ) -> None:
        self._settings = settings
        self._supplies = supplies
        self._spawn = outside.spawn
        self._emptied = outside.emptied
        self._crowded = outside.crowded
        self._may_begin = outside.may_begin
        self._reports = Reports(outside.send)
        self._nursery = nursery
        nursery.shortage.on_change.append(self._shortage_changed)
        self.parcels = Parcels(
            outside.send, ask=outside.ask, lose=self._lose, keeping_in=outside.keeping_in
        )
        self._watch = Watch(
            settings.limits, busy=self._busy_children, end=self._end_child, looked=self._look_round
        )
        self._introductions: dict[int, Introduction] = {}
        self._lanes: dict[LaneKey, Lane] = {}
        self._waiting: dict[Lane, None] = {}
        self._held: dict[int, Execution] = {}
        self._busy: dict[Child, None] = {}
        self._lane_of: dict[Child, Lane] = {}
        self._prints = Prints()
        self._dying: dict[Lease, asyncio.Future[None]] = {}
        self._asking: dict[Child, None] = {}
        """Children that took a run so late that they wait to hear whether it may begin."""
        self._order = 0
        self._appetite = Appetite(settings.slots)
        self._is_closed = False

    # ------------------------------------------------------------ what the server asks

    def introduce(self, introduction: Introduction) -> None:
        """Note what the server says about a version."""
        self._introductions[int(introduction.version_id)] = introduction

    def introduction(self, version: VersionId) -> Introduction:
        """What the server said about a version."""
        return self._introductions[int(version)]

    def assign(self, assignments: Iterable[Assignment]) -> None:
        """Take runs; they begin in this order as far as children are there."""
        for assignment in assignments:
            introduction = self._introductions[int(assignment.version_id)]
            self._order += 1
            execution = Execution(assignment, introduction, self._order)
            self._held[execution.run_id] = execution
            execution.lane = lane = self._lane(introduction)
            if self._supplies.has_files(assignment.input):
                self._spawn(self._fetch_files(execution))
            else:
                self._enqueue(execution, lane)
        self._dispatch()

    def recall(self, leases: Sequence[Lease]) -> tuple[Lease, ...]:
        """Give back those of these runs that have not begun; they never will, here."""
        return tuple(lease for lease in leases if self._withdraw(lease))

    async def kill(self, leases: Sequence[Lease]) -> tuple[Lease, ...]:
        """End these runs; returns when no code of them executes any more."""
        deaths = [death for lease in leases if (death := self._kill(lease)) is not None]
        if deaths:
            await asyncio.wait(deaths)
        return tuple(leases)

    def go_on(self) -> None:
        """The leases hold again: begin what waited for that."""
        if self._asking and self._may_begin():
            asking, self._asking = self._asking, {}
            for child in asking:
                child.answer(Answer(b""))
        if self._waiting:
            self._dispatch()

    def begin_nothing(self) -> None:
        """The connection broke: drop what has not begun. Nothing begins until there is another."""
        self.recall(self.unbegun)

    @property
    def starts(self) -> tuple[Start, ...]:
        """Runs that have begun, or are about to do so and cannot be held back."""
        now = wall()
        return tuple(
            Start(run.assignment.run_id, run.token, instant(run.begun_at or now))
            for run in self._held.values()
        )

    def void(self, leases: Iterable[Lease]) -> None:
        """These belong to somebody else: end them without another word."""
        for lease in leases:
            self._kill(lease)

    def give_up(self) -> None:
        """The leases are over: end every run without another word about it."""
        for execution in tuple(self._held.values()):
            self._kill(execution.lease)

    @property
    def held(self) -> int:
        """Runs here, begun or not."""
        return len(self._held)

    @property
    def busy(self) -> int:
        """Children at work."""
        return len(self._busy)

    @property
    def unbegun(self) -> list[Lease]:
        """Runs that wait here."""
        return [execution.lease for execution in self._held.values() if not execution.has_begun]

    @property
    def capacity(self) -> int:
        """How many runs should be here at most, so that no child has to wait for work."""
        if self._nursery.shortage.is_fresh:
            return 0
        return self._appetite.wanted(self.busy)

    def excess(self, most: int) -> tuple[Lease, ...]:
        """Give back those for which no child can be started now, or the newest that wait behind long
        runs, so that no more than `most` are here.
        """
        if self._nursery.shortage.is_fresh:
            return self.recall(self._stranded)
        surplus = len(self._held) - most
        if not self._appetite.long or surplus <= 0:
            return ()
        return self.recall(self.unbegun[-surplus:])

    @property
    def _stranded(self) -> list[Lease]:
        """Runs that no child will come to, while none can be started."""
        return [
            execution.lease
            for lane in self._waiting
            if not lane.children
            for execution in lane.waiting
        ]

    def flush(self) -> None:
        """Send all reports now."""
        self._reports.flush()

    def close(self) -> None:
        """End all children."""
        self._is_closed = True
        self._watch.close()

    # ------------------------------------------------------------ lanes

    def _lane(self, introduction: Introduction) -> Lane:
        key = LaneKey(
            int(introduction.company_id), introduction.bundle_digest, introduction.requirements
        )
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            self._spawn(self._supply(lane))
        return lane

    async def _supply(self, lane: Lane) -> None:
        """Get what the lane's children need, telling its waiting runs how it goes."""

        def tell(text: str) -> None:
            for execution in tuple(self._held.values()):
                if execution.lane is lane:
                    execution.logbook().add_line(text, at=wall(), level=LogLevel.INFO)
                    self._reports.lines(execution)

        try:
            lane.supply = await self._supplies.obtain(
                lane.key.bundle_digest, lane.key.requirements, tell
            )
        except NotSupplied as failure:
            del self._lanes[lane.key]
            self._fail_lane(lane, RunError(kind=failure.kind, message=str(failure)))
            return
        if lane.waiting:
            self._waiting[lane] = None
            self._dispatch()

    def supplies_in_use(self) -> list[Supply]:
        """What lanes use. Those without anything to do are forgotten with that."""
        active = {execution.lane for execution in self._held.values()}
        for key, lane in tuple(self._lanes.items()):
            if lane.supply is not None and not lane.children and lane not in active:
                del self._lanes[key]
        return [lane.supply for lane in self._lanes.values() if lane.supply is not None]

    def _fail_lane(self, lane: Lane, error: RunError) -> None:
        self._waiting.pop(lane, None)
        while lane.waiting:
            execution = lane.waiting.popleft()
            self._finish(execution, end_of_run(execution, Outcome.NOT_LOADED, error=error))

    async def _fetch_files(self, execution: Execution) -> None:
        staged = self._nursery.staging(f"{execution.run_id}-{execution.token}")
        try:
            await self._supplies.stage(execution.assignment.input, staged)
        except NotSupplied as failure:
            shutil.rmtree(staged, ignore_errors=True)
            if self._held.get(execution.run_id) is execution:
                error = RunError(kind=failure.kind, message=str(failure))
                self._finish(execution, end_of_run(execution, Outcome.RAISED, error=error))
            return
        if self._held.get(execution.run_id) is execution:
            execution.staged = staged
            # Meanwhile its lane may have been given up: what it needs could not be supplied.
            execution.lane = lane = self._lane(execution.introduction)
            self._enqueue(execution, lane)
            self._dispatch()
        else:
            shutil.rmtree(staged, ignore_errors=True)

    def _enqueue(self, execution: Execution, lane: Lane) -> None:
        lane.waiting.append(execution)
        if lane.supply is not None:
            self._waiting[lane] = None

    def _put_back(self, lane: Lane, executions: Sequence[Execution]) -> None:
        if executions:
            lane.waiting.extendleft(reversed(executions))
            self._waiting[lane] = None

    # ------------------------------------------------------------ dispatch

    def _dispatch(self) -> None:
        """Give waiting runs to children, oldest first, as far as there are slots."""
        if (
            not self._may_begin()
        ):  # this worker stood still for too long; `go_on` or the end follows
            return
        while self._waiting and len(self._busy) < self._settings.slots and not self._is_closed:
            lane = self._next_lane()
            if lane is None:
                break
            try:
                child = lane.idle.pop() if lane.idle else self._start_child(lane)
            except NoProcess:
                continue
            except OSError as error:
                self._refuse_next(lane, f"no process could be made for it: {error}")
            else:
                self._hand(child, lane)
        if len(self._waiting) == 1:
            self._top_up(next(iter(self._waiting)))

    def _next_lane(self) -> Lane | None:
        """Whose turn it is; None: no child can be started, and those that live are busy."""
        lanes: Iterable[Lane] = self._waiting
        if self._nursery.shortage.is_on:
            lanes = [lane for lane in lanes if lane.idle]
        elif len(self._waiting) == 1:
            return next(iter(lanes))
        return min(lanes, key=lambda lane: lane.waiting[0].order, default=None)

    def _shortage_changed(self) -> None:
        """Children cannot be started now, or can be again."""
        self._crowded()
        if not self._nursery.shortage.is_on:
            self._dispatch()

    def _top_up(self, lane: Lane) -> None:
        """Put short runs before busy children, so that these need not wait for the next."""
        if lane.duration is None or lane.duration > PIPELINED_UP_TO:
            return
        for child in lane.children.values():
            while lane.waiting and child.ending is None and 0 < len(child.pipeline) < PIPELINE:
                self._hand(child, lane)

    def _hand(self, child: Child, lane: Lane) -> None:
        execution = self._next_of(lane)
        execution.child = child
        if not child.pipeline:
            self._busy[child] = None
        child.pipeline.append(execution)
        try:
            packet = packet_for(child, execution)
        except OSError as error:
            child.pipeline.pop()
            if not child.pipeline:
                self._rest(child)
            self._refuse(execution, f"its input was not stored: {error}")
            return
        if not child.send(packet):
            child.pipeline.pop()
            self._reclaim(child, lane, execution)

    def _next_of(self, lane: Lane) -> Execution:
        execution = lane.waiting.popleft()
        if not lane.waiting:
            del self._waiting[lane]
        return execution

    def _refuse_next(self, lane: Lane, message: str) -> None:
        self._refuse(self._next_of(lane), message)

    def _refuse(self, execution: Execution, message: str) -> None:
        """This machine, whose disk may be full, cannot even begin the run."""
        error = RunError(kind="NotStored", message=message)
        self._finish(execution, end_of_run(execution, Outcome.RAISED, error=error))

    def _reclaim(self, child: Child, lane: Lane, execution: Execution) -> None:
        """An earlier run closed the child's channel: this one goes to another child."""
        reclaimed(child, execution, self._nursery.staging)
        self._put_back(lane, [execution])
        self._end_child(child, Ending.UNRULY)

    def _start_child(self, lane: Lane) -> Child:
        if lane.supply is None:
            raise RuntimeError("a lane has runs to execute and nothing to execute them with")
        self._make_room()
        child = self._nursery.start(lane.supply, self)
        lane.children[child.number] = child
        self._lane_of[child] = lane
        return child

    def _make_room(self) -> None:
        idle = [child for lane in self._lanes.values() for child in lane.idle]
        memory = sum(child.resident for child in idle)
        idle.sort(key=lambda child: child.idle_since, reverse=True)
        most = self._settings.warm_children + self._settings.slots
        while idle and (
            len(self._lane_of) - self._retiring() >= most or memory > self._settings.warm_memory
        ):
            oldest = idle.pop()
            memory -= oldest.resident
            self._end_child(oldest, Ending.RETIRED)

    def _retiring(self) -> int:
        return sum(child.ending is not None for child in self._lane_of)

    def _look_round(self) -> None:
        now = wall()
        self._appetite.long = sum(_age(child, now) >= LONG for child in self._busy)
        self._rebalance()
        if self._appetite.long:
            self._crowded()

    def _rebalance(self) -> None:
        for lane in self._lanes.values():
            if lane.idle and not lane.waiting and len(self._busy) < self._settings.slots:
                self._steal(lane, 0.0)

    def _steal(self, lane: Lane, after: float) -> bool:
        """Take runs back that stand behind a longer one, for the children that are idle."""
        now = wall()
        for child in lane.children.values():
            if len(child.pipeline) < 2 or child.ending is not None:
                continue
            begun_at = child.pipeline[0].begun_at
            if begun_at is None or now - begun_at < after:
                continue
            taken = self._untake(child)
            if taken:
                self._put_back(lane, taken)
                self._dispatch()
                return True
        return False

    # ------------------------------------------------------------ what children say

    def heard(self, child: Child, data: bytes) -> bool:
        """A child said something."""
        if child.ending is Ending.UNRULY:
            return True
        try:
            packet = decode_from_child(data)
            if isinstance(packet, Finished):
                self._has_finished(child, packet)
            elif isinstance(packet, Started):
                self._has_started(child, packet)
            else:
                self._has_said(child, packet)
        except (msgspec.DecodeError, IndexError, ValueError):
            # Whatever it has done to its channel: nothing that it says counts any more.
            self._end_child(child, Ending.UNRULY)
        return bool(child.pipeline)  # without a run there is hardly more to hear now

    def _has_started(self, child: Child, packet: Started) -> None:
        execution = child.pipeline[0]
        if execution.run_id != packet.run_id or execution.has_begun:
            raise ValueError("a run began that is not the child's next one")
        execution.begun_at = not_later(packet.at)
        child.known.add(int(execution.assignment.version_id))
        self._watch.begun(execution)
        self._reports.begun(execution)

    def _has_finished(self, child: Child, packet: Finished) -> None:
        execution = child.pipeline[0]
        if execution.run_id != packet.run_id or execution.begun_at is None:
            raise ValueError("a run ended that had not begun")
        finished_at = not_later(packet.finished_at)
        end = end_as_told(execution, packet, output_of(child, packet), finished_at)
        if packet.has_printed:
            child.read_streams()
        self._prints.end(child, execution)
        child.pipeline.popleft()
        child.runs += 1
        if packet.resident:
            child.resident = packet.resident
        lane = self._lane_of[child]
        self._learn(lane, max(0.0, finished_at - execution.begun_at))
        self._finish(execution, end)
        self._go_on(child, lane)

    def _learn(self, lane: Lane, duration: float) -> None:
        lane.learn(duration)
        lane.failed_starts = 0
        self._appetite.learn(duration)

    def _go_on(self, child: Child, lane: Lane) -> None:
        """A child has ended a run: give it the next one, or let it rest."""
        if not child.pipeline:
            del self._busy[child]
            if child.ending is not None:
                return
            if self._is_worn(child):
                self._end_child(child, Ending.RETIRED)
            else:
                child.idle_since = monotonic()
                lane.idle.append(child)
        if self._waiting:
            self._dispatch()
        elif lane.idle:
            self._steal(lane, STEAL_AFTER)

    def _is_worn(self, child: Child) -> bool:
        settings = self._settings
        return child.runs >= settings.recycle_runs or child.resident > settings.recycle_memory

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
                self.parcels.progress(execution, packet)
            case SelfKill(_, number):
                child.announced_signal = number
            case MayBegin():
                self._asking[child] = None
                self.go_on()
            case _:
                self.parcels.receive(child, execution, packet)

    def printed(self, child: Child, level: LogLevel, data: bytes) -> None:
        """Something was written to a child's standard streams."""
        execution = self._prints.add(child, level, data)
        if execution is not None:
            self._reports.lines(execution)

    # ------------------------------------------------------------ ends

    def _finish(self, execution: Execution, end: End) -> None:
        drop_files(execution)
        if self._held.pop(execution.run_id, None) is not None:
            self._reports.ended(execution, end)
            if not self._held:
                self._emptied()

    def _end_child(self, child: Child, ending: Ending) -> None:
        """Kill a child with all that it started; `died` hears of it."""
        if child.ending is not None:
            return
        child.ending = ending
        lane = self._lane_of[child]
        if child in lane.idle:
            lane.idle.remove(child)
        # Nobody is to take these while the child dies; whose fault it is not keeps its place.
        untaken = self._untake(child)
        child.condemned = child.pipeline[0] if child.pipeline else None
        self._nursery.kill(child)
        self._put_back(lane, untaken)

    def _lose(self, execution: Execution) -> None:
        """The server says that the run's lease is gone: nothing of it may go on."""
        self._kill(execution.lease)

    def _kill(self, lease: Lease) -> "asyncio.Future[None] | None":
        """Begin to end a run. What to wait for, or None when nothing of it executes."""
        execution = self._held.get(int(lease.run_id))
        if execution is None or execution.token != lease.token:
            return self._dying.get(lease)
        if self._withdraw(lease):
            return None
        child = execution.child
        if child is None:
            return None
        del self._held[execution.run_id]
        self._reports.forget(execution)
        death = asyncio.get_running_loop().create_future()
        self._dying[lease] = death
        death.add_done_callback(lambda _: self._dying.pop(lease))
        child.deaths.append(death)
        self._end_child(child, Ending.KILLED)
        return death

    def _withdraw(self, lease: Lease) -> bool:
        """Drop a run that has not begun. False: it has, or it is not here."""
        execution = self._held.get(int(lease.run_id))
        if execution is None or execution.token != lease.token:
            return False
        child, lane = execution.child, execution.lane
        if child is not None and not self._take_back(child, execution):
            return False
        del self._held[execution.run_id]
        self._reports.forget(execution)
        drop_files(execution)
        if lane is not None and execution in lane.waiting:
            lane.waiting.remove(execution)
            if not lane.waiting:
                self._waiting.pop(lane, None)
        if child is not None:
            self._dispatch()
        return True

    def _take_back(self, child: Child, execution: Execution) -> bool:
        """Take back what the child has not taken; whether this run is among it."""
        if execution.has_begun:
            return False
        taken = self._untake(child)
        self._put_back(self._lane_of[child], taken)
        if not child.pipeline:
            self._rest(child)
        if execution in taken:
            return True
        self._dispatch()
        return False

    def _untake(self, child: Child) -> list[Execution]:
        """Take back what the child has not taken, with its files."""
        taken = child.take_back_runs()
        for execution in taken:
            reclaimed(child, execution, self._nursery.staging)
        return taken

    def _rest(self, child: Child) -> None:
        self._busy.pop(child, None)
        if child.ending is None:
            self._lane_of[child].idle.append(child)

    def died(self, child: Child, code: int) -> None:
        """A child and all that it started are dead."""
        lane = self._lane_of.pop(child)
        lane.children.pop(child.number, None)
        if child in lane.idle:
            lane.idle.remove(child)
        untaken = self._untake(child)
        self._busy.pop(child, None)
        self._asking.pop(child, None)
        child.confirm_deaths()
        if child.pipeline:
            self._end_victim(child, child.pipeline.popleft(), code)
        elif untaken and not child.unborn:
            lane.failed_starts += 1
        self._put_back(lane, untaken)
        if lane.failed_starts >= FAILED_STARTS:
            lane.failed_starts = 0
            message = f"its children die before they take a run (exit status {code})"
            self._fail_lane(lane, RunError(kind="ChildNotStarted", message=message))
        self._dispatch()

    def _end_victim(self, child: Child, execution: Execution, code: int) -> None:
        self._prints.end(child, execution)
        self.parcels.forget(child)
        outcome, error, number = end_of_child(child, execution, code)
        end = end_of_run(execution, outcome, error=error, signal=number)
        self._finish(execution, end)

    def _busy_children(self) -> Iterable[Child]:
        return self._busy


def _age(child: Child, now: float) -> float:
    """For how many seconds its run executes."""
    begun_at = child.pipeline[0].begun_at if child.pipeline else None
    return 0.0 if begun_at is None else now - begun_at
