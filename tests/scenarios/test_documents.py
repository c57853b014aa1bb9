"""The README, the tutorial and the client's page, followed to the letter by a shell."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import environment, running_house

REPOSITORY = Path(__file__).parents[2]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SAVED_AS = re.compile(r"`([\w.-]+)`:\s*\Z")
OF_THE_READER = ("make ", "source ", "runyard serve")
"""Lines that the reader does and the test has done."""
PATIENCE = 110.0


def pieces(document: Path) -> Iterator[tuple[str, str]]:
    """What a reader does, in order: ("sh", commands), or a file's name and its content."""
    text = document.read_text()
    for fence in FENCE.finditer(text):
        saved = SAVED_AS.search(text, 0, fence.start())
        if saved is not None:
            yield saved[1], fence[2]
        elif fence[1] == "sh":
            yield "sh", fence[2]


def script(document: Path) -> str:
    """The whole document as one shell script."""
    lines = ["set -eu -o pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for name, content in pieces(document):
        if name == "sh":
            lines += [line for line in content.splitlines() if not line.startswith(OF_THE_READER)]
        else:
            lines += [f"cat > {name} <<'END OF FILE'", content.rstrip("\n"), "END OF FILE"]
    return "\n".join(lines)


def free_port() -> int:
    """A port for a server that the reader starts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            "README.md",
            ("greeting number 2", "Hello World!", "completed {'result': 'Hello World!'}"),
        ),
        (
            "docs/client.md",
            (
                "completed returned {'result': {'be': 2, 'to': 2}}",
                "info 4 different words",
                "51 completed",
                "there is no run '999999999'",
            ),
        ),
        (
            "docs/integray.md",
            (
                "Allow control",
                '"isRunnable":false',
                '"status":"Finished successfully"',
                '"note":"order 17"',
                "there is no zip code 00000",
                '"level":"Error"',
                '"statusId":999',
                "x-has-more: true",
                '"name":"Waiting for agent"',
                "runyard_remote_orchestrator_runnable 1.0",
                '"code":"remote_control_disabled"',
            ),
        ),
        (
            "docs/automation-anywhere.md",
            (
                '{"valid":true}',
                '"concurrencyLimit":2}',
                '"fileName":"Zip Code API Task"',
                '"State":{"type":"STRING","string":"Texas"}',
                "x-execution-id: ",
                "there is no zip code 00000",
                "botInput.zip: an unknown variable; allowed: iStrZipCode",
                '"botOutVariables":{"values":{"State":{"type":"STRING","string":"Hawaii"}',
                '{"fileName":"Zip Code API Task","status":"COMPLETED"}',
                '"name":"iStrZipCode","input":true,"output":false',
                '"username":"apitaskrunner"',
                "204",
                '{"valid":false}',
            ),
        ),
        (
            "docs/elma.md",
            (
                '{"status":201,"task":{"id":',
                '"priority":"MEDIUM","status":"PREPARE","metrics":{}',
                '"status":"DONE"',
                'stringvalue_out\\":\\"String value (taken)',
                'filevalue_out\\":\\"receipt.txt',
                "ArrayParam_in[1]: fetched scan.txt (25 bytes)",
                '"priority":"HIGH","status":"ERROR"',
                "Cancelled by system Finance BPM",
                "is over (DONE): it is not in the queue",
                "Enclosed: scan.txt, 25 bytes",
                '{"status":200,"total":1,"process":[{"uuid":',
                "the system 'Finance BPM' is locked",
            ),
        ),
        (
            "docs/tutorial.md",
            (
                "as expected",
                "Cable: 50 missing",
                "Brightside,Cable,50",
                "did you mean stock?",
                "exit code 4",
                "invalid literal for int() with base 10: 'four'",
                "exit code 1",
                "returned_with_errors",
                "30 6 * * 1-5 (Europe/Berlin)",
                "is paused",
                "completed 58 pieces",
            ),
        ),
    ],
)
def test_a_document_can_be_followed_word_for_word(
    document: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    path = f"{Path(sys.executable).parent}:{environment({})['PATH']}"
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    with running_house(tmp_path / "runyard-data") as house:
        commands = script(REPOSITORY / document).replace("http://127.0.0.1:7070", house.url)
        commands = commands.replace("8088", str(free_port()))
        followed = subprocess.run(
            ["bash", "-c", commands],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            env=environment({"PATH": path}),
            check=False,
        )

    assert followed.returncode == 0, followed.stdout
    for phrase in expected:
        assert phrase in followed.stdout
