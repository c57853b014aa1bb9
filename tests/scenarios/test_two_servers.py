"""Two `runyard serve` over one PostgreSQL: whatever is asked may be asked at either (R6, R7, R9, R11).

Each has a data folder of its own; they share nothing but the database.
"""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.model.states import RunState
from runyard.sdk.client import Client
from runyard.sdk.client.operations.runs import NewRun, RunFilter
from runyard.sdk.client.operations.schedules import NewSchedule
from runyard.sdk.client.shapes import Run
from tests.faults.load import COMPANY, Load, all_runs, eventually, furnish, kill
from tests.support.house import House, running_house

CODE = '''
import socket
import time

from runyard import File, Retry, log, task


def _mark(text: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), ("127.0.0.1", port))


@task("Copy")
def copy(source: File, text: str) -> File:
    """Returns what it was given."""
    log.info(f"copies {len(text)} letters")
    return File.write("copy.txt", source.read_text() + text)


@task("Beat", retry=Retry(retries=5, delay="100ms"))
def beat(mark: str, port: int, beats: int) -> None:
    """Says that it lives, twenty times a second."""
    for _ in range(beats):
        _mark(mark, port)
        time.sleep(0.05)


@task("Alone", concurrency=1)
def alone() -> None:
    """Must never meet itself."""
    time.sleep(0.02)


@task("Pair", concurrency=2)
def pair() -> None:
    """May meet one other."""
    time.sleep(0.02)


@task("Free")
def free() -> None:
    """May meet as many as it likes: whichever server is asked has room for it at once."""
    time.sleep(0.02)


@task("Tick")
def tick() -> None:
    """What a schedule starts."""
'''


