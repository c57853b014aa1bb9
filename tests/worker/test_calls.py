"""Calls in children that are kept warm for them."""

import asyncio
import json
import os
import select
import signal
from datetime import timedelta

from runyard.model.ids import AllocationId, RunId, VersionId
from runyard.model.runs import CALL_TOKEN, Outcome
from runyard.protocol.frames import Call, CallEnded, Lease, Warm, Warmed
from tests.worker.server import Server, a_worker

HEAD = "import os, sys, time\nfrom runyard import task\n"
PID = HEAD + "@task\ndef main() -> int:\n    return os.getpid()\n"
SLEEP = HEAD + "@task\ndef main() -> str:\n    time.sleep(60)\n    return 'awake'\n"
MINUTE = timedelta(minutes=1)


class Allocated:
    """One allocation at a worker."""

    def __init__(self, server: Server, number: int = 1) -> None:
        self.server = server
        self.id = AllocationId(number)
        self._run = number * 1000

    def order(self, version: VersionId, children: int, deadline: timedelta = MINUTE) -> None:
        self.server.say(
            Warm(allocation_id=self.id, version_id=version, children=children, deadline=deadline)
        )

    async def warm(self, version: VersionId, children: int = 1, **more: timedelta) -> Warmed:
        self.order(version, children, **more)
        await self.server.until(
            lambda: (told := self.told) and (told.version_id, told.children) == (version, children)
        )
        return self.told

    @property
    def told(self) -> Warmed | None:
        said = [f for f in self.server.frames if isinstance(f, Warmed)]
        return next((f for f in reversed(said) if f.allocation_id == self.id), None)

    def begin(self, raw: bytes = b"{}") -> RunId:
        self._run += 1
        self.server.say(Call(self.id, RunId(self._run), f"public-{self._run}", raw))
        return RunId(self._run)

    async def end(self, run: RunId) -> CallEnded:
        def ended() -> list[CallEnded]:
            said = [f for f in self.server.frames if isinstance(f, CallEnded)]
            return [f for f in said if f.run_id == run]

        await self.server.until(ended)
        [end] = ended()
        return end

    async def call(self, raw: bytes = b"{}") -> CallEnded:
        return await self.end(self.begin(raw))


def result(end: CallEnded) -> object:
    assert end.outcome is Outcome.RETURNED, end.error
    return json.loads(end.output)["result"]


async def test_calls_are_executed_in_children_that_stay(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(PID), 2)

    first, second = allocated.begin(), allocated.begin()
    together = {result(await allocated.end(first)), result(await allocated.end(second))}
    alone = {result(await allocated.call()) for _ in range(5)}

    assert len(together) == 2
    assert alone <= together


async def test_calls_take_no_slots(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(SLEEP), 4)
    runs = [allocated.begin() for _ in range(4)]

    end = await server.run(server.introduce(PID))

    assert end.outcome is Outcome.RETURNED
    await server.kill([Lease(run, CALL_TOKEN) for run in runs])


async def test_a_version_that_cannot_be_loaded_leaves_the_one_before(server):
    allocated = Allocated(server)
    good = server.introduce(PID)
    await allocated.warm(good)

    allocated.order(server.introduce(HEAD + "raise ImportError('not today')\n"), 1)
    await server.until(lambda: allocated.told.error)

    assert allocated.told.version_id == good
    assert "not today" in allocated.told.error.message
    assert isinstance(result(await allocated.call()), int)


async def test_calls_of_a_task_that_was_never_loaded_say_why(server):
    allocated = Allocated(server)
    allocated.order(server.introduce(HEAD + "raise ImportError('not today')\n"), 1)
    await server.until(lambda: allocated.told and allocated.told.error)

    end = await allocated.call()

    assert end.outcome is Outcome.NOT_LOADED
    assert "not today" in end.error.message


async def test_a_call_that_comes_while_those_before_are_turned_away_is_turned_away_too(server):
    """A server hands over the next one as soon as it hears of an end: it was forgotten."""
    allocated = Allocated(server)
    version = server.introduce(HEAD + "import time\ntime.sleep(60)\n")
    allocated.order(version, 1)
    runs = [allocated.begin()]
    note = server._note

    def hand_over(frame):
        note(frame)
        if isinstance(frame, CallEnded) and len(runs) < 3:
            runs.append(allocated.begin())

    server._note = hand_over
    allocated.order(version, 0)

    await server.until(lambda: len(runs) == 3)
    for run in runs:
        end = await allocated.end(run)
        assert (end.outcome, end.error.kind) == (Outcome.LOST, "NotAllocated")


