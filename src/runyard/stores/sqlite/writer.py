"""The process that writes: `python -I -m runyard.stores.sqlite.writer FD PARENT`.

It reads groups from the socket with number FD, runs each as one transaction, and answers. It ends
when the socket does, and is killed by the system when PARENT dies. See the package's text.

    hello    (path, migrations, queries, raises incarnation)
    welcome  (error or None, incarnation, schema version, SQLite's version)
    group    (is relaxed, pieces); a piece is a list of statements (query, rows, needs, follows)
    reply    (answers of each piece or None, {index of piece: (kind of error, text)})
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import apsw
import msgspec

from runyard.stores.migrations import Migration, SchemaTooNew, missing_migrations
from runyard.stores.sqlite.claims import claim_runs, recover_claim
from runyard.stores.sqlite.counting import RECOVER, Counting
from runyard.stores.sqlite.pipe import BlockingPipe

Rows: TypeAlias = Sequence[Sequence[Any]]

UNAVAILABLE = "unavailable"
"""The kind of error that says nothing about the piece: a full disk, a file that became read-only."""
REFUSED = "refused"
"""The kind of error that a piece has earned itself."""

_STRATEGIES = {"claim_runs": claim_runs, RECOVER: recover_claim}
_IDLE_MILLISECONDS = 1000
_CHECKPOINT_PAGES = 8192
_VACUUM_PAGES = 2048
_PR_SET_PDEATHSIG = 1

_SURROUNDINGS = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.NoMemError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.PermissionsError,
)
_MISTAKES = (apsw.Error, TypeError, ValueError, OverflowError, LookupError)


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """What the server says first."""

    path: str
    migrations: list[Migration]
    queries: dict[str, str]
    """SQL with numbered parameters."""
    raises_incarnation: bool


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """What the writer answers when the database is open, or why it is not."""

    error: str | None
    incarnation: int = 0
    schema_version: int = 0
    sqlite_version: str = ""


class Writer:
    """The one connection that writes."""

    def __init__(self, db: apsw.Connection, queries: Mapping[str, str]) -> None:
        self._db = db
        self._queries = queries
        self._counting = Counting(db, queries)
        self._is_flushing = True
        self._wal_pages = 0
        db.set_wal_hook(self._note_wal)

    def run(self, pieces: Sequence[Rows], *, is_relaxed: bool) -> tuple[list[Any], dict[int, Any]]:
        """Run a group as one transaction; the answers and errors of its pieces."""
        try:
            return self._commit(pieces, is_relaxed=is_relaxed), {}
        except _SURROUNDINGS as problem:
            self._roll_back()
            error = (UNAVAILABLE, f"{type(problem).__name__}: {problem}")
            return [None] * len(pieces), dict.fromkeys(range(len(pieces)), error)
        except _MISTAKES as problem:
            self._roll_back()
            if len(pieces) == 1:
                return [None], {0: (REFUSED, f"{type(problem).__name__}: {problem}")}
            return self._run_singly(pieces, is_relaxed=is_relaxed)

    def _run_singly(
        self, pieces: Sequence[Rows], *, is_relaxed: bool
    ) -> tuple[list[Any], dict[int, Any]]:
        answers: list[Any] = []
        errors: dict[int, Any] = {}
        for index, piece in enumerate(pieces):
            [answer], failed = self.run([piece], is_relaxed=is_relaxed)
            answers.append(answer)
            if failed:
                errors[index] = failed[0]
        return answers, errors

    def _commit(self, pieces: Sequence[Rows], *, is_relaxed: bool) -> list[Any]:
        self._choose_flushing(is_relaxed=is_relaxed)
        self._db.execute("BEGIN IMMEDIATE")
        answers = [self._run_piece(piece) for piece in pieces]
        self._counting.settle()
        self._db.execute("COMMIT")
        return answers

    def _run_piece(self, statements: Rows) -> list[Rows]:
        answers: list[Rows] = []
        for query, rows, needs, follows in statements:
            if follows >= 0:
                accepted = {row[0] for row in answers[follows]}
                rows = [row for row in rows if row[0] in accepted]  # noqa: PLW2901
            if self._counting.is_watched(query):
                answer = self._counting.watch(partial(self._execute, query, rows))
            else:
                answer = self._execute(query, rows)
                self._counting.note(query, rows, answer)
            answers.append(answer)
            if len(answer) < needs:
                answers.extend([] for _ in range(len(statements) - len(answers)))
                break
        return answers

    def _execute(self, query: str, rows: Rows) -> Rows:
        if query in _STRATEGIES:
            return _STRATEGIES[query](self._db, self._queries, rows[0])
        if len(rows) == 1:
            return self._db.execute(self._queries[query], rows[0]).fetchall()
        return self._db.executemany(self._queries[query], rows).fetchall()

    def _roll_back(self) -> None:
        self._counting.forget()
        # A full disk may have ended the transaction already.
        if self._db.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._db.execute("ROLLBACK")

    def _choose_flushing(self, *, is_relaxed: bool) -> None:
        if self._is_flushing == is_relaxed:
            self._db.execute("PRAGMA synchronous = NORMAL" if is_relaxed else _FLUSHING)
            self._is_flushing = not is_relaxed

    # ------------------------------------------------------------ upkeep

    def _note_wal(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the write-ahead log has grown so much that it cannot wait for a quiet moment."""
        return self._wal_pages >= _CHECKPOINT_PAGES

    @property
    def has_upkeep(self) -> bool:
        """Whether there is something to do in a quiet moment."""
        return self._wal_pages > 0

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database file, as far as readers allow."""
        # What cannot be copied now (a full disk, say) stays safe where it is.
        with contextlib.suppress(apsw.Error):
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._wal_pages = 0

    def keep_up(self) -> None:
        """Use a quiet moment: give free pages back, then checkpoint."""
        with contextlib.suppress(apsw.Error):
            if self._db.pragma("freelist_count") >= _VACUUM_PAGES:
                self._db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        self.checkpoint()

    def close(self) -> None:
        """Leave a database file that needs no write-ahead log."""
        with contextlib.suppress(apsw.Error):
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.close()


_FLUSHING = "PRAGMA synchronous = FULL"


def open_database(path: str) -> apsw.Connection:
    """The writing connection; the file is created if there is none, for its owner alone."""
    with contextlib.suppress(FileExistsError):  # what SQLite keeps beside it gets the same mode
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = apsw.Connection(path, statementcachesize=256)
    db.set_busy_timeout(5000)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    db.execute(_FLUSHING)
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -32768")
    return db


def migrate(db: apsw.Connection, migrations: Sequence[Migration]) -> int:
    """Bring the schema forward; its number afterwards."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"
    )
    applied = [row[0] for row in db.execute("SELECT number FROM migrations")]
    for migration in missing_migrations(migrations, applied):
        with db:
            db.execute(migration.sql)
            db.execute(
                "INSERT INTO migrations (number, name) VALUES (?, ?)",
                (migration.number, migration.name),
            )
    return len(migrations)


