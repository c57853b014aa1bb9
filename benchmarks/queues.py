"""The peers: which server each needs, how its worker and its producers are started."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks import machine, processes, services
from benchmarks.figures import Figure, Metric, System

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = _HERE / ".venvs"
_REQUIREMENTS = _HERE / "peers" / "requirements"


class Effort(msgspec.Struct, frozen=True):
    """How much is measured: rounds, runs of one throughput figure, pick-up samples, seconds of idling."""

    rounds: int = 3
    scale: float = 1.0
    samples: int = 150
    idle_seconds: float = 60.0


QUICK = Effort(rounds=1, scale=0.4, samples=50, idle_seconds=15.0)


class Commands(msgspec.Struct, frozen=True):
    """What is run in a peer's environment once its server is up, each as arguments of `python`."""

    install: list[str]
    worker: list[str]
    producer: list[str]


class Started(msgspec.Struct, frozen=True):
    """A peer's server is up: what to run against it, and how to count its write transactions, if one can."""

    commands: Commands
    count_writes: Callable[[], int] | None = None


class Peer(msgspec.Struct, frozen=True):
    """One peer. `count` is chosen so that one figure takes a few seconds."""

    system: System
    environment: str
    packages: tuple[str, ...]
    count: int
    start: Callable[[Path], contextlib.AbstractContextManager[Started]]


@contextlib.contextmanager
def _celery(folder: Path) -> Iterator[Started]:
    with services.redis(folder) as server:
        urls = ("-b", f"{server.url}/0", "--result-backend", f"{server.url}/1")
        worker = [
            *("-m", "celery", "-A", "benchmarks.peers.celery_app", *urls, "worker"),
            *("-P", "prefork", "-c", "2", "--loglevel", "warning"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        producer = ["-m", "benchmarks.peers.celery_side", server.url]
        yield Started(Commands([], worker, producer))


@contextlib.contextmanager
def _pgqueuer(folder: Path) -> Iterator[Started]:
    with services.postgres(folder) as server:
        dsn = server.create_database("bench")
        commands = Commands(
            install=["-m", "pgqueuer", "--pg-dsn", dsn, "install", "--durability", "durable"],
            worker=["-m", "benchmarks.peers.pgqueuer_worker", dsn],
            producer=["-m", "benchmarks.peers.pgqueuer_side", dsn],
        )
        yield Started(commands, server.next_transaction)


@contextlib.contextmanager
def _procrastinate(folder: Path) -> Iterator[Started]:
    with services.postgres(folder) as server:
        dsn = server.create_database("bench")
        worker = ["-m", "benchmarks.peers.procrastinate_worker", dsn]
        commands = Commands(
            install=[*worker, "install"],
            worker=[*worker, "work"],
            producer=["-m", "benchmarks.peers.procrastinate_side", dsn],
        )
        yield Started(commands, server.next_transaction)


PEERS = (
    Peer(System.CELERY, "celery", ("celery", "redis"), 2000, _celery),
    Peer(System.PGQUEUER, "pgqueuer", ("pgqueuer", "asyncpg"), 4000, _pgqueuer),
    Peer(System.PROCRASTINATE, "procrastinate", ("procrastinate", "psycopg"), 1200, _procrastinate),
)


def measure(peer: Peer, effort: Effort) -> list[Figure]:
    """Install the peer, start it on new data, measure it working and idle, and remove everything but its environment."""
    python = environment(peer.environment)
    with (
        tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        folder.chmod(0o711)
        started = stack.enter_context(peer.start(folder))
        commands = started.commands
        if commands.install:
            processes.run([python, *commands.install])
        worker = stack.enter_context(
            processes.running([python, *commands.worker], folder / "worker.log")
        )
        time.sleep(
            3
        )  # a peer gives no common sign of being ready; what comes early waits in its queue
        if worker.poll() is not None:
            raise processes.ProgramFailed((folder / "worker.log").read_text()[-1500:])
        values = _produce(peer, effort, [python, *commands.producer])
        figures = [
            Figure(peer.system, Metric[name.upper()], found) for name, found in values.items()
        ]
        return figures + idle(peer.system, worker.pid, effort.idle_seconds, started.count_writes)


def _produce(peer: Peer, effort: Effort, producer: list[str | Path]) -> dict[str, list[float]]:
    plan = {
        "count": round(peer.count * effort.scale),
        "rounds": effort.rounds,
        "samples": effort.samples,
    }
    options = [f"--{name}={value}" for name, value in plan.items()]
    said = processes.run([*producer, *options], timeout=1800)
    return msgspec.json.decode(said, type=dict[str, list[float]])


def idle(
    system: System, root: int, seconds: float, count_writes: Callable[[], int] | None
) -> list[Figure]:
    """What a process tree costs while nothing is asked of it, after a while of settling."""
    time.sleep(min(10.0, seconds / 2))
    writes = count_writes() if count_writes else 0
    before = {usage.id: usage.cpu for usage in machine.family(root)}
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(5.0, left))
        if count_writes:
            count_writes()  # a counter that reads logs must look before they are restarted
    took = time.monotonic() - began
    family = machine.family(root)
    spent = sum(usage.cpu - before.get(usage.id, 0.0) for usage in family)
    figures = [
        Figure(system, Metric.IDLE_CPU, [100 * spent / took]),
        Figure(system, Metric.IDLE_TREE_MEMORY, [sum(usage.proportional for usage in family)]),
    ]
    if count_writes:
        written = (count_writes() - writes) * 60 / took
        figures.append(Figure(system, Metric.IDLE_WRITES, [written]))
    return figures


def environment(name: str) -> Path:
    """The python of a peer's virtual environment, built by uv from its pinned requirements."""
    uv = Path(sys.executable).parent / "uv"
    folder = _ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if not python.exists():
        processes.run([uv, "venv", "--quiet", "--python", sys.executable, folder])
    wanted = _REQUIREMENTS / f"{name}.txt"
    processes.run([uv, "pip", "sync", "--quiet", "--python", python, wanted])
    return python


def versions() -> dict[str, str]:
    """The pinned version of every package that is named for a peer."""
    found: dict[str, str] = {}
    for peer in PEERS:
        lines = (_REQUIREMENTS / f"{peer.environment}.txt").read_text().splitlines()
        pins = dict(line.split("==", 1) for line in lines if "==" in line)
        found |= {package: pins[package] for package in peer.packages}
    return found
