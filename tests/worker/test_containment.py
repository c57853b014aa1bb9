"""What task code can do to others: nothing that is promised at the level reached here."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runyard.model.runs import Outcome
from runyard.protocol.frames import Assignment, Assignments, Lease
from runyard.worker import isolation
from runyard.worker.clock import instant, wall
from runyard.worker.descendants import children_of, descendants_of
from runyard.worker.settings import MEBIBYTE, ChildLimits
from tests.worker.server import a_worker, moment
from tests.worker.test_runs import HEAD, outputs

SCATTER = textwrap.dedent(
    """
    def scatter():
        # A grandchild in a session of its own, whose parent is gone.
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                os.write(writing, b"%d " % os.getpid())
                time.sleep(600)
            os.write(writing, b"%d " % os.getpid())
            time.sleep(600 if DEEP else 0)
            os._exit(0)
        time.sleep(0.3)
        return [int(pid) for pid in os.read(reading, 100).split()]
    """
)


def exists(pid):
    return os.path.exists(f"/proc/{pid}")


async def ended(pid):
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


async def gone(*pids, within=10):
    async with asyncio.timeout(within):
        for pid in pids:
            await ended(pid)


def pss_of(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [kib] = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
    return kib * 1024


def zygote_of(server):
    [zygote] = server.worker.nursery.zygotes
    return zygote


@pytest.mark.parametrize("deep", [True, False])
async def test_a_kill_reaches_descendants_that_hid_themselves(server, deep):
    version = server.introduce(
        HEAD
        + f"DEEP = {deep}\n"
        + SCATTER
        + "@task\ndef main() -> None:\n"
        + "    log.info(' '.join(map(str, scatter())))\n    time.sleep(600)\n"
    )
    [lease] = server.assign(version)
    await server.until(lambda: server.text(lease), within=20)
    pids = [int(pid) for pid in server.text(lease)[0].split()]
    assert len(pids) == 2
    assert exists(pids[0]) or exists(pids[1])

    killed = await server.kill([lease])

    assert killed == (lease,)
    assert not any(exists(pid) for pid in pids)
    assert not list(descendants_of(zygote_of(server).pid))
    assert lease.run_id not in server.ends


async def test_what_a_run_leaves_behind_is_dead_before_its_end_is_reported(server):
    version = server.introduce(
        HEAD + "DEEP = False\n" + SCATTER + "@task\ndef main() -> list:\n    return scatter()\n"
    )

    end = await server.run(version)

    pids = outputs(end)["result"]
    assert len(pids) == 2
    assert not any(exists(pid) for pid in pids)
    again = await server.run(version)
    assert again.outcome is Outcome.RETURNED


async def test_what_a_crashing_run_leaves_behind_is_dead_before_its_end_is_reported(server):
    version = server.introduce(
        HEAD
        + "DEEP = True\n"
        + SCATTER
        + "@task\ndef main() -> None:\n"
        + "    os.write(1, repr(scatter()).encode())\n    os._exit(1)\n"
    )

    [lease] = server.assign(version)
    end = await server.end_of(lease)

    pids = json.loads(server.text(lease)[0])
    assert end.outcome is Outcome.RAISED
    assert not any(exists(pid) for pid in pids)


async def test_a_fork_bomb_is_ended(folder):
    limits = ChildLimits(processes=60)
    async with a_worker(folder, limits=limits) as server:
        bomb = server.introduce(
            HEAD
            + "@task\ndef main() -> None:\n    while True:\n        try:\n            os.fork()\n"
            + "        except OSError:\n            pass\n",
            timeout=timedelta(seconds=3),
        )
        other = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n", company=2)
        [lease] = server.assign(bomb)
        await server.begun(lease)

        meanwhile = await server.run(other)
        end = await server.end_of(lease)

        assert meanwhile.outcome is Outcome.RETURNED
        assert end.outcome in (Outcome.TIMED_OUT, Outcome.RAISED)
        [child] = server.worker.nursery.children.values()
        assert children_of(zygote_of(server).pid) == [child.pid]


async def test_a_run_that_takes_too_much_memory_is_ended(folder):
    limits = ChildLimits(memory=200 * MEBIBYTE)
    async with a_worker(folder, limits=limits) as server:
        version = server.introduce(
            HEAD
            + "@task\ndef main() -> None:\n    kept = []\n    while True:\n"
            + "        kept.append(bytearray(b'x') * 4_000_000)\n        time.sleep(0.005)\n"
        )

        end = await server.run(version)

        assert end.outcome is Outcome.RAISED
        assert end.error.kind == "MemoryLimitExceeded"


async def test_memory_of_what_a_run_starts_counts_too(folder):
    limits = ChildLimits(memory=200 * MEBIBYTE)
    async with a_worker(folder, limits=limits) as server:
        version = server.introduce(
            HEAD
            + "@task\ndef main() -> None:\n    for _ in range(3):\n        if os.fork() == 0:\n"
            + "            kept = b'x' * 100_000_000\n            time.sleep(600)\n"
            + "    time.sleep(600)\n"
        )

        end = await server.run(version)

        assert end.error.kind == "MemoryLimitExceeded"


async def test_no_process_is_left_after_many_runs(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main(kind: int) -> None:\n"
        + "    if kind % 10 == 1:\n        subprocess.run(['true'])\n"
        + "    if kind % 10 == 2:\n        subprocess.Popen(['sleep', '600'])\n"
        + "    if kind % 50 == 3:\n        os._exit(0)\n"
        + "    if kind % 10 == 4:\n        raise ValueError\n"
    )

    leases = server.assign(version, [b'{"kind":%d}' % number for number in range(500)])
    for lease in leases:
        await server.end_of(lease)

    known = {child.pid for child in server.worker.nursery.children.values()}
    assert set(descendants_of(zygote_of(server).pid)) == known
    assert len(known) <= 2


async def test_a_copy_that_a_task_forked_reports_nothing(server):
    version = server.introduce(
        HEAD + "@task\ndef main() -> bool:\n    return os.fork() == 0\n",
    )

    ends = [await server.run(version) for _ in range(10)]

    assert [outputs(end) for end in ends] == [{"result": False}] * 10


async def test_a_recall_takes_back_exactly_what_has_not_begun(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main(pause: float) -> None:\n    log.info('ran')\n    time.sleep(pause)\n"
    )
    for lease in server.assign(version, [b'{"pause":0}'] * 20):
        await server.end_of(lease)
    leases = server.assign(version, [b'{"pause":0.4}'] * 12)
    await server.begun(leases[0])

    recalled = await server.recall(leases)
    answered_at = instant(wall())

    kept = [lease for lease in leases if lease not in recalled]
    for lease in kept:
        # Taken before the answer, even where the report of it came later.
        assert (await server.end_of(lease)).begun_at <= answered_at
    after = await server.run(version, b'{"pause":0}')
    assert after.outcome is Outcome.RETURNED
    assert len(kept) in (1, 2)
    assert not any(server.text(lease) for lease in recalled)
    assert not any(lease.run_id in server.ends for lease in recalled)


async def test_recalls_in_the_middle_of_short_runs_lose_and_double_nothing(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    log.info('ran')\n")
    await server.run(version)
    recalled = []
    leases = []
    for _ in range(30):
        batch = server.assign(version, [b"{}"] * 40)
        leases += batch
        await moment(0.001)
        recalled += await server.recall(batch[1::2])

    kept = [lease for lease in leases if lease not in set(recalled)]
    for lease in kept:
        await server.end_of(lease)

    assert recalled
    for lease in kept:
        assert server.text(lease) == ["ran"]
    for lease in recalled:
        assert not server.text(lease)
        assert lease.run_id not in server.ends


async def test_short_runs_behind_one_that_turns_out_long_go_to_another_child(server):
    version = server.introduce(
        HEAD + "@task\ndef main(pause: float) -> None:\n    time.sleep(pause)\n"
    )
    for lease in server.assign(version, [b'{"pause":0}'] * 50):
        await server.end_of(lease)

    long, *short = server.assign(version, [b'{"pause":30}'] + [b'{"pause":0}'] * 30)
    async with asyncio.timeout(10):
        for lease in short:
            await server.end_of(lease)

    assert long.run_id not in server.ends
    await server.kill([long])


async def test_a_kill_spares_the_runs_behind_the_killed_one(server):
    version = server.introduce(
        HEAD + "@task\ndef main(pause: float) -> None:\n    time.sleep(pause)\n"
    )
    for lease in server.assign(version, [b'{"pause":0}'] * 50):
        await server.end_of(lease)
    leases = server.assign(version, [b'{"pause":60}'] * 2 + [b'{"pause":0}'] * 6)
    await server.begun(leases[0])
    await server.begun(leases[1])

    await server.kill(leases[:2])

    for lease in leases[2:]:
        assert (await server.end_of(lease)).outcome is Outcome.RETURNED


async def test_a_child_is_small_before_it_loads_code(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    pass\n")
    await server.run(version)
    [child] = server.worker.nursery.children.values()

    for pid in (child.pid, zygote_of(server).pid):
        assert pss_of(pid) < 15 * MEBIBYTE


async def test_a_child_has_loaded_nothing_of_the_server(server):
    version = server.introduce(
        HEAD + "@task\ndef main() -> list:\n    return sorted(sys.modules)\n"
    )

    modules = outputs(await server.run(version))["result"]

    halves = {name.split(".")[1] for name in modules if name.startswith("runyard.")}
    assert halves <= {"model", "protocol", "sdk", "worker"}
    foreign = {"apsw", "litestar", "httpx", "psycopg", "uvicorn", "websockets", "structlog"}
    assert not foreign & set(modules)


def test_the_worker_has_loaded_nothing_of_the_server():
    program = "import sys, runyard.worker.worker; print('\\n'.join(sys.modules))"

    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    halves = {name.split(".")[1] for name in listed if name.startswith("runyard.")}
    assert not halves & {"engine", "stores", "web", "dialects", "gateway", "console", "server"}


async def test_a_task_sees_nothing_of_the_servers_environment(server):
    version = server.introduce(HEAD + "@task\ndef main() -> list:\n    return sorted(os.environ)\n")

    names = outputs(await server.run(version))["result"]

    assert names == ["HOME", "LANG", "PATH", "TMPDIR"]


async def test_a_task_inherits_no_descriptors_but_its_own(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> list:\n    found = []\n    for number in range(3, 200):\n"
        + "        try:\n            os.fstat(number)\n        except OSError:\n            continue\n"
        + "        found.append(number)\n    return found\n"
    )

    found = outputs(await server.run(version))["result"]

    assert len(found) == 2


SNOOP = """
@task
def main(paths: list) -> dict:
    seen = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                seen[path] = len(file.read(100))
        except OSError as error:
            seen[path] = type(error).__name__
    return seen
