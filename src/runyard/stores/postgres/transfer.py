"""Reading and building a whole PostgreSQL store, table by table, as its own schema describes it.

The statements here are made from names that the database's catalogue gave, which is why they stand
in no `.sql` file: what is carried must not depend on anybody having remembered to write it down.

**Reading** is one REPEATABLE READ transaction: every table as it was at one instant, while servers go
on. Rows come as binary COPY, so that no dump program of a matching version is needed.

**Building** is one transaction, too: tables, rows, everything. A build that breaks off leaves nothing,
and building again starts over.

**Who else is there.** Each connection of a server that writes holds `IN_USE` shared; a build, or the
reading of a store that is about to be left, needs it alone.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import time_ns
from typing import IO, Any, LiteralString, TypeAlias

import psycopg
from psycopg import sql

from runyard.model.errors import StorageUnavailable
from runyard.stores.folder import DataFolder, digest_of
from runyard.stores.migrations import load_migrations
from runyard.stores.postgres.blobs import PART_SIZE
from runyard.stores.postgres.connecting import IN_USE, require_new_enough
from runyard.stores.postgres.schema import migrate_within
from runyard.stores.queries import SHARED, load_queries
from runyard.stores.transfer import (
    Blob,
    ColumnType,
    PlaceTaken,
    Row,
    SchemaTooOld,
    ServerRunning,
    Table,
    TransferFailed,
    leap,
    require_known,
    typed,
)

OWN_TABLES: Mapping[str, str] = {
    "blobs": "carried as what it is, not as rows",
    "blob_parts": "the parts of blobs",
    "migrations": "says how this very database came to its schema",
    "lanes": "book of the connections that write to this very database",
    "errands": "what servers that are connected to this very database ask of each other",
    "servers": "says who is connected to this very database",
}
"""Tables that are not carried, and why."""

TYPES: Mapping[str, ColumnType] = {
    "bigint": ColumnType.INTEGER,
    "integer": ColumnType.INTEGER,
    "smallint": ColumnType.INTEGER,
    "double precision": ColumnType.REAL,
    "text": ColumnType.TEXT,
    "bytea": ColumnType.BYTES,
}
POSTGRES = "postgres"

_HERE = Path(__file__).parent
_READ_AS: Mapping[ColumnType, LiteralString] = {
    ColumnType.INTEGER: "int8",
    ColumnType.REAL: "float8",
    ColumnType.TEXT: "text",
    ColumnType.BYTES: "bytea",
}

_TABLES = """
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
"""
_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL),
       coalesce(array_position(i.indkey::smallint[], a.attnum), -1)
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                     AND a.attgenerated = ''
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
"""

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


def known_schemas() -> dict[str, int]:
    """How many migrations this release knows."""
    return {POSTGRES: len(load_migrations(_HERE / "migrations"))}


