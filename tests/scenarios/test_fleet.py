"""Workers on other machines: real servers, real workers, real sockets (R11)."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.sdk.client import Client
from tests.support.fleet import WorkerProcess, a_worker_process
from tests.support.house import House, running_house

CODE = '''
from dataclasses import dataclass

from runyard import File, log, task


@dataclass
class Figures:
    lines: int
    report: File


@task("Count lines")
def count_lines(text: File) -> Figures:
    """How many lines a file has."""
    lines = text.read_text().splitlines()
    log.info(f"read {len(lines)} lines")
    return Figures(len(lines), File.write("report.txt", "x" * 10_000_000))
'''


@pytest.fixture
def house(memory_path: Path) -> Iterator[House]:
    """A server without a worker of its own, with a company."""
    with running_house(memory_path / "server", "--slots", "0") as found:
        with Client(found.url, found.token) as client:
            client.create_company("acme")
        yield found


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with Client(house.url, house.token, company="acme") as found:
        yield found


@pytest.fixture
def worker(house: House, client: Client, memory_path: Path) -> Iterator[WorkerProcess]:
    token = client.create_token("worker").secret
    with a_worker_process(house.url, token, memory_path / "w1", "--name", "w1") as found:
        found.until_printed("Connected")
        yield found


def test_bundles_files_and_logs_go_over_the_wire(
    client: Client, worker: WorkerProcess, memory_path: Path
) -> None:
    """The worker shares no folder with the server."""
    (memory_path / "count.py").write_text(CODE)
    client.deploy(memory_path / "count.py")
    text = client.upload(b"one\ntwo\n", name="text.txt")

    run = client.wait(client.start("Count lines", {"text": text.id}).id)

    assert run.state == "completed"
    assert run.outputs["lines"] == 2
    content = client.file_content(run.outputs["report"]["file"])
    assert len(content) == 10_000_000
    assert [line.text for line in client.logs(run.id).lines] == ["read 2 lines"]


def test_a_worker_that_is_told_to_stop_says_goodbye(client: Client, worker: WorkerProcess) -> None:
    """R13"""
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    assert [view.online for view in client.workers()] == [False]


def test_a_worker_without_a_valid_token_ends_and_says_why(
    house: House, client: Client, memory_path: Path
) -> None:
    created = client.create_token("worker")
    client.revoke_token(created.id)

    with a_worker_process(house.url, created.secret, memory_path / "w1") as worker:
        assert worker.wait() == 4
        worker.until_printed("this token was revoked")