def open_writer(hello: Hello) -> tuple[Writer | None, Welcome]:
    """Open the database, bring it up to date; the writer, unless something is wrong with it."""
    try:
        db = open_database(hello.path)
        schema_version = migrate(db, hello.migrations)
        incarnation = 0
        if hello.raises_incarnation:
            incarnation = db.execute(hello.queries["raise_incarnation"]).get
    except (apsw.Error, SchemaTooNew) as problem:
        return None, Welcome(f"{hello.path}: {problem}")
    writer = Writer(db, hello.queries)
    return writer, Welcome(None, incarnation, schema_version, apsw.sqlite_lib_version())


def serve(pipe: BlockingPipe) -> None:
    """Write groups until the other side is gone."""
    first = pipe.receive()
    if first is None:
        return
    writer, welcome = open_writer(msgspec.msgpack.decode(first, type=Hello))
    pipe.send(msgspec.msgpack.encode(welcome))
    if writer is None:
        return
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder().decode
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    while True:
        while writer.has_upkeep and not poll.poll(_IDLE_MILLISECONDS):
            writer.keep_up()
        frame = pipe.receive()
        if frame is None:
            break
        is_relaxed, pieces = decode(frame)
        pipe.send(encode(writer.run(pieces, is_relaxed=is_relaxed)))
        if writer.needs_checkpoint:
            writer.checkpoint()
    writer.close()


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent dies; end now if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Write for the parent process."""
    file_number, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    # Asking the server to stop asks its whole process group: the writer goes last, with its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ConnectionError):
        serve(BlockingPipe(socket.socket(fileno=file_number)))


if __name__ == "__main__":
    main()
