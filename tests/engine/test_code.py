"""What tasks do, as their code says it: read as text, whatever a bundle holds."""

import io
import zipfile
from collections.abc import Mapping

import pytest

from runyard.engine import code
from runyard.model.errors import CodeNotShown
from tests.support.server import a_bundle, a_declaration

SOURCE = """
import os
from runyard import log, task


@task("Zip code")
async def zip_code(zip: str) -> str:
    \"\"\"Where it lies.\"\"\"
    os.path.exists(zip)
    log.info("looking")
    found = await fetch(zip)
    count: int = 1
    for part in found:
        if part:
            log.warning(part)
        else:
            continue
    try:
        with open(zip) as file:
            count += 1
    except OSError:
        raise
    finally:
        pass
    match zip:
        case "1":
            helpers()[0]()
    def inner():
        hidden()
    return found
"""
COMMANDS = [
    "os.path.exists 9",
    "log.info 10",
    "fetch 11",
    "assign 12",
    "for 13",
    "if 14",
    "log.warning 15",
    "continue 17",
    "try 18",
    "open 19",
    "assign 20",
    "raise 22",
    "pass 24",
    "match 25",
    "evaluate 27",
    "define 28",
    "return 30",
]


def commands(files: Mapping[str, str]) -> list[str]:
    found = code._commands(a_bundle(files), a_declaration())
    return [f"{each.name} {each.line}" for each in found]


@pytest.mark.parametrize("path", ["tasks.py", "src/tasks.py", "tasks/__init__.py"])
def test_every_statement_is_told_with_its_line(path: str) -> None:
    assert commands({path: SOURCE}) == COMMANDS


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"other.py": "x = 1"}, "has no module tasks"),
        ({"tasks.py": "x = 1"}, "no function zip_code"),
        ({"tasks.py": "def zip_code(:"}, "cannot be parsed"),
        ({"tasks.py": "x = \0"}, "cannot be parsed"),
        ({"tasks.py": f"x = {'(' * 5_000}"}, "cannot be parsed"),
        ({"tasks.py": f"x = {'-' * 100_000}1"}, "cannot be parsed"),
        ({"tasks.py": "#" * 200_000}, "131072 bytes"),
    ],
)
def test_code_that_cannot_be_shown_says_why(files: Mapping[str, str], told: str) -> None:
    with pytest.raises(CodeNotShown, match=told):
        commands(files)


def test_bytes_that_are_no_bundle_say_so() -> None:
    for damaged in (b"", b"PK", a_bundle({"tasks.py": SOURCE})[:-40]):
        with pytest.raises(CodeNotShown, match="cannot be read"):
            code._commands(damaged, a_declaration())


def test_a_name_that_says_less_than_it_holds_is_cut_off() -> None:
    """What an entry says of its size is not believed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("tasks.py", "#" * 50_000_000)

    with pytest.raises(CodeNotShown, match="131072 bytes"):
        code._commands(archive.getvalue(), a_declaration())
