"""Every command against a real server: what it does, what it answers, its exit code."""

from pathlib import Path

import pytest

from runyard.cli import main
from runyard.sdk.client import Client
from runyard.sdk.client.shapes import RunLines
from tests.cli.conftest import Command
from tests.support.house import House


def test_tasks_are_listed_and_shown(say: Command) -> None:
    code, tasks = say("task", "list")
    _, page = say("task", "show", "Greet", as_json=False)

    assert code == 0
    assert [task["name"] for task in tasks] == ["Copy", "Dawdle", "Fail", "Greet"]
    assert "How often" in page
    assert "Greets somebody." in page


def test_a_task_is_found_by_all_its_names(say: Command) -> None:
    _, task = say("task", "show", "Greet")

    for name in (str(task["id"]), task["uuid"], task["public_id"]):
        assert say("task", "show", name)[1]["name"] == "Greet"


def test_a_task_that_is_not_runnable_is_not_started(say: Command) -> None:
    assert say("task", "set-runnable", "Fail", "false")[1]["runnable"] is False
    try:
        code, said = say("run", "start", "Fail")
    finally:
        assert say("task", "set-runnable", "Fail", "true")[1]["runnable"] is True

    assert code == 6
    assert "not runnable" in said


def test_a_run_that_does_not_wait_fails_where_no_slot_is_free(say: Command) -> None:
    say("orchestrator", "pause")
    try:
        code, failed = say("run", "start", "Greet", "-i", "name=Ann", "--at-once")
        _, told = say("run", "start", "Greet", "-i", "name=Ann", "--at-once", as_json=False)
    finally:
        say("orchestrator", "resume")
    done, run = say("run", "start", "Greet", "-i", "name=Ann", "--at-once", "--wait")

    assert (code, failed["state"], failed["cause"]) == (1, "failed", "no_slot")
    assert "no slot was free" in told
    assert (done, run["state"]) == (0, "completed")


def test_runs_are_listed_by_what_they_are(say: Command) -> None:
    _, completed = say("run", "start", "Greet", "-i", "name=Ann", "--wait")
    _, failed = say("run", "start", "Fail", "--wait")

    _, page = say("run", "list", "--state", "failed", "--task", "Fail", "--limit", "1", "--values")
    _, table = say("run", "list", "--state", "completed", "--values", as_json=False)

    assert completed["state"] == "completed"
    assert [run["id"] for run in page["items"]] == [failed["id"]]
    assert page["items"][0]["input"] == {"why": "no reason"}
    assert "Hello Ann" in table


def test_a_failed_run_is_shown_with_its_error(say: Command) -> None:
    code, run = say("run", "start", "Fail", "-i", "why=on purpose", "--wait")

    _, page = say("run", "show", str(run["id"]), as_json=False)

    assert code == 1
    assert run["error"]["message"] == "on purpose"
    assert "ValueError: on purpose" in page
    assert "shop.py" in page


