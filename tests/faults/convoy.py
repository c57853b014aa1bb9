"""Servers, workers and a database in processes of their own, each of which may be struck at any time."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from runyard.sdk.client import Client
from tests.faults.cable import Cable
from tests.faults.load import COMPANY, descendants, kill
from tests.support.house import STOPPING, environment
from tests.support.postgres import PostgresServer

STARTING = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who takes part."""

    servers: int = 1
    workers: int = 0
    """Workers of their own; each has two slots."""
    slots: int = 2
    """Of the worker inside each server; 0: none."""
    lease: str = "10s"


@dataclass
class Part:
    """One process that may be struck: a server or a worker."""

    name: str
    command: Sequence[str]
    variables: dict[str, str]
    output: Path
    cables: tuple[Cable, ...] = ()
    """What it reaches the servers by, if it is a worker."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start its process, which appends to its output."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runyard", *self.command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(self.variables),
            )

    def family(self) -> list[int]:
        """Its process and everything that descends from it."""
        return [self.pid, *descendants(self.pid)] if self.is_running else []

    def kill(self) -> None:
        """What kill -9 does to this one process; what it started has to notice by itself."""
        kill(self.pid)
        assert self.process is not None
        self.process.wait()

    def freeze(self) -> None:
        """Stop it and all that it started, as a machine that is suspended."""
        for pid in self.family():
            kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self.family():
            kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask it to stop; insist if it does not."""
        if self.process is None:
            return
        if self.is_running:
            self.thaw()
            self.process.terminate()
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Convoy:
    """All parts, and how to reach them."""

    folder: Path
    plan: Plan
    postgres: PostgresServer | None = None
    dsn: str | None = None
    ports: list[int] = field(default_factory=list)
    servers: list[Part] = field(default_factory=list)
    workers: list[Part] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Where the servers answer, whenever they live."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def token(self) -> str:
        """The installation's first token."""
        return (self.folder / "server-0" / "admin.token").read_text().strip()

    def client(self, number: int = 0, *, tries: int = 1) -> Client:
        """A client of one of the servers."""
        return Client(self.urls[number], self.token, company=COMPANY, tries=tries)

    def any_client(self) -> Client:
        """A client of the first server that answers; tries again until one does."""
        deadline = time.monotonic() + STARTING
        while True:
            for number in range(len(self.servers)):
                if is_ready(self.ports[number]):
                    return self.client(number, tries=8)
            assert time.monotonic() < deadline, "no server answers"
            time.sleep(0.05)

    def open(self) -> None:
        """Start the servers, then the workers."""
        for number in range(self.plan.servers):
            if number:
                self._share_with(number)
            self.ports.append(free_port())
            self.servers.append(self._server(number))
            self.servers[-1].start()
            self.until_ready(number)
        if self.plan.workers:
            with Client(self.urls[0], self.token) as client:
                secret = join_token(client)
            self.workers.extend(self._worker(n, secret) for n in range(self.plan.workers))
            for worker in self.workers:
                worker.start()

    def close(self) -> None:
        """End all that still lives."""
        for part in (*self.workers, *self.servers):
            part.end()
        for cable in [cable for worker in self.workers for cable in worker.cables]:
            cable.close()

    def until_ready(self, number: int) -> float:
        """Return once this server answers; seconds that took."""
        begun = time.monotonic()
        while not is_ready(self.ports[number]):
            waited = time.monotonic() - begun
            assert waited < STARTING, self.servers[number].output.read_text()[-4000:]
            time.sleep(0.02)
        return time.monotonic() - begun

    def _share_with(self, number: int) -> None:
        """Let a further server have the key that all servers of one database share."""
        first, data = self.folder / "server-0", self.folder / f"server-{number}"
        data.mkdir(mode=0o700)
        shutil.copy2(first / "master.key", data / "master.key")

    def _server(self, number: int) -> Part:
        name = f"server-{number}"
        data = self.folder / name
        words = ["serve", "--data", str(data), "--port", str(self.ports[number])]
        words += ["--slots", str(self.plan.slots)]
        if self.dsn is not None:
            words += ["--database", self.dsn]
        variables = {"RUNYARD_LEASE": self.plan.lease, "RUNYARD_SERVER_NAME": name}
        return Part(name, words, variables, self.folder / f"{name}.txt")

    def _worker(self, number: int, secret: str) -> Part:
        name = f"worker-{number}"
        cables = tuple(Cable(port) for port in self.ports)
        # Each prefers another server, and knows them all.
        first = number % len(cables)
        words = ["worker", "--name", name, "--slots", "2", "--data", str(self.folder / name)]
        for cable in (*cables[first:], *cables[:first]):
            words += ["--server", f"http://127.0.0.1:{cable.port}"]
        variables = {"RUNYARD_TOKEN": secret}
        return Part(name, words, variables, self.folder / f"{name}.txt", cables)


def join_token(client: Client) -> str:
    """The secret of a token with which workers come allowed."""
    return client.create_token("worker", name="join", joins=True).secret


@contextmanager
def convoy(folder: Path, plan: Plan, postgres: PostgresServer | None = None) -> Iterator[Convoy]:
    """Everything started, over SQLite or a database of this PostgreSQL; ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        dsn = None
        if postgres is not None:
            dsn = postgres.create_database()
        found = Convoy(folder, plan, postgres, dsn)
        opened.callback(found.close)
        found.open()
        yield found


def is_ready(port: int) -> bool:
    """Whether a server answers there that may be given work."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(process: int) -> bool:
    """Whether a process exists that is not only waiting to be buried."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
