"""Writes docs/cli.md from what every command says with --help, so that the page cannot be wrong."""

import io
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from rich.console import Console

from runyard import cli
from runyard.cli.commands import overview
from runyard.cli.program import program

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 120

INTRODUCTION = """\
# The command line

This page is made by `make docs` from what the commands say with `--help`. A test fails when the page is older than
the commands.
"""


def page() -> str:
    """The whole document."""
    parts = [INTRODUCTION, _fenced(overview()), "## How it went", "", _essay()]
    for path, text in command_pages():
        parts += [f"## runyard {path}", "", _fenced(text)]
    return "\n".join(parts)


def command_pages() -> Iterator[tuple[str, str]]:
    """Every command and group with its help page."""
    app = program()
    app.help_formatter = "plain"
    for name in _names(app):
        yield from _pages(app, (name,))


def _pages(app: App, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    app.help_print(path, console=console)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]
    yield " ".join(path), "\n".join(lines).strip() + "\n"
    command = app
    for name in path:
        command = command[name]
    for name in _names(command):
        yield from _pages(app, (*path, name))


def _names(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _essay() -> str:
    """What the package says about output and exit codes."""
    assert cli.__doc__ is not None
    _, _, words = cli.__doc__.partition("\n\n")
    return _fenced(words.strip() + "\n")


def _fenced(text: str) -> str:
    return f"```text\n{text}```\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
