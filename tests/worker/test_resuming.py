"""Workers with real children whose connection breaks, and comes back or does not (R11)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from runyard.protocol.frames import Lease, Refusal
from runyard.protocol.memory import memory_pair
from runyard.worker.settings import WorkerSettings
from runyard.worker.transport import NotConnected, WorkerRefused
from runyard.worker.worker import Worker
from tests.worker.server import Server, moment

HEAD = "import os, sys, time, pathlib\nfrom runyard import File, log, step, task\n"
SLOW = (
    HEAD
    + """
@task
def main(seconds: float) -> str:
    log.info("begun")
    time.sleep(seconds)
    log.info("ends")
    return "done"
"""
)
FOR_EVER = 600.0


class Exchange:
    """A line whose connections all lead to one server, while it is there."""

    is_within = False

    def __init__(self, lease: timedelta) -> None:
        self.lease = lease
        self.server: Server | None = None
        self.is_open = True
        self.tries = 0

    async def connect(self, spawn):
        self.tries += 1
        if not self.is_open:
            raise NotConnected("nobody is there")
        theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)
        if self.server is None:
            self.server = Server(ours, lease=self.lease)
            self.server.key = "key"
            self.server.confirms = True
        else:
            self.server.connect(ours)
        return theirs

    def cut(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.server.end.close("the cable was cut")


@asynccontextmanager
async def a_worker_on(exchange: Exchange, folder, **chosen) -> AsyncIterator[Server]:
    settings = replace(WorkerSettings(folder=folder, slots=2, drain=timedelta(seconds=5)), **chosen)
    worker = Worker(exchange, settings)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await worker.welcomed.wait()
        exchange.server.worker = worker
        try:
            yield exchange.server
        finally:
            worker.stop()
            async with asyncio.timeout(30):
                await running


def inputs(seconds: float = 1.0) -> bytes:
    return f'{{"seconds":{seconds}}}'.encode()


async def test_a_begun_run_goes_on_while_the_connection_is_broken(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        version = server.introduce(SLOW)
        [lease] = server.assign(version, [inputs()])
        await server.begun(lease)

        exchange.cut()
        await server.until(lambda: len(server.hellos) == 2)
        end = await server.end_of(lease)

        resume = server.hellos[1].resume
        assert [(start.run_id, start.token) for start in resume.begun] == [tuple_of(lease)]
        assert (resume.session_id, resume.key) == (1, "key")
        assert bytes(end.output) == b'{"result":"done"}'
        assert end.begun_at == server.starts[lease.run_id].at


async def test_nothing_begins_while_the_connection_is_broken(folder):
    """R6: a server that pauses could not take it back."""
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder, slots=1) as server:
        version = server.introduce(SLOW)
        leases = server.assign(version, [inputs()] * 3)
        await server.begun(leases[0])

        exchange.cut(is_open=False)
        await until(lambda: server.worker.pool.held == 0)
        await moment(0.3)
        exchange.is_open = True
        await server.end_of(leases[0])

        resume = server.hellos[1].resume
        assert [*resume.begun] == []
        assert [ended.run_id for ended in resume.ended] == [leases[0].run_id]
        assert set(server.starts) == {leases[0].run_id}


async def test_ends_that_nobody_recorded_are_said_again(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        server.records = False
        version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 7\n")
        [lease] = server.assign(version)
        await server.end_of(lease)

        exchange.cut()
        await server.until(lambda: server.said_again)
        server.records = True
        exchange.cut()
        await server.until(lambda: len(server.said_again) == 2)
        await server.until(lambda: not server.worker._outbox.ended)
        exchange.cut()
        await server.until(lambda: len(server.hellos) == 4)

        assert server.hellos[3].resume.ended == ()
        assert len(server.said_again) == 2


async def test_lines_that_may_not_have_arrived_are_said_again(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        server.confirms = False
        version = server.introduce(SLOW)
        [lease] = server.assign(version, [inputs()])
        await server.until(lambda: server.text(lease) == ["begun"])

        exchange.cut()
        await server.until(lambda: server.text(lease) == ["begun", "begun"])
        await server.end_of(lease)

        assert [line.number for line in server.lines[lease.run_id]] == [1, 1, 2]


async def test_what_is_void_is_killed_and_not_spoken_of(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        version = server.introduce(SLOW)
        kept, void = server.assign(version, [inputs(), inputs(FOR_EVER)])
        await server.begun(kept)
        await server.begun(void)
        server.void = (void,)

        exchange.cut()
        await server.until(lambda: len(server.hellos) == 2)
        await until(lambda: server.worker.pool.held == 1)
        await server.end_of(kept)

        assert void.run_id not in server.ends


async def test_leases_that_end_before_the_connection_is_back_end_the_runs(folder):
    exchange = Exchange(timedelta(seconds=3))
    async with a_worker_on(exchange, folder) as server:
        version = server.introduce(SLOW)
        [lease] = server.assign(version, [inputs(FOR_EVER)])
        await server.begun(lease)
        children = [child.pid for child in server.worker.nursery.children.values()]

        exchange.cut(is_open=False)
        await until(lambda: server.worker.pool.held == 0)
        await until(lambda: not any(is_alive(pid) for pid in children))
        exchange.is_open = True
        await server.until(lambda: len(server.hellos) == 2)

        assert server.hellos[1].resume is None
        assert lease.run_id not in server.ends


async def test_a_silent_connection_is_left_while_the_leases_still_last(folder):
    exchange = Exchange(timedelta(seconds=8))
    async with a_worker_on(exchange, folder) as server:
        version = server.introduce(SLOW)
        [lease] = server.assign(version, [inputs(6.0)])
        await server.begun(lease)
        server.confirms = False

        await server.until(lambda: len(server.hellos) == 2)
        server.confirms = True
        await server.end_of(lease)

        assert [start.run_id for start in server.hellos[1].resume.begun] == [lease.run_id]


async def test_a_step_that_was_on_its_way_is_recorded_over_the_next_connection(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        answer, server.lose_steps = server._note, False
        held = []

        def note(frame):
            if type(frame).__name__ == "StepDone" and not held:
                held.append(frame)
                exchange.cut()
            else:
                answer(frame)

        server._note = note
        version = server.introduce(
            HEAD + "@task\ndef main() -> int:\n    return step('five', lambda: 5)\n"
        )
        end = await server.run(version)

        assert end.error is None, end.error
        assert bytes(end.output) == b'{"result":5}'
        steps = [frame for frame in server.frames if type(frame).__name__ == "StepDone"]
        assert [(frame.name, bytes(frame.value)) for frame in steps] == [("five", b"5")] * 2


async def test_a_file_is_sent_again_from_its_beginning(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        server.takes_files = False
        version = server.introduce(
            HEAD
            + "@task\ndef main() -> File:\n"
            + "    return File.write('a.txt', 'x' * 4_000_000 + 'y' * 4_000_000)\n"
        )
        [lease] = server.assign(version)
        await server.until(lambda: server.received() > 4_000_000)

        exchange.cut()
        server.takes_files = True
        end = await server.end_of(lease)

        [(offered, content)] = server.kept
        assert content == b"x" * 4_000_000 + b"y" * 4_000_000
        assert offered.size == 8_000_000
        assert end.outcome == "returned"


async def test_a_worker_tries_again_and_again_with_growing_pauses(folder):
    exchange = Exchange(timedelta(seconds=30))
    async with a_worker_on(exchange, folder) as server:
        exchange.cut(is_open=False)
        await until(lambda: exchange.tries >= 4)
        exchange.is_open = True
        await server.until(lambda: len(server.hellos) == 2)


def tuple_of(lease: Lease) -> tuple[int, int]:
    return lease.run_id, lease.token


def is_alive(pid: int) -> bool:
    import os

    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(holds, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await moment(0.01)


class Closed:
    """A line whose server always says the same."""

    is_within = False

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.tries = 0

    async def connect(self, spawn):
        self.tries += 1
        theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)

        def refuse(arrived) -> None:
            ours.send(self.refusal)

        ours.listen(refuse, lambda detail: None)
        return theirs


async def test_a_name_that_stays_taken_is_given_up(folder, monkeypatch):
    monkeypatch.setattr("runyard.worker.worker.NAME_PATIENCE", 0.5)
    line = Closed(Refusal("name_taken", "somebody has it"))

    with pytest.raises(WorkerRefused, match="somebody has it"):
        await Worker(line, WorkerSettings(folder=folder)).run()

    assert line.tries > 1


@pytest.mark.parametrize("code", ["locked", "token", "removed", "protocol"])
async def test_what_was_decided_is_not_tried_again(folder, code):
    line = Closed(Refusal(code, "no"))

    with pytest.raises(WorkerRefused) as refusal:
        await Worker(line, WorkerSettings(folder=folder)).run()

    assert (refusal.value.code, line.tries) == (code, 1)