def test_a_log_is_read_by_level_and_number(say: Command) -> None:
    _, run = say("run", "start", "Greet", "-i", "name=Ann", "-i", "times=3", "--wait")

    _, whole = say("run", "logs", str(run["id"]), as_json=False)
    _, rest = say("run", "logs", str(run["id"]), "--after", "2")
    _, severe = say("run", "logs", str(run["id"]), "--level", "error")

    assert [f"greeting {n}" in whole for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert [line["text"] for line in rest["lines"]] == ["greeting 3"]
    assert severe["lines"] == []


def test_a_log_is_followed_to_the_end(say: Command) -> None:
    _, run = say("run", "start", "Dawdle", "-i", "seconds=0.3")

    code, log = say("run", "logs", str(run["id"]), "--follow", as_json=False)
    _, ended = say("run", "show", str(run["id"]))

    assert code == 0
    assert "begun" in log
    assert ended["state"] == "completed"


def test_waiting_ends_with_the_run_or_with_patience(say: Command) -> None:
    _, run = say("run", "start", "Dawdle", "-i", "seconds=30")

    impatient, seen = say("run", "wait", str(run["id"]), "--timeout", "200ms")
    _, cancelled = say("run", "cancel", str(run["id"]))
    code, ended = say("run", "wait", str(run["id"]))

    assert impatient == 1
    assert seen["state"] in ("queued", "running")
    assert cancelled["state"] == "cancelled"
    assert (code, ended["cause"]) == (1, "cancelled")


def test_a_run_is_parked_released_and_restarted(say: Command) -> None:
    _, parked = say("run", "start", "Greet", "-i", "name=Ann", "--parked")
    again, said = say("run", "park", str(parked["id"]))
    _, released = say("run", "release", str(parked["id"]))
    _, ended = say("run", "wait", str(parked["id"]))
    _, restarted = say("run", "restart", str(parked["id"]), "--parked", "--same-version")
    _, held = say("run", "cancel", str(restarted["id"]))

    assert parked["state"] == "parked"
    assert again == 6, said
    assert released["state"] in ("queued", "running", "completed")
    assert ended["state"] == "completed"
    assert (restarted["level"], restarted["restarted_from"]) == (1, parked["id"])
    assert held["state"] == "cancelled"


def test_the_same_key_means_the_same_run(say: Command) -> None:
    words = ("run", "start", "Greet", "-i", "name=Ann", "--key", "order-17")

    _, first = say(*words)
    _, second = say(*words)
    code, said = say("run", "start", "Greet", "-i", "name=Bob", "--key", "order-17")

    assert first["id"] == second["id"]
    assert code == 6, said


def test_a_paused_orchestrator_holds_runs_back_and_explains_it(say: Command) -> None:
    assert say("orchestrator", "pause")[1]["runnable"] is False
    try:
        _, run = say("run", "start", "Greet", "-i", "name=Ann")
        _, reasons = say("run", "explain", str(run["id"]))
        _, table = say("run", "explain", str(run["id"]), as_json=False)
        _, status = say("orchestrator", "status", as_json=False)
    finally:
        assert say("orchestrator", "resume")[1]["runnable"] is True

    assert [reason["code"] for reason in reasons] == ["orchestrator_paused"]
    assert "paused" in table
    assert "paused" in status
    assert say("run", "wait", str(run["id"]))[0] == 0


def test_queued_runs_are_cleaned_and_running_ones_killed(say: Command, client: Client) -> None:
    _, running = say("run", "start", "Dawdle", "-i", "seconds=60")
    until_it_logs(client, running["id"])
    _, later = say("run", "start", "Dawdle", "-i", "seconds=60", "--due-at", "2099-01-01")

    _, cleaned = say("task", "clean", "Dawdle")
    code, killed = say("task", "kill", "Dawdle")

    assert later["state"] == "scheduled"
    assert cleaned["cancelled"] >= 1
    assert (code, killed["killed"]) == (0, [running["id"]])
    assert say("run", "show", str(running["id"]))[1]["cause"] == "cancelled"


def test_one_run_is_killed(say: Command, client: Client) -> None:
    _, running = say("run", "start", "Dawdle", "-i", "seconds=60")
    until_it_logs(client, running["id"])

    code, report = say("run", "kill", str(running["id"]))

    assert (code, report["confirmed"]) == (0, True)
    assert report["run"]["state"] == "cancelled"


def test_schedules_are_made_listed_and_deleted(say: Command) -> None:
    _, made = say(
        "schedule", "create", "Greet", "nightly", "--cron", "0 3 * * *",
        "--time-zone", "Europe/Berlin", "-i", "name=Ann",
    )  # fmt: skip
    _, often = say(
        "schedule", "create", "Greet", "--name", "often", "--interval", "15m", "-i", "name=Ann"
    )
    _, once = say(
        "schedule", "create", "Greet", "once", "--at", "2099-01-01T00:00:00Z", "-i", "name=Ann"
    )
    _, listed = say("schedule", "list", as_json=False)
    taken, _ = say("schedule", "create", "Greet", "often", "--every", "15m", "-i", "name=Ann")
    wrong, said = say("schedule", "create", "Greet", "bad", "--cron", "61 3 * * *")

    for name in ("nightly", "often", str(once["id"])):
        assert say("schedule", "delete", name)[0] == 0
    assert made["input"] == {"name": "Ann", "times": 1}
    assert often["interval"] == "PT900S"
    assert "0 3 * * * (Europe/Berlin)" in listed
    assert taken == 6
    assert wrong == 4, said
    assert say("schedule", "list")[1] == []
    assert say("schedule", "delete", "often")[0] == 5


def test_tokens_are_listed_without_secrets_and_revoked(say: Command) -> None:
    _, created = say("token", "create", "worker", "--name", "host-17", "--lasting", "90d")
    _, listed = say("token", "list")
    _, table = say("token", "list", as_json=False)
    code, _ = say("token", "revoke", str(created["id"]))
    _, after = say("token", "list")

    [found] = [token for token in listed if token["id"] == created["id"]]
    assert found["name"] == "host-17"
    assert found["expires_at"] is not None
    assert created["secret"] not in str(listed) + table
    assert created["secret"].endswith(found["last_characters"])
    assert code == 0
    assert all(token["revoked_at"] for token in after if token["id"] == created["id"])


def test_tokens_are_never_made_for_a_guessed_owner(say: Command) -> None:
    code, said = say("token", "create", "native", company="")

    assert code == 2
    assert "--installation" in said


def test_wrong_values_are_all_named(say: Command, tmp_path: Path) -> None:
    source = tmp_path / "input.json"
    source.write_text('{"name": 3, "tims": 2}')

    code, said = say("run", "start", "Greet", "--input", str(source))

    assert code == 4
    assert "name: " in said
    assert "did you mean times" in said


@pytest.mark.parametrize(
    ("code_text", "line", "reason"),
    [
        ("from runyard import task\n\ndef broken(:\n", 3, "invalid syntax"),
        ("import nowhere_to_be_found\n", 1, "nowhere_to_be_found"),
        (
            "from runyard import task\n\n\n@task('Odd')\ndef odd(what: complex) -> None:\n    pass\n",
            None,
            "what",
        ),
    ],
    ids=["syntax", "import", "annotation"],
)
def test_broken_code_is_refused_with_its_place(
    say: Command, tmp_path: Path, code_text: str, line: int | None, reason: str
) -> None:
    (tmp_path / "broken.py").write_text(code_text)

    code, said = say("deploy", str(tmp_path / "broken.py"))

    assert code == 1
    assert "broken.py" in said
    assert line is None or f"line {line}" in said
    assert reason in said
    assert [task["name"] for task in say("task", "list")[1]] == ["Copy", "Dawdle", "Fail", "Greet"]


def test_a_task_of_another_bundle_is_taken_over_only_on_demand(
    say: Command, tmp_path: Path
) -> None:
    say("company", "create", "takers", company="")
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(
            "from runyard import task\n\n\n@task('Same')\ndef same() -> None:\n    pass\n"
        )

    first, _ = say("deploy", str(tmp_path / "one.py"), company="takers")
    refused, said = say("deploy", str(tmp_path / "other.py"), company="takers")
    taken, report = say("deploy", str(tmp_path / "other.py"), "--take-over", company="takers")

    assert (first, refused, taken) == (0, 6, 0), said
    assert report["bundle"] == "other"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "show", "999999999"),
        ("run", "logs", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("run", "cancel", "nonsense"),
        ("task", "show", "Nobody"),
        ("run", "start", "Nobody"),
        ("schedule", "delete", "nobody"),
        ("token", "revoke", "999999999"),
    ],
)
def test_what_there_is_not_has_its_exit_code(say: Command, words: tuple[str, ...]) -> None:
    code, said = say(*words)

    assert code == 5
    assert said.startswith("Error: ")


