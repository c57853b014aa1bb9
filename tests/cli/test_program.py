"""The program as a whole: its pages, its exit codes, what it loads."""

import io
import subprocess
import sys

import pytest
from cyclopts import App

from runyard.cli import main
from runyard.cli.commands import COMMANDS, overview
from runyard.cli.exits import Misused, exit_code
from runyard.cli.program import program
from runyard.model import errors
from runyard.sdk.client import ServerBroken, ServerUnreachable
from tools.cli_page import PAGE, command_pages, page


def test_the_page_of_all_commands_loads_none_of_them() -> None:
    statements = (
        "import sys; from runyard.cli import main; code = main(['--help']);"
        "print(code, sorted({'cyclopts', 'rich', 'httpx', 'litestar', 'uvicorn'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", statements], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith(overview())
    assert done.stdout.splitlines()[-1] == "0 []"


def test_the_client_is_no_part_of_the_server() -> None:
    statements = (
        "import sys, runyard.cli.program, runyard.cli.runs, runyard.sdk.client;"
        "print(sorted(m for m in sys.modules if m.startswith(('runyard.engine', 'runyard.server',"
        "'runyard.stores', 'runyard.worker', 'litestar'))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", statements], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_page_names_every_command() -> None:
    for command in COMMANDS:
        assert f"  {command.name} " in overview()
        assert command.summary in overview()


def test_every_command_shows_how_it_is_used() -> None:
    groups = [path for path, text in command_pages() if "COMMAND" in text.splitlines()[0]]
    commands = [(path, text) for path, text in command_pages() if path not in groups]

    assert len(commands) > 25
    for path, text in commands:
        assert "Example" in text, path
        assert f"runyard {path}" in text.partition("Example")[2], path


def test_the_summaries_are_those_of_the_commands() -> None:
    app = program()
    for command in COMMANDS:
        loaded: App = app[command.name]
        help_page = io.StringIO()
        help_page.write(str(loaded.help))
        assert help_page.getvalue(), command.name


def test_the_page_of_the_command_line_is_as_new_as_the_commands() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misused("x"), 2),
        (ServerUnreachable("x"), 3),
        (ServerBroken("x"), 3),
        (errors.CodeRefused("x"), 1),
        (errors.InputRefused([]), 4),
        (errors.Unauthenticated(), 4),
        (errors.Forbidden(), 4),
        (errors.RunNotFound(), 5),
        (errors.IllegalTransition(), 6),
        (errors.QueueFull(), 7),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: errors.RunyardError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run", "nonsense"],
        ["run", "show"],
        ["run", "show", "7", "--nonsense"],
        ["run", "list", "--limit", "many"],
        ["token", "create", "nonsense", "--company", "acme"],
        ["schedule", "create", "Zip code", "nightly"],
    ],
)
def test_a_wrong_command_line_says_so(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "rror" in printed.err


def test_no_server_is_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["run", "show", "7", "--company", "a", "--url", "http://127.0.0.1:9", "--token", "t"])
        == 3
    )

    assert "127.0.0.1:9" in capsys.readouterr().err
