"""`docs/deploy`, as it stands there: two servers, two workers and a proxy, and what survives what (R11)."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from runyard.sdk.client import Client
from tests.architecture.tree import REPOSITORY
from tests.faults.load import COMPANY, Load, check, descendants, eventually, furnish, kill
from tests.support.house import environment, runyard
from tests.support.nginx import require_nginx

EXAMPLE = REPOSITORY / "docs" / "deploy"
STARTING = 120.0
STOPPING = 90.0


@dataclass
class Fleet:
    """The example, running."""

    folder: Path
    process: subprocess.Popen[str]
    ports: dict[str, int]
    printed: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the proxy."""
        return f"http://127.0.0.1:{self.ports['PROXY_PORT']}"

    @property
    def token(self) -> str:
        """The administrator's."""
        return (self.folder / "a" / "admin.token").read_text().strip()

    def pid(self, part: str) -> int:
        """The process of a part."""
        return int((self.folder / "run" / f"{part}.pid").read_text())

    def online(self) -> set[str]:
        """The workers that are connected to any server."""
        with Client(self.url, self.token) as client:
            return {worker.name for worker in client.workers() if worker.online}

    def answered_by(self) -> Counter[int]:
        """How many requests each server has answered, by port, as the proxy has noted it."""
        noted = (self.folder / "log" / "access.log").read_text()
        return Counter(int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)$", noted, re.M))

    def workers_through_the_proxy(self) -> int:
        """How many WebSockets of workers have ended there."""
        noted = (self.folder / "log" / "access.log").read_text()
        return len(re.findall(r"^GET /worker 101 ", noted, re.M))

    def logs(self) -> str:
        """What every part has said last."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-2000:]}"
            for path in sorted((self.folder / "log").glob("*"))
            if path.name != "access.log"
        )


def free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        taken = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


@contextmanager
def running_fleet(folder: Path, dsn: str, nginx: str) -> Iterator[Fleet]:
    """The example's own script, on ports of its own, until the end of the block."""
    ports = dict(zip(("PROXY_PORT", "A_PORT", "B_PORT"), free_ports(3), strict=True))
    programs = (str(Path(sys.executable).parent), str(Path(nginx).parent), os.defpath)
    process = subprocess.Popen(
        [str(EXAMPLE / "start.sh"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(
            {
                **{name: str(port) for name, port in ports.items()},
                "PATH": ":".join(programs),
                "RUNYARD_DATABASE": dsn,
            }
        ),
    )
    fleet = Fleet(folder, process, ports)
    reading = threading.Thread(target=_read, args=(fleet,))
    reading.start()
    try:
        eventually(
            lambda: process.poll() is not None or any("Ctrl-C" in x for x in fleet.printed),
            "it does not start",
        )
        assert process.poll() is None, "\n".join((*fleet.printed, fleet.logs()))
        yield fleet
    finally:
        family = descendants(process.pid)
        process.terminate()
        try:
            process.wait(STOPPING)
        finally:
            for one in (process.pid, *family):
                kill(one)
            reading.join()
            assert process.stdout is not None
            process.stdout.close()


def _read(fleet: Fleet) -> None:
    assert fleet.process.stdout is not None
    for line in fleet.process.stdout:
        fleet.printed.append(line.rstrip())


@pytest.fixture
def fleet(tmp_path: Path, postgres_dsn: str) -> Iterator[Fleet]:
    """The example over a database of its own, with the tasks of the fault tests."""
    nginx = require_nginx()
    with running_fleet(tmp_path / "fleet", postgres_dsn, nginx) as fleet:
        eventually(lambda: fleet.online() == {"one", "two"}, "the workers do not come online")
        furnish(fleet)
        yield fleet


@pytest.mark.timeout(600)
def test_a_server_and_a_worker_die_and_nothing_is_lost(fleet: Fleet) -> None:
    """R1, R2, R3, R11: requests and runs are spread, and go on with what is left."""
    load = Load(seconds=0.05)

    with load.running() as history:
        load.house = fleet
        eventually(lambda: len(history.done) > 60, "nothing is executed")
        spread = fleet.answered_by()
        os.kill(fleet.pid("server-a"), signal.SIGKILL)
        without_server = len(history.acknowledged)
        eventually(
            lambda: len(history.acknowledged) > without_server + 40,
            "starts stand still: " + fleet.logs(),
        )
        os.kill(fleet.pid("worker-one"), signal.SIGKILL)
        without_worker = len(history.done)
        eventually(lambda: len(history.done) > without_worker + 40, "runs stand still")
        load.rest()
        runs = check(fleet, history, at_least=140)

    executed = Counter(run.worker_id for run in runs)
    assert len(executed) == 2, "one worker has executed everything"
    assert set(spread) >= {fleet.ports["A_PORT"], fleet.ports["B_PORT"]}, "one server did it all"
    assert fleet.workers_through_the_proxy(), "no worker came in through the proxy"
    eventually(lambda: fleet.online() == {"two"}, "the dead worker stays online")
    doctor = runyard("doctor", "--url", fleet.url, "--token", fleet.token)
    assert doctor.returncode == 0, doctor.stdout


@pytest.mark.timeout(600)
def test_a_stream_of_events_and_a_large_file_pass_through_the_proxy(
    fleet: Fleet, tmp_path: Path
) -> None:
    large = b"x" * (8 * 1024 * 1024)

    with Client(fleet.url, fleet.token, company=COMPANY) as client:
        run = client.start("Mark", {"mark": "one", "port": free_ports(1)[0]})
        seen = [type(event).__name__ for event in client.events(run.id)]
        file = client.upload(large, name="large.bin")
        arrived = client.download(file.id, tmp_path / "arrived")

    assert "StateChanged" in seen
    assert arrived.read_bytes() == large


@pytest.mark.timeout(600)
def test_the_example_ends_with_its_script_and_leaves_no_process(fleet: Fleet) -> None:
    family = {*descendants(fleet.process.pid)}

    fleet.process.terminate()
    code = fleet.process.wait(STOPPING)

    assert code == 0
    eventually(lambda: not any(Path(f"/proc/{one}").exists() for one in family), "some are left")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{fleet.url}/readyz", trust_env=False)


def test_what_the_example_names_is_there() -> None:
    """Every setting in its files exists, every file is on its page."""
    settings = (REPOSITORY / "docs" / "settings.md").read_text() + (
        REPOSITORY / "docs" / "cli.md"
    ).read_text()
    page = (EXAMPLE / "README.md").read_text()

    for path in EXAMPLE.iterdir():
        assert path.name == "README.md" or f"({path.name})" in page, path.name
        for name in re.findall(r"\bRUNYARD_[A-Z_]+\b", path.read_text()):
            assert name in settings, f"{path.name}: {name}"
