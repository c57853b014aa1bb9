"""Workers on other machines, with their connections and their servers struck one at a time (R11)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runyard.sdk.client import Client
from runyard.sdk.client.shapes import Run
from tests.faults.convoy import Convoy, Part, Plan, convoy, is_alive
from tests.faults.load import COMPANY, descendants
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.timeout(300)
PATIENCE = 90.0
CODE = """
import os
import subprocess
import time

from runyard import Retry, log, step, task

AGAIN = Retry(retries=5, delay="100ms", cap="200ms")


@task("Slow", retry=AGAIN)
def slow(seconds: float) -> int:
    log.info("begun")
    step("paid", lambda: 1)
    time.sleep(seconds)
    log.info("ends")
    return os.getpid()


@task("Family")
def family() -> None:
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    log.info(f"begun {os.getpid()}")
    time.sleep(600)
"""


@contextmanager
def a_fleet(
    folder: Path,
    postgres: PostgresServer | None = None,
    *,
    servers: int = 1,
    workers: int = 1,
    lease: str = "10s",
) -> Iterator[tuple[Convoy, Client]]:
    """Servers without workers of their own, workers, and a client of the first server."""
    plan = Plan(servers=servers, workers=workers, slots=0, lease=lease)
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "tasks.py").write_text(CODE)
    with convoy(folder, plan, postgres) as found, found.client() as client:
        client.company = None
        client.create_company(COMPANY)
        client.company = COMPANY
        until(lambda: sum(worker.online for worker in client.workers()) == workers)
        client.deploy(code, name="code")
        yield found, client


def until(holds: Callable[[], object], within: float = PATIENCE) -> float:
    """Return once this holds; seconds that took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within, "it did not come true"
        time.sleep(0.05)
    return time.monotonic() - begun


def begun_at(fleet: Convoy, client: Client, run: int) -> Part:
    """The worker at which a run has reached its code."""
    until(lambda: "begun" in texts(client, run))
    names = {worker.id: worker.name for worker in client.workers()}
    number = client.run(run).worker_id
    assert number is not None
    [part] = [part for part in fleet.workers if part.name == names[number]]
    return part


def texts(client: Client, run: int) -> list[str]:
    return [line.text for line in client.logs(run).lines]


def ended(client: Client, run: int) -> Run:
    found = client.wait(run)
    assert found.state == "completed", found.error
    return found


def test_a_run_survives_cut_connections(tmp_path: Path) -> None:
    with a_fleet(tmp_path) as (fleet, client):
        run = client.start("Slow", {"seconds": 4.0}).id
        worker = begun_at(fleet, client, run)
        for _ in range(3):
            worker.cables[0].cut()
            time.sleep(0.7)

        found = ended(client, run)

        assert found.attempt == 1
        assert texts(client, run) == ["begun", "ends"]


def test_a_run_survives_a_silent_connection(tmp_path: Path) -> None:
    """Nobody closes it: heartbeats tell. Another one is made while the leases still last."""
    with a_fleet(tmp_path) as (fleet, client):
        run = client.start("Slow", {"seconds": 9.0}).id
        worker = begun_at(fleet, client, run)
        worker.cables[0].silence()
        time.sleep(5.5)
        worker.cables[0].speak()

        assert ended(client, run).attempt == 1


def test_a_run_of_a_killed_worker_is_executed_elsewhere_within_15_seconds(tmp_path: Path) -> None:
    with a_fleet(tmp_path, workers=2) as (fleet, client):
        run = client.start("Slow", {"seconds": 20.0}).id
        worker = begun_at(fleet, client, run)
        worker.kill()

        took = until(lambda: texts(client, run).count("begun") == 2)

        assert took < 15.0
        assert client.run(run).attempt == 2
        names = {shown.id: shown.name for shown in client.workers()}
        assert names[client.run(run).worker_id or 0] != worker.name
        client.kill(run)


