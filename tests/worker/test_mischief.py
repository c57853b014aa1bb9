"""What task code can do to the worker through its own channel: end itself, and nothing else.

Each of these once stopped the worker's loop, and with it the server, for good.
"""

import asyncio
import json
import textwrap

import pytest

from runyard.model.runs import Outcome
from runyard.worker import packets
from runyard.worker.settings import MEBIBYTE, ChildLimits
from tests.worker.server import a_worker, moment
from tests.worker.test_runs import HEAD, outputs

CHANNELS = textwrap.dedent(
    """
    import socket, threading

    def channels():
        found = []
        for number in range(3, 200):
            try:
                found.append(socket.socket(fileno=os.dup(number)))
            except OSError:
                pass
        return found

    def say(packet):
        for channel in channels():
            try:
                channel.send(bytes.fromhex(packet))
            except OSError:
                pass
    """
)

INNOCENT = HEAD + "@task\ndef main() -> int:\n    return 1\n"


async def goes_on(server):
    innocent = server.introduce(INNOCENT, company=2)
    async with asyncio.timeout(20):
        assert outputs(await server.run(innocent)) == {"result": 1}


@pytest.mark.parametrize("what", ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"])
async def test_a_channel_that_the_task_shut_down_does_not_hold_the_worker(server, what):
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main() -> None:\n    for channel in channels():\n"
        + f"        channel.shutdown(socket.{what})\n    time.sleep(0.2)\n"
    )

    first, *others = server.assign(version, [b"{}"] * 3)
    async with asyncio.timeout(30):
        ends = [await server.end_of(lease) for lease in (first, *others)]

    assert all(end.outcome in (Outcome.RAISED, Outcome.RETURNED) for end in ends)
    await goes_on(server)


async def test_a_run_behind_one_that_closed_its_channel_goes_to_another_child(server):
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main(shut: bool) -> int:\n    if shut:\n"
        + "        def late():\n            time.sleep(0.05)\n            for c in channels():\n"
        + "                c.shutdown(socket.SHUT_RD)\n            time.sleep(5)\n"
        + "        threading.Thread(target=late, daemon=True).start()\n    return 1\n"
    )
    await server.run(version, b'{"shut":true}')
    await moment(0.3)

    async with asyncio.timeout(20):
        end = await server.run(version, b'{"shut":false}')

    assert outputs(end) == {"result": 1}


async def test_a_child_that_misbehaved_while_idle_gets_no_further_run(server):
    """R3: the next run was handed to it while it was being ended, and counted as lost."""
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main(late: bool) -> int:\n    if late:\n"
        + "        def misbehave():\n            time.sleep(0.1)\n            say('00')\n"
        + "        threading.Thread(target=misbehave, daemon=True).start()\n"
        + "    return os.getpid()\n"
    )
    pid = outputs(await server.run(version, b'{"late":true}'))["result"]
    [child] = server.worker.nursery.children.values()
    async with asyncio.timeout(20):
        while child.ending is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)  # noqa: TID251 - lets the worker go on

    end = await server.run(version, b'{"late":false}')

    assert outputs(end)["result"] != pid


async def test_an_empty_packet_is_no_end_of_the_channel(server):
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main() -> None:\n    for channel in channels():\n"
        + "        channel.send(b'')\n    time.sleep(60)\n"
    )

    async with asyncio.timeout(20):
        end = await server.run(version)

    assert end.error.kind == "ChannelBroken"
    await goes_on(server)


async def test_a_flood_of_packets_leaves_others_their_turn(server):
    # Packets that a child may say at any time, faster than anybody reads them.
    packet = packets.encode(packets.SelfKill(1001, 0)).hex()
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main() -> None:\n    work, _ = channels()\n"
        + f"    packet = bytes.fromhex('{packet}')\n    send = work.send\n"
        + "    def flood():\n        while True:\n            send(packet)\n"
        + "    for _ in range(3):\n        if os.fork() == 0:\n            flood()\n"
        + "    flood()\n"
    )
    [lease] = server.assign(version)
    await server.begun(lease)

    await goes_on(server)

    async with asyncio.timeout(20):
        assert await server.kill([lease]) == (lease,)


