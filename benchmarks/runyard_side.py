"""Runyard itself: a server on new data, measured over HTTP like any client would use it."""

import contextlib
import http.client
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import machine, processes, queues, services, wrk
from benchmarks.figures import Figure, Metric, System
from benchmarks.peers import measure as peer_measure
from benchmarks.write_ahead import CommitCounter

RUNYARD = Path(sys.executable).parent / "runyard"
TASKS = Path(__file__).resolve().parent / "tasks"
COMPANY = "bench"
RUNS = f"/runyard/v1/companies/{COMPANY}/runs"
OPEN_STATES = ("queued", "scheduled", "running", "waiting", "preparing", "parked")
_ONE_CPU = (Metric.ONE_CPU_SERVER, Metric.ONE_CPU_WRITER, Metric.ONE_CPU_CHILDREN)
_MANY_CPU = (Metric.MANY_CPU_SERVER, Metric.MANY_CPU_WRITER, Metric.MANY_CPU_CHILDREN)
OTHER_ENDS = ("failed", "cancelled")


_KEPT_ALIVE_SECONDS = 60
"""The server closes a connection that says nothing for a little longer."""

T = TypeVar("T")


class _Page(msgspec.Struct, frozen=True):
    """Of a list, only how many there are in all, or at least."""

    total: int


class _Started(msgspec.Struct, frozen=True):
    """Of a started run, only its id."""

    id: int


class _Ended(msgspec.Struct, frozen=True):
    """Of an ended run, how it ended and what the task `began` returned."""

    state: str
    outputs: dict[str, int]


