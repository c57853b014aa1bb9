"""Opening and closing the PostgreSQL store."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg

from runyard.model.errors import StorageUnavailable
from runyard.stores.codes import instant
from runyard.stores.contract.peering import Peering
from runyard.stores.contract.store import StoreStatistics
from runyard.stores.migrations import load_migrations
from runyard.stores.postgres.blobs import SharedBlobs
from runyard.stores.postgres.connecting import IN_USE, Connector, DatabaseRefused
from runyard.stores.postgres.database import PostgresDatabase
from runyard.stores.postgres.lane import Lane
from runyard.stores.postgres.peering import PostgresPeering
from runyard.stores.postgres.readers import Readers
from runyard.stores.postgres.schema import migrate
from runyard.stores.postgres.statements import Shape, shapes_of
from runyard.stores.postgres.writer import Writer
from runyard.stores.queries import SHARED, load_queries
from runyard.stores.tables.store import TableStore, digests_in_use

_HERE = Path(__file__).parent
_RUN_LANES = 2
_LANES_AN_OPENING = 4
"""How many lane ids an incarnation has to itself."""
_READERS = 4
_KEPT_INCARNATIONS = 10_000
"""Lanes of older ones belong to no server that still runs."""


class PostgresStore(TableStore):
    """A PostgreSQL database that has been opened."""

    is_shared = True

    def __init__(
        self,
        db: PostgresDatabase,
        logs: PostgresDatabase,
        readers: Readers,
        peering: Peering,
        blobs: SharedBlobs,
        opening: "Opening",
    ) -> None:
        super().__init__(db, logs, blobs)
        self._db = db
        self._logs = logs
        self._readers = readers
        self._opening = opening
        self.incarnation = opening.incarnation
        self._shared_blobs = blobs
        self.peering: Peering | None = peering

    async def database_now(self) -> datetime:
        """The clock of the database's machine."""
        [[micros]] = await self._db.all("database_now")
        return instant(micros)

    async def statistics(self) -> StoreStatistics:
        """How it is doing."""
        [[size]] = await self._db.all("database_size")
        return StoreStatistics(
            kind="postgres",
            version=self._opening.server_version,
            schema_version=self._opening.schema_version,
            groups=self._db.writer.groups,
            pieces=self._db.writer.pieces,
            waiting=self._db.writer.waiting + self._logs.writer.waiting,
            size=size,
        )

    async def close(self) -> None:
        """Finish what is under way, then let go."""
        if self.peering is not None:
            await self.peering.close()
        await self._db.close()
        await self._logs.close()
        await self._shared_blobs.close()
        await self._readers.close()


class Opening:
    """What opening a database found out about it."""

    def __init__(self, incarnation: int, server_version: str, schema_version: int) -> None:
        self.incarnation = incarnation
        self.server_version = server_version
        self.schema_version = schema_version


async def open_postgres(url: str, folder: Path) -> PostgresStore:
    """Open the store at a PostgreSQL URL, creating its tables if there are none.

    `folder` is where copies of large values and files are kept, each server's own; the originals are
    in the database.
    Raises StorageUnavailable when the database cannot be reached, DatabaseRefused when it cannot be
    used, and SchemaTooNew when a newer release wrote it.
    """
    queries = load_queries("psycopg", SHARED, _HERE / "queries")
    log_queries = load_queries("psycopg", _HERE / "log_queries")
    shapes, log_shapes = shapes_of(queries), shapes_of(log_queries)
    connector = Connector(url)
    try:
        opening = await _open(connector, shapes)
        first = opening.incarnation * _LANES_AN_OPENING
        lanes = [Lane(first + number, connector, shapes) for number in range(_RUN_LANES)]
        log_lane = Lane(first + _RUN_LANES, connector, {**log_shapes, **_of_lanes(shapes)})
        for lane in (*lanes, log_lane):
            await lane.open()
    except psycopg.Error as problem:
        raise StorageUnavailable(f"the database cannot be opened: {problem}") from problem
    readers = Readers(connector, _READERS)
    db = PostgresDatabase(Writer(lanes, shapes), readers, queries, shapes)
    logs = PostgresDatabase(Writer([log_lane], log_shapes), readers, log_queries, log_shapes)
    peering = PostgresPeering(db, connector, shapes)
    blobs = SharedBlobs(folder / "blobs", partial(digests_in_use, db), db, connector, queries)
    return PostgresStore(db, logs, readers, peering, blobs, opening)


def _of_lanes(shapes: Mapping[str, Shape]) -> Mapping[str, Shape]:
    return {name: shapes[name] for name in ("mark_group", "mark_relaxed_group", "marked_group")}


async def _open(connector: Connector, shapes: Mapping[str, Shape]) -> Opening:
    """Migrate, and raise the incarnation durably."""
    migrations = load_migrations(_HERE / "migrations")
    connection = await connector.open_connection()
    try:
        [[is_free]] = await (
            await connection.execute("SELECT pg_try_advisory_lock_shared(%s)", (IN_USE,))
        ).fetchall()
        if not is_free:
            raise DatabaseRefused(
                "a restore or a move has the database for itself: start again when it has ended"
            )
        await migrate(connection, migrations)
        await connection.execute("SET synchronous_commit = on")
        raised = await connection.execute(shapes["raise_incarnation"].prepared.sql)
        [[incarnation]] = await raised.fetchall()
        await connection.execute(
            "DELETE FROM lanes WHERE id < %s",
            ((incarnation - _KEPT_INCARNATIONS) * _LANES_AN_OPENING,),
        )
        await connection.execute(shapes["fold_counts"].prepared.sql)
        version = connection.info.parameter_status("server_version") or "unknown"
    finally:
        await connection.close()
    return Opening(incarnation, version, len(migrations))
