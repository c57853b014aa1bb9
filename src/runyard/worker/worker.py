"""The worker: one conversation with its server, and everything that comes of it."""

import asyncio
import os
import platform
import random
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import TypeGuard, TypeVar, assert_never

from runyard.model.runs import CALL_TOKEN
from runyard.protocol.frames import (
    PROTOCOL_VERSIONS,
    Assignments,
    Begun,
    BlobPart,
    Call,
    Capacity,
    CodeProblem,
    Drain,
    FileStored,
    FileTaken,
    FromServer,
    FromWorker,
    Goodbye,
    Hello,
    Inspect,
    Inspected,
    Introduction,
    Kill,
    Killed,
    Lease,
    Pending,
    Recall,
    Recalled,
    Recorded,
    Refusal,
    Renewed,
    Resume,
    StepRecorded,
    Warm,
    Welcome,
)
from runyard.protocol.outbox import Outbox
from runyard.protocol.reconnecting import Backoff
from runyard.protocol.session import Monotonic, SessionState, Standing, WorkerSession
from runyard.worker import VERSION
from runyard.worker.calls import Calls
from runyard.worker.clock import monotonic
from runyard.worker.housing import FolderLock
from runyard.worker.inspection import Inspections
from runyard.worker.nursery import Nursery
from runyard.worker.pool import Outside, Pool
from runyard.worker.settings import WorkerSettings
from runyard.worker.supplies import Supplies
from runyard.worker.transport import Line, NotConnected, Spawn, Transport, WorkerRefused

STEADY = 0.25
"""Share by which the capacity must change before the server is told."""


LAPSED = "lapsed"
NAME_TAKEN = "name_taken"
LAST_ENDS = timedelta(seconds=5)
"""How long a worker that leaves waits until the server has recorded what it said."""
WHILE_STANDING = timedelta(seconds=1)
"""The longest pause between two tries while runs still go on."""
NAME_PATIENCE = 30.0
"""Seconds for which a name may be taken: so long the last life of this very worker may be held for
alive."""

T = TypeVar("T")
Tell = Callable[[str], None]


def _nobody_listens(text: str) -> None:
    """What the worker does is of interest to nobody."""


