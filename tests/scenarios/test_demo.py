"""`make demo`, told to its end: real tasks on real data, and what it prints of them."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.house import COMMAND, environment, runyard

CHAPTERS = (
    "A company",
    "Deploy",
    "Zip code",
    "CSV report",
    "Meter readings",
    "Another system",
    "Wrong input",
    "A failing run",
    "Why is it waiting?",
    "A schedule",
    "A call",
    "Remote API",
    "Task queue",
    "Your turn",
)


def test_the_demo_comes_to_its_end_and_stops() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = runyard("demo", "--port", str(port), DEMO_EXIT="1")

    assert told.returncode == 0, told.stdout[-2000:] + told.stderr
    places = [told.stdout.index(f"\n{chapter} ─") for chapter in CHAPTERS]
    assert places == sorted(places)
    assert '"outputs": {"state": "Texas", "place": "Fort Worth"}' in told.stdout
    assert "found city='Fort Worth'" in told.stdout
    assert "| South | 40 | 28,849.43 |" in told.stdout
    assert "Attempt 1 failed" in told.stdout
    assert "orders: fetched orders.csv" in told.stdout
    assert '"type": "run.completed"' in told.stdout
    assert "The signature holds" in told.stdout
    assert "no place in the United States has the zip code 00000" in told.stdout
    assert "did you mean orders?" in told.stdout
    assert "orchestrator_paused" in told.stdout
    assert '"status": "Finished successfully"' in told.stdout
    assert '{"State": "Texas", "Place": "Fort Worth"}' in told.stdout
    assert "/console/reference/automation-anywhere" in told.stdout
    assert "ArrayParam_in[1]: fetched orders.csv" in told.stdout
    assert "Enclosed: orders.csv" in told.stdout
    assert "Cancelled by system Finance BPM" in told.stdout
    assert "/console/reference/elma" in told.stdout
    assert "export CONTROL=ryd_remote-control_" in told.stdout
    assert f"127.0.0.1:{port}" not in told.stdout, "it should take another port"
    assert "The server has stopped." in told.stdout
    assert told.stdout.count('"queue_cap"') == 1, "what was shown once is not shown again"
    assert '"…": "' in told.stdout


def test_the_demo_leaves_its_server_up_until_it_is_stopped(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "runyard", "demo", "--data", str(tmp_path / "data"), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment({}),
    ) as demo:
        assert demo.stdout is not None
        said = ""
        for line in demo.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        link = said.partition("/console/set-up/")
        page = httpx.get(link[0].rpartition(" ")[2] + link[1] + link[2].split()[0], trust_env=False)
        listed = runyard(
            "task", "list", "--json", "--company", "demo", "--data", str(tmp_path / "data")
        )
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()

        assert demo.wait(COMMAND) == 0, rest
    assert '"Zip code"' in listed.stdout
    assert "Its console is at http" in said
    assert "Nobody administers this installation yet" in page.text
    assert "The server has stopped." in rest


def test_the_demo_needs_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("do not touch")

    refused = runyard("demo", "--data", str(tmp_path))

    assert refused.returncode == 2
    assert (tmp_path / "mine.txt").read_text() == "do not touch"