def test_a_worker_that_stood_still_beyond_its_lease_changes_nothing(tmp_path: Path) -> None:
    """R4"""
    with a_fleet(tmp_path, workers=2) as (fleet, client):
        run = client.start("Slow", {"seconds": 4.0}).id
        worker = begun_at(fleet, client, run)
        worker.freeze()
        found = ended(client, run)
        worker.thaw()
        until(lambda: all(shown.online for shown in client.workers()))
        after = client.run(run)

        assert found.attempt == 2
        assert (after.outputs, after.attempt) == (found.outputs, 2)
        assert texts(client, run) == ["begun", "begun", "ends"]
        again = client.start("Slow", {"seconds": 0.0})
        assert ended(client, again.id).attempt == 1


def test_a_killed_run_is_dead_with_all_it_started_before_the_answer(tmp_path: Path) -> None:
    """R6"""
    with a_fleet(tmp_path) as (fleet, client):
        run = client.start("Family").id
        until(lambda: any(text.startswith("begun") for text in texts(client, run)))
        [text] = texts(client, run)
        child = int(text.split()[1])
        family = [pid for pid in descendants(fleet.workers[0].pid) if is_alive(pid)]
        offspring = {child, *descendants(child)} & set(family)
        assert len(offspring) == 2

        report = client.kill(run)

        assert report.confirmed
        assert not [pid for pid in offspring if is_alive(pid)]


def test_a_kill_of_an_unreachable_worker_is_unconfirmed_and_still_true(tmp_path: Path) -> None:
    """R6: its lease is void, and it ends the run by itself."""
    with a_fleet(tmp_path) as (fleet, client):
        run = client.start("Slow", {"seconds": 300.0}).id
        worker = begun_at(fleet, client, run)
        children = descendants(worker.pid)
        worker.cables[0].silence()

        report = client.kill(run)

        assert not report.confirmed
        assert report.run.state == "cancelled"
        before = {pid for pid in children if is_alive(pid)}
        worker.cables[0].speak()
        until(lambda: client.workers()[0].online)
        until(lambda: client.workers()[0].busy == 0)
        again = client.start("Slow", {"seconds": 0.0})
        assert ended(client, again.id).worker_id == report.run.worker_id
        assert before


def test_a_run_survives_the_death_of_its_server(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """The worker goes on at the other one."""
    with a_fleet(tmp_path, postgres_server, servers=2) as (fleet, _), fleet.client(1) as client:
        runs = [client.start("Slow", {"seconds": 6.0}).id for _ in range(2)]
        for run in runs:
            begun_at(fleet, client, run)
        fleet.servers[0].kill()

        for run in runs:
            assert ended(client, run).attempt == 1
            assert texts(client, run) == ["begun", "ends"]
        [worker] = client.workers()
        assert worker.online
        assert ended(client, client.start("Slow", {"seconds": 0.0}).id).attempt == 1


def test_a_run_survives_the_restart_of_the_only_server(tmp_path: Path) -> None:
    """Also on SQLite, if it is back before the leases end."""
    with a_fleet(tmp_path, lease="60s") as (fleet, client):
        run = client.start("Slow", {"seconds": 8.0}).id
        begun_at(fleet, client, run)
        fleet.servers[0].kill()
        fleet.servers[0].start()
        fleet.until_ready(0)

        assert ended(client, run).attempt == 1
        assert texts(client, run) == ["begun", "ends"]


def test_a_run_survives_the_stop_of_its_server(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """R13: what outlasts the drain goes on at another server."""
    with a_fleet(tmp_path, postgres_server, servers=2) as (fleet, _), fleet.client(1) as client:
        fleet.servers[0].end()
        fleet.servers[0].variables["RUNYARD_DRAIN"] = "500ms"
        fleet.servers[0].start()
        fleet.until_ready(0)
        fleet.servers[1].end()  # so that the worker is at the first
        fleet.servers[1].start()
        fleet.until_ready(1)
        run = client.start("Slow", {"seconds": 8.0}).id
        begun_at(fleet, client, run)
        fleet.servers[0].end()

        assert ended(client, run).attempt == 1
        assert texts(client, run) == ["begun", "ends"]