class Worker:
    """Executes runs for one server, over one connection after the other, until it is stopped."""

    def __init__(self, line: Line, settings: WorkerSettings, tell: Tell = _nobody_listens) -> None:
        """`tell` is told what happens to the connection, for people."""
        self._line = line
        self._tell = tell
        # Zygotes and children stand in other folders and are told where things are.
        self._settings = replace(settings, folder=settings.folder.absolute())
        self._session = WorkerSession(sent_is_heard=line.is_within)
        self._transport: Transport | None = None
        self._standing: Standing | None = None
        """The session that the next connection goes on with."""
        self._outbox = Outbox()
        self._backoff = Backoff()
        self._refused: WorkerRefused | None = None
        self._name_taken_at: float | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._empty = asyncio.Event()
        self._settled = asyncio.Event()
        """Set when no end waits to be recorded."""
        self._is_leaving = False
        self._is_draining = False
        self._told = 0
        self._told_short = ""
        self._timer: asyncio.TimerHandle | None = None
        self.welcomed = asyncio.Event()
        """Set once the server has let the worker in."""

    async def run(self) -> None:
        """Be a worker. Returns when it has stopped; raises WorkerRefused, FolderTaken."""
        # Children have users of their own, and read what is unpacked and installed for them. What
        # is a secret has its mode from its maker.
        os.umask(0o022)
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        lock = FolderLock(self._settings.folder)
        try:
            async with asyncio.TaskGroup() as group:
                self._open(group)
                try:
                    await self._live()
                finally:
                    self._close()
        finally:
            lock.release()
        if self._refused is not None:
            raise self._refused

    def stop(self) -> None:
        """Leave: finish what runs within the drain time, give the rest back. `run` returns."""
        self._stopping.set()

    @property
    def pool(self) -> Pool:
        """What it holds; once it runs."""
        return self._pool

    @property
    def nursery(self) -> Nursery:
        """Its processes; once it runs."""
        return self._nursery

    # ------------------------------------------------------------ a life

    def _open(self, group: asyncio.TaskGroup) -> None:
        tasks: set[asyncio.Task[None]] = set()
        self._tasks = tasks

        def spawn(work: Coroutine[object, object, None]) -> None:
            task = group.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        self._spawn: Spawn = spawn
        self._nursery = Nursery(self._settings)
        self._nursery.shortage.on_change.append(self._tell_of_shortage)
        self._supplies = Supplies(self._settings, self._send)
        self._pool = Pool(
            self._settings,
            self._supplies,
            self._nursery,
            Outside(
                self._send,
                self._ask,
                spawn,
                self._note_held,
                self._may_begin,
                self._give_back,
                None if self._line.is_within else self._settings.folder / "scratch",
            ),
        )
        self._calls = Calls(
            self._settings,
            self._supplies,
            self._nursery,
            self._pool.parcels,
            send=self._send_of_call,
            spawn=spawn,
        )
        self._supplies.in_use = lambda: (
            *self._pool.supplies_in_use(),
            *self._calls.supplies_in_use(),
        )
        self._inspections = Inspections(self._settings, self._supplies, self._nursery, self._send)

    def _tell_of_shortage(self) -> None:
        shortage = self._nursery.shortage
        if shortage.is_fresh:
            self._tell(f"No further child can be started now: {shortage.reason}")

    async def _live(self) -> None:
        await self._nursery.warm(self._supplies.base)
        while (transport := await self._connected()) is not None:
            begun_at = self._now()
            await self._converse(transport)
            if self._is_refused() or self._stopping.is_set() or self._line.is_within:
                return
            self._backoff.lasted(timedelta(seconds=self._now() - begun_at))
            if not self._has_lapsed():
                await self._pause()

    def _has_lapsed(self) -> bool:
        """Whether the server knew the session no longer: there is nothing to wait for."""
        return self._session.refusal is not None and self._session.refusal.code == LAPSED

    def _is_refused(self) -> bool:
        """Whether there is no use in another try."""
        refusal = self._session.refusal
        if refusal is None or refusal.code == LAPSED:
            self._name_taken_at = None
            return False
        if refusal.code == NAME_TAKEN:
            self._name_taken_at = self._name_taken_at or self._now()
            if self._now() - self._name_taken_at < NAME_PATIENCE:
                return False
        self._refused = WorkerRefused(refusal)
        return True

    async def _connected(self) -> Transport | None:
        """A connection, tried for until there is one; None: the worker is to stop."""
        while not self._stopping.is_set():
            try:
                return await self._unless_stopped(self._line.connect(self._spawn))
            except NotConnected as failure:
                self._tell(f"Not connected: {failure}")
                await self._pause()
            except WorkerRefused as refusal:
                self._refused = refusal
                break
        return None

    async def _unless_stopped(self, work: Coroutine[object, object, T]) -> T | None:
        """What this comes to; None when the worker is to stop before that."""
        working = self._loop.create_task(work)
        stopping = self._loop.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            stopping.cancel()

    async def _pause(self) -> None:
        delay = self._backoff.delay(random.random())
        if self._standing is not None:
            delay = min(delay, WHILE_STANDING)
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _converse(self, transport: Transport) -> None:
        """One conversation, from the hello to its end."""
        self._session = WorkerSession(sent_is_heard=self._line.is_within, standing=self._standing)
        self._transport = transport
        self._ended.clear()
        self._empty.clear()
        self._is_draining = False
        self._told, self._told_short = 0, ""
        transport.listen(
            lambda frames: self._receive(transport, frames),
            lambda detail: self._closed(transport, detail),
        )
        transport.send(self._session.greet(self._hello(), self._now()))
        self._wake_for_leases()
        await self._unless_stopped(self._ended.wait())
        if not self._ended.is_set():
            await self._leave()
            await self._ended.wait()

    async def _leave(self) -> None:
        """Take nothing more, let what has begun end in time, say goodbye."""
        self._standing = None
        if self._session.state is SessionState.OPEN:
            self._drain()
            if not await self._within(self._settings.drain, self._empty):
                self._pool.give_up()
            await self._say_goodbye("stopped")
        self._hang_up("the worker stopped")

    async def _say_goodbye(self, detail: str) -> None:
        self._pool.flush()
        if not self._line.is_within and self._outbox.ended:
            await self._within(LAST_ENDS, self._settled)
        self._is_leaving = True
        self._send(Goodbye(detail))

    async def _within(self, lasting: timedelta, event: asyncio.Event) -> bool:
        """Whether this happened in time, and before the conversation ended."""
        waits = [self._loop.create_task(e.wait()) for e in (event, self._ended)]
        try:
            await asyncio.wait(
                waits, timeout=lasting.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            return event.is_set()
        finally:
            for wait in waits:
                wait.cancel()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._session.end()
        self._supplies.close()
        self._pool.close()
        self._calls.close()
        self._nursery.close()
        for task in tuple(self._tasks):
            task.cancel()

    def _hello(self) -> Hello:
        settings = self._settings
        return Hello(
            protocol=PROTOCOL_VERSIONS,
            name=settings.name,
            version=VERSION,
            host=socket.gethostname(),
            os=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            slots=settings.slots,
            labels=settings.labels,
            isolation=self._nursery.isolation.text,
            resume=None if self._standing is None else self._resume(self._standing),
        )

    def _resume(self, standing: Standing) -> Resume:
        return Resume(
            session_id=standing.session_id,
            key=standing.key,
            begun=self._pool.starts,
            ended=self._outbox.ended,
        )

    # ------------------------------------------------------------ frames

    def _send(self, frame: FromWorker) -> None:
        """Say something; what must not be lost is said again after the connection broke."""
        if not self._line.is_within:
            self._outbox.keep(frame)
        if self._session.state is not SessionState.OPEN or self._transport is None:
            return
        self._transport.send(frame)
        if self._outbox.wants_heartbeat:
            self._beat(self._now())

    def _ask(self) -> int:
        return self._session.ask()

    def _hang_up(self, detail: str) -> None:
        if self._transport is not None:
            self._transport.close(detail)

    def _break_off(self, detail: str) -> None:
        """End a conversation in which nobody listens any more."""
        self._session.end()
        if self._transport is not None:
            self._transport.abort(detail)

    def _closed(self, transport: Transport, detail: str) -> None:
        if transport is not self._transport:
            return
        self._transport = None
        if self._session.refusal is None:
            self._tell(f"Disconnected: {detail}")
        self._calls.give_up()
        self._session.end()
        if self._may_come_back():
            self._standing = self._session.standing
            self._pool.begin_nothing()
        else:
            self._give_up()
        self._ended.set()

    def _may_come_back(self) -> bool:
        """Whether what executes here may go on: until its leases end, or it was resumed."""
        standing = self._session.standing
        return (
            standing is not None
            and not self._is_leaving
            and not self._stopping.is_set()
            and self._now() < standing.give_up_at
        )

    def _give_up(self) -> None:
        """The leases are over, one way or another: nothing of them goes on, or is spoken of."""
        self._standing = None
        self._pool.give_up()
        self._outbox.clear()

    def _receive(self, transport: Transport, frames: list[FromServer]) -> None:
        if self._is_call(frames, transport):
            self._calls.call(frames[0])
            return
        now = self._now()
        are_calls = True
        for frame in frames:
            if transport is not self._transport or self._session.state is SessionState.ENDED:
                return
            if self._session.receive(frame, now):
                self._obey(frame)
            are_calls = are_calls and type(frame) is Call
        if not are_calls:  # calls take no slots
            self._tell_capacity()

    def _is_call(self, frames: list[FromServer], transport: Transport) -> TypeGuard[list[Call]]:
        """Whether this is a call and nothing else: it takes no slots, is owed no answer, and is waited
        for by somebody to whom each microsecond counts.
        """
        return (
            type(frames[0]) is Call
            and len(frames) == 1
            and transport is self._transport
            and self._session.state is SessionState.OPEN
        )

    def _obey(self, frame: FromServer) -> None:  # noqa: C901, PLR0915 - one exhaustive match
        match frame:
            case Call():
                self._calls.call(frame)
            case Assignments(runs):
                self._pool.assign(runs)
            case Introduction():
                self._pool.introduce(frame)
            case Recall(request, runs):
                self._send(Recalled(request, self._pool.recall(runs)))
                self._note_held()
            case Kill():
                self._spawn(self._kill(frame))
            case Warm():
                self._calls.warm(frame, self._pool.introduction(frame.version_id))
                self._note_held()
            case StepRecorded():
                self._pool.parcels.recorded(frame)
            case Recorded(runs):
                self._note_recorded(runs)
            case Inspect():
                self._spawn(self._inspect(frame))
            case BlobPart():
                self._supplies.receive(frame)
            case FileStored():
                self._pool.parcels.stored(frame)
            case FileTaken():
                self._pool.parcels.taken(frame)
            case Drain():
                self._drain()
                self._spawn(self._leave_when_empty())
            case Welcome():
                self._begin(frame)
            case Pending():
                self._tell(f"Waiting: {frame.detail}")
                self._wake_for_leases()
            case Refusal():
                self._hear_refusal(frame)
            case Renewed(number):
                self._outbox.confirmed(number)
                self._wake_for_leases()
            case _:
                assert_never(frame)

    def _hear_refusal(self, refusal: Refusal) -> None:
        if refusal.code == NAME_TAKEN:
            self._tell(f"Not let in yet: {refusal.detail}")
        self._hang_up(refusal.detail)

    def _note_recorded(self, runs: tuple[Lease, ...]) -> None:
        self._outbox.recorded(runs)
        if not self._outbox.ended:
            self._settled.set()

    async def _kill(self, frame: Kill) -> None:
        session = self._session
        calls = tuple(lease for lease in frame.runs if lease.token == CALL_TOKEN)
        await self._calls.kill(lease.run_id for lease in calls)
        runs = await self._pool.kill([run for run in frame.runs if run.token != CALL_TOKEN])
        answer = Killed(frame.request, (*calls, *runs))
        if session is self._session and session.answer(answer):
            self._send(answer)
        self._note_held()

    async def _inspect(self, frame: Inspect) -> None:
        session = self._session
        try:
            answer = await self._inspections.inspect(frame)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the worker goes on
            problem = CodeProblem(reason=f"the worker failed: {type(error).__name__}: {error}")
            answer = Inspected(frame.request, (), problem)
        # The server has asked again, if meanwhile there was another connection.
        if session is self._session and session.answer(answer):
            self._send(answer)

    # ------------------------------------------------------------ capacity, draining

    def _begin(self, welcome: Welcome) -> None:
        self._is_leaving = False
        if welcome.resumed:
            self._go_on(welcome)
        else:
            self._tell("Connected.")
        self._tell_capacity()
        self._wake_for_leases()
        self._supplies.ask_again()
        self.welcomed.set()

    def _go_on(self, welcome: Welcome) -> None:
        """The connection is another one, the session is the same: say again what may be lost."""
        self._pool.void(welcome.void)
        self._outbox.forget(welcome.void)
        self._tell("Connected again.")
        assert self._transport is not None
        if starts := self._pool.starts:
            self._transport.send(Begun(starts))
        for frame in self._outbox.again():
            self._transport.send(frame)
        self._pool.parcels.ask_again()

    def _tell_capacity(self) -> None:
        if self._session.state is not SessionState.OPEN:
            return
        wanted = 0 if self._is_draining else self._pool.capacity
        shortage = self._nursery.shortage
        short = shortage.reason if shortage.is_on else ""
        is_steady = wanted and abs(wanted - self._told) < STEADY * self._told
        if short == self._told_short and (wanted == self._told or is_steady):
            return
        self._told, self._told_short = wanted, short
        self._send(Capacity(wanted, short=short))

    def _give_back(self) -> None:
        """What waits behind long runs goes back to the queue, where any worker may take it."""
        if self._session.state is not SessionState.OPEN or self._is_draining:
            return
        self._tell_capacity()
        # Compared with what was told, and not with what is true: else it would come straight back.
        if returned := self._pool.excess(self._told):
            self._send(Recalled(0, returned))

    def _drain(self) -> None:
        """Take nothing more, and give back what has not begun."""
        self._is_draining = True
        self._told = 0
        self._send(Capacity(0, leaving=True))
        returned = self._pool.recall(self._pool.unbegun)
        if returned:
            self._send(Recalled(0, returned))
        self._note_held()

    async def _leave_when_empty(self) -> None:
        """The server is about to stop: nothing more is to come from it."""
        session = self._session
        await self._empty.wait()
        if self._line.is_within:
            self._stopping.set()
        elif session is self._session and session.state is SessionState.OPEN:
            await self._say_goodbye("the server stops")
            self._hang_up("the server stops")

    def _note_held(self) -> None:
        """Note whether anything is here, or may still come: a call before the server has let go."""
        if self._is_draining and not (
            self._pool.held or self._calls.held or self._calls.are_expected
        ):
            self._empty.set()

    def _send_of_call(self, frame: FromWorker) -> None:
        self._send(frame)
        if self._is_draining:
            self._note_held()

    # ------------------------------------------------------------ leases

    def _wake_for_leases(self) -> None:
        """Set the timer for what is due next: a heartbeat, or the end of the leases."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        session = self._session
        instants = (session.heartbeat_due_at, session.deaf_at, session.give_up_at)
        if awaited := [at for at in instants if at is not None]:
            delay = max(0.0, min(awaited) - self._now())
            self._timer = self._loop.call_later(delay, self._mind_leases)
        self._pool.go_on()

    def _may_begin(self) -> bool:
        """Whether the leases hold: they may not, when this process or the machine stood still."""
        give_up_at = self._session.give_up_at
        return give_up_at is None or self._now() < give_up_at

    def _mind_leases(self) -> None:
        self._timer = None
        now, session = self._now(), self._session
        if session.deaf_at is not None and now >= session.deaf_at:
            self._break_off("the server does not answer")
        elif session.heartbeat_due_at is not None and now >= session.heartbeat_due_at:
            self._beat(now)
        if session.give_up_at is not None and now >= session.give_up_at:
            self._give_up()
            self._break_off("the leases ran out")
        else:
            self._wake_for_leases()

    def _beat(self, now: Monotonic) -> None:
        """Give a sign of life."""
        if self._transport is not None:
            beat = self._session.heartbeat(self._pool.busy, now)
            if not self._line.is_within:
                self._outbox.beat(beat.number)
            self._transport.send(beat)

    def _now(self) -> Monotonic:
        return Monotonic(monotonic())