class Ear:
    """Counts what runs say outside of Runyard."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0)
        self.port: int = self.socket.getsockname()[1]
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """All marks so far."""
        while True:
            try:
                self.heard.append(self.socket.recv(200).decode())
            except BlockingIOError:
                return self.heard


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.socket.close()


@contextmanager
def two_houses(
    folder: Path, dsn: str, *, slots_here: int, slots_there: int
) -> Iterator[tuple[House, House]]:
    """Two servers, the first of which has made the installation."""
    with (
        running_house(folder / "a", "--database", dsn, "--slots", str(slots_here)) as here,
        running_house(folder / "b", "--database", dsn, "--slots", str(slots_there)) as there,
    ):
        (there.data / "admin.token").write_text(here.token)
        yield here, there


def deploy(house: House, folder: Path) -> None:
    (folder / "tasks.py").write_text(CODE)
    with Client(house.url, house.token, company=COMPANY) as client:
        client.create_company(COMPANY)
        client.deploy(folder / "tasks.py")


def of(house: House) -> Client:
    return Client(house.url, house.token, company=COMPANY)


def begun(client: Client) -> list[Run]:
    return [run for run in all_runs(client) if run.started_at is not None]


@pytest.mark.timeout(300)
def test_any_server_takes_any_request(postgres_dsn: str, tmp_path: Path) -> None:
    """The first has no worker: what it deploys is looked into, and what it starts executed, by the second."""
    with two_houses(tmp_path, postgres_dsn, slots_here=0, slots_there=2) as (here, there):
        deploy(here, tmp_path)
        (tmp_path / "source.txt").write_text("letters: ")
        text = "x" * 200_000  # large enough to be a blob
        with of(here) as near, of(there) as far:
            source = near.upload(tmp_path / "source.txt")

            began = time.monotonic()
            run = near.start("Copy", {"source": {"file": source.id}, "text": text})
            ended = near.wait(run.id, timedelta(seconds=60))
            took = time.monotonic() - began

            assert ended.has_succeeded, (ended.error, near.explain(run.id))
            assert near.explain(run.id)[0].code == "ended"
            [line] = near.logs(run.id).lines
            assert line.text == "copies 200000 letters"
            [file] = near.run_files(run.id)
            for client in (near, far):
                assert client.file_content(file.id) == f"letters: {text}".encode()
            assert near.run(run.id).input["text"] == text
            assert all(c.ok for c in near.doctor().checks), near.doctor()
            [worker] = [w for w in near.workers() if w.online]
            assert worker.slots == 2
        assert took < 30


@pytest.mark.timeout(300)
def test_after_a_pause_at_one_server_nothing_starts_at_another(
    postgres_dsn: str, tmp_path: Path, ear: Ear
) -> None:
    """R6"""
    with two_houses(tmp_path, postgres_dsn, slots_here=0, slots_there=2) as (here, there):
        deploy(there, tmp_path)
        with of(here) as near:
            marks = [f"run-{number}" for number in range(8)]
            near.start_many(
                NewRun(task="Beat", input={"mark": mark, "port": ear.port, "beats": 20})
                for mark in marks
            )
            eventually(lambda: len(set(ear.listen())) >= 2, "nothing begins")

            near.pause()

            had_begun = {run.input["mark"] for run in begun(near)}
            assert set(ear.listen()) <= had_begun
            eventually(
                lambda: not any(run.state is RunState.RUNNING for run in all_runs(near)),
                "what had begun does not end",
            )
            assert set(ear.listen()) == had_begun
            assert len(had_begun) < len(marks)
            near.resume()
            eventually(lambda: set(ear.listen()) == set(marks), "the rest does not start")


@pytest.mark.timeout(300)
def test_a_run_is_killed_through_another_server(
    postgres_dsn: str, tmp_path: Path, ear: Ear
) -> None:
    """R6: once the answer is there no code of it executes."""
    with two_houses(tmp_path, postgres_dsn, slots_here=0, slots_there=2) as (here, there):
        deploy(there, tmp_path)
        with of(here) as near:
            run = near.start("Beat", {"mark": "alive", "port": ear.port, "beats": 2_000})
            eventually(lambda: len(ear.listen()) > 5, "it does not begin")

            killed = near.kill(run.id)

            until_then = len(ear.listen())
            assert killed.confirmed
            assert killed.run.state is RunState.CANCELLED
            later = near.start("Beat", {"mark": "later", "port": ear.port, "beats": 10})
            assert near.wait(later.id).has_succeeded
            assert ear.listen()[until_then:].count("alive") == 0


@pytest.mark.timeout(600)
def test_a_server_dies_and_the_other_goes_on(postgres_dsn: str, tmp_path: Path) -> None:
    """R1, R2, R3, R9, R11: its runs are executed, its schedules fire once, clients ask the other."""
    with two_houses(tmp_path, postgres_dsn, slots_here=2, slots_there=2) as (here, there):
        furnish(here)
        load = Load(seconds=0.1)
        with load.running() as history:
            load.house = here
            with of(here) as near:
                (tmp_path / "tasks.py").write_text(CODE)
                near.deploy(tmp_path / "tasks.py", name="ticks")
                near.create_schedule(
                    NewSchedule(task="Tick", name="ticks", interval=timedelta(seconds=1))
                )
            eventually(lambda: len(history.done) > 20, "nothing is executed")
            kill(here.process.pid, signal.SIGKILL)
            load.house = there
            before = len(history.done)
            eventually(lambda: len(history.done) > before + 40, "the other does not go on")
            with of(there) as far:
                fired = len(fire_times(far))
                eventually(lambda: len(fire_times(far)) > fired + 2, "no schedule fires")
            load.rest()
            with of(there) as far:
                far.delete_schedule("ticks")
                assert len(fire_times(far)) == len(set(fire_times(far)))
            check_marks(there, load)


def fire_times(client: Client) -> list[object]:
    return [run.due_at for run in all_runs(client) if run.schedule_id is not None]


def check_marks(house: House, load: Load) -> None:
    with of(house) as client:
        for run in load.history.acknowledged.values():
            ended = client.wait(run, timedelta(seconds=60))
            assert ended.has_succeeded, (ended.state, ended.error, client.explain(run))
        assert all(c.ok for c in client.doctor().checks if c.name == "promises")


@pytest.mark.timeout(300)
def test_limits_hold_for_all_servers_together(postgres_dsn: str, tmp_path: Path) -> None:
    """R7: in the recorded history, no limit was ever exceeded."""
    with two_houses(tmp_path, postgres_dsn, slots_here=4, slots_there=4) as (here, there):
        deploy(here, tmp_path)
        with of(here) as near, of(there) as far:
            for number in range(6):
                client = (near, far)[number % 2]
                client.start_many(
                    NewRun(task=task) for task in ("Alone", "Pair", "Free") for _ in range(10)
                )
            under_way = RunFilter(state=(RunState.QUEUED, RunState.RUNNING))
            eventually(lambda: not near.runs(under_way, limit=1).items, "they do not end")
            runs = list(all_runs(near))

    assert len(runs) == 180
    assert {run.state for run in runs} == {RunState.COMPLETED}
    by_task = {name: [run for run in runs if run.task.name == name] for name in ("Alone", "Pair")}
    assert most_at_once(by_task["Alone"]) == 1
    assert most_at_once(by_task["Pair"]) <= 2
    assert len({run.worker_id for run in runs}) == 2, "one server did all the work"


def most_at_once(runs: list[Run]) -> int:
    """How many of these were between beginning and end at one instant."""
    moments = []
    for run in runs:
        assert run.started_at is not None
        assert run.finished_at is not None
        moments += [(run.started_at, 1), (run.finished_at, -1)]
    running = most = 0
    for _, change in sorted(moments, key=lambda moment: (moment[0], moment[1])):
        running += change
        most = max(most, running)
    return most
