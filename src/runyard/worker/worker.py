"""The worker: one conversation with its server, and everything that comes of it."""

import asyncio
import platform
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import assert_never

from runyard.protocol.frames import (
    PROTOCOL_VERSIONS,
    Assignments,
    BlobPart,
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
    Recall,
    Recalled,
    Refusal,
    Renewed,
    StepRecorded,
    Welcome,
)
from runyard.protocol.session import Monotonic, SessionState, WorkerSession
from runyard.worker import VERSION
from runyard.worker.clock import monotonic
from runyard.worker.inspection import Inspections
from runyard.worker.nursery import Nursery
from runyard.worker.pool import Outside, Pool
from runyard.worker.settings import WorkerSettings
from runyard.worker.supplies import Supplies
from runyard.worker.transport import Transport

STEADY = 0.25
"""Share by which the capacity must change before the server is told."""


class WorkerRefused(Exception):
    """The server does not let this worker in; `code` says which kind of refusal it is."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail or refusal.code)
        self.code = refusal.code


class Worker:
    """Executes runs for one server until the conversation ends or it is stopped."""

    def __init__(self, transport: Transport, settings: WorkerSettings) -> None:
        self._transport = transport
        # Zygotes and children stand in other folders and are told where things are.
        self._settings = replace(settings, folder=settings.folder.absolute())
        self._session = WorkerSession(sent_is_heard=transport.acknowledged)
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._empty = asyncio.Event()
        self._is_draining = False
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None
        self.welcomed = asyncio.Event()
        """Set once the server has let the worker in."""

    async def run(self) -> None:
        """Be a worker. Returns when it has stopped; raises WorkerRefused."""
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._open(group)
            try:
                await self._converse()
            finally:
                self._close()
        if self._session.refusal is not None:
            raise WorkerRefused(self._session.refusal)

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

        self._spawn: Callable[[Coroutine[object, object, None]], None] = spawn
        self._nursery = Nursery(self._settings)
        self._supplies = Supplies(self._settings, self._send)
        self._pool = Pool(
            self._settings,
            self._supplies,
            self._nursery,
            Outside(self._send, self._session.ask, spawn, self._note_held),
        )
        self._inspections = Inspections(self._settings, self._supplies, self._nursery, self._send)

    async def _converse(self) -> None:
        await self._nursery.warm(self._supplies.base)
        self._transport.listen(self._receive, self._closed)
        self._transport.send(self._session.greet(self._hello(), self._now()))
        stopping = self._loop.create_task(self._stopping.wait())
        ended = self._loop.create_task(self._ended.wait())
        try:
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.is_set():
                await self._leave()
        finally:
            stopping.cancel()
            ended.cancel()

    async def _leave(self) -> None:
        """Take nothing more, let what has begun end in time, say goodbye."""
        if self._session.state is SessionState.OPEN:
            self._drain()
            try:
                async with asyncio.timeout(self._settings.drain.total_seconds()):
                    await self._empty.wait()
            except TimeoutError:
                self._pool.give_up()
            self._pool.flush()
            self._send(Goodbye("stopped"))
        self._transport.close("the worker stopped")

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._session.end()
        self._supplies.close()
        self._pool.close()
        self._nursery.close()
        for task in tuple(self._tasks):
            task.cancel()

    def _hello(self) -> Hello:
        settings = self._settings
        return Hello(
            protocol=PROTOCOL_VERSIONS,
            token=settings.token,
            name=settings.name,
            version=VERSION,
            host=socket.gethostname(),
            os=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            slots=settings.slots,
            labels=settings.labels,
            isolation=self._nursery.isolation.text,
        )

    # ------------------------------------------------------------ frames

    def _send(self, frame: FromWorker) -> None:
        self._transport.send(frame)

    def _closed(self, detail: str) -> None:
        self._pool.give_up()
        self._session.end()
        self._ended.set()

    def _receive(self, frames: list[FromServer]) -> None:
        now = self._now()
        for frame in frames:
            if self._session.receive(frame, now):
                self._obey(frame)
        self._tell_capacity()

    def _obey(self, frame: FromServer) -> None:  # noqa: C901 - one exhaustive match
        match frame:
            case Assignments(runs):
                self._pool.assign(runs)
            case Introduction():
                self._pool.introduce(frame)
            case Recall(request, runs):
                self._send(Recalled(request, self._pool.recall(runs)))
                self._note_held()
            case Kill():
                self._spawn(self._kill(frame))
            case StepRecorded():
                self._pool.parcels.recorded(frame)
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
                self._spawn(self._stop_when_empty())
            case Welcome():
                self._begin()
            case Refusal():
                self._ended.set()
            case Renewed():
                self._wake_for_leases()
            case _:
                assert_never(frame)

    async def _kill(self, frame: Kill) -> None:
        runs = await self._pool.kill(frame.runs)
        self._send(Killed(frame.request, runs))
        self._note_held()

    async def _inspect(self, frame: Inspect) -> None:
        try:
            answer = await self._inspections.inspect(frame)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the worker goes on
            problem = CodeProblem(reason=f"the worker failed: {type(error).__name__}: {error}")
            answer = Inspected(frame.request, (), problem)
        self._send(answer)

    # ------------------------------------------------------------ capacity, draining

    def _begin(self) -> None:
        self._tell_capacity()
        self._wake_for_leases()
        self.welcomed.set()

    def _tell_capacity(self) -> None:
        if self._session.state is not SessionState.OPEN:
            return
        wanted = 0 if self._is_draining else self._pool.capacity
        if wanted == self._told or (wanted and abs(wanted - self._told) < STEADY * self._told):
            return
        self._told = wanted
        self._send(Capacity(wanted))

    def _drain(self) -> None:
        """Take nothing more, and give back what has not begun."""
        self._is_draining = True
        self._tell_capacity()
        returned = self._pool.recall(self._pool.unbegun)
        if returned:
            self._send(Recalled(0, returned))
        self._note_held()

    async def _stop_when_empty(self) -> None:
        await self._empty.wait()
        self._stopping.set()

    def _note_held(self) -> None:
        if self._is_draining and self._pool.held == 0:
            self._empty.set()

    # ------------------------------------------------------------ leases

    def _wake_for_leases(self) -> None:
        """Set the timer for what is due next: a heartbeat, or the end of the leases."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due, give_up = self._session.heartbeat_due_at, self._session.give_up_at
        if due is not None and give_up is not None:
            delay = max(0.0, min(due, give_up) - self._now())
            self._timer = self._loop.call_later(delay, self._mind_leases)

    def _mind_leases(self) -> None:
        self._timer = None
        now = self._now()
        due, give_up = self._session.heartbeat_due_at, self._session.give_up_at
        if due is None or give_up is None:
            return
        if now >= due:
            self._send(self._session.heartbeat(self._pool.busy, now))
            give_up = self._session.give_up_at or give_up
        if now >= give_up:
            self._pool.give_up()
            self._transport.close("the leases ran out")
            return
        self._wake_for_leases()

    def _now(self) -> Monotonic:
        return Monotonic(monotonic())
