"""What one no-op run costs the worker: CPU of its own process and of its children.

    .venv/bin/python -m benchmarks.worker_floor [--runs 20000] [--slots 2]

Drives a `Worker` over the in-memory transport, without a server: runs are assigned as the worker's
capacity allows, and nothing is stored.
"""

import argparse
import asyncio
import hashlib
import io
import os
import resource
import tempfile
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import msgspec
import uvloop

from runyard.model.ids import CompanyId, RunId, SessionId, VersionId
from runyard.model.runs import Outcome
from runyard.protocol.frames import (
    Assignment,
    Assignments,
    BlobPart,
    BlobWanted,
    Capacity,
    Ended,
    FromWorker,
    Hello,
    Introduction,
    Welcome,
)
from runyard.protocol.memory import ServerEnd, memory_pair
from runyard.worker.settings import WorkerSettings
from runyard.worker.transport import Within
from runyard.worker.worker import Worker

SOURCE = "from runyard import task\n\n@task\ndef main() -> None:\n    pass\n"
NO_INPUT = msgspec.Raw(b"{}")


class Feeder:
    """A server that always has another run."""

    def __init__(self, end: ServerEnd, archive: bytes) -> None:
        self._end = end
        self._archive = archive
        self._capacity = 0
        self._assigned = 0
        self._wanted = 0
        self.ended = 0
        self._done = asyncio.Event()
        end.listen(self._receive, lambda detail: None)

    async def feed(self, runs: int) -> None:
        """Have this many more runs executed."""
        self._done.clear()
        self._wanted = self._assigned + runs
        self._assign()
        await self._done.wait()

    def _receive(self, frames: list[FromWorker]) -> None:
        for frame in frames:
            match frame:
                case Hello():
                    self._end.send(
                        Welcome(
                            protocol=2,
                            session_id=SessionId(1),
                            lease=timedelta(seconds=10),
                            heartbeat=timedelta(seconds=3),
                        )
                    )
                case Capacity(runs):
                    self._capacity = runs
                case BlobWanted(digest):
                    self._end.send(BlobPart(digest, 0, self._archive, len(self._archive)))
                case Ended(ends):
                    self.ended += len(ends)
                    if any(end.outcome is not Outcome.RETURNED for end in ends):
                        raise RuntimeError(f"a run did not return: {ends}")
                case _:
                    continue
        self._assign()
        if self.ended >= self._wanted > 0:
            self._done.set()

    def _assign(self) -> None:
        count = min(self._capacity - (self._assigned - self.ended), self._wanted - self._assigned)
        if count <= 0:
            return
        runs = tuple(
            Assignment(RunId(number), number, VersionId(1), "public", 1, NO_INPUT)
            for number in range(self._assigned, self._assigned + count)
        )
        self._assigned += count
        self._end.send(Assignments(runs))


async def measure(runs: int, slots: int, folder: Path) -> None:
    """Print the figures."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tasks.py", SOURCE)
    loop = asyncio.get_running_loop()
    theirs, ours = memory_pair(loop.call_soon)
    worker = Worker(Within(theirs), WorkerSettings(folder=folder, slots=slots, recycle_runs=10**9))
    feeder = Feeder(ours, buffer.getvalue())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await worker.welcomed.wait()
        ours.send(_introduction(hashlib.sha256(buffer.getvalue()).hexdigest()))
        await feeder.feed(1000)
        before, started = _cpu(worker), time.perf_counter()
        await feeder.feed(runs)
        elapsed, after = time.perf_counter() - started, _cpu(worker)
        await _latency(feeder)
        worker.stop()
        await running
    print(f"{runs} runs, {slots} slots: {runs / elapsed:,.0f} runs/s")  # noqa: T201
    print(f"  worker   {(after[0] - before[0]) / runs * 1e6:6.1f} us of CPU a run")  # noqa: T201
    print(f"  children {(after[1] - before[1]) / runs * 1e6:6.1f} us of CPU a run")  # noqa: T201


async def _latency(feeder: Feeder) -> None:
    times = []
    for _ in range(300):
        await asyncio.sleep(0.003)  # noqa: TID251
        started = time.perf_counter()
        await feeder.feed(1)
        times.append(time.perf_counter() - started)
    times.sort()
    print(f"one at a time: p50 {times[150] * 1e6:,.0f} us, p99 {times[297] * 1e6:,.0f} us")  # noqa: T201


def _introduction(digest: str) -> Introduction:
    return Introduction(
        version_id=VersionId(1),
        company_id=CompanyId(1),
        company="bench",
        task="main",
        bundle_digest=digest,
        module="tasks",
        function="main",
    )


def _cpu(worker: Worker) -> tuple[float, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = os.sysconf("SC_CLK_TCK")
    children = 0
    for child in worker.nursery.children.values():
        if child.pid is not None:
            text = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii")
            fields = text.rpartition(")")[2].split()
            children += int(fields[11]) + int(fields[12])
    return own.ru_utime + own.ru_stime, children / ticks


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20000)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(measure(options.runs, options.slots, Path(folder) / "worker"))


if __name__ == "__main__":
    main()
