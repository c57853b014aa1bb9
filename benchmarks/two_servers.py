"""Two servers and two workers over one PostgreSQL, beside one server with as many slots: same machine, same minutes.

Everything shares the same cores, so that nothing can be faster; the question is what being two costs.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from benchmarks import machine, processes, queues, services, wrk
from benchmarks.figures import Figure, Metric, System
from benchmarks.peers import measure as peer_measure
from benchmarks.runyard_side import (
    COMPANY,
    OPEN_STATES,
    OTHER_ENDS,
    RUNS,
    RUNYARD,
    TASKS,
    Api,
)

_SLOTS = 2
"""Of all workers together."""


class _Token(msgspec.Struct, frozen=True):
    """Of a new token, only its secret."""

    secret: str


class _Worker(msgspec.Struct, frozen=True):
    """Of a worker, only whether it is there."""

    online: bool


class _Workers(msgspec.Struct, frozen=True):
    """All workers."""

    items: list[_Worker]


def measure(effort: queues.Effort) -> list[Figure]:
    """Rates of one server and of two, measured in turns."""
    if not wrk.is_installed():
        raise services.ServiceMissing("wrk, which creates the load, is not installed")
    seconds = max(2, round(5 * effort.scale))
    values: dict[Metric, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with services.postgres(folder) as database:
            for number in range(effort.rounds):
                for metrics, opened in (
                    ((Metric.ALONE_ONE_BY_ONE, Metric.ALONE_BATCHED), _one_server),
                    ((Metric.ONE_BY_ONE, Metric.BATCHED), _two_servers),
                ):
                    place = folder / f"{opened.__name__}{number}"
                    place.mkdir()
                    place.chmod(0o711)
                    dsn = database.create_database(f"runyard{opened.__name__}{number}")
                    with opened(place, dsn) as apis:
                        _completed(apis, runs=1, connections=4, seconds=1)  # warm
                        ones = _completed(
                            apis, runs=1, connections=peer_measure.PRODUCERS, seconds=seconds
                        )
                        many = _completed(
                            apis, runs=peer_measure.BATCH, connections=4, seconds=seconds
                        )
                    for metric, rate in zip(metrics, (ones, many), strict=True):
                        values.setdefault(metric, []).append(rate)
    return [Figure(System.RUNYARD_TWO, metric, found) for metric, found in values.items()]


@contextlib.contextmanager
def _one_server(folder: Path, dsn: str) -> Iterator[Sequence[Api]]:
    with _server(folder / "one", dsn, "--slots", str(_SLOTS)) as port:
        api = Api(port, (folder / "one" / "admin.token").read_text().strip())
        _deploy(api, folder / "one")
        yield [api]


@contextlib.contextmanager
def _two_servers(folder: Path, dsn: str) -> Iterator[Sequence[Api]]:
    with (
        _server(folder / "a", dsn, "--slots", "0") as first,
        _server(folder / "b", dsn, "--slots", "0") as second,
    ):
        token = (folder / "a" / "admin.token").read_text().strip()
        apis = [Api(port, token) for port in (first, second)]
        joining = {"kind": "worker", "name": "fleet", "joins": True}
        secret = apis[0].post("/runyard/v1/tokens", joining, _Token).secret
        with contextlib.ExitStack() as stack:
            for number, api in enumerate(apis):
                stack.enter_context(_worker(folder, api, secret, number))
            processes.wait_until(lambda: _online(apis[0]) == len(apis), "the workers are there")
            _deploy(apis[0], folder / "a")
            yield apis


@contextlib.contextmanager
def _server(data: Path, dsn: str, *options: str) -> Iterator[int]:
    port = processes.free_port()
    words = ["--data", str(data), "--port", str(port), "--database", dsn, *options]
    with processes.running([RUNYARD, "serve", *words], data.with_suffix(".log")) as program:
        processes.wait_until(
            lambda: (data / "address").exists() and processes.is_listening(port),
            "the server listens",
            program=program,
        )
        yield port


@contextlib.contextmanager
def _worker(folder: Path, api: Api, secret: str, number: int) -> Iterator[None]:
    token = folder / "worker.token"
    token.write_text(secret)
    token.chmod(0o600)
    place = folder / f"worker{number}"
    words = ["--server", api.address, "--token-file", str(token), "--data", str(place)]
    words += ["--name", f"worker{number}", "--slots", str(_SLOTS // 2)]
    with processes.running([RUNYARD, "worker", *words], place.with_suffix(".log")):
        yield


def _online(api: Api) -> int:
    return sum(worker.online for worker in api.get("/runyard/v1/workers", _Workers).items)


def _deploy(api: Api, data: Path) -> None:
    api.post("/runyard/v1/companies", {"slug": COMPANY}, dict[str, object])
    processes.run([RUNYARD, "deploy", TASKS, "--company", COMPANY, "--data", data])


def _completed(apis: Sequence[Api], *, runs: int, connections: int, seconds: int) -> float:
    """Runs completed a second when each server is asked over its share of the connections."""
    start = {"task": "noop", "input": {}}
    body = msgspec.json.encode(start if runs == 1 else {"runs": [start] * runs})
    began = time.monotonic()
    with ThreadPoolExecutor(len(apis)) as pool:
        loads = [
            pool.submit(
                wrk.load,
                wrk.Request(api.address + RUNS, "POST", body, api.headers),
                connections=connections // len(apis),
                seconds=seconds,
            )
            for api in apis
        ]
        seen = [load.result() for load in loads]
    processes.wait_until(
        lambda: not apis[0].is_any(OPEN_STATES), "every run has ended", seconds=300, every=0.05
    )
    took = time.monotonic() - began
    good = runs * sum(load.requests - load.refused for load in seen)
    if any(load.broken for load in seen) or not good or apis[0].is_any(OTHER_ENDS):
        raise processes.ProgramFailed(f"not every acknowledged run was completed: {seen}")
    return good / took