"""


async def test_a_task_cannot_read_what_is_not_its_own(server, folder, tmp_path):
    if server.worker.nursery.isolation.level is isolation.Level.BARE:
        pytest.skip("nothing is promised at this level")
    database = tmp_path / "server.db"
    database.write_bytes(b"rows")
    database.chmod(0o600)
    other = server.introduce(
        HEAD + "@task\ndef main() -> str:\n    open('mine', 'w').write('x')\n    time.sleep(60)\n",
        company=2,
    )
    [lease] = server.assign(other)
    await server.begun(lease)
    [neighbour] = server.worker.nursery.children.values()
    paths = [
        str(database),
        f"/proc/{os.getpid()}/environ",
        f"/proc/{os.getppid()}/environ",
        f"/proc/{neighbour.pid}/environ",
        str(neighbour.folder / "run" / "mine"),
        "/etc/shadow",
    ]
    version = server.introduce(HEAD + SNOOP)

    seen = outputs(await server.run(version, json.dumps({"paths": paths}).encode()))["result"]

    await server.kill([lease])
    assert all(isinstance(result, str) for result in seen.values()), seen


async def test_a_task_can_write_in_its_own_folder_only(server, folder):
    if server.worker.nursery.isolation.level is isolation.Level.BARE:
        pytest.skip("nothing is promised at this level")
    version = server.introduce(
        HEAD
        + "import pathlib\n@task\ndef main(folders: list) -> list:\n    done = []\n"
        + "    for folder in folders:\n        try:\n"
        + "            pathlib.Path(folder, 'x').write_text('x')\n"
        + "            done.append(folder)\n        except OSError:\n            pass\n"
        + "    return done\n"
    )
    folders = [".", "/tmp", "/var/tmp", str(folder), str(folder / "bundles"), "/", "/etc"]

    done = outputs(await server.run(version, json.dumps({"folders": folders}).encode()))

    assert done == {"result": ["."]}


async def test_a_task_can_signal_nobody_else(server):
    if server.worker.nursery.isolation.level in (isolation.Level.BARE, isolation.Level.CONFINED):
        pytest.skip("promised with users of their own")
    version = server.introduce(
        HEAD
        + "@task\ndef main(pids: list) -> list:\n    reached = []\n    for pid in pids:\n"
        + "        try:\n            os.kill(pid, 0)\n            reached.append(pid)\n"
        + "        except PermissionError:\n            pass\n    return reached\n"
    )
    await server.run(version, b'{"pids":[]}')
    pids = [os.getpid(), zygote_of(server).pid, 1]

    reached = outputs(await server.run(version, json.dumps({"pids": pids}).encode()))

    assert reached == {"result": []}


async def test_a_worker_without_own_users_confines_its_children_all_the_same(folder, tmp_path):
    async with a_worker(folder, own_users=False) as server:
        if not server.worker.nursery.isolation.landlock:
            pytest.skip("the kernel has no Landlock")
        secret = tmp_path / "secret"
        secret.write_text("x")
        version = server.introduce(HEAD + SNOOP)
        paths = json.dumps({"paths": [str(secret), f"/proc/{os.getpid()}/environ"]}).encode()

        seen = outputs(await server.run(version, paths))["result"]

        assert all(isinstance(result, str) for result in seen.values()), seen


async def test_a_dead_zygote_is_replaced(server):
    version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(60)\n")
    quick = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 5\n", company=2)
    [lease] = server.assign(version)
    await server.begun(lease)
    [child] = server.worker.nursery.children.values()

    os.kill(zygote_of(server).pid, signal.SIGKILL)
    end = await server.end_of(lease)

    assert end.outcome is Outcome.KILLED
    assert outputs(await server.run(quick)) == {"result": 5}
    await gone(child.pid)


STARTS_A_PROGRAM = """
@task
def main() -> None:
    program = subprocess.Popen(["sleep", "600"], start_new_session=True)
    log.info(str(program.pid))
    time.sleep(600)
