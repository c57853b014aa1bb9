"""The first steps of the README in real processes, on each database."""

import stat
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import SHOP
from tests.support.house import House, runyard


def test_the_first_steps(any_house: House, tmp_path: Path) -> None:
    assert any_house.run("company", "create", "steps").returncode == 0

    deployed = any_house.run("deploy", str(SHOP), "--company", "steps")
    assert deployed.returncode == 0, deployed.stderr
    assert "name: text, times?: integer" in deployed.stdout
    assert "text: text, length: integer" in deployed.stdout

    started = any_house.run(
        "run", "start", "Greet", "--company", "steps", "-i", "name=World", "-i", "times=2", "--wait"
    )
    assert started.returncode == 0, started.stderr
    assert "greeting 1" in started.stderr
    assert "greeting 2" in started.stderr
    assert "Hello World" in started.stdout

    run = any_house.json(
        "run", "start", "Greet", "--company", "steps", "-i", "name=World", "--wait"
    )
    assert run["state"] == "completed"
    assert run["cause"] == "returned"
    assert run["outputs"] == {"text": "Hello World", "length": 5}

    shown = any_house.json("task", "show", "Greet", "--company", "steps")
    assert {"id", "uuid", "public_id", "path", "version", "inputs", "outputs"} <= shown.keys()
    assert (shown["name"], shown["version"], shown["runnable"]) == ("Greet", 1, True)

    failed = any_house.run("run", "start", "Fail", "--company", "steps", "--wait")
    assert failed.returncode == 1
    assert "ValueError: no reason" in failed.stdout

    source = tmp_path / "note.txt"
    source.write_text("a note")
    copied = any_house.json(
        "run", "start", "Copy", "--company", "steps", "-i", f"source=@{source}", "--wait",
        "-i", 'tags=["x", "y"]',
    )  # fmt: skip
    assert copied["outputs"]["result"]["name"] == "copy.txt"
    fetched = any_house.run(
        "run", "files", str(copied["id"]), "--company", "steps", "--to", str(tmp_path / "got")
    )
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "got" / "copy.txt").read_text() == "A NOTEx,y"

    examined = any_house.run("doctor")
    assert examined.returncode == 0, examined.stdout
    assert "isolation" in examined.stdout


def test_a_deploy_again_changes_nothing(any_house: House) -> None:
    assert any_house.run("company", "create", "again").returncode == 0
    any_house.json("deploy", str(SHOP), "--company", "again")

    report = any_house.json("deploy", str(SHOP), "--company", "again")

    assert {(task["change"], task["task"]["version"]) for task in report["tasks"]} == {
        ("unchanged", 1)
    }


def test_a_token_is_printed_alone_and_opens_its_company(any_house: House) -> None:
    assert any_house.run("company", "create", "keys").returncode == 0
    created = any_house.run("token", "create", "native", "--company", "keys", "--role", "viewer")

    secret = created.stdout.removesuffix("\n")
    listed = runyard("task", "list", "--json", RUNYARD_URL=any_house.url, RUNYARD_TOKEN=secret)
    foreign = runyard(
        "task", "list", "--company", "steps", RUNYARD_URL=any_house.url, RUNYARD_TOKEN=secret
    )
    beyond = runyard("orchestrator", "pause", RUNYARD_URL=any_house.url, RUNYARD_TOKEN=secret)

    assert secret.startswith("ryd_native_")
    assert secret.isprintable()
    assert (listed.returncode, listed.stdout) == (0, "[]\n")
    assert foreign.returncode == 5
    assert beyond.returncode == 4


def test_what_the_server_keeps_is_its_owners_alone(any_house: House) -> None:
    assert stat.S_IMODE(any_house.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((any_house.data / "admin.token").stat().st_mode) == 0o600


def test_a_reader_that_has_seen_enough_is_no_failure(sqlite_house: House) -> None:
    words = ["company", "list", "--json", "--data", str(sqlite_house.data)]
    with subprocess.Popen(
        [sys.executable, "-m", "runyard", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        complaint = listing.stderr.read()

        assert listing.wait() == 0
    assert complaint == b""


def test_what_cannot_be_written_is_said_so(sqlite_house: House, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")

    refused = runyard("serve", "--data", str(tmp_path / "taken"), "--port", "0")

    assert refused.returncode == 1
    assert "taken" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_control_of_a_company_is_allowed_with_a_token_printed_alone(any_house: House) -> None:
    any_house.run("company", "create", "steered")
    before = any_house.run("company", "allow-control", "steered")
    allowed = any_house.run("company", "allow-control", "steered", "--token")
    [secret] = allowed.stdout.splitlines()
    shown = any_house.json("company", "allow-control", "steered")
    again = any_house.run("token", "create", "remote-control", "--company", "steered")
    none = any_house.run("company", "allow-control", "steered", "--none")
    both = any_house.run("company", "allow-control", "steered", "--none", "--token")

    assert before.stdout.split()[:3] == ["Allow", "control", "None"]
    assert secret.startswith("ryd_remote-control_")
    assert shown["token"]["last_characters"] == secret[-4:]
    assert "secret" not in shown
    assert again.stdout.startswith("ryd_remote-control_")
    assert "No token controls steered any more." in none.stdout
    assert not any_house.json("company", "allow-control", "steered")["allowed"]
    assert both.returncode == 2
    assert "Choose one" in both.stderr
