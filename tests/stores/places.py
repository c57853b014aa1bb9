"""Databases for the tests of stores, and a way to break them by hand."""

from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg

from runyard.stores.contract.store import Store
from runyard.stores.postgres.store import open_postgres
from runyard.stores.sqlite.store import open_sqlite


class Place(Protocol):
    """Where a store can be opened."""

    kind: str
    folder: Path

    async def open(self) -> Store:
        """Open a store here."""

    def execute(self, sql: str) -> list[Any]:
        """Do behind the store's back what no store would do."""


class SqlitePlace:
    """A folder with a SQLite database."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def open(self) -> Store:
        return await open_sqlite(self.folder)

    def execute(self, sql: str) -> list[Any]:
        db = apsw.Connection(str(self.folder / "runyard.db"))
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()


class PostgresPlace:
    """A PostgreSQL database, with a folder for blobs."""

    kind = "postgres"

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder

    async def open(self) -> Store:
        return await open_postgres(self.dsn, self.folder)

    def execute(self, sql: str) -> list[Any]:
        with psycopg.connect(self.dsn) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
