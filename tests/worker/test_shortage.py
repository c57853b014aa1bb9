"""A machine that has no process or no descriptor left for another child (R2, R11).

The kernel itself refuses the fork: the zygote may have so many processes of its user beside it, and
others of that user take them all. No such limit binds root, so the zygote is started as another user
who keeps what it takes to read the files.
"""

import asyncio
import contextlib
import os
import resource
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runyard.protocol.frames import Recalled
from tests.worker.server import Server, a_worker
from tests.worker.test_calls import PID, SLEEP, Allocated, result
from tests.worker.test_runs import HEAD, outputs

USER = 54_000 + os.getpid() % 1_000 if os.geteuid() == 0 else os.geteuid()
ROOM = 20
"""Processes of the user that there may be beside those of before."""
REAL = os.path.realpath(sys.executable)
ONE = HEAD + "@task\ndef main() -> int:\n    return 1\n"
AS_ANOTHER = """\
    #!{python} -IS
    import ctypes, os, resource, sys
    unlimited = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, ({most}, unlimited))
    if os.geteuid() == 0:
        for capability in (21, 24):  # to administer the system, to exceed resources
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # drop it for good
        os.setresuid({user}, 0, 0)
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


@pytest.fixture
async def server(folder: Path, tmp_path: Path) -> AsyncIterator[Server]:
    python = tmp_path / "python"
    script = textwrap.dedent(AS_ANOTHER).format(python=REAL, user=USER, most=_processes() + ROOM)
    python.write_text(script)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    async with a_worker(folder, python=str(python), own_users=False) as server:
        yield server


def _processes() -> int:
    """Processes and threads of the user."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == USER:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count


@contextlib.contextmanager
def no_processes() -> Iterator[None]:
    """Meanwhile the zygote can fork nothing."""
    other = {"user": USER, "group": USER, "extra_groups": ()} if os.geteuid() == 0 else {}
    with contextlib.ExitStack() as stack:
        for _ in range(2 * ROOM):
            process = stack.enter_context(subprocess.Popen(("sleep", "600"), **other))
            stack.callback(process.kill)
        yield


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile the worker can open nothing; whatever asks for something else is done before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def given_back(server: Server, count: int) -> list[int]:
    """The runs of so many answers that nobody asked for."""

    def said() -> list[Recalled]:
        return [f for f in server.frames if isinstance(f, Recalled) and f.request == 0]

    await server.until(lambda: len(said()) == count)
    return [lease.run_id for frame in said() for lease in frame.runs]


async def test_a_run_goes_back_when_no_child_can_be_forked(server: Server) -> None:
    """R2: the zygote ended with all its children, and with the runs that they executed."""
    version = server.introduce(ONE)
    capacity = server.capacity

    with no_processes():
        [lease] = server.assign(version)
        assert await given_back(server, 1) == [lease.run_id]
        assert (server.capacity, server.short) == (
            0,
            "no process could be made for it: Resource temporarily unavailable",
        )
        await server.until(lambda: server.capacity == capacity)

    await server.until(lambda: not server.short)
    assert server.worker.pool.held == 0
    assert lease.run_id not in server.ends
    assert outputs(await server.run(version))["result"] == 1


async def test_children_live_on_when_no_other_can_be_forked(server: Server) -> None:
    """R2: their runs were lost."""
    living, other = server.introduce(PID), server.introduce(ONE)
    pid = outputs(await server.run(living))["result"]
    [sleeping] = server.assign(server.introduce(SLEEP))
    await server.begun(sleeping)

    with no_processes():
        [lease] = server.assign(other)
        assert await given_back(server, 1) == [lease.run_id]
        assert outputs(await server.run(living))["result"] == pid

    assert sleeping.run_id not in server.ends
    assert await server.kill([sleeping]) == (sleeping,)


async def test_a_run_that_comes_again_during_the_pause_is_tried_again(server: Server) -> None:
    version = server.introduce(ONE)

    with no_processes():
        for count in (1, 2):
            server.assign(version)
            await given_back(server, count)
            await server.until(lambda: server.capacity > 0)
        [lease] = server.assign(version)

    assert outputs(await server.end_of(lease))["result"] == 1


async def test_a_crew_says_that_no_child_can_be_forked_and_tries_again(server: Server) -> None:
    allocated = Allocated(server)
    version = server.introduce(PID)
    await server.run(version)  # its bundle is here

    with no_processes():
        allocated.order(version, 2)
        await server.until(lambda: allocated.told is not None and allocated.told.error is not None)
        assert (allocated.told.error.kind, allocated.told.children) == ("NoProcess", 0)
        async with asyncio.timeout(30):
            end = await allocated.call()
        assert (end.outcome.value, end.error.kind) == ("lost", "NoProcess")

    await server.until(lambda: allocated.told.error is None and allocated.told.children == 2)
    assert result(await allocated.call())


async def test_a_crew_serves_with_the_children_that_it_has(server: Server) -> None:
    allocated = Allocated(server)
    version = server.introduce(PID)
    await allocated.warm(version)

    with no_processes():
        allocated.order(version, 2)
        await server.until(lambda: allocated.told.error is not None)
        assert (allocated.told.error.kind, allocated.told.children) == ("NoProcess", 1)
        assert result(await allocated.call())

    await server.until(lambda: allocated.told.error is None and allocated.told.children == 2)


async def test_a_bundle_is_refused_when_no_child_can_be_forked(server: Server) -> None:
    with no_processes():
        async with asyncio.timeout(30):
            inspected = await server.inspect({"tasks.py": ONE})

    assert inspected.problem.reason == (
        "no process could be made for it: Resource temporarily unavailable; try again"
    )


async def test_a_worker_without_descriptors_gives_runs_back(server: Server) -> None:
    """The run failed, and half of what it takes to speak with a child stayed open."""
    await server.run(server.introduce(ONE))  # its bundle is here
    elsewhere = server.introduce(ONE, company=2)
    [sleeping] = server.assign(server.introduce(SLEEP))
    await server.begun(sleeping)
    before = len(os.listdir("/proc/self/fd"))

    with no_descriptors():
        [lease] = server.assign(elsewhere)
        assert await given_back(server, 1) == [lease.run_id]

    assert len(os.listdir("/proc/self/fd")) == before
    assert server.worker.pool.held == 1
    await server.kill([sleeping])
