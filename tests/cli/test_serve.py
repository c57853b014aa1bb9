"""A server's life: how it starts, what it refuses, how it stops."""

import signal
import socket
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.sdk.client import Client, ServerUnreachable, StateChanged
from runyard.sdk.client.shapes import RunLines
from tests.cli.conftest import SHOP
from tests.support.house import House, running_house, runyard

PATIENT = """
import time

from runyard import context, log, task


@task("Patient")
def patient() -> str:
    log.info("begun")
    if context.attempt == 1:
        time.sleep(600)
    return "done"
"""


def test_a_stopping_server_lets_a_running_run_finish(tmp_path: Path) -> None:
    with running_house(tmp_path / "data") as house:
        with Client(house.url, house.token, tries=1) as client:
            client.create_company("acme")
            client.company = "acme"
            client.deploy(SHOP)
            running = client.start("Dawdle", {"seconds": 1.0})
            for event in client.events(running.id):
                if isinstance(event, RunLines):
                    break
            assert house.stop() == 0
            with pytest.raises(ServerUnreachable):
                client.companies()
        assert any("Stopping" in line for line in house.printed)

    with running_house(tmp_path / "data") as house, Client(house.url, house.token) as client:
        client.company = "acme"
        ended = client.run(running.id)

    assert ended.state == "completed"
    assert ended.outputs == {"result": "done"}


def test_a_run_that_outlasts_the_drain_is_handed_back_and_runs_again(tmp_path: Path) -> None:
    """R13: however few retries its task has, for nothing of it has failed."""
    (tmp_path / "patient.py").write_text(PATIENT)
    with running_house(tmp_path / "data", RUNYARD_DRAIN="300ms") as house:
        with Client(house.url, house.token, company="acme") as client:
            client.create_company("acme")
            client.deploy(tmp_path / "patient.py")
            running = client.start("Patient")
            for event in client.events(running.id):
                if isinstance(event, RunLines):
                    break
        assert house.stop() == 0

    with (
        running_house(tmp_path / "data") as house,
        Client(house.url, house.token, company="acme") as client,
    ):
        ended = client.wait(running.id, timedelta(seconds=30))

    assert ended.state == "completed"
    assert ended.outputs == {"result": "done"}
    assert ended.attempt == 2


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with running_house(tmp_path / "data") as house:
        with Client(house.url, house.token, company="acme") as client:
            client.create_company("acme")
            client.deploy(SHOP)
            running = client.start("Dawdle", {"seconds": 600})
            for event in client.events(running.id):
                if isinstance(event, StateChanged) and event.run.attempt:
                    break
        house.process.send_signal(signal.SIGINT)
        house.until_printed("Stopping")

        assert house.stop(signal.SIGINT) == 0


def test_what_a_server_keeps_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_house(tmp_path / "data") as house:
        token = house.token
        assert house.run("company", "create", "acme").returncode == 0

    with running_house(tmp_path / "data") as house:
        assert house.token == token
        assert [company["slug"] for company in house.json("company", "list")] == ["acme"]


def test_a_data_folder_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's processes stand elsewhere; `runyard serve` alone names its folder like this."""
    monkeypatch.chdir(tmp_path)

    with running_house(Path("runyard-data")) as house:
        assert house.run("company", "create", "acme").returncode == 0
        assert house.run("deploy", str(SHOP)).returncode == 0
        begun = house.run("run", "start", "Dawdle", "-i", "seconds=0", "--wait")

    assert begun.returncode == 0, begun.stderr


def test_without_slots_there_is_no_worker(tmp_path: Path) -> None:
    with running_house(tmp_path / "data", "--slots", "0") as house:
        assert house.run("company", "create", "acme").returncode == 0
        refused = house.run("deploy", str(SHOP), "--company", "acme")
        examined = house.run("doctor", "--json")

    assert refused.returncode == 7
    assert "orker" in refused.stderr
    assert '"workers"' in examined.stdout


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    with running_house(tmp_path / "data"):
        refused = runyard("serve", "--data", str(tmp_path / "data"), "--port", "0")

    assert refused.returncode == 1
    assert "in use" in refused.stderr


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = runyard("serve", "--data", str(tmp_path / "data"), "--port", port)

    assert refused.returncode == 1
    assert port in refused.stderr


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    refused = runyard(
        "serve", "--data", str(tmp_path / "data"), "--port", "many", "--trust-proxy", "x",
        RUNYARD_LEASE="soon",
    )  # fmt: skip

    assert refused.returncode == 2
    for name in ("--port", "--trust-proxy", "RUNYARD_LEASE"):
        assert name in refused.stderr
    assert not (tmp_path / "data").exists()


