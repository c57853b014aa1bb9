"""Backups under load, and copies that are killed or run out of room on their way (R14, R15)."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.faults.load import History, Load, check, eventually, furnish
from tests.support.house import House, environment, running_house, runyard
from tests.support.postgres import PostgresServer

COMMAND = 120.0
ROOM = 64 * 1024
"""Bytes up to which files may grow on a disk that is "full"."""


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """The options of a server over either database."""
    return ("--data", str(tmp_path / "data"), *database(request, "postgres_dsn"))


@pytest.fixture
def another_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """One more empty database."""
    dsn = postgres_server.create_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """The options of an empty place of either kind."""
    return ("--data", str(tmp_path / "place"), *database(request, "another_dsn"))


def database(request: pytest.FixtureRequest, fixture: str) -> tuple[str, ...]:
    if request.param == "sqlite":
        return ()
    return ("--database", request.getfixturevalue(fixture))


def copying(*words: str) -> dict[str, object]:
    """What a copying command answers with --json; it must succeed."""
    done = runyard("db", *words, "--json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def killed_at(word: str, *words: str) -> None:
    """A copying command, killed when it says this word."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.doomed_copies", "db", *words],
        env=environment({"DOOMED": word}),
        timeout=COMMAND,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def some_runs(house: House, count: int = 8) -> History:
    """So many runs that have ended."""
    load = Load()
    furnish(house)
    with load.running() as history:
        load.house = house
        eventually(lambda: len(history.acknowledged) >= count, "nothing was started")
        load.rest()
        check(house, history, at_least=count)
    return history


@pytest.mark.timeout(600)
def test_a_backup_under_load_restores_to_all_that_was_acknowledged_before_it(
    source: tuple[str, ...], place: tuple[str, ...], tmp_path: Path
) -> None:
    """R15: whichever of the two databases it comes from and goes to; doctor finds nothing."""
    load = Load(seconds=0.02)

    with load.running() as history:
        with running_house(tmp_path / "data", *source[2:], "--slots", "2") as house:
            furnish(house)
            load.house = house
            eventually(lambda: len(history.acknowledged) > 40, "nothing was started")
            before = dict(history.acknowledged)
            copying("backup", str(tmp_path / "backup.tar"), "--with-keys", *source)
            during = len(history.acknowledged)
            eventually(lambda: len(history.acknowledged) > during + 10, "writing stands still")
            load.house = None
            load.rest()
        copying("restore", str(tmp_path / "backup.tar"), *place)
        with running_house(tmp_path / "place", *place[2:], "--slots", "2") as house:
            check(house, replace(history, acknowledged=before), at_least=40)
            assert house.run("doctor").returncode == 0

    assert during > len(before), "nothing was acknowledged while the backup was taken"


@pytest.mark.timeout(600)
def test_a_restore_that_is_killed_leaves_nothing_and_starts_over(
    place: tuple[str, ...], tmp_path: Path
) -> None:
    """R15"""
    with running_house(tmp_path / "data", "--slots", "2") as house:
        history = some_runs(house)
        copying("backup", str(tmp_path / "backup"), "--with-keys", "--data", str(tmp_path / "data"))

    for word in ("every checksum", "gates", "versions"):
        killed_at(word, "restore", str(tmp_path / "backup"), *place)

    if len(place) == 2:
        refused = runyard("serve", *place, "--port", "0")
        assert "half filled" in refused.stderr
        assert refused.returncode == 1
    copying("restore", str(tmp_path / "backup"), *place)
    with running_house(tmp_path / "place", *place[2:], "--slots", "2") as house:
        check(house, history, at_least=8)


@pytest.mark.timeout(600)
def test_a_move_that_is_killed_leaves_nothing_and_starts_over(
    source: tuple[str, ...], tmp_path: Path, another_dsn: str
) -> None:
    """R14: there, and the source is as it was."""
    to = str(tmp_path / "place") if len(source) == 4 else another_dsn
    with running_house(tmp_path / "data", *source[2:], "--slots", "2") as house:
        history = some_runs(house)
        refused = runyard("db", "move", *source, "--to", to)
        assert refused.returncode == 6, refused.stderr
        assert "stop" in refused.stderr

    for word in ("gates", "versions"):
        killed_at(word, "move", *source, "--to", to)
    copying("move", *source, "--to", to)

    data = tmp_path / "place" if len(source) == 4 else tmp_path / "data"
    words = () if len(source) == 4 else ("--database", another_dsn)
    with running_house(data, *words, "--slots", "2") as house:
        check(house, history, at_least=8)


@pytest.mark.timeout(600)
def test_a_full_disk_ends_a_copy_cleanly(tmp_path: Path) -> None:
    """R15: neither a backup nor a store is left that looks like one."""
    with running_house(tmp_path / "data", "--slots", "2") as house:
        some_runs(house)
    copying("backup", str(tmp_path / "whole"), "--data", str(tmp_path / "data"))

    backup = with_little_room("db", "backup", str(tmp_path / "b"), "--data", str(tmp_path / "data"))
    restore = with_little_room(
        "db", "restore", str(tmp_path / "whole"), "--data", str(tmp_path / "place")
    )

    assert backup.returncode == restore.returncode == 1
    assert "Error" in backup.stderr
    assert "Error" in restore.stderr
    assert "Traceback" not in backup.stderr + restore.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "place", "whole"]
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["server.lock"]
    copying("restore", str(tmp_path / "whole"), "--data", str(tmp_path / "place"))


def with_little_room(*words: str) -> "subprocess.CompletedProcess[str]":
    """A command whose files may not grow beyond some size: for it that is a full disk."""
    code = (
        "import resource, sys; from runyard.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, {resource.RLIM_INFINITY})); "
        "sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment({}),
        timeout=COMMAND,
        capture_output=True,
        text=True,
        check=False,
    )
