"""A server that is killed between two steps: what it was fetching and telling goes on afterwards."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.conftest import SHOP
from tests.support.house import House, running_house


class Elsewhere(ThreadingHTTPServer):
    """Another system, which answers only once it is let."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.may_answer = threading.Event()
        self.changed = threading.Condition()
        self.arrived: list[tuple[str, str, bytes]] = []
        """Method, `webhook-id`, body."""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def wait(self, method: str, count: int = 1) -> list[tuple[str, str, bytes]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.of(method)) >= count, 60), self.arrived
        return self.of(method)

    def of(self, method: str) -> list[tuple[str, str, bytes]]:
        return [arrived for arrived in self.arrived if arrived[0] == method]


class Answering(BaseHTTPRequestHandler):
    server: Elsewhere

    def _arrived(self, body: bytes = b"") -> None:
        with self.server.changed:
            self.server.arrived.append((self.command, self.headers.get("webhook-id", ""), body))
            self.server.changed.notify_all()
        self.server.may_answer.wait(60)

    def _answer(self, body: bytes) -> None:
        try:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # who asked was killed
            self.close_connection = True

    def do_GET(self) -> None:
        self._arrived()
        self._answer(b"from elsewhere")

    def do_POST(self) -> None:
        self._arrived(self.rfile.read(int(self.headers["content-length"])))
        self._answer(b"")

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            serving.join()


@pytest.fixture(params=["sqlite", "postgres"])
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How a server is started that may visit this machine."""
    more: tuple[str, ...] = ()
    if request.param == "postgres":
        more = ("--database", request.getfixturevalue("postgres_dsn"))
    return ("--allow-outbound", "127.0.0.1", "--slots", "1", *more)


def furnish(house: House) -> None:
    assert house.run("company", "create", "acme").returncode == 0
    deployed = house.run("deploy", str(SHOP), "--company", "acme")
    assert deployed.returncode == 0, deployed.stderr


def start(house: House, task: str, *words: str) -> Any:
    return house.json("run", "start", task, "--company", "acme", *words)


@pytest.mark.timeout(240)
def test_a_file_that_was_being_fetched_is_fetched_by_the_next_life(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with elsewhere() as server:
        with running_house(tmp_path / "data", *words) as house:
            furnish(house)
            run = start(house, "Copy", "-i", f"source={server.url}/a.txt")
            assert run["state"] == "preparing"
            server.wait("GET")
            house.stop(signal.SIGKILL)
        server.may_answer.set()
        with running_house(tmp_path / "data", *words) as house:
            ended = house.json("run", "wait", str(run["id"]), "--company", "acme")

    assert ended["state"] == "completed"
    assert ended["input"]["source"]["size"] == len(b"from elsewhere")


@pytest.mark.timeout(240)
def test_a_callback_that_was_being_sent_is_sent_by_the_next_life(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with elsewhere() as server:
        with running_house(tmp_path / "data", *words) as house:
            furnish(house)
            run = start(house, "Greet", "-i", "name=Ann", "--callback", f"{server.url}/ended")
            server.wait("POST")
            house.stop(signal.SIGKILL)
        server.may_answer.set()
        with running_house(tmp_path / "data", *words):
            # On a shared database another server could still be sending it: its hold has to be over.
            first, second = server.wait("POST", 2)[:2]

    assert first[1] == second[1] != "", "the same id"
    assert first[2] == second[2]
    assert msgspec.json.decode(second[2])["data"]["id"] == run["id"]
