"""Reading and building a whole SQLite store, table by table, as its own schema describes it.

The statements here are made from names that the schema itself gave, which is why they stand in no
`.sql` file: what is carried must not depend on anybody having remembered to write it down.

**Reading beside a server.** `VACUUM INTO` makes a copy of each database within one short reading
transaction, which holds no writer up; the rows are then read from the copy at leisure. The runs come
first and the log after them, so that no run that has ended lacks its last lines; lines of runs that
began in between are left out, for their ids will be dealt again.

**Building.** There is no journal and no flush while rows come in, for a build that breaks off is
thrown away: the note `restoring` stands in the folder from before the first byte until everything
is on disk, no server opens such a folder, and building there again empties it first.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import time_ns
from typing import IO, Any

import apsw

from runyard.stores.blobs import flush_folder
from runyard.stores.folder import (
    ALWAYS_THERE,
    DATABASES,
    RESTORING,
    DataFolder,
    flush_file,
    write_durably,
)
from runyard.stores.migrations import Migration, load_migrations
from runyard.stores.queries import SHARED, Query, load_queries
from runyard.stores.sqlite.writer import migrate, open_database
from runyard.stores.transfer import (
    Blob,
    ColumnType,
    PlaceTaken,
    Row,
    SchemaTooOld,
    ServerRunning,
    Table,
    TransferFailed,
    batches,
    leap,
    named_once,
    require_known,
    typed,
)

OWN_TABLES: Mapping[str, str] = {
    "migrations": "says how this very file came to its schema; the target's says it of the target",
}
"""Tables that are not carried, and why."""

TYPES: Mapping[str, ColumnType] = {
    "integer": ColumnType.INTEGER,
    "real": ColumnType.REAL,
    "text": ColumnType.TEXT,
    "blob": ColumnType.BYTES,
}
MAIN = "sqlite"
LOGS = "sqlite_logs"

_HERE = Path(__file__).parent
_FILES = dict(zip((MAIN, LOGS), DATABASES, strict=True))
_BUSY_MILLISECONDS = 10_000
_ROWS_AT_ONCE = 2_000


def known_schemas() -> dict[str, int]:
    """How many migrations this release knows, for each of the two files."""
    return {name: len(found) for name, found in _migrations().items()}


def _migrations() -> dict[str, list[Migration]]:
    return {
        MAIN: load_migrations(_HERE / "migrations"),
        LOGS: load_migrations(_HERE / "log_migrations"),
    }


# ---------------------------------------------------------------- one file


class _Book:
    """One of the two database files, open."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db

    @property
    def schema(self) -> int:
        """The number of its last migration."""
        try:
            return int(self.db.execute("SELECT coalesce(max(number), 0) FROM migrations").get)
        except apsw.SQLError:
            return 0

    def tables(self) -> Iterator[Table]:
        """Its tables that are carried."""
        names = self.db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\' ORDER BY name"
        )
        for (name,) in names.fetchall():
            if name not in OWN_TABLES:
                yield self._table(str(name))

    def _table(self, name: str) -> Table:
        found = self.db.execute(
            "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY name",
            (name,),
        ).fetchall()
        keys = sorted((place, str(column)) for column, _, place in found if place)
        return Table(
            name=name,
            columns=tuple(typed(str(column), str(kind), TYPES) for column, kind, _ in found),
            primary=tuple(column for _, column in keys),
        )

    def rows(self, table: Table) -> Iterator[Row]:
        """All of them, in the table's order."""
        names, order = _listed(c.name for c in table.columns), _listed(table.order)
        yield from self.db.execute(f"SELECT {names} FROM {_quoted(table.name)} ORDER BY {order}")  # noqa: S608 - names of the schema

    def digests(self, tables: Iterable[Table]) -> Iterator[str]:
        """What columns of digests hold, each once, sorted."""
        texts = [
            f"SELECT {_quoted(c.name)} FROM {_quoted(t.name)} WHERE {_quoted(c.name)} IS NOT NULL"  # noqa: S608 - names of the schema
            for t in tables
            for c in t.columns
            if c.names_blobs
        ]
        if texts:
            found = self.db.execute(" UNION ".join(texts) + " ORDER BY 1")
            yield from (digest for (digest,) in found)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Put these rows in place of those that the migrations left."""
        name, names = _quoted(table.name), _listed(c.name for c in table.columns)
        places = ", ".join("?" * len(table.columns))
        insert = f"INSERT INTO {name} ({names}) VALUES ({places})"  # noqa: S608 - names of the schema
        self.db.execute("BEGIN")
        self.db.execute(f"DELETE FROM {name}")  # noqa: S608 - a name of the schema
        for batch in batches(rows, _ROWS_AT_ONCE):
            self.db.executemany(insert, batch)
        self.db.execute("COMMIT")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


# ---------------------------------------------------------------- reading


class SqliteSource:
    """A SQLite store as it is, or was when it was copied."""

    kind = "sqlite"

    def __init__(self, folder: Path, books: Mapping[str, _Book]) -> None:
        self._folder = DataFolder(folder)
        self._books = books
        self._places = {table.name: book for book in books.values() for table in book.tables()}

    @property
    def incarnation(self) -> int:
        """That of the last opening."""
        return int(self._books[MAIN].db.execute("SELECT incarnation FROM installation").get)

    def tables(self) -> Sequence[Table]:
        """Everything that is carried, by name."""
        found = [table for book in self._books.values() for table in book.tables()]
        return sorted(found, key=lambda table: table.name)

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows, in the table's order."""
        with _explained("read"):
            yield from self._places[table.name].rows(table)

    def blobs(self) -> Iterator[Blob]:
        """Every blob that a row names."""
        with _explained("read"):
            found = [book.digests(list(book.tables())) for book in self._books.values()]
            yield from self._folder.blobs(named_once(found))

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Small files that stand beside the database."""
        return self._folder.files()


@contextmanager
def copied_sqlite(folder: Path, scratch: Path) -> Iterator[SqliteSource]:
    """The store in a folder as it is now, whether a server uses it or not; `scratch` is an
    empty folder with room for a copy of its databases.
    """
    _require_database(folder)
    with (
        contextlib.ExitStack() as opened,
        _explained("read"),
    ):
        books = {}
        for name, file in _FILES.items():
            copy = str(scratch / file)
            with closing(_open_existing(folder / file)) as db:
                db.execute("VACUUM INTO ?", (copy,))
            books[name] = _Book(opened.enter_context(closing(apsw.Connection(copy))))
        _require_current({name: book.schema for name, book in books.items()}, folder)
        _forget_later_lines(books[LOGS], scratch / _FILES[MAIN])
        yield SqliteSource(folder, books)


@contextmanager
def stopped_sqlite(folder: Path) -> Iterator[SqliteSource]:
    """The store in a folder that no server uses, and none will until the block ends."""
    _require_database(folder)
    with _locked(folder), contextlib.ExitStack() as opened, _explained("read"):
        books = {
            name: _Book(opened.enter_context(closing(_open_existing(folder / file))))
            for name, file in _FILES.items()
        }
        _require_current({name: book.schema for name, book in books.items()}, folder)
        yield SqliteSource(folder, books)


def _open_existing(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_timeout(_BUSY_MILLISECONDS)
    # Copying the write-ahead log into the database is the writer's business.
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    return db


def _forget_later_lines(logs: _Book, runs: Path) -> None:
    logs.db.execute("ATTACH ? AS runs", (str(runs),))
    for table in list(logs.tables()):
        if any(column.name == "run_id" for column in table.columns):
            logs.db.execute(
                f"DELETE FROM main.{_quoted(table.name)} "  # noqa: S608 - a name of the schema
                "WHERE run_id NOT IN (SELECT id FROM runs.runs)"
            )
    logs.db.execute("DETACH runs")


def _require_database(folder: Path) -> None:
    if (folder / RESTORING).exists():
        raise PlaceTaken(unfinished(folder))
    for file in DATABASES:
        if not (folder / file).is_file():
            raise PlaceTaken(f"there is no database in {folder}: {file} is missing")


def _require_current(found: Mapping[str, int], place: Path) -> None:
    known = known_schemas()
    require_known(found, known)
    if found != known:
        raise SchemaTooOld(
            f"{place} has schema {_shown(found)}, this release writes {_shown(known)}: "
            "bring it forward with runyard db migrate first"
        )


def _shown(schemas: Mapping[str, int]) -> str:
    return " and ".join(f"{number} ({name})" for name, number in sorted(schemas.items()))


def unfinished(folder: Path) -> str:
    """Why a folder that is being filled cannot be used."""
    return (
        f"{folder} is half filled: a restore or a move into it did not come to its end. "
        "Run it again: it starts over"
    )


# ---------------------------------------------------------------- building


class SqliteTarget:
    """A SQLite store that is being built in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._folder = DataFolder(folder)
        self._migrations = _migrations()
        self._queries = load_queries("sqlite3", SHARED, _HERE / "queries")
        self._books: dict[str, _Book] = {}
        self._places: dict[str, _Book] = {}

    def prepare(self, schemas: Mapping[str, int]) -> None:
        """Make the two files, with empty tables of this schema."""
        known = known_schemas()
        require_known({name: n for name, n in schemas.items() if name in known}, known)
        with _explained("written"):
            for name, file in _FILES.items():
                db = open_database(str(self._path / file))
                # Thrown away when it breaks off, flushed as a whole when it is done.
                db.execute("PRAGMA journal_mode = OFF").fetchall()
                db.execute("PRAGMA synchronous = OFF")
                db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
                migrate(db, self._migrations[name][: schemas[name]])
                self._books[name] = book = _Book(db)
                self._places |= {table.name: book for table in book.tables()}

    def tables(self) -> Sequence[Table]:
        """The tables that there are now."""
        return [table for book in self._books.values() for table in book.tables()]

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Write all rows of a table."""
        with _explained("written"):
            self._places[table.name].fill(table, rows)

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows as they are read back."""
        with _explained("read"):
            yield from self._places[table.name].rows(table)

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is in place already."""
        return self._folder.has_blob(digest)

    def put_blob(self, digest: str, file: IO[bytes]) -> None:
        """Keep a blob durably."""
        self._folder.put_blob(digest, file)

    def put_file(self, name: str, content: bytes) -> None:
        """Keep a small file."""
        self._folder.put_file(name, content)

    def void_leases(self) -> None:
        """Sessions are over, the incarnation leaps."""
        now = time_ns() // 1000
        self._run("void_leases", {})
        self._run("void_sessions", {"now": now})
        self._run("leap_incarnation", {"least": leap(now)})

    def _run(self, query: str, values: Mapping[str, Any]) -> None:
        found: Query = self._queries[query]
        with _explained("written"):
            self._books[MAIN].db.execute(found.sql, dict(values)).fetchall()

    def complete(self) -> None:
        """Bring it to the schema of this release, flush it all, take the note away."""
        with _explained("written"):
            for name, book in self._books.items():
                book.db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
                migrate(book.db, self._migrations[name])
            self.close()
        for file in DATABASES:
            flush_file(self._path / file)
        flush_folder(self._path)
        (self._path / RESTORING).unlink()
        flush_folder(self._path)

    def close(self) -> None:
        """Let go of the files."""
        for book in self._books.values():
            with contextlib.suppress(apsw.Error):
                book.db.execute("PRAGMA journal_mode = WAL").fetchall()
            book.db.close()
        self._books = {}


@contextmanager
def built_sqlite(folder: Path, *, beside: bool) -> Iterator[SqliteTarget]:
    """A store to be built in an empty folder, or in one that holds an unfinished build.

    `beside`: the folder may hold everything but a database, being the data folder of a server on
    PostgreSQL whose database comes home. What was built is thrown away unless it was completed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_ours = (folder / RESTORING).exists()
    if not is_ours:
        _require_empty(folder, beside=beside)
        if not beside:
            folder.chmod(0o700)
    with _locked(folder):
        write_durably(folder / RESTORING, b"A database is being built here.\n")
        _clear(folder, beside=beside)
        target = SqliteTarget(folder)
        try:
            yield target
        finally:
            target.close()
            if (folder / RESTORING).exists():
                _clear(folder, beside=beside)
                (folder / RESTORING).unlink()


