"""PostgreSQL and Redis, started privately for one benchmark with their usual settings, and removed afterwards."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from benchmarks import processes

_DEBIAN = Path("/usr/lib/postgresql")
_UNPRIVILEGED = ("postgres", "nobody")


class ServiceMissing(Exception):
    """A server that a peer needs is not on this machine and could not be installed."""


class Postgres(msgspec.Struct, frozen=True):
    """A running private server."""

    port: int
    root_process: int

    def dsn(self, database: str = "postgres") -> str:
        """How to reach a database of it over loopback."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """The DSN of a new, empty database."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def next_transaction(self) -> int:
        """The number the next writing transaction will get: the difference of two counts them."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            ).fetchone()
        return int(row[0]) if row else 0


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A new cluster with PostgreSQL's own settings (fsync and synchronous_commit on), loopback only."""
    binaries = postgres_binaries()
    user = _unprivileged_user()
    home = folder / "postgres"
    home.mkdir()
    if user:
        shutil.chown(home, user)
    port = processes.free_port()
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        home / "data",
        "-A",
        "trust",
        "-U",
        "postgres",
        "-E",
        "UTF8",
    ]
    processes.run(initdb, user=user)
    server: list[str | Path] = [
        *(binaries / "postgres", "-D", home / "data", "-p", str(port), "-k", home),
        *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
    ]
    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
    with processes.running(
        server, folder / "postgres.log", user=user, ending=signal.SIGINT
    ) as program:
        found = Postgres(port, program.pid)
        processes.wait_until(lambda: _answers(found), "PostgreSQL answers", program=program)
        yield found


def _answers(server: Postgres) -> bool:
    try:
        psycopg.connect(server.dsn(), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def postgres_binaries() -> Path:
    """The folder with `initdb` and `postgres`: Debian's newest, else the search path's, else installed now."""
    if found := _find_postgres():
        return found
    _install("postgresql")
    if found := _find_postgres():
        return found
    raise ServiceMissing("PostgreSQL is not installed (Debian package postgresql)")


def _find_postgres() -> Path | None:
    releases = sorted(
        _DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("initdb")
    candidates = [*releases, *([Path(on_path).resolve()] if on_path else [])]
    return next((path.parent for path in candidates if (path.parent / "postgres").exists()), None)


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: whom to run it as then, None when we are nobody special."""
    if os.geteuid() != 0:
        return None
    known = Path("/etc/passwd").read_text()
    for user in _UNPRIVILEGED:
        if re.search(rf"^{user}:", known, re.MULTILINE):
            return user
    raise ServiceMissing("PostgreSQL does not run as root, and there is no user postgres or nobody")


class Redis(msgspec.Struct, frozen=True):
    """A running private server."""

    port: int
    root_process: int

    @property
    def url(self) -> str:
        """Its address without a database number."""
        return f"redis://127.0.0.1:{self.port}"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """A new server with Redis' own settings: snapshots only, no append-only file."""
    if shutil.which("redis-server") is None:
        _install("redis-server")
    if shutil.which("redis-server") is None:
        raise ServiceMissing("Redis is not installed (Debian package redis-server)")
    home = folder / "redis"
    home.mkdir()
    port = processes.free_port()
    server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
    with processes.running(server, folder / "redis.log") as program:
        processes.wait_until(lambda: processes.is_listening(port), "Redis listens", program=program)
        yield Redis(port, program.pid)


def _install(package: str) -> None:
    """Install a Debian package if we may; a machine that cannot is told by the caller."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    quietly = ("-qq", "-y", "--no-install-recommends")
    with contextlib.suppress(processes.ProgramFailed, subprocess.TimeoutExpired):
        processes.run(["apt-get", "update", "-qq"])
        processes.run(["apt-get", "install", *quietly, package])


def versions() -> dict[str, str]:
    """The releases of the servers and tools that are installed here."""
    commands: dict[str, list[str | Path]] = {"redis-server": ["redis-server", "--version"]}
    if binaries := _find_postgres():
        commands["postgresql"] = [binaries / "postgres", "--version"]
    found: dict[str, str] = {}
    for name, command in commands.items():
        with contextlib.suppress(processes.ProgramFailed, FileNotFoundError):
            match = re.search(r"\d+(\.\d+)+", processes.run(command))
            found[name] = match.group() if match else "unknown"
    return found