async def test_a_thread_that_prints_without_end_does_not_hold_the_end_of_its_run(server):
    version = server.introduce(
        HEAD
        + CHANNELS
        + "@task\ndef main() -> int:\n    line = b'x' * 65_536\n"
        + "    def flood():\n        while True:\n            os.write(1, line)\n"
        + "    threading.Thread(target=flood, daemon=True).start()\n"
        + "    time.sleep(0.2)\n    return 1\n"
    )

    async with asyncio.timeout(30):
        end = await server.run(version)

    assert outputs(end) == {"result": 1}
    await goes_on(server)


INFINITE, NOTHING = float("inf"), float("nan")


@pytest.mark.parametrize(
    "said",
    [
        packets.Finished(1001, "returned", 1.0, NOTHING, b"{}"),
        packets.Finished(1001, "returned", 1.0, -1.0, b"{}"),
        packets.Finished(1001, "returned", 1.0, 2.0, b"{}", logged_errors=2**63),
        packets.Finished(1001, "returned", 1.0, 2.0, b"{}", logged_errors=-1),
        packets.StepTaken(1001, "a\0b", 0, b"1"),
        packets.StepTaken(1001, "a", 2**63, b"1"),
        packets.StepTaken(1001, "a", -1, b"1"),
        packets.Lines(1001, 2**62, packets.encode([])),
        packets.Lines(1001, -5, packets.encode([])),
    ],
)
async def test_numbers_that_cannot_be_end_the_run_that_says_them(server, said):
    version = server.introduce(
        HEAD
        + CHANNELS
        + f"@task\ndef main() -> None:\n    say('{packets.encode(said).hex()}')\n"
        + "    time.sleep(60)\n"
    )

    async with asyncio.timeout(20):
        end = await server.run(version)

    assert end.error.kind == "ChannelBroken"
    await goes_on(server)


async def test_an_end_in_a_far_future_is_one_now(server):
    said = packets.encode(packets.Finished(1001, "raised", INFINITE, INFINITE)).hex()
    version = server.introduce(
        HEAD + CHANNELS + f"@task\ndef main() -> None:\n    say('{said}')\n    time.sleep(60)\n"
    )

    async with asyncio.timeout(20):
        end = await server.run(version)

    assert end.begun_at <= end.finished_at
    assert end.finished_at.year < 2200
    await goes_on(server)


async def test_progress_that_is_no_number_is_not_told(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> None:\n    log.progress(float('nan'), 1)\n"
        + "    log.progress(1, float('inf'))\n"
    )

    end = await server.run(version)

    assert end.outcome is Outcome.RETURNED
    assert not [frame for frame in server.frames if type(frame).__name__ == "Progress"]


BOMB = (
    HEAD
    + "@task\ndef main() -> None:\n    while True:\n        try:\n            os.fork()\n"
    + "        except OSError:\n            pass\n"
)
MANY = (
    HEAD
    + "@task\ndef main(count: int) -> int:\n    ballast = bytearray(b'x') * 20_000_000\n"
    + "    started = []\n    for _ in range(count):\n        pid = os.fork()\n"
    + "        if pid == 0:\n            time.sleep(600)\n        started.append(pid)\n"
    + "    time.sleep(0.5)\n    for pid in started:\n        os.kill(pid, 9)\n"
    + "    return len(ballast)\n"
)


async def test_pages_that_forked_processes_have_in_common_count_once(folder):
    # 60 processes with 20 MB each that is one and the same 20 MB.
    async with a_worker(folder, limits=ChildLimits(memory=300 * MEBIBYTE)) as server:
        version = server.introduce(MANY)

        end = await server.run(version, json.dumps({"count": 60}).encode())

        assert outputs(end) == {"result": 20_000_000}


async def test_a_fork_bomb_is_named_for_what_it_is(folder):
    async with a_worker(folder, limits=ChildLimits(processes=40)) as server:
        async with asyncio.timeout(40):
            end = await server.run(server.introduce(BOMB))

        assert end.error.kind == "ProcessLimitExceeded"
