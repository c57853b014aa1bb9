"""The private PostgreSQL server keeps its own promises; every test on PostgreSQL rests on them."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import (
    OLDEST_VERSION,
    PostgresFailed,
    PostgresServer,
    private_postgres,
    version_of,
    wheel_folders,
)

REPOSITORY = Path(__file__).parents[2]


def fill(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE fruit (name text)")
        connection.execute("INSERT INTO fruit VALUES ('apple')")


def fruit_in(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM fruit")]


def test_databases_made_from_a_template_start_alike_and_stay_apart(
    postgres_server: PostgresServer,
) -> None:
    template = postgres_server.template("fruit", fill)
    first = postgres_server.create_database(template)
    second = postgres_server.create_database(template)

    with psycopg.connect(first) as connection:
        connection.execute("DELETE FROM fruit")

    assert fruit_in(first) == []
    assert fruit_in(second) == ["apple"]


def test_a_template_is_built_once(postgres_server: PostgresServer) -> None:
    built: list[str] = []

    postgres_server.template("counted", built.append)
    postgres_server.template("counted", built.append)

    assert len(built) == 1


def test_a_dropped_database_is_gone_even_while_in_use(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.create_database()

    with psycopg.connect(dsn):
        postgres_server.drop_database(dsn)

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(dsn)


def test_data_outlive_a_stop_and_a_crash() -> None:
    with private_postgres() as server:
        dsn = server.create_database(server.template("fruit", fill))

        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn)
        server.start()
        assert fruit_in(dsn) == ["apple"]

        server.crash()
        server.start()
        assert fruit_in(dsn) == ["apple"]


def test_an_ended_server_leaves_nothing() -> None:
    with private_postgres() as server:
        folder = server.folder
        assert folder.is_dir()

    assert not folder.exists()


def test_a_setting_the_server_refuses_is_reported_with_its_words() -> None:
    with (
        pytest.raises(PostgresFailed, match="max_connections"),
        private_postgres({"max_connections": "none"}),
    ):
        pass


def test_tests_that_are_killed_take_their_server_with_them() -> None:
    program = (
        "from tests.support.postgres import private_postgres\n"
        "with private_postgres() as server:\n"
        "    print(server._keeper.pid, server.folder, flush=True)\n"
        "    input()\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tests.stdout is not None
    assert tests.stdin is not None
    keeper, folder = tests.stdout.readline().split()
    keeper_ends = os.pidfd_open(int(keeper))
    server_ends = os.pidfd_open(int((Path(folder) / "data/postmaster.pid").read_text().split()[0]))

    tests.send_signal(signal.SIGKILL)
    tests.wait()

    for ends in (server_ends, keeper_ends):
        wait_until_readable(ends)
        os.close(ends)
    assert not Path(folder).exists()
    tests.stdin.close()
    tests.stdout.close()


def wait_until_readable(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 30)[0], "the process is still there"


@pytest.mark.parametrize("folder", list(wheel_folders()), ids=lambda folder: folder.parent.name)
def test_the_programs_of_the_wheel_do_as_well(folder: Path) -> None:
    assert (version_of(folder) or 0) >= OLDEST_VERSION

    with private_postgres(binaries=folder) as server:
        assert fruit_in(server.create_database(server.template("fruit", fill))) == ["apple"]
