"""The server's end of a worker's conversation, for tests: says what it is told to, keeps all."""

import asyncio
import hashlib
import io
import textwrap
import zipfile
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec

from runyard.model.ids import CompanyId, FileId, RunId, SessionId, VersionId
from runyard.protocol.frames import (
    Assignment,
    Assignments,
    Begun,
    BlobPart,
    BlobWanted,
    Capacity,
    End,
    Ended,
    FileOffered,
    FilePart,
    FileStored,
    FileTaken,
    FromServer,
    FromWorker,
    Heartbeat,
    Hello,
    Inspect,
    Inspected,
    Introduction,
    Kill,
    Killed,
    Lease,
    LogLines,
    Recall,
    Recalled,
    Recorded,
    Renewed,
    Start,
    Step,
    StepDone,
    StepRecorded,
    Warm,
    Welcome,
)
from runyard.protocol.memory import ServerEnd, memory_pair
from runyard.worker.settings import WorkerSettings
from runyard.worker.transport import Within
from runyard.worker.worker import Worker


class Server:
    """Answers a worker like a server whose decisions are made by the test."""

    def __init__(self, end: ServerEnd, *, lease: timedelta) -> None:
        self.end = end
        self.lease = lease
        self.is_closed = False
        self.frames: list[FromWorker] = []
        self.blobs: dict[str, bytes] = {}
        self.starts: dict[int, Start] = {}
        self.ends: dict[int, End] = {}
        self.lines: dict[int, list] = {}
        self.dropped: dict[int, int] = {}
        self.files: dict[int, tuple[FileOffered, bytes]] = {}
        self.kept: list[tuple[FileOffered, bytes]] = []
        self.capacity = 0
        self.short = ""
        self.warm: dict[int, Warm] = {}
        self.lose_steps = False
        self.takes_files = True
        self.refuses_files = ""
        self.key = ""
        """With which the worker may come back."""
        self.hellos: list[Hello] = []
        self.void: tuple[Lease, ...] = ()
        self.records = True
        self.confirms = False
        """Whether heartbeats are answered."""
        self.said_again: list[End] = []
        self._changed = asyncio.Event()
        self._next_run = 1000
        self._next_version = 1
        self._request = 0
        self.connect(end)

    def connect(self, end: ServerEnd) -> None:
        """There is a connection, the first or another one."""
        self.end = end
        self.is_closed = False
        end.listen(self._receive, lambda detail: self._closed(end))

    # ------------------------------------------------------------ from the worker

    def _closed(self, end: ServerEnd) -> None:
        if end is self.end:
            self.is_closed = True
            self._changed.set()

    def _receive(self, frames: list[FromWorker]) -> None:
        self.frames.extend(frames)
        for frame in frames:
            self._note(frame)
        self._changed.set()

    def _note(self, frame: FromWorker) -> None:  # noqa: C901 - one match
        match frame:
            case Hello(resume=resume):
                self.hellos.append(frame)
                self.say(
                    Welcome(
                        protocol=2,
                        session_id=SessionId(1),
                        lease=self.lease,
                        heartbeat=self.lease / 4,
                        key=self.key,
                        resumed=resume is not None,
                        void=self.void if resume is not None else (),
                    )
                )
            case Heartbeat(_, number) if self.confirms:
                self.say(Renewed(number))
            case Capacity():
                self._note_capacity(frame)
            case Begun(starts):
                for start in starts:
                    assert start.run_id not in self.ends or self.key
                    self.starts[start.run_id] = start
            case Ended(ends):
                for end in ends:
                    assert end.run_id not in self.ends or self.key
                    if end.run_id in self.ends:
                        self.said_again.append(end)
                    self.ends[end.run_id] = end
                if self.key and self.records:
                    self.say(Recorded(tuple(Lease(end.run_id, end.token) for end in ends)))
            case LogLines():
                assert frame.run_id not in self.ends or self.key, "lines after the end"
                self.lines.setdefault(frame.run_id, []).extend(frame.lines)
                self.dropped[frame.run_id] = self.dropped.get(frame.run_id, 0) + frame.dropped
            case BlobWanted():
                self._send_blob(frame)
            case FileOffered():
                self.files[frame.transfer] = (frame, b"")
                if self.refuses_files:
                    self.say(FileStored(frame.transfer, None, self.refuses_files))
            case FilePart(transfer, data, last):
                offered, before = self.files[transfer]
                self.files[transfer] = (offered, before + data)
                if self.takes_files and not self.refuses_files:
                    self.take_files()
                if last and not self.refuses_files:
                    self.kept.append(self.files[transfer])
                    self.say(FileStored(transfer, FileId(7000 + transfer)))
            case StepDone(request):
                self.say(StepRecorded(request, self.lose_steps))
            case _:
                pass

    def _note_capacity(self, frame: Capacity) -> None:
        self.capacity, self.short = frame.runs, frame.short
        if frame.leaving:  # nothing is kept warm there any more
            for order in tuple(self.warm.values()):
                self.say(msgspec.structs.replace(order, children=0))

    def _send_blob(self, wanted: BlobWanted) -> None:
        blob = self.blobs.get(wanted.digest)
        if blob is None:
            self.say(BlobPart(wanted.digest, 0, b"", None))
            return
        for start in range(0, max(len(blob), 1), 100_000):
            part = blob[start : start + 100_000]
            self.say(BlobPart(wanted.digest, start, part, len(blob)))

    def take_files(self) -> None:
        for transfer, (_, data) in self.files.items():
            self.say(FileTaken(transfer, len(data)))

    def received(self) -> int:
        return sum(len(data) for _, data in self.files.values())

    # ------------------------------------------------------------ to the worker

    def say(self, frame: FromServer) -> None:
        if isinstance(frame, Warm):
            self.warm[frame.allocation_id] = frame
        self.end.send(frame)

    def keep(self, blob: bytes) -> str:
        digest = hashlib.sha256(blob).hexdigest()
        self.blobs[digest] = blob
        return digest

    def bundle(self, files: dict[str, str]) -> str:
        return self.keep(zipped(files))

    def introduce(
        self,
        source: str | dict[str, str],
        function: str = "main",
        *,
        company: int = 1,
        timeout: timedelta | None = None,
        requirements: tuple[str, ...] = (),
    ) -> VersionId:
        files = {"tasks.py": source} if isinstance(source, str) else source
        version = VersionId(self._next_version)
        self._next_version += 1
        self.say(
            Introduction(
                version_id=version,
                company_id=CompanyId(company),
                company=f"company-{company}",
                task=function,
                bundle_digest=self.bundle(files),
                module="tasks",
                function=function,
                requirements=requirements,
                timeout=timeout,
            )
        )
        return version

    def assign(
        self,
        version: VersionId,
        inputs: Sequence[bytes] = (b"{}",),
        *,
        steps: tuple[Step, ...] = (),
        attempt: int = 1,
    ) -> list[Lease]:
        runs = []
        for raw in inputs:
            self._next_run += 1
            runs.append(
                Assignment(
                    RunId(self._next_run),
                    self._next_run * 10,
                    version,
                    f"public-{self._next_run}",
                    attempt,
                    msgspec.Raw(raw),
                    steps,
                )
            )
        self.say(Assignments(tuple(runs)))
        return [Lease(run.run_id, run.token) for run in runs]

    async def run(self, version: VersionId, raw: bytes = b"{}", **more: object) -> End:
        [lease] = self.assign(version, [raw], **more)
        return await self.end_of(lease)

    async def end_of(self, lease: Lease) -> End:
        await self.until(lambda: lease.run_id in self.ends)
        return self.ends[lease.run_id]

    async def begun(self, lease: Lease) -> Start:
        await self.until(lambda: lease.run_id in self.starts)
        return self.starts[lease.run_id]

    async def recall(self, leases: Sequence[Lease]) -> tuple[Lease, ...]:
        request = self._ask()
        self.say(Recall(request, tuple(leases)))
        answer = await self._answer(Recalled, request)
        return answer.runs

    async def kill(self, leases: Sequence[Lease]) -> tuple[Lease, ...]:
        request = self._ask()
        self.say(Kill(request, tuple(leases)))
        answer = await self._answer(Killed, request)
        return answer.runs

    async def inspect(self, files: dict[str, str] | str) -> Inspected:
        digest = files if isinstance(files, str) else self.bundle(files)
        request = self._ask()
        self.say(
            Inspect(
                request=request, company_id=CompanyId(1), company="company-1", bundle_digest=digest
            )
        )
        return await self._answer(Inspected, request)

    def text(self, lease: Lease) -> list[str]:
        return [line.text for line in self.lines.get(lease.run_id, [])]

    async def until(self, holds: Callable[[], object], within: float = 60) -> None:
        async with asyncio.timeout(within):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def _ask(self) -> int:
        self._request += 1
        return self._request

    async def _answer(self, kind: type, request: int):
        def found():
            return [f for f in self.frames if isinstance(f, kind) and f.request == request]

        await self.until(found)
        [answer] = found()
        return answer

    def heartbeats(self) -> int:
        return sum(isinstance(frame, Heartbeat) for frame in self.frames)


async def moment(seconds: float) -> None:
    """Let this much time pass: for what must not happen meanwhile."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, textwrap.dedent(text))
    return buffer.getvalue()


@asynccontextmanager
async def a_worker(folder: Path, *, acknowledged: bool = True, **settings: object):
    """A worker and the server it is connected to.

    Not `acknowledged`: over a network, and the server never confirms a heartbeat.
    """
    chosen = replace(WorkerSettings(folder=folder, slots=2, drain=timedelta(seconds=5)), **settings)
    loop = asyncio.get_running_loop()
    theirs, ours = memory_pair(loop.call_soon)
    worker = Worker(Within(theirs, is_within=acknowledged), chosen)
    server = Server(ours, lease=timedelta(seconds=10 if acknowledged else 3))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await worker.welcomed.wait()
        server.worker = worker
        try:
            yield server
        finally:
            worker.stop()
            async with asyncio.timeout(30):
                await running
