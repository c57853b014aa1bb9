"""`python -m benchmarks.outside`: what callbacks and input files by address cost, and how fast they go.

A server with a worker, and another system beside it, in a process of its own: it serves files, takes
callbacks at once or after two seconds. Prints the figures; those of a busy machine say little.
"""

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from runyard.sdk.client import Client
from runyard.sdk.client.operations.runs import NewCallback, NewRun
from tests.support.house import House, running_house

ROUNDS = 3
RUNS = 30_000
SLOW_CALLBACKS = 1_000
FAST_CALLBACKS = 3_000
FILES = 1_000
FILE_SIZE = 100 * 1024
BIG = 1024**3
SLOWNESS = 2.0
"""Seconds that a slow receiver takes for each callback."""
PART = 64 * 1024
COMPANY = "acme"
CODE = '''
from runyard import File, task


@task
def noop() -> None:
    """Nothing."""


@task
def take(files: list[File]) -> None:
    """Files come to it when it reads them, and it does not."""
'''


def main() -> None:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code.py"
        code.write_text(CODE)
        elsewhere = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.outside", "elsewhere"], stdout=subprocess.PIPE
        )
        assert elsewhere.stdout is not None
        url = f"http://127.0.0.1:{int(elsewhere.stdout.readline())}"
        try:
            with running_house(Path(folder) / "data", "--allow-outbound", "127.0.0.1") as house:
                house.run("company", "create", COMPANY)
                house.run("deploy", str(code), "--company", COMPANY)
                with Client(house.url, house.token, company=COMPANY) as client:
                    _callbacks(client, url)
                    _files(client, house, url)
        finally:
            elsewhere.kill()
            elsewhere.wait()


def _callbacks(client: Client, url: str) -> None:
    _rate(client)
    alone, beside = [], []
    for _ in range(ROUNDS):
        httpx.get(f"{url}/slacken")
        alone.append(_rate(client))
        _told(client, f"{url}/slow", SLOW_CALLBACKS)
        _until(lambda: client.callbacks(state="sending", limit=1).total > 0)
        beside.append(_rate(client))
        assert _open_callbacks(client), "the callbacks were over before the rate was measured"
        httpx.get(f"{url}/hurry")
        _until(lambda: not _open_callbacks(client))
    ratio = statistics.median(beside) / statistics.median(alone)
    _say(f"no-op runs beside callbacks to a receiver of 2 s: {ratio:.2f} of {max(alone):,.0f}/s")
    began_at = time.perf_counter()
    _told(client, f"{url}/fast", FAST_CALLBACKS)
    _until(lambda: not _open_callbacks(client))
    took = time.perf_counter() - began_at
    _say(f"callbacks to a fast receiver, their runs included: {FAST_CALLBACKS / took:,.0f}/s")


def _rate(client: Client) -> float:
    """No-op runs a second, started by the thousand."""
    began_at = time.perf_counter()
    for _ in range(RUNS // 1_000):
        last = client.start_many([NewRun(task="noop")] * 1_000)[-1]
    _until(lambda: client.run(last.id).is_final and not client.orchestrator().queued)
    return RUNS / (time.perf_counter() - began_at)


def _told(client: Client, url: str, count: int) -> None:
    for at in range(0, count, 1_000):
        runs = [NewRun(task="noop", callbacks=(NewCallback(url=url),))] * min(1_000, count - at)
        client.start_many(runs)


def _open_callbacks(client: Client) -> int:
    return sum(client.callbacks(state=s, limit=1).total for s in ("waiting", "due", "sending"))


def _files(client: Client, house: House, url: str) -> None:
    took = _fetched(client, [f"{url}/file/{number}" for number in range(FILES)])
    _say(f"{FILES:,} input files of {FILE_SIZE:,} bytes: {FILES / took:,.0f}/s")
    before = _peak(house)
    took = _fetched(client, [f"{url}/big"])
    _say(
        f"one of 1 GB: {took:.1f} s, the server's peak memory grew by {_peak(house) - before:.1f} MB"
    )


def _fetched(client: Client, urls: list[str]) -> float:
    began_at = time.perf_counter()
    run = client.start("take", {"files": [{"url": url} for url in urls]}).id
    _until(lambda: client.run(run).state != "preparing")
    took = time.perf_counter() - began_at
    client.wait(run)
    return took


def _peak(house: House) -> float:
    """Megabytes that the server has had in memory at most."""
    text = Path(f"/proc/{house.process.pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _until(is_so: Callable[[], object]) -> None:
    while not is_so():
        time.sleep(0.02)


# ---------------------------------------------------------------- the other system


_hurried = asyncio.Event()
"""Set while the slow receiver is quick, so that what has been measured is soon over."""


async def _elsewhere() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if "content-length:" in head:
                await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
            path = head.split(" ")[1]
            if path == "/hurry":
                _hurried.set()
            elif path == "/slacken":
                _hurried.clear()
            elif path.startswith("/slow"):
                with suppress(TimeoutError):
                    await asyncio.wait_for(_hurried.wait(), SLOWNESS)
            size = {"/file": FILE_SIZE, "/big": BIG}.get(path[:5].rstrip("/"), 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for at in range(0, size, PART):
                writer.write(bytes(min(PART, size - at)))
                await writer.drain()
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["elsewhere"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        asyncio.run(_elsewhere())
    else:
        main()
