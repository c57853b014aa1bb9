"""Others that answer a call over HTTP: the same two numbers are added, by what each has for that."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import msgspec

from benchmarks import machine, processes, queues, services, wrk
from benchmarks.figures import Figure, Metric, System

BODY = b'{"a": 1.5, "b": 2.25}'
SUM = "3.75"
CONNECTIONS = 16
NODE_RED = "node-red@5.0.7"
_JSON = {"Content-Type": "application/json"}
_HERE = Path(__file__).resolve().parent
_NODE_RED = _HERE / ".venvs" / "node-red"
_METRICS = (Metric.PEER_P50, Metric.PEER_P99, Metric.PEER_RATE)

Metrics = tuple[Metric, Metric, Metric]
"""The p50 of one connection, the p99 and the rate of 16."""


class CallPeer(msgspec.Struct, frozen=True):
    """One peer: how to have it answer on a port."""

    system: System
    start: Callable[[Path, int], contextlib.AbstractContextManager[None]]


def measure(peer: CallPeer, effort: queues.Effort) -> list[Figure]:
    """Install it, start it on new data, measure it, and remove everything but its environment."""
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    values: dict[Metric, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name:
        folder, port = Path(name), processes.free_port()
        folder.chmod(0o711)
        request = wrk.Request(f"http://127.0.0.1:{port}/add", "POST", BODY, _JSON)
        with peer.start(folder, port):
            processes.wait_until(lambda: _adds(request.url), "it adds", seconds=90, every=0.2)
            for _ in range(effort.rounds):
                note(values, _METRICS, request, seconds_of(effort))
    return [Figure(peer.system, metric, found) for metric, found in values.items()]


def seconds_of(effort: queues.Effort) -> int:
    """How long one load lasts."""
    return max(2, round(4 * effort.scale))


def note(
    values: dict[Metric, list[float]], metrics: Metrics, request: wrk.Request, seconds: int
) -> None:
    """Measure a request, alone and at 16 connections, and keep what was seen."""
    wrk.load(request, connections=CONNECTIONS, seconds=1)  # warm
    alone = wrk.load(request, connections=1, seconds=seconds)
    many = wrk.load(request, connections=CONNECTIONS, seconds=seconds)
    for seen in (alone, many):
        if seen.refused or seen.broken:
            raise processes.ProgramFailed(f"{request.url}: {seen}")
    found = (alone.p50_us / 1000, many.p99_us / 1000, many.rate)
    for metric, value in zip(metrics, found, strict=True):
        values.setdefault(metric, []).append(value)


def _adds(url: str) -> bool:
    try:
        answer = httpx.post(url, content=BODY, headers=_JSON, timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.is_success and SUM in answer.text


# ---------------------------------------------------------------- the peers


@contextlib.contextmanager
def _node_red(folder: Path, port: int) -> Iterator[None]:
    """One Node process: a flow of HTTP in, function, HTTP response."""
    tools = Path(sys.executable).parent
    if not (tools / "npm").exists():
        raise services.ServiceMissing("there is no npm in this environment")
    script = _NODE_RED / "node_modules" / "node-red" / "red.js"
    if not script.exists():
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
        processes.run([tools / "npm", "install", *options, "--prefix", _NODE_RED, NODE_RED])
    flow = folder / "flow.json"
    shutil.copy(_HERE / "peers" / "node_red_flow.json", flow)
    command = [tools / "node", script, "--userDir", folder / "red", "-p", str(port), flow]
    with processes.running(command, folder / "node-red.log"):
        yield


@contextlib.contextmanager
def _bentoml(folder: Path, port: int) -> Iterator[None]:
    python = queues.environment("bentoml")
    service = "benchmarks.peers.bentoml_service:Adder"
    quiet = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [python, "-m", "bentoml", "serve", service, "--port", str(port)]
    with processes.running(_with(quiet, command), folder / "bentoml.log"):
        yield


@contextlib.contextmanager
def _fastapi_celery(folder: Path, port: int) -> Iterator[None]:
    python = queues.environment("fastapi_celery")
    module = "benchmarks.peers.fastapi_celery"
    worker = [python, "-m", "celery", "-A", f"{module}:celery", "worker", "-P", "prefork"]
    worker += ["-c", "2", "--loglevel", "warning", "--without-gossip", "--without-mingle"]
    server = [python, "-m", "uvicorn", f"{module}:app", "--port", str(port), "--no-access-log"]
    with services.redis(folder) as redis:
        named = {"BENCH_REDIS": redis.url}
        with (
            processes.running(_with(named, worker), folder / "worker.log"),
            processes.running(_with(named, server), folder / "server.log"),
        ):
            yield


def _with(variables: dict[str, str], command: Sequence[str | Path]) -> list[str | Path]:
    named = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *named, *command]


PEERS = (
    CallPeer(System.NODE_RED, _node_red),
    CallPeer(System.BENTOML, _bentoml),
    CallPeer(System.FASTAPI_CELERY, _fastapi_celery),
)