class _Catalogue:
    """What the database says about its tables, and their rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored_as: dict[tuple[str, str], str] = {}

    def tables(self) -> Sequence[Table]:
        """Everything that is carried, by name."""
        found: dict[str, list[tuple[str, str, int]]] = {}
        for table, column, kind, place in self._connection.execute(_COLUMNS):
            if table not in OWN_TABLES:
                found.setdefault(table, []).append((column, kind, place))
                self._stored_as[table, column] = kind
        return [_table(name, sorted(columns)) for name, columns in sorted(found.items())]

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows of a table, in its order."""
        types = {column.name: column.type for column in table.columns}
        order = [_ordered(name, types[name], table) for name in table.order]
        columns = [
            sql.SQL("{}::" + _READ_AS[column.type]).format(sql.Identifier(column.name))
            for column in table.columns
        ]
        query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            sql.SQL(", ").join(columns), sql.Identifier(table.name), sql.SQL(", ").join(order)
        )
        yield from self._copied(query, [_READ_AS[column.type] for column in table.columns])

    def digests(self) -> Iterator[str]:
        """What columns of digests hold, each once, sorted by their bytes."""
        parts = [
            sql.SQL("SELECT {column} AS digest FROM {table} WHERE {column} IS NOT NULL").format(
                column=sql.Identifier(column.name), table=sql.Identifier(table.name)
            )
            for table in self.tables()
            for column in table.columns
            if column.names_blobs
        ]
        union = sql.SQL(" UNION ").join(parts)
        query = sql.SQL('SELECT digest FROM ({}) AS named ORDER BY digest COLLATE "C"').format(
            union
        )
        yield from (digest for (digest,) in self._copied(query, ["text"]))

    def _copied(self, query: sql.Composed, types: Sequence[str]) -> Iterator[Row]:
        statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query)
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            yield from copy.rows()

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Put these rows in place of those that the migrations left."""
        name = sql.Identifier(table.name)
        self._connection.execute(sql.SQL("DELETE FROM {}").format(name))
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(name, columns)
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([self._stored_as[table.name, c.name] for c in table.columns])
            for row in rows:
                copy.write_row(row)


def _ordered(name: str, kind: ColumnType, table: Table) -> sql.Composed:
    text = "{} COLLATE {}" if kind is ColumnType.TEXT else "{}"
    # As SQLite has it. A primary key has no nulls, and the index of one knows no such order.
    text += "" if table.primary else " NULLS FIRST"
    return sql.SQL(text).format(sql.Identifier(name), sql.Identifier("C"))


def _table(name: str, columns: Sequence[tuple[str, str, int]]) -> Table:
    keys = sorted((place, column) for column, _, place in columns if place >= 0)
    return Table(
        name=name,
        columns=tuple(typed(column, kind, TYPES) for column, kind, _ in columns),
        primary=tuple(column for _, column in keys),
    )


# ---------------------------------------------------------------- reading


class PostgresSource:
    """A PostgreSQL store as it was at one instant."""

    kind = "postgres"

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._catalogue = _Catalogue(connection)
        self._folder = DataFolder(folder)

    @property
    def incarnation(self) -> int:
        """That of the last opening."""
        [[incarnation]] = self._connection.execute("SELECT incarnation FROM installation")
        return int(incarnation)

    def tables(self) -> Sequence[Table]:
        """Everything that is carried, by name."""
        return self._catalogue.tables()

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows, in the table's order."""
        with _explained("read"):
            yield from self._catalogue.rows(table)

    def blobs(self) -> Iterator[Blob]:
        """Every blob that a row names."""
        with _explained("read"):
            elsewhere = []
            for blob in self._folder.blobs(self._catalogue.digests()):
                if blob.file is not None:
                    yield blob
                else:  # this data folder has no copy, or a damaged one
                    elsewhere.append(blob.digest)
            for digest in elsewhere:
                with TemporaryFile() as file:
                    yield self._from_database(digest, file)

    def _from_database(self, digest: str, file: IO[bytes]) -> Blob:
        parts = self._connection.execute(
            "SELECT data FROM blob_parts WHERE digest = %s ORDER BY number", (digest,)
        )
        size = sum(file.write(data) for (data,) in parts)
        file.seek(0)
        is_whole = digest_of(file) == digest
        file.seek(0)
        return Blob(digest, size, file) if is_whole else Blob(digest, 0, None)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Small files of the data folder."""
        return self._folder.files()


@contextmanager
def postgres_now(url: str, folder: Path) -> Iterator[PostgresSource]:
    """The store at a URL as it is now, whether servers use it or not."""
    with _connected(url) as connection:
        yield from _one_instant(connection, folder)


@contextmanager
def stopped_postgres(url: str, folder: Path) -> Iterator[PostgresSource]:
    """The store at a URL that no server uses, and none will until the block ends."""
    with _connected(url) as connection:
        _keep_for_us(connection)
        yield from _one_instant(connection, folder)


def _one_instant(connection: Connection, folder: Path) -> Iterator[PostgresSource]:
    with _explained("read"):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if "migrations" not in _tables_of(connection):
            raise PlaceTaken("there is no database of Runyard at this address")
        [[number]] = connection.execute("SELECT coalesce(max(number), 0) FROM migrations")
        _require_current({POSTGRES: number})
    yield PostgresSource(connection, folder)


def _require_current(found: Mapping[str, int]) -> None:
    known = known_schemas()
    require_known(found, known)
    if found != known:
        raise SchemaTooOld(
            f"the database has schema {found[POSTGRES]}, this release writes {known[POSTGRES]}: "
            "bring it forward with runyard db migrate first"
        )


# ---------------------------------------------------------------- building


class PostgresTarget:
    """A PostgreSQL store that is being built in one transaction."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._catalogue = _Catalogue(connection)
        self.files = DataFolder(folder)
        self._migrations = load_migrations(_HERE / "migrations")
        self._queries = load_queries("psycopg", SHARED, _HERE / "queries")
        self.is_complete = False

    def prepare(self, schemas: Mapping[str, int]) -> None:
        """Make empty tables of this schema."""
        known = known_schemas()
        require_known({name: n for name, n in schemas.items() if name in known}, known)
        with _explained("written"):
            migrate_within(self._connection, self._migrations[: schemas[POSTGRES]])
            for table in self.tables():
                self._connection.execute(
                    sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(
                        sql.Identifier(table.name)
                    )
                )

    def tables(self) -> Sequence[Table]:
        """The tables that there are now."""
        return self._catalogue.tables()

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Write all rows of a table."""
        with _explained("written"):
            self._catalogue.fill(table, rows)

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows as they are read back."""
        with _explained("read"):
            yield from self._catalogue.rows(table)

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is in place already."""
        found = self._connection.execute("SELECT 1 FROM blobs WHERE digest = %s", (digest,))
        return found.fetchone() is not None

    def put_blob(self, digest: str, file: IO[bytes]) -> None:
        """Keep a blob durably, in the database and as a copy in the data folder."""
        self.files.put_blob(digest, file)
        file.seek(0)
        size = number = 0
        with _explained("written"):
            while part := file.read(PART_SIZE):
                self._run("share_part", {"digest": digest, "number": number, "data": part})
                number, size = number + 1, size + len(part)
            self._run("share_blob", {"digest": digest, "size": size})

    def put_file(self, name: str, content: bytes) -> None:
        """Keep a small file."""
        self.files.put_file(name, content)

    def void_leases(self) -> None:
        """Sessions are over, the incarnation leaps."""
        now = time_ns() // 1000
        self._run("void_leases", {})
        self._run("void_sessions", {"now": now})
        self._run("leap_incarnation", {"least": leap(now)})

    def _run(self, query: str, values: Mapping[str, Any]) -> None:
        with _explained("written"):
            self._connection.execute(self._queries[query].sql.encode(), values)

    def complete(self) -> None:
        """Bring it to the schema of this release, and commit."""
        with _explained("written"):
            for table in self.tables():
                self._connection.execute(
                    sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table.name))
                )
            migrate_within(self._connection, self._migrations)
            self._connection.execute("COMMIT")
        self.is_complete = True
        # The server would do it by and by; it is none of our failures when it cannot now.
        with contextlib.suppress(psycopg.Error):
            self._connection.execute("ANALYZE")


@contextmanager
def built_postgres(url: str, folder: Path) -> Iterator[PostgresTarget]:
    """A store to be built in an empty database; nothing is there unless it was completed."""
    with _connected(url) as connection:
        _keep_for_us(connection)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _explained("written"):
            connection.execute("SET synchronous_commit = on")
            connection.execute("BEGIN")
            if found := _tables_of(connection):
                shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
                raise PlaceTaken(
                    f"the database is not empty, it holds tables ({shown}): give an empty one"
                )
        target = PostgresTarget(connection, folder)
        try:
            yield target
        finally:
            if not target.is_complete:
                target.files.forget_files()


# ---------------------------------------------------------------- both


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as problem:
        raise StorageUnavailable(f"the database cannot be opened: {problem}") from problem
    try:
        require_new_enough(connection.info.server_version)
        connection.execute("SET application_name = 'runyard db'")
        connection.execute("SET client_min_messages = error")
        connection.execute("SET timezone = 'UTC'")
        # So that the database notices within seconds when this process has been killed.
        connection.execute("SET client_connection_check_interval = '1s'")
        yield connection
    finally:
        # What has not been committed by now is not meant to be.
        connection.close()


def _keep_for_us(connection: Connection) -> None:
    """Wait a moment for connections that are on their way out; raises ServerRunning."""
    connection.execute("SET lock_timeout = '5s'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (IN_USE,))
    except psycopg.errors.LockNotAvailable:
        raise ServerRunning(
            "a server is connected to this database: stop all of its servers first"
        ) from None
    connection.execute("SET lock_timeout = 0")


def _tables_of(connection: Connection) -> list[str]:
    return sorted(name for (name,) in connection.execute(_TABLES))


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Says what the database's own errors mean here."""
    try:
        yield
    except psycopg.Error as problem:
        raise TransferFailed(
            f"the database could not be {what}: {type(problem).__name__}: {problem}"
        ) from problem
