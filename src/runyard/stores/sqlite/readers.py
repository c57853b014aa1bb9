"""Reading connections of the server.

A point lookup on a warm page cache takes some 10 us, a hop to a worker thread 50 to 100: short
queries run right on the event loop, on a connection of its own; those whose cost grows with the
data go to threads. Readers never write and never checkpoint.
"""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from runyard.model.errors import StorageUnavailable
from runyard.stores.queries import Query
from runyard.stores.tables.pieces import Row

LONG_QUERIES = frozenset(
    {
        "abandoned_runs",
        "broken_runs",
        "bundles_in_use",
        "count_of_runs",
        "count_outside",
        "digests_in_use",
        "digests_of_systems",
        "few_runs",
        "gates_over_limit",
        "list_files",
        "list_gates",
        "list_schedules",
        "list_systems",
        "list_tasks",
        "list_tokens",
        "list_versions",
        "occupied_gates",
        "page_of_runs",
        "prunable_runs",
        "prunable_runs_of_company",
        "queued_totals",
        "read_chunks",
        "sifted_calls",
        "sifted_runs",
        "state_counts",
    }
)
"""Queries whose cost grows with the data."""

_SURROUNDINGS = (apsw.IOError, apsw.CantOpenError, apsw.BusyError, apsw.NoMemError)
"""Errors that say nothing about the query."""
_THREADS = 2
_BUSY_MILLISECONDS = 5000


def open_reader(path: Path) -> apsw.Connection:
    """A connection that cannot write and leaves checkpoints to the writer."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=256)
    db.set_busy_timeout(_BUSY_MILLISECONDS)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -8192")
    return db


class Readers:
    """Runs named queries on connections that only read."""

    def __init__(self, path: Path, queries: Mapping[str, Query]) -> None:
        self._path = path
        self._sql = {name: query.sql for name, query in queries.items()}
        self._near = open_reader(path)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sqlite-reader")
        self._far = threading.local()
        self._far_connections: list[apsw.Connection] = []

    async def all(self, query: str, values: dict[str, Any]) -> list[Row]:
        """All rows of a query."""
        return await self.run(query, self._sql[query], values)

    async def run(self, query: str, sql: str, values: dict[str, Any]) -> list[Row]:
        """All rows of this text of a query."""
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = msgspec.json.encode(value).decode()
        try:
            if query not in LONG_QUERIES:
                return self._near.execute(sql, values).fetchall()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._run_far, sql, values)
        except _SURROUNDINGS as problem:
            detail = f"nothing can be read at the moment ({type(problem).__name__}: {problem})"
            raise StorageUnavailable(detail) from problem

    def _run_far(self, sql: str, values: dict[str, Any]) -> list[Row]:
        db: apsw.Connection | None = getattr(self._far, "connection", None)
        if db is None:
            db = open_reader(self._path)
            self._far.connection = db
            self._far_connections.append(db)
        return db.execute(sql, values).fetchall()

    def text(self, query: str) -> str:
        """The text of a query."""
        return self._sql[query]

    def close(self) -> None:
        """Wait for what is being read, then let go."""
        self._threads.shutdown(wait=True)
        for db in (self._near, *self._far_connections):
            db.close()
