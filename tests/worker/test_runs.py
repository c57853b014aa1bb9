"""Runs in real children: what comes back, in every way a run can end."""

import asyncio
import base64
import json
import os
import signal
from datetime import timedelta

import pytest

from runyard.model.logs import LogLevel
from runyard.model.runs import Outcome
from runyard.protocol.frames import FILE_WINDOW, Begun, Drain, Goodbye, Hello, Recalled, Refusal
from runyard.protocol.memory import memory_pair
from runyard.worker import packets
from runyard.worker.settings import WorkerSettings
from runyard.worker.transport import Within, WorkerRefused
from runyard.worker.worker import Worker
from tests.worker.server import a_worker, moment

HEAD = (
    "import os, sys, time, subprocess, signal\nfrom runyard import task, log, step, context, File\n"
)


def outputs(end):
    return None if end.output is None else json.loads(bytes(end.output))


async def test_a_run_returns_its_outputs(server):
    version = server.introduce(HEAD + "@task\ndef main(x: int) -> int:\n    return x + 1\n")

    end = await server.run(version, b'{"x": 41}')

    assert end.outcome is Outcome.RETURNED
    assert outputs(end) == {"result": 42}
    assert end.begun_at <= end.finished_at


async def test_a_strict_umask_of_whoever_starts_a_worker_shuts_no_child_out(folder):
    before = os.umask(0o077)
    try:
        async with a_worker(folder) as server:
            version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 42\n")
            end = await server.run(version)
    finally:
        os.umask(before)

    assert end.outcome is Outcome.RETURNED