async def test_a_worn_child_is_relieved_without_failing_a_call(folder):
    async with a_worker(folder, recycle_runs=3) as server:
        allocated = Allocated(server)
        await allocated.warm(server.introduce(PID))

        pids: list[object] = []
        async with asyncio.timeout(60):  # the old one goes on for as long as the new one loads
            while len(set(pids)) < 4:
                pids.append(result(await allocated.call()))

        assert all(pids.count(pid) >= 3 for pid in set(pids) - {pids[-1]})


async def test_a_child_killed_from_outside_is_replaced(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(PID))
    pid = result(await allocated.call())

    os.kill(pid, signal.SIGKILL)
    await server.until(lambda: not os.path.exists(f"/proc/{pid}") or allocated.told.children == 0)

    assert result(await allocated.call()) != pid


async def test_a_call_handed_to_a_child_that_is_dead_already_goes_to_the_next_one(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(PID))
    pid = result(await allocated.call())
    process = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        select.select([process], [], [])  # nobody here has heard of it yet
        run = allocated.begin()
    finally:
        os.close(process)

    assert result(await allocated.end(run)) != pid


async def test_a_killed_call_is_dead_when_that_is_answered(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(SLEEP))
    run = allocated.begin()

    killed = await server.kill([Lease(run, CALL_TOKEN)])

    assert [lease.run_id for lease in killed] == [run]
    assert not [f for f in server.frames if isinstance(f, CallEnded)]
    await allocated.warm(server.introduce(PID))
    assert isinstance(result(await allocated.call()), int)


async def test_an_allocation_that_is_given_up_refuses_calls_and_leaves_no_child(server):
    allocated = Allocated(server)
    version = server.introduce(PID)
    await allocated.warm(version, 2)
    pids = {result(await allocated.call()) for _ in range(4)}

    allocated.order(version, 0)
    end = await allocated.call()

    assert end.outcome is Outcome.LOST
    assert end.error.kind == "NotAllocated"
    await server.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


async def test_the_number_of_children_follows_the_limit(server):
    allocated = Allocated(server)
    version = server.introduce(PID)

    await allocated.warm(version, 1)
    await allocated.warm(version, 3)
    await allocated.warm(version, 2)

    assert len({result(await allocated.call()) for _ in range(9)}) <= 2


async def test_a_refused_version_does_not_keep_the_one_before_from_its_children(server):
    """A call that crashed its child took that child for good, until the next deploy."""
    allocated = Allocated(server)
    good = server.introduce(
        HEAD + "@task\ndef main(crash: bool) -> int:\n"
        "    if crash:\n        os._exit(3)\n    return os.getpid()\n"
    )
    await allocated.warm(good)
    allocated.order(server.introduce(HEAD + "raise ImportError('not today')\n"), 1)
    await server.until(lambda: allocated.told.error)

    crashed = await allocated.call(b'{"crash":true}')
    again = await allocated.call(b'{"crash":false}')

    assert crashed.error.kind == "ProcessExited"
    assert isinstance(result(again), int)
    assert allocated.told.version_id == good
    assert "not today" in allocated.told.error.message
    allocated.order(good, 1)
    await server.until(lambda: allocated.told.error is None)


async def test_a_call_that_its_child_did_not_take_reaches_the_next_with_its_files(server):
    """An earlier call had closed the channel; the next child was not given the files."""
    allocated = Allocated(server)
    version = server.introduce(
        HEAD
        + "from runyard import File\n"
        + "@task\ndef main(paper: File) -> str:\n    return paper.read_text()\n"
    )
    await allocated.warm(version)
    digest = server.keep(b"written")
    paper = {"file": 5, "digest": digest, "size": 7, "name": "a", "content_type": "text/plain"}
    [child] = server.worker.nursery.children.values()
    child.send = lambda packet: False

    end = await allocated.call(json.dumps({"paper": paper}).encode())

    assert result(end) == "written"
    assert not list(server.worker.nursery.staging("").parent.glob("staged-*"))


async def test_children_of_allocations_leave_those_of_runs_their_warmth(folder):
    async with a_worker(folder, warm_children=2) as server:
        first, second = server.introduce(PID), server.introduce(PID, company=2)
        await Allocated(server).warm(server.introduce(PID), 6)

        pid = (await server.run(first)).output
        await server.run(second)

        assert (await server.run(first)).output == pid