"""

WORKER_PROGRAM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.worker.server import a_worker, moment
from tests.worker.test_runs import HEAD

async def main():
    async with a_worker(Path({folder!r})) as server:
        version = server.introduce(HEAD + {source!r})
        [lease] = server.assign(version)
        await server.until(lambda: server.text(lease))
        [child] = server.worker.nursery.children.values()
        [zygote] = server.worker.nursery.zygotes
        print(child.pid, zygote.pid, *server.text(lease), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_children_die_with_their_worker(folder):
    root = str(Path(__file__).parents[2])
    program = WORKER_PROGRAM.format(root=root, folder=str(folder), source=STARTS_A_PROGRAM)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE
    )
    pids = [int(pid) for pid in (await worker.stdout.readline()).split()]
    assert len(pids) == 3

    worker.kill()

    await worker.wait()
    await gone(*pids)


async def test_children_are_killed_before_the_leases_end(folder):
    async with a_worker(folder, acknowledged=False) as server:
        version = server.introduce(HEAD + "@task\ndef main() -> None:\n    time.sleep(600)\n")
        [lease] = server.assign(version)
        await server.begun(lease)
        [child] = server.worker.nursery.children.values()
        started = asyncio.get_running_loop().time()

        await server.until(lambda: server.is_closed, within=20)

        lasted = asyncio.get_running_loop().time() - started
        assert lasted < 1.5
        await gone(child.pid)


async def test_kills_that_race_with_ends_are_always_answered(server):
    version = server.introduce(
        HEAD + "@task\ndef main(pause: float) -> None:\n    time.sleep(pause)\n"
    )
    await server.run(version, b'{"pause":0}')
    leases = []
    async with asyncio.timeout(30):
        for number in range(40):
            pause = number % 8 / 1000
            batch = server.assign(version, [b'{"pause":%f}' % pause] * 3)
            leases += batch
            await moment(0.001 + number % 5 / 1000)

            killed = await server.kill(batch[:1])

            assert killed == tuple(batch[:1])
            for lease in batch[1:]:
                assert (await server.end_of(lease)).outcome in (Outcome.RETURNED, Outcome.LOST)


async def test_shared_memory_is_a_childs_own_and_goes_with_it(folder):
    # It was one folder for all companies, and what was left there filled the memory for ever.
    async with a_worker(folder, limits=ChildLimits(shared_memory=4 * MEBIBYTE)) as server:
        if not server.worker.nursery.isolation.own_users:
            pytest.skip("children have no users, and no shared memory, of their own")
        source = (
            HEAD
            + "@task\ndef main() -> list:\n    before = os.listdir('/dev/shm')\n"
            + "    file = open('/dev/shm/left', 'wb')\n    try:\n"
            + "        file.write(bytes(8_000_000))\n        file.flush()\n"
            + "    except OSError as error:\n        return [before, error.errno]\n"
        )
        ends = [await server.run(server.introduce(source, company=company)) for company in (1, 2)]

        assert [outputs(end) for end in ends] == [{"result": [[], errno.ENOSPC]}] * 2
        assert "left" not in os.listdir("/dev/shm")


@pytest.mark.parametrize(
    "fill", ["open(f'{n}', 'wb').write(bytes(1_000_000))", "os.makedirs(f'd/{n}')"]
)
async def test_a_run_that_fills_the_disk_is_ended(folder, fill):
    # Each file was limited, but not their number: the database found no room any more.
    limits = ChildLimits(scratch=30 * MEBIBYTE, scratch_files=500)
    async with a_worker(folder, limits=limits) as server:
        version = server.introduce(
            HEAD
            + f"@task\ndef main() -> None:\n    for n in range(100_000):\n        {fill}\n"
            + "        time.sleep(0.001)\n    time.sleep(60)\n"
        )

        async with asyncio.timeout(30):
            end = await server.run(version)

        assert end.error.kind == "DiskLimitExceeded"


async def test_what_a_run_keeps_within_its_limits_is_its_own_matter(folder):
    limits = ChildLimits(scratch=30 * MEBIBYTE, scratch_files=500)
    async with a_worker(folder, limits=limits) as server:
        version = server.introduce(
            HEAD
            + "@task\ndef main() -> None:\n    open('a', 'wb').write(bytes(20_000_000))\n"
            + "    time.sleep(2.5)\n"
        )

        assert (await server.run(version)).outcome is Outcome.RETURNED


async def test_the_end_of_one_attempt_is_not_taken_for_that_of_the_next(server):
    """R6: the first attempt's child was still dying when the second one was to be killed, too."""
    version = server.introduce(
        HEAD + "@task\ndef main(seconds: float) -> None:\n    time.sleep(seconds)\n"
    )
    two = server.assign(version, [b'{"seconds":0.3}'] * 2)
    await asyncio.gather(*(server.end_of(lease) for lease in two))  # each in a child of its own
    long = msgspec.Raw(b'{"seconds":600}')
    [lease] = server.assign(version, [bytes(long)])
    await server.begun(lease)
    zygote = zygote_of(server)
    os.kill(zygote.pid, signal.SIGSTOP)
    first = asyncio.ensure_future(server.kill([lease]))
    await moment(0.1)
    del server.starts[lease.run_id]
    again = Assignment(lease.run_id, lease.token + 1, version, "public", 2, long, ())
    server.say(Assignments((again,)))
    await server.begun(lease)
    second = asyncio.ensure_future(server.kill([Lease(lease.run_id, lease.token + 1)]))
    await moment(0.1)
    assert not first.done()
    assert not second.done()

    os.kill(zygote.pid, signal.SIGCONT)

    async with asyncio.timeout(30):
        assert await first == (lease,)
        assert await second == (Lease(lease.run_id, lease.token + 1),)
    assert server.worker.pool.busy == 0