async def test_a_run_that_returns_nothing_has_no_output(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    pass\n")

    end = await server.run(version)

    assert end.outcome is Outcome.RETURNED
    assert end.output is None


async def test_an_error_is_reported_with_the_tasks_own_frames(server):
    version = server.introduce(
        HEAD
        + "def inner():\n    raise ValueError('no zip')\n@task\ndef main() -> None:\n    inner()\n"
    )

    end = await server.run(version)

    assert end.outcome is Outcome.RAISED
    assert (end.error.kind, end.error.message) == ("ValueError", "no zip")
    assert "inner" in end.error.traceback
    assert "runyard" not in end.error.traceback.replace("from runyard", "")


async def test_input_that_does_not_fit_never_reaches_the_code(server):
    version = server.introduce(HEAD + "@task\ndef main(x: int) -> int:\n    return x\n")

    end = await server.run(version, b'{"x": "many"}')

    assert end.outcome is Outcome.INPUT_INVALID
    assert end.begun_at is None
    assert "x" in end.error.message


async def test_code_that_cannot_be_imported_is_not_loaded(server):
    version = server.introduce("import no_such_module\n")

    end = await server.run(version)

    assert end.outcome is Outcome.NOT_LOADED
    assert "no_such_module" in end.error.message


async def test_a_bundle_that_the_server_does_not_have_is_not_loaded(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    pass\n")
    server.blobs.clear()

    end = await server.run(version)

    assert end.outcome is Outcome.NOT_LOADED


async def test_leaving_the_process_counts_as_raised(server):
    for line in (
        "sys.exit(3)",
        "os._exit(3)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.abort()",
    ):
        version = server.introduce(HEAD + f"@task\ndef main() -> None:\n    {line}\n")

        end = await server.run(version)

        assert end.outcome is Outcome.RAISED, line
        assert end.begun_at is not None
        assert end.signal is None


async def test_a_signal_from_outside_is_told_apart(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(60)\n")
    [lease] = server.assign(version)
    await server.begun(lease)

    [child] = server.worker.nursery.children.values()
    os.kill(child.pid, signal.SIGKILL)
    end = await server.end_of(lease)

    assert end.outcome is Outcome.KILLED
    assert end.signal == signal.SIGKILL


async def test_the_others_go_on_when_a_child_dies(server):
    version = server.introduce(
        HEAD + "@task\ndef main(die: bool) -> None:\n    if die:\n        os._exit(1)\n"
    )

    leases = server.assign(version, [b'{"die":%s}' % d for d in [b"true", b"false"] * 10])
    ends = [await server.end_of(lease) for lease in leases]

    assert [end.outcome for end in ends] == [Outcome.RAISED, Outcome.RETURNED] * 10


async def test_a_timeout_kills_the_child(server):
    version = server.introduce(
        HEAD + "@task\ndef main() -> None:\n    while True: pass\n",
        timeout=timedelta(milliseconds=300),
    )

    end = await server.run(version)

    assert end.outcome is Outcome.TIMED_OUT
    lasted = end.finished_at - end.begun_at
    assert timedelta(milliseconds=250) < lasted < timedelta(seconds=5)


async def test_the_beginning_of_a_long_run_is_reported_while_it_runs(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(0.3)\n")
    [lease] = server.assign(version)

    start = await server.begun(lease)
    end = await server.end_of(lease)

    assert lease.run_id in server.starts
    assert start.token == lease.token
    assert start.at == end.begun_at


async def test_every_run_is_reported_once_and_under_its_own_token(server):
    version = server.introduce(HEAD + "@task\ndef main(x: int) -> int:\n    return x\n")

    leases = server.assign(version, [b'{"x":%d}' % number for number in range(500)])
    ends = [await server.end_of(lease) for lease in leases]

    assert [outputs(end)["result"] for end in ends] == list(range(500))
    assert [end.token for end in ends] == [lease.token for lease in leases]
    begun = [start.run_id for f in server.frames if isinstance(f, Begun) for start in f.starts]
    assert len(begun) == len(set(begun))


async def test_large_values_pass_both_ways(server):
    version = server.introduce(HEAD + "@task\ndef main(text: str) -> str:\n    return text[::-1]\n")
    text = "ab" * 1_500_000

    end = await server.run(version, json.dumps({"text": text}).encode())

    assert outputs(end) == {"result": text[::-1]}


async def test_lines_are_numbered_levelled_and_sent_before_the_end(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> None:\n"
        + "    log.info('one')\n    print('two')\n    print('three', file=sys.stderr)\n"
        + "    log.error('four')\n"
    )

    [lease] = server.assign(version)
    end = await server.end_of(lease)

    lines = server.lines[lease.run_id]
    assert [(line.number, line.text) for line in lines] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
        (4, "four"),
    ]
    assert [line.level for line in lines] == [
        LogLevel.INFO,
        LogLevel.INFO,
        LogLevel.WARNING,
        LogLevel.ERROR,
    ]
    assert end.logged_errors == 1


async def test_a_line_is_seen_while_the_run_goes_on(server):
    version = server.introduce(
        HEAD + "@task\ndef main() -> None:\n    log.info('early')\n    time.sleep(60)\n"
    )
    [lease] = server.assign(version)

    await server.until(lambda: server.text(lease) == ["early"], within=10)

    assert lease.run_id not in server.ends
    await server.kill([lease])


async def test_what_programs_write_is_captured_too(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> None:\n"
        + "    subprocess.run(['sh', '-c', 'echo out; echo err >&2; printf last'])\n"
        + "    os.write(1, b'raw\\n')\n"
    )

    [lease] = server.assign(version)
    await server.end_of(lease)

    assert sorted(server.text(lease)) == ["err", "lastraw", "out"]


async def test_a_flood_of_lines_is_cut_in_the_middle(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> None:\n"
        + "    line = 'x' * 999\n"
        + "    for _ in range(100_000):\n        print(line)\n    print('the end')\n"
    )

    [lease] = server.assign(version)
    end = await server.end_of(lease)

    lines = server.lines[lease.run_id]
    assert end.outcome is Outcome.RETURNED
    assert lines[0].number == 1
    assert (lines[-1].number, lines[-1].text) == (100_001, "the end")
    assert len(lines) + server.dropped[lease.run_id] == 100_001
    assert sum(len(line.text) for line in lines) < 11 * 1024 * 1024


async def test_a_flood_from_a_program_is_cut_in_the_middle(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> None:\n"
        + "    subprocess.run('yes 0123456789012345678901234567890123456789 | head -c 100000000',"
        + " shell=True)\n"
    )

    [lease] = server.assign(version)
    await server.end_of(lease)

    lines = server.lines[lease.run_id]
    assert len(lines) + server.dropped[lease.run_id] >= 100_000_000 // 41
    assert sum(len(line.text) for line in lines) < 11 * 1024 * 1024


async def test_steps_are_recorded_and_answered_from_the_journal(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> int:\n"
        + "    return step('one', lambda: 1) + step('two', lambda: 2)\n"
    )

    end = await server.run(version)

    steps = [frame for frame in server.frames if type(frame).__name__ == "StepDone"]
    assert outputs(end) == {"result": 3}
    assert [(taken.name, bytes(taken.value)) for taken in steps] == [("one", b"1"), ("two", b"2")]


async def test_a_run_whose_lease_is_lost_at_a_step_does_not_go_on(server):
    server.lose_steps = True
    version = server.introduce(
        HEAD + "@task\ndef main() -> int:\n    step('one', lambda: 1)\n    return 2\n"
    )
    other = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 3\n")

    [lost] = server.assign(version)
    await server.until(lambda: [f for f in server.frames if type(f).__name__ == "StepDone"])
    end = await server.run(other)

    assert outputs(end) == {"result": 3}
    assert lost.run_id not in server.ends
    await server.until(lambda: len(server.worker.nursery.children) == 1)


async def test_files_come_with_the_input_and_go_with_the_output(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main(data: File) -> File:\n"
        + "    return File.write('copy.txt', data.read_text().upper() * 100_000)\n"
    )
    digest = server.keep(b"some text")
    raw = json.dumps(
        {
            "data": {
                "file": 1,
                "name": "data.txt",
                "content_type": "text/plain",
                "size": 9,
                "digest": digest,
            }
        }
    ).encode()

    end = await server.run(version, raw)

    [(offered, data)] = server.kept
    assert end.outcome is Outcome.RETURNED, end.error
    assert data == b"SOME TEXT" * 100_000
    assert offered.name == "copy.txt"
    assert outputs(end)["result"]["size"] == len(data)


async def test_a_large_file_is_sent_no_faster_than_the_server_takes_it(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> File:\n"
        + "    return File.write('big', b'0123456789' * 1_500_000)\n"
    )
    server.takes_files = False
    [lease] = server.assign(version)
    await server.until(lambda: server.received() >= FILE_WINDOW)
    await moment(0.3)
    assert server.received() < FILE_WINDOW + 200_000

    server.takes_files = True
    server.take_files()
    end = await server.end_of(lease)

    assert end.outcome is Outcome.RETURNED, end.error
    [(_, data)] = server.kept
    assert data == b"0123456789" * 1_500_000


@pytest.mark.parametrize("size", [0, 10, 1_000_000, 15_000_000])
async def test_a_file_that_the_server_refuses_ends_the_run_with_the_reason(server, size):
    server.refuses_files = "no room"
    version = server.introduce(
        HEAD + f"@task\ndef main() -> File:\n    return File.write('big', b'x' * {size})\n"
    )

    end = await server.run(version)

    assert end.outcome in (Outcome.OUTPUT_INVALID, Outcome.RAISED)
    assert "no room" in end.error.message


async def test_each_run_stands_in_an_empty_folder_of_its_own(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> list:\n"
        + "    seen = os.listdir('.')\n    open('left', 'w').write('x')\n"
        + "    os.makedirs('deep/er')\n    os.chmod('deep', 0)\n    return seen + [os.getcwd()]\n"
    )

    ends = [await server.run(version) for _ in range(5)]

    assert [end.error for end in ends] == [None] * 5
    seen = [outputs(end)["result"] for end in ends]
    assert all(len(names) == 1 for names in seen)


async def test_a_child_serves_every_task_of_its_bundle(server):
    source = HEAD + (
        "@task\ndef main() -> int:\n    return os.getpid()\n"
        "@task\ndef other() -> int:\n    return os.getpid()\n"
    )
    one, two = server.introduce(source), server.introduce(source, "other")

    first, second = await server.run(one), await server.run(two)

    assert outputs(first) == outputs(second)


async def test_companies_never_share_a_child(server):
    source = HEAD + "@task\ndef main() -> int:\n    return os.getpid()\n"
    one, two = server.introduce(source, company=1), server.introduce(source, company=2)

    first, second = await server.run(one), await server.run(two)

    assert outputs(first) != outputs(second)


async def test_asynchronous_tasks_run(server):
    version = server.introduce(
        "import asyncio\n"
        + HEAD
        + "@task\nasync def main() -> int:\n    await asyncio.sleep(0.01)\n    return 7\n"
    )

    end = await server.run(version)

    assert outputs(end) == {"result": 7}


async def test_a_child_is_replaced_after_its_share_of_runs(folder):
    async with a_worker(folder, recycle_runs=3, slots=1) as server:
        version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return os.getpid()\n")

        pids = [outputs(await server.run(version))["result"] for _ in range(7)]

        assert len(set(pids)) == 3


async def test_a_stopped_worker_lets_running_runs_end_and_gives_the_rest_back(folder):
    async with a_worker(folder, slots=1) as server:
        version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(0.5)\n")
        leases = server.assign(version, [b"{}"] * 3)
        await server.begun(leases[0])

    assert server.ends[leases[0].run_id].outcome is Outcome.RETURNED
    assert leases[1].run_id not in server.ends
    names = [type(frame).__name__ for frame in server.frames]
    assert names[-1] == "Goodbye"
    assert server.capacity == 0


async def test_nothing_waits_behind_long_runs_while_another_worker_may_be_idle(folder):
    async with a_worker(folder, slots=2) as server:
        quick = server.introduce(HEAD + "@task\ndef main() -> None:\n    pass\n")
        slow = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(60)\n")
        await server.run(quick)
        assert server.capacity > 2
        leases = server.assign(slow, [b"{}"] * 5)

        await server.until(lambda: server.capacity == 2)
        await server.until(lambda: any(isinstance(f, Recalled) for f in server.frames))

        [given] = [frame for frame in server.frames if isinstance(frame, Recalled)]
        assert (given.request, given.runs) == (0, tuple(leases[2:]))
        await server.kill(leases[:2])


async def test_runs_known_to_be_long_are_not_fetched_ahead(folder):
    async with a_worker(folder, slots=1) as server:
        version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(1.1)\n")
        first = await server.run(version)
        [lease] = server.assign(version, [b"{}"])
        await server.end_of(lease)

        assert first.outcome is Outcome.RETURNED
        assert server.capacity == 1


async def test_an_idle_worker_does_nothing_but_give_signs_of_life(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    pass\n")
    await server.run(version)
    count = len(server.frames)

    await moment(0.7)

    assert [type(frame).__name__ for frame in server.frames[count:]] in ([], ["Heartbeat"])


async def test_a_drained_worker_finishes_gives_back_and_leaves(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(0.4)\n")
    leases = server.assign(version, [b"{}"] * 5)
    await server.begun(leases[0])
    await server.begun(leases[1])

    server.say(Drain())
    await server.until(lambda: server.is_closed)

    assert {lease.run_id for lease in leases[:2]} == set(server.ends)
    [returned] = [frame.runs for frame in server.frames if isinstance(frame, Recalled)]
    assert set(returned) == set(leases[2:])
    assert isinstance(server.frames[-1], Goodbye)


async def test_a_refused_worker_says_why(folder):
    theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)
    worker = Worker(Within(theirs), WorkerSettings(folder=folder))

    def refuse(arrived):
        ours.send(Refusal("token", "expired"))

    ours.listen(refuse, lambda detail: None)

    with pytest.raises(WorkerRefused, match="expired"):
        await worker.run()


async def test_the_worker_says_which_isolation_it_reaches(folder):
    async with a_worker(folder, own_users=False) as server:
        hello = server.frames[0]

        assert isinstance(hello, Hello)
        assert hello.isolation.split(":")[0] in {"confined", "bare"}
        assert server.worker.nursery.isolation.own_users is False


async def test_the_capacity_follows_the_duration_of_runs(folder):
    async with a_worker(folder, slots=2) as server:
        version = server.introduce(
            HEAD + "@task\ndef main(pause: float) -> None:\n    time.sleep(pause)\n"
        )
        for lease in server.assign(version, [b'{"pause":0}'] * 300):
            await server.end_of(lease)
        await server.run(version, b'{"pause":0}')
        short = server.capacity

        for _ in range(60):
            await server.run(version, b'{"pause":0.03}')

        assert short > 20
        assert server.capacity == 2 * (1 + 2)


async def test_an_output_that_is_too_large_is_refused_with_its_size(server):
    version = server.introduce(HEAD + "@task\ndef main() -> str:\n    return 'x' * 5_000_000\n")

    end = await server.run(version)

    assert end.outcome is Outcome.OUTPUT_INVALID
    assert "5,000,0" in end.error.message


MISCHIEF = """
@task
def main(packets: list) -> None:
    import socket, base64
    for number in range(3, 200):
        try:
            channel = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        for packet in packets:
            channel.send(base64.b64decode(packet))
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "said",
    [
        [b"no packet at all"],
        [packets.encode(packets.Finished(1, "returned", 1.0, 2.0))],
        [packets.encode(packets.Started(1001, 1.0))],
        [packets.encode(packets.Finished(1001, "perfect", 1.0, 2.0))],
        [packets.encode(packets.FileBytes(b"x", last=True))],
        [packets.encode(packets.Piece(b"x" * 90_000))] * 250,
        [packets.encode(packets.FileStarted(1001, "a", "text/plain", 1))] * 2,
        [
            packets.encode(packets.FileStarted(1001, "a", "text/plain", 1)),
            *[packets.encode(packets.FileBytes(b"", last=False))] * 2,
        ],
    ],
)
async def test_a_run_that_says_what_no_child_says_is_ended(server, said):
    version = server.introduce(HEAD + MISCHIEF)
    texts = [base64.b64encode(packet).decode() for packet in said]

    end = await server.run(version, json.dumps({"packets": texts}).encode())

    assert end.outcome is Outcome.RAISED
    assert end.error.kind == "ChannelBroken"


PID = HEAD + "@task\ndef main() -> int:\n    return os.getpid()\n"


async def test_nothing_is_given_to_children_while_the_leases_may_be_over(server):
    """R5: after everything stood still, what was given away meanwhile does not begin here."""
    version = server.introduce(PID)
    pool = server.worker.pool
    pool._may_begin = lambda: False

    [lease] = server.assign(version)
    await moment(0.3)
    assert lease.run_id not in server.starts

    pool._may_begin = lambda: True
    pool.go_on()
    assert (await server.end_of(lease)).outcome is Outcome.RETURNED


async def test_a_run_that_was_taken_late_begins_only_while_the_leases_hold(server):
    """R5: a child that stood still asks before it begins what lay before it."""
    version = server.introduce(PID)
    pid = outputs(await server.run(version))["result"]
    pool = server.worker.pool
    os.kill(pid, signal.SIGSTOP)
    [lease] = server.assign(version)
    pool._may_begin = lambda: False
    await moment(0.7)

    os.kill(pid, signal.SIGCONT)
    await moment(0.3)
    assert lease.run_id not in server.starts

    pool._may_begin = lambda: True
    pool.go_on()
    assert outputs(await server.end_of(lease))["result"] == pid
