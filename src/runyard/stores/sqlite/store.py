"""Opening and closing the embedded store."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from time import time_ns

from runyard.stores.blobs import LocalBlobs
from runyard.stores.codes import instant
from runyard.stores.contract.peering import Peering
from runyard.stores.contract.store import Store, StoreStatistics
from runyard.stores.folder import MOVED, RESTORING
from runyard.stores.migrations import load_migrations
from runyard.stores.queries import SHARED, Query, load_queries
from runyard.stores.sqlite.database import CannotOpen, SqliteDatabase
from runyard.stores.sqlite.writer import Welcome
from runyard.stores.tables.store import TableStore, digests_in_use

_HERE = Path(__file__).parent
_LOCK_ATTEMPTS = 20
_LOCK_PAUSE_SECONDS = 0.1


class SqliteStore(TableStore):
    """A SQLite database that has been opened."""

    is_shared = False
    peering: Peering | None = None

    def __init__(
        self, db: SqliteDatabase, logs: SqliteDatabase, folder: Path, welcome: Welcome, lock: int
    ) -> None:
        super().__init__(db, logs, LocalBlobs(folder / "blobs", partial(digests_in_use, db)))
        self._db = db
        self._logs = logs
        self._folder = folder
        self._welcome = welcome
        self._lock = lock
        self.incarnation = welcome.incarnation

    async def database_now(self) -> datetime:
        """This machine's clock."""
        return instant(time_ns() // 1000)

    async def statistics(self) -> StoreStatistics:
        """How it is doing."""
        return StoreStatistics(
            kind="sqlite",
            version=self._welcome.sqlite_version,
            schema_version=self._welcome.schema_version,
            groups=self._db.groups,
            pieces=self._db.pieces,
            waiting=self._db.waiting + self._logs.waiting,
            size=await asyncio.to_thread(_size_of, self._folder),
        )

    async def close(self) -> None:
        """Finish what is under way, then let go."""
        await asyncio.gather(self._db.close(), self._logs.close())
        os.close(self._lock)


async def open_sqlite(folder: Path) -> Store:
    """Open the store in a folder, creating it if there is none.

    Only one server may have it open; another one is refused with CannotOpen.
    """
    lock = await _lock(folder)
    try:
        require_usable(folder)
    except CannotOpen:
        os.close(lock)
        raise
    queries = load_queries("sqlite3", SHARED, _HERE / "queries")
    log_queries = load_queries("sqlite3", _HERE / "log_queries")
    db = _database(folder / "runyard.db", queries, "migrations", lock)
    logs = _database(folder / "logs.db", log_queries, "log_migrations", lock)
    try:
        welcome, _ = await asyncio.gather(
            db.open(raises_incarnation=True), logs.open(raises_incarnation=False)
        )
    except CannotOpen:
        await asyncio.gather(db.close(), logs.close())
        os.close(lock)
        raise
    return SqliteStore(db, logs, folder, welcome, lock)


def _database(
    path: Path, queries: Mapping[str, Query], migrations: str, lock: int
) -> SqliteDatabase:
    return SqliteDatabase(path, queries, load_migrations(_HERE / migrations), kept_open=(lock,))


def require_usable(folder: Path) -> None:
    """Raises CannotOpen when the database is being built here, or has left."""
    if (folder / RESTORING).exists():
        raise CannotOpen(
            f"{folder} is half filled: a restore or a move into it did not come to its end; run it "
            "again, it starts over"
        )
    if (folder / MOVED).exists():
        where = (folder / MOVED).read_text(encoding="utf-8").strip()
        raise CannotOpen(
            f"the database of {folder} was moved: {where}. To go back to it as it was then, delete "
            f"{folder / MOVED}"
        )


async def _lock(folder: Path) -> int:
    """Lock the folder for this server; the writers hold the lock too, until they have ended."""
    holder = ""
    for _ in range(_LOCK_ATTEMPTS):
        number, holder = _try_lock(folder)
        if number is not None:
            return number
        # The writer of a server that was just killed may still be on its way out.
        await _pause(_LOCK_PAUSE_SECONDS)
    raise CannotOpen(f"{folder} is in use by another server (process {holder})")


def _try_lock(folder: Path) -> tuple[int | None, str]:
    """The descriptor that holds the lock, or the process that has it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(number, 20, 0).decode(errors="replace").strip()
        os.close(number)
        return None, holder or "unknown"
    os.ftruncate(number, 0)
    os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
    return number, ""


async def _pause(seconds: float) -> None:
    """Let the event loop turn until then."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


def _size_of(folder: Path) -> int:
    """Bytes that the files of the databases take."""
    total = 0
    for path in folder.glob("*.db*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
