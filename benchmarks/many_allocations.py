"""Fifty allocations on one server: what a slow task costs the others, and whether limits hold meanwhile."""

import tempfile
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from benchmarks import processes, wrk
from benchmarks.figures import Metric
from benchmarks.runyard_side import COMPANY, RUNYARD, Server

ALLOCATIONS = 50
SLOW_LIMIT = 2
_TASKS = f"/runyard/v1/companies/{COMPANY}/tasks"
_QUICK = """\
@task("quick {number}")
def quick_{number}(a: float, b: float) -> float:
    return a + b
"""
_SLOW = """\
import time
from runyard import task

@task("slow")
def slow(seconds: float) -> None:
    time.sleep(seconds)
"""


class _Run(msgspec.Struct, frozen=True):
    started_at: datetime
    finished_at: datetime


class _Page(msgspec.Struct, frozen=True):
    items: tuple[_Run, ...]


def allocate(server: Server, data: Path) -> None:
    """Deploy fifty tasks, one of them slow, and keep all of them warm."""
    with tempfile.TemporaryDirectory(prefix="many-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        quick = [_QUICK.format(number=number) for number in range(ALLOCATIONS - 1)]
        (folder / "many.py").write_text("\n\n".join((_SLOW, *quick)))
        processes.run([RUNYARD, "deploy", folder, "--company", COMPANY, "--data", data])
    api = server.api
    options = {"limit": SLOW_LIMIT, "overflow": "wait", "wait": "PT30S"}
    api.put(f"{_TASKS}/slow/allocation", options, dict[str, object])
    for number in range(ALLOCATIONS - 1):
        api.put(f"{_TASKS}/quick%20{number}/allocation", {"limit": 1}, dict[str, object])
    for task in ("slow", *(f"quick%20{number}" for number in range(ALLOCATIONS - 1))):
        address = f"{_TASKS}/{task}/allocation"
        processes.wait_until(
            lambda at=address: bool(api.get(at, dict[str, object])["children"]), "it is warm"
        )


def note(values: dict[Metric, list[float]], server: Server, seconds: int) -> None:
    """The p50 of a quick task with the others idle, then while the slow one has all that it takes.

    Raises ProgramFailed when the history shows more calls at once than the slow task's limit.
    """
    quick = _request(server, "quick%207", b'{"input": {"a": 1.5, "b": 2.25}}')
    slow = _request(server, "slow", b'{"input": {"seconds": 0.02}}')
    wrk.load(quick, connections=1, seconds=1)  # warm
    quiet = wrk.load(quick, connections=1, seconds=seconds)
    beside = threading.Thread(
        target=wrk.load, args=(slow,), kwargs={"connections": 16, "seconds": seconds + 1}
    )
    beside.start()
    among = wrk.load(quick, connections=1, seconds=seconds)
    beside.join()
    for seen in (quiet, among):
        if seen.refused or seen.broken:
            raise processes.ProgramFailed(f"{quick.url}: {seen}")
    values.setdefault(Metric.QUIET_P50, []).append(quiet.p50_us / 1000)
    values.setdefault(Metric.BESIDE_P50, []).append(among.p50_us / 1000)
    _demand_limit(server)


def _request(server: Server, task: str, body: bytes) -> wrk.Request:
    return wrk.Request(
        f"{server.api.address}{_TASKS}/{task}/call", "POST", body, server.api.headers
    )


def _demand_limit(server: Server) -> None:
    page = server.api.get(f"/runyard/v1/companies/{COMPANY}/runs?task=slow&limit=100", _Page)
    if (most := most_at_once(page.items)) > SLOW_LIMIT:
        raise processes.ProgramFailed(f"{most} calls of the slow task at once, not {SLOW_LIMIT}")


def most_at_once(runs: Sequence[_Run]) -> int:
    """How many of these executed at the same time, at most."""
    moments = [(run.started_at, 1) for run in runs] + [(run.finished_at, -1) for run in runs]
    most = now = 0
    for _, change in sorted(moments):  # at the same instant one ends before the next begins
        now += change
        most = max(most, now)
    return most