def _require_empty(folder: Path, *, beside: bool) -> None:
    found = sorted(path.name for path in folder.iterdir() if path.name not in ALWAYS_THERE)
    if beside:
        found = [name for name in found if name.startswith(DATABASES)]
    if found:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise PlaceTaken(f"{folder} is not empty, it holds {shown}: give an empty folder")


def _clear(folder: Path, *, beside: bool) -> None:
    """Take away what an unfinished build has left: in a folder that was empty before, everything."""
    for path in folder.iterdir():
        if path.name == RESTORING or path.name in ALWAYS_THERE:
            continue
        if beside and not path.name.startswith(DATABASES):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


# ---------------------------------------------------------------- both


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """No server uses the folder, and none can until the block ends; raises ServerRunning."""
    number = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(number, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(number)
        raise ServerRunning(
            f"{folder} is in use by process {holder}: stop the server first"
        ) from None
    try:
        os.ftruncate(number, 0)
        os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(number)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Says what the database's own errors mean here."""
    try:
        yield
    except apsw.FullError as problem:
        raise TransferFailed(f"the database could not be {what}: the disk is full") from problem
    except apsw.Error as problem:
        raise TransferFailed(
            f"the database could not be {what}: {type(problem).__name__}: {problem}"
        ) from problem
