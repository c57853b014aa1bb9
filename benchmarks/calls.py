"""Real-time calls beside the least that does the same job, in turns: same machine, same minutes.

Native calls, fast and durable, and execute of the Automation Anywhere dialect: a valid token, typed
input and output, the record kept. As many children on both sides.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks import machine, processes, queues, services, wrk
from benchmarks.calls_floor import CHILDREN
from benchmarks.figures import Figure, Metric, System
from benchmarks.runyard_side import COMPANY, RUNYARD, Server, serving

TASK = "add"
CONNECTIONS = 16
_JSON = {"Content-Type": "application/json"}
_BODY = b'{"a": 1.5, "b": 2.25}'
_USER = "bench@example.com"


def measure(effort: queues.Effort) -> list[Figure]:
    """Each kind of call alone and at 16 connections, in as many rounds as there are."""
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    seconds = max(2, round(4 * effort.scale))
    values: dict[Metric, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with serving(folder, None) as server:
            calls = _calls_of(server, folder / "data")
            for _ in range(effort.rounds):
                for metrics, request in calls.items():
                    _note(values, metrics, request, seconds)
                with processes.running(_floor_command(port := processes.free_port()), folder / "f"):
                    processes.wait_until(lambda at=port: processes.is_listening(at), "it listens")
                    request = wrk.Request(f"http://127.0.0.1:{port}/", "POST", _BODY, _JSON)
                    _note(values, _FLOOR, request, seconds)
    return [Figure(System.CALLS, metric, found) for metric, found in values.items()]


_FLOOR = (Metric.FLOOR_P50, Metric.FLOOR_P99, Metric.FLOOR_RATE)
_FAST = (Metric.CALL_P50, Metric.CALL_P99, Metric.CALL_RATE)
_DURABLE = (Metric.DURABLE_P50, Metric.DURABLE_P99, Metric.DURABLE_RATE)
_EXECUTE = (Metric.EXECUTE_P50, Metric.EXECUTE_P99, Metric.EXECUTE_RATE)
Metrics = tuple[Metric, Metric, Metric]
"""The p50 of one connection, the p99 and the rate of 16."""


def _note(
    values: dict[Metric, list[float]], metrics: Metrics, request: wrk.Request, seconds: int
) -> None:
    wrk.load(request, connections=CONNECTIONS, seconds=1)  # warm
    alone = wrk.load(request, connections=1, seconds=seconds)
    many = wrk.load(request, connections=CONNECTIONS, seconds=seconds)
    for seen in (alone, many):
        if seen.refused or seen.broken:
            raise processes.ProgramFailed(f"{request.url}: {seen}")
    found = (alone.p50_us / 1000, many.p99_us / 1000, many.rate)
    for metric, value in zip(metrics, found, strict=True):
        values.setdefault(metric, []).append(value)


def _calls_of(server: Server, data: Path) -> dict[Metrics, wrk.Request]:
    api = server.api
    path = f"/runyard/v1/companies/{COMPANY}/tasks/{TASK}"
    options = {"limit": CHILDREN, "overflow": "wait", "wait": "PT30S"}
    api.put(f"{path}/allocation", options, dict[str, object])
    processes.wait_until(
        lambda: bool(api.get(f"{path}/allocation", dict[str, object])["children"]), "it is warm"
    )
    native = f'{{"input": {_BODY.decode()}}}'.encode()
    durable = f'{{"input": {_BODY.decode()}, "durable": true}}'.encode()
    url = f"{api.address}{path}/call"
    execute, token = _access(server, data)
    typed = (
        b'{"botInput": {"a": {"type": "NUMBER", "number": "1.5"}, '
        b'"b": {"type": "NUMBER", "number": "2.25"}}}'
    )
    return {
        _FAST: wrk.Request(url, "POST", native, api.headers),
        _DURABLE: wrk.Request(url, "POST", durable, api.headers),
        _EXECUTE: wrk.Request(execute, "POST", typed, {**_JSON, "X-Authorization": token}),
    }


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


def _floor_command(port: int) -> list[str]:
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
