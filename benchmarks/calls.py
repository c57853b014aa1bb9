"""Real-time calls beside the least that does the same job, in turns: same machine, same minutes.

Native calls, fast and durable, and execute of the Automation Anywhere dialect: a valid token, typed
input and output, the record kept. The floor gets the same requests as execute, and has as many children.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks import machine, many_allocations, processes, queues, services, wrk
from benchmarks.call_peers import Metrics, note, seconds_of
from benchmarks.calls_floor import CHILDREN
from benchmarks.figures import Figure, Metric, System
from benchmarks.runyard_side import COMPANY, RUNYARD, Server, serving

TASK = "add"
_JSON = {"Content-Type": "application/json"}
_USER = "bench@example.com"
_FLUSHES = 200


def measure(effort: queues.Effort) -> list[Figure]:
    """Each kind of call alone and at 16 connections, in as many rounds as there are."""
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    seconds = seconds_of(effort)
    values: dict[Metric, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with serving(folder, None) as server:
            calls = calls_of(server, folder / "data")
            for _ in range(effort.rounds):
                for metrics, request in calls.items():
                    note(values, metrics, request, seconds)
                with processes.running(floor_command(port := processes.free_port()), folder / "f"):
                    processes.wait_until(lambda at=port: processes.is_listening(at), "it listens")
                    note(values, _FLOOR, floor_request(port, calls[EXECUTE]), seconds)
                values.setdefault(Metric.FLUSH_P50, []).append(_flush_p50(folder))
            many_allocations.allocate(server, folder / "data")
            for _ in range(effort.rounds):
                many_allocations.note(values, server, seconds)
    return [Figure(System.CALLS, metric, found) for metric, found in values.items()]


_FLOOR = (Metric.FLOOR_P50, Metric.FLOOR_P99, Metric.FLOOR_RATE)
FAST = (Metric.CALL_P50, Metric.CALL_P99, Metric.CALL_RATE)
DURABLE = (Metric.DURABLE_P50, Metric.DURABLE_P99, Metric.DURABLE_RATE)
EXECUTE = (Metric.EXECUTE_P50, Metric.EXECUTE_P99, Metric.EXECUTE_RATE)


def _flush_p50(folder: Path) -> float:
    """Milliseconds that this disk takes for 4 KB: no durable answer can be quicker than one flush."""
    took = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(_FLUSHES):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def calls_of(server: Server, data: Path) -> dict[Metrics, wrk.Request]:
    """Keep the task warm; the request of each kind of call."""
    api = server.api
    path = f"/runyard/v1/companies/{COMPANY}/tasks/{TASK}"
    options = {"limit": CHILDREN, "overflow": "wait", "wait": "PT30S"}
    api.put(f"{path}/allocation", options, dict[str, object])
    processes.wait_until(
        lambda: bool(api.get(f"{path}/allocation", dict[str, object])["children"]), "it is warm"
    )
    native = b'{"input": {"a": 1.5, "b": 2.25}}'
    durable = b'{"input": {"a": 1.5, "b": 2.25}, "durable": true}'
    url = f"{api.address}{path}/call"
    execute, token = _access(server, data)
    typed = (
        b'{"botInput": {"a": {"type": "NUMBER", "number": "1.5"}, '
        b'"b": {"type": "NUMBER", "number": "2.25"}}}'
    )
    return {
        FAST: wrk.Request(url, "POST", native, api.headers),
        DURABLE: wrk.Request(url, "POST", durable, api.headers),
        EXECUTE: wrk.Request(execute, "POST", typed, {**_JSON, "X-Authorization": token}),
    }


def floor_request(port: int, execute: wrk.Request) -> wrk.Request:
    """The request of `execute`, sent to the floor."""
    path = "/" + execute.url.split("/", 3)[3]
    return wrk.Request(f"http://127.0.0.1:{port}{path}", "POST", execute.body, execute.headers)


def _access(server: Server, data: Path) -> tuple[str, str]:
    """The URL and token with which the dialect executes the task."""
    for words in (
        ("user", "create", _USER, "--role", "developer", "--company", COMPANY),
        ("user", "api-key", "create", _USER),
    ):
        said = processes.run([RUNYARD, *words, "--data", data])
    body = {"username": _USER, "apiKey": said.strip()}
    with httpx.Client(base_url=server.api.address, trust_env=False) as http:
        token = http.post("/v2/authentication", json=body).json()["token"]
        path = f"Automation Anywhere\\Bots\\{TASK}"
        asked = {"botRepositoryPath": [path]}
        config = "/orchestrator/v1/hotbot/config/accessdetails"
        found = http.post(config, json=asked, headers={"X-Authorization": token}).json()
    details = found["accessDetails"][path]
    return details["url"], details["headers"]["X-Authorization"]


def floor_command(port: int) -> list[str]:
    """The floor on a port."""
    return [
        *(sys.executable, "-m", "uvicorn", "benchmarks.calls_floor:answer"),
        *("--port", str(port), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--lifespan", "off"),
    ]


if __name__ == "__main__":
    started = time.monotonic()
    for figure in measure(queues.QUICK if "--quick" in sys.argv else queues.Effort()):
        print(f"{figure.metric}: {figure.summary}")  # noqa: T201
    print(f"{time.monotonic() - started:.0f} s")  # noqa: T201