class Api:
    """One kept-alive connection to the native API."""

    def __init__(self, port: int, token: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        self._port = port
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used_at = time.monotonic()

    def get(self, path: str, shape: type[T]) -> T:
        """The resource, read into a shape."""
        return msgspec.json.decode(self._ask("GET", path, None), type=shape)

    def post(self, path: str, body: object, shape: type[T]) -> T:
        """What was made of the body, read into a shape."""
        return msgspec.json.decode(self._ask("POST", path, body), type=shape)

    def put(self, path: str, body: object, shape: type[T]) -> T:
        """What the resource is once it was put there, read into a shape."""
        return msgspec.json.decode(self._ask("PUT", path, body), type=shape)

    def _ask(self, method: str, path: str, body: object) -> bytes:
        if time.monotonic() - self._used_at > _KEPT_ALIVE_SECONDS:
            self._socket.close()
            self._connect()
        self._used_at = time.monotonic()
        encoded = msgspec.json.encode(body) if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._head}"
        # One packet: the standard client sends head and body apart, which a pick-up time would show.
        self._socket.sendall(f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded)
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        content = answer.read()
        if not 200 <= answer.status < 300:
            raise processes.ProgramFailed(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def total(self, state: str) -> int:
        """How many runs of the company are in a state; large numbers may be too small, never nought."""
        return self.get(f"{RUNS}?state={state}&limit=1", _Page).total

    def is_any(self, states: tuple[str, ...]) -> bool:
        """Whether a run of the company is in one of the states."""
        return any(self.total(state) for state in states)


class Server(msgspec.Struct, frozen=True):
    """A running server with the benchmark's tasks deployed."""

    api: Api
    process: int
    count_writes: Callable[[], int]


@contextlib.contextmanager
def serving(folder: Path, database: services.Postgres | None) -> Iterator[Server]:
    """A server on new data, with two slots and the benchmark's tasks."""
    if not RUNYARD.exists():
        raise services.ServiceMissing("runyard is not installed in this environment")
    data = folder / "data"
    port = processes.free_port()
    options = ["--data", str(data), "--port", str(port), "--slots", "2"]
    if database:
        options += ["--database", database.create_database("runyard")]
    log = folder / "runyard.log"
    with processes.running([RUNYARD, "serve", *options], log) as program:
        token = data / "admin.token"
        try:
            processes.wait_until(
                lambda: token.exists() and processes.is_listening(port),
                "the server listens",
                program=program,
            )
        except processes.ProgramFailed as failed:
            raise processes.ProgramFailed(f"{failed}: {log.read_text()[-1500:]}") from failed
        server = deployed(data, port, program.pid)
        if database:
            server = msgspec.structs.replace(server, count_writes=database.next_transaction)
        yield server


def deployed(data: Path, port: int, process: int = 0) -> Server:
    """A server that answers there, once it has the benchmark's company and tasks."""
    api = Api(port, (data / "admin.token").read_text().strip())
    api.post("/runyard/v1/companies", {"slug": COMPANY}, dict[str, object])
    processes.run([RUNYARD, "deploy", TASKS, "--company", COMPANY, "--data", data])
    return Server(api, process, CommitCounter(data))


def measure(system: System, effort: queues.Effort) -> list[Figure]:
    """Measure Runyard on one database, working and idle, on new data that is removed afterwards."""
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        folder.chmod(0o711)
        on_postgres = system is System.RUNYARD_POSTGRES
        database = stack.enter_context(services.postgres(folder)) if on_postgres else None
        server = stack.enter_context(serving(folder, database))
        values = _working(server, effort)
        figures = [Figure(system, metric, found) for metric, found in values.items()]
        figures += queues.idle(system, server.process, effort.idle_seconds, server.count_writes)
        return figures + _memory(system, server.process)


def _working(server: Server, effort: queues.Effort) -> dict[Metric, list[float]]:
    api = server.api
    seconds = max(2, round(5 * effort.scale))
    _end_to_end(server, runs=1, connections=4, seconds=1)  # warm
    values: dict[Metric, list[float]] = {}
    for _ in range(effort.rounds):
        time.sleep(1)
        ones = _end_to_end(server, runs=1, connections=peer_measure.PRODUCERS, seconds=seconds)
        alone = _end_to_end(server, runs=1, connections=1, seconds=seconds)
        many = max(
            (
                _end_to_end(server, runs=peer_measure.BATCH, connections=few, seconds=seconds)
                for few in (1, 4)
            ),
            key=lambda throughput: throughput.rate,
        )
        time.sleep(1)
        took = _pick_up(api, effort.samples // effort.rounds)
        found = {
            Metric.ONE_BY_ONE: ones.rate,
            Metric.ONE_BY_ONE_1: alone.rate,
            Metric.BATCHED: many.rate,
            Metric.PICKUP_P50: peer_measure.percentile(took, 0.50),
            Metric.PICKUP_P99: peer_measure.percentile(took, 0.99),
            **dict(zip(_ONE_CPU, ones.cpu, strict=True)),
            **dict(zip(_MANY_CPU, many.cpu, strict=True)),
        }
        for metric, value in found.items():
            values.setdefault(metric, []).append(value)
    return values


class _Throughput(msgspec.Struct, frozen=True):
    """Completed runs a second, and the CPU microseconds that server, writer and children took for each."""

    rate: float
    cpu: tuple[float, float, float]


def _end_to_end(server: Server, *, runs: int, connections: int, seconds: int) -> _Throughput:
    """Start so many runs a request for a while; the clock stops when the last completion is recorded."""
    api = server.api
    start = {"task": "noop", "input": {}}
    body = msgspec.json.encode(start if runs == 1 else {"runs": [start] * runs})
    request = wrk.Request(api.address + RUNS, "POST", body, api.headers)
    before = _cpu_seconds(server.process)
    began = time.monotonic()
    seen = wrk.load(request, connections=connections, seconds=seconds)
    processes.wait_until(
        lambda: not api.is_any(OPEN_STATES), "every run has ended", seconds=300, every=0.05
    )
    took = time.monotonic() - began
    good = runs * (seen.requests - seen.refused)
    if seen.broken or not good or api.is_any(OTHER_ENDS):
        raise processes.ProgramFailed(f"not every acknowledged run was completed: {seen}")
    after = _cpu_seconds(server.process)
    of_server, of_writer, of_children = (
        (now - then) * 1e6 / good for now, then in zip(after, before, strict=True)
    )
    return _Throughput(good / took, (of_server, of_writer, of_children))


def _cpu_seconds(root: int) -> tuple[float, float, float]:
    """CPU seconds so far of the server, its writer, and zygotes with their children."""
    family = machine.family(root)
    server = sum(usage.cpu for usage in family if usage.id == root)
    writer = sum(usage.cpu for usage in family if usage.id != root and "writer" in usage.title)
    # Children are recycled after a number of runs: their zygote has inherited what they spent.
    zygotes = [usage for usage in family if "zygote" in usage.title]
    parents = {usage.id for usage in zygotes}
    children = sum(usage.cpu for usage in family if usage.parent in parents or usage in zygotes)
    return server, writer, children + sum(usage.cpu_of_ended for usage in zygotes)


def _pick_up(api: Api, samples: int) -> list[float]:
    """Milliseconds from sending a start to the first line of the task's code, one at a time."""
    took = []
    for _ in range(samples):
        time.sleep(random.uniform(0.05, 0.15))
        sent = time.monotonic_ns()
        run = api.post(RUNS, {"task": "began", "input": {}}, _Started)
        ended = api.get(f"{RUNS}/{run.id}/wait?timeout=30", _Ended)
        took.append((ended.outputs["result"] - sent) / 1e6)
    return took


def _memory(system: System, root: int) -> list[Figure]:
    """Memory of the server, its writer, the zygote and the largest of the zygote's children."""
    family = machine.family(root)
    server = [usage for usage in family if usage.id == root]
    writers = [usage for usage in family if "writer" in usage.title and usage.id != root]
    zygotes = [usage for usage in family if "zygote" in usage.title]
    parents = {usage.id for usage in zygotes}
    children = [usage for usage in family if usage.parent in parents]
    resident = {
        Metric.IDLE_SERVER_MEMORY: server,
        Metric.IDLE_WRITER_MEMORY: writers,
        Metric.IDLE_ZYGOTE_MEMORY: zygotes,
        Metric.IDLE_CHILD_MEMORY: children,
    }
    figures = [
        Figure(system, metric, [max(usage.resident for usage in members)])
        for metric, members in resident.items()
        if members
    ]
    proportional = {
        Metric.IDLE_ZYGOTE_PROPORTIONAL: zygotes,
        Metric.IDLE_CHILD_PROPORTIONAL: children,
    }
    figures += [
        Figure(system, metric, [max(usage.proportional for usage in members)])
        for metric, members in proportional.items()
        if members
    ]
    return figures