def test_it_does_not_listen_in_the_open_without_tls(tmp_path: Path) -> None:
    refused = runyard("serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0")

    assert refused.returncode == 2
    assert "tls_cert" in refused.stderr


def test_a_database_is_made_and_brought_forward(tmp_path: Path) -> None:
    for _ in range(2):
        done = runyard("db", "migrate", "--data", str(tmp_path / "data"))

        assert done.returncode == 0, done.stderr
        assert "schema" in done.stdout
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_database_in_use_is_left_alone(tmp_path: Path) -> None:
    with running_house(tmp_path / "data"):
        refused = runyard("db", "migrate", "--data", str(tmp_path / "data"))

    assert refused.returncode == 1


def test_a_folder_of_no_server_is_not_taken_for_one(tmp_path: Path) -> None:
    refused = runyard("company", "list", "--data", str(tmp_path))

    assert refused.returncode == 2
    assert "admin.token" in refused.stderr


def test_a_server_is_found_by_the_environment_alone(tmp_path: Path) -> None:
    with running_house(tmp_path / "data") as house:
        by_address = runyard(
            "company", "create", "acme", RUNYARD_URL=house.url, RUNYARD_TOKEN=house.token
        )
        by_folder = runyard("company", "list", "--json", RUNYARD_DATA=str(house.data))

    assert by_address.returncode == 0, by_address.stderr
    assert '"acme"' in by_folder.stdout


def test_a_token_of_ones_own_goes_to_the_server_of_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with running_house(tmp_path / "runyard-data") as house:
        assert house.run("company", "create", "acme").returncode == 0
        made = house.run("token", "create", "native", "--company", "acme", "--role", "viewer")
        listed = runyard("company", "list", RUNYARD_TOKEN=made.stdout.strip())
        refused = runyard("company", "create", "globex", RUNYARD_TOKEN=made.stdout.strip())

    assert listed.returncode == 0, listed.stderr
    assert refused.returncode == 4


def test_who_names_a_server_is_asked_for_the_token_alone(tmp_path: Path) -> None:
    nowhere = runyard("company", "list", RUNYARD_URL="http://127.0.0.1:1")

    assert nowhere.returncode == 2
    assert "A token is missing for http://127.0.0.1:1" in nowhere.stderr


def test_a_fresh_server_prints_one_link_that_makes_the_first_user(tmp_path: Path) -> None:
    """No user and no password comes with Runyard: whoever starts it lets the first one in."""
    with running_house(tmp_path / "data") as house:
        first = the_link(house)
        assert f"{house.url}/console/set-up/" in first
        assert house.json("user", "list") == []
    with running_house(tmp_path / "data") as house:
        second = the_link(house)
        assert second.rpartition("/")[2] != first.rpartition("/")[2]
        assert house.run("user", "create", "bob@example.com").returncode == 0
        assert house.run("user", "setup-link").returncode == 0
        administrator = ("--role", "administrator", "--password-stdin")
        words = ("user", "create", "ann@example.com", *administrator)
        assert house.run(*words, stdin="correct horse battery\n").returncode == 0
        refused = house.run("user", "setup-link")
        assert refused.returncode == 6
    with running_house(tmp_path / "data") as house:
        assert not any("/console/set-up/" in line for line in house.printed)
        assert any(line.endswith("/console") for line in house.printed)
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert first.rpartition("/")[2].encode() not in path.read_bytes()


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    refused = runyard("serve", "--data", str(tmp_path / "notes.txt"), "--port", "0")

    assert refused.returncode == 1
    assert "notes.txt cannot be the data folder: File exists" in refused.stderr


def test_only_a_token_that_is_there_is_pointed_to(tmp_path: Path) -> None:
    """Not on the second server of a database, and not once somebody has put it away."""
    with running_house(tmp_path / "data") as house:
        assert any("Administrator token" in line for line in house.printed)
    (tmp_path / "data" / "admin.token").unlink()

    with running_house(tmp_path / "data") as house:
        assert not any("admin.token" in line for line in house.printed)


def the_link(house: House) -> str:
    house.until_printed("Ctrl-C")
    [line] = [line.strip() for line in house.printed if "/console/set-up/" in line]
    return line
