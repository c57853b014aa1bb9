"""`python -m benchmarks.task_queue`: create and status of the ELMA dialect beside the native API.

The same task with the same input, at the same server, in turns; the orchestrator is paused while
runs are created, so that nothing but the two doors is compared. On both databases. Prints rates at
16 connections and what share of the native rate the dialect has; those of a busy machine say little.
"""

import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine, processes, services, wrk
from benchmarks.runyard_side import COMPANY, RUNS, RUNYARD, Server, serving

CONNECTIONS = 16
ROUNDS = 5
SECONDS = 4
TARGET = 0.8
INPUT = {"a": 1.5, "b": 2.25}
_JSON = {"Content-Type": "application/json"}

Pair = tuple[wrk.Request, wrk.Request]
"""A request to the native API, and the same to the dialect."""


def main() -> None:
    """Measure on SQLite, and on PostgreSQL where it is installed."""
    quick = "--quick" in sys.argv
    _measure("SQLite", on_postgres=False, quick=quick)
    try:
        _measure("PostgreSQL", on_postgres=True, quick=quick)
    except services.ServiceMissing as missing:
        _say(f"skipped: PostgreSQL: {missing}")


def _measure(name: str, *, on_postgres: bool, quick: bool) -> None:
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as place,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(place)
        folder.chmod(0o711)
        database = stack.enter_context(services.postgres(folder)) if on_postgres else None
        server = stack.enter_context(serving(folder, database))
        auth_tkn = _a_system(folder / "data")
        for what, pair in _pairs(server, auth_tkn).items():
            _compare(f"{name}: {what}", pair, quick=quick)


def _compare(what: str, pair: Pair, *, quick: bool) -> None:
    shares: list[float] = []
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 if quick else ROUNDS):
        both = [_rate(request, 1 if quick else SECONDS) for request in pair]
        for rate, kept in zip(both, rates, strict=True):
            kept.append(rate)
        shares.append(both[1] / both[0])
    share = statistics.median(shares)
    native, dialect = (statistics.median(kept) for kept in rates)
    verdict = "met" if share >= TARGET else "missed"
    _say(
        f"{what}: {dialect:,.0f}/s, native {native:,.0f}/s, share {share:.2f} "
        f"({min(shares):.2f} to {max(shares):.2f}; at least {TARGET}: {verdict})"
    )


def _rate(request: wrk.Request, seconds: int) -> float:
    wrk.load(request, connections=CONNECTIONS, seconds=1)  # warm
    seen = wrk.load(request, connections=CONNECTIONS, seconds=seconds)
    if seen.refused or seen.broken:
        raise processes.ProgramFailed(f"{request.url}: {seen}")
    return seen.rate


def _a_system(data: Path) -> str:
    """The UUID of a system that may call."""
    words = ("system", "create", "bench", "--allowed", "--company", COMPANY, "--data", data)
    return processes.run([RUNYARD, *words]).strip()


class _Caller:
    """The system, at the addresses of the dialect."""

    def __init__(self, server: Server, auth_tkn: str) -> None:
        self.api = server.api
        self._auth_tkn = auth_tkn

    def request(self, call: str, **members: object) -> wrk.Request:
        """A call, as load."""
        body = json.dumps({"auth_tkn": self._auth_tkn, **members}).encode()
        return wrk.Request(f"{self.api.address}/v1/orchestra/task/{call}", "POST", body, _JSON)

    def ask(self, call: str, **members: object) -> dict[str, Any]:
        """The task that a call answers with."""
        body = {"auth_tkn": self._auth_tkn, **members}
        return self.api.post(f"/v1/orchestra/task/{call}", body, dict[str, Any])["task"]

    def task(self, name: str, values: Mapping[str, object]) -> dict[str, object]:
        """A task as create takes it."""
        path = f"/runyard/v1/companies/{COMPANY}/tasks/{name}"
        process = self.api.get(path, dict[str, Any])["uuid"]
        return {"process": process, "version": 0, "ctx": json.dumps(values)}

    def ended(self, name: str, values: Mapping[str, object]) -> int:
        """The id of a task that is done."""
        task: int = self.ask("create", task=self.task(name, values))["id"]
        processes.wait_until(lambda: self.ask("status", id=task)["status"] == "DONE", "it is done")
        return task


def _pairs(server: Server, auth_tkn: str) -> Mapping[str, Pair]:
    """What is compared; what is read has ended before the orchestrator is paused."""
    api, caller = server.api, _Caller(server, auth_tkn)
    plain, talking = caller.ended("add", INPUT), caller.ended("tell", {"text": "a line"})
    api.put(f"/runyard/v1/companies/{COMPANY}/orchestrator", {"runnable": False}, dict[str, Any])
    queued: int = caller.ask("create", task=caller.task("add", INPUT))["id"]
    started = json.dumps({"task": "add", "input": INPUT}).encode()
    return {
        "create": (
            wrk.Request(f"{api.address}{RUNS}", "POST", started, api.headers),
            caller.request("create", task=caller.task("add", INPUT)),
        ),
        "status, queued": (_shown(server, queued), caller.request("status", id=queued)),
        "status, over": (_shown(server, plain), caller.request("status", id=plain)),
        "status, over, ten lines of log": (
            _shown(server, talking),
            caller.request("status", id=talking),
        ),
    }


def _shown(server: Server, run: int) -> wrk.Request:
    return wrk.Request(f"{server.api.address}{RUNS}/{run}", headers=server.api.headers)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