def test_what_belongs_to_another_company_does_not_exist(say: Command) -> None:
    say("company", "create", "others", company="")
    _, run = say("run", "start", "Greet", "-i", "name=Ann", "--parked")

    for words in (("run", "show"), ("run", "cancel"), ("run", "logs"), ("run", "explain")):
        assert say(*words, str(run["id"]), company="others")[0] == 5
    assert say("run", "cancel", str(run["id"]))[0] == 0


def test_the_company_must_be_said_when_there_are_several(say: Command) -> None:
    say("company", "create", "several", company="")

    code, said = say("task", "list", company="")

    assert code == 2
    assert "acme" in said


def test_a_company_has_one_name(say: Command) -> None:
    code, said = say("company", "create", "acme", company="")
    wrong, _ = say("company", "create", "Not a slug", company="")
    _, companies = say("company", "list", company="")

    assert code == 6, said
    assert wrong == 4
    assert "acme" in [company["slug"] for company in companies]


def test_a_worthless_token_is_told_so(acme: House, capfd: pytest.CaptureFixture[str]) -> None:
    for token in ("nonsense", "ryd_native_" + "A" * 49):
        code = main(["task", "list", "--url", acme.url, "--token", token, "--company", "acme"])

        assert code == 4
        assert token not in capfd.readouterr().err


def until_it_logs(client: Client, run_id: int) -> None:
    """Returns once the run's code is reached."""
    for event in client.events(run_id):
        if isinstance(event, RunLines):
            return
