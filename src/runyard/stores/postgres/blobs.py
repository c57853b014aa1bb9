"""Blobs that every server of a database has: in the database, with a copy in the data folder.

A blob is kept in the folder first, then put into the database in parts, in one transaction that is
durable when `commit` returns. A server that does not have a blob in its folder fetches it from the
database once. The database is the original: the folder may be emptied at any time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import psycopg

from runyard.model.errors import StorageUnavailable
from runyard.stores.blobs import PRUNED_AT_ONCE, InUse, LocalBlobs, LocalBlobWriter
from runyard.stores.codes import micros
from runyard.stores.postgres.connecting import Connector, DatabaseRefused
from runyard.stores.queries import Query
from runyard.stores.tables.pieces import Row

PART_SIZE = 256 * 1024
_MOST_UPLOADS = 4

_Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class Reading(Protocol):
    """What of a database is needed to fetch."""

    async def all(self, query: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """All rows of a query."""

    async def one(self, query: str, /, **values: Any) -> Row | None:  # noqa: ANN401
        """The first row of a query."""


class SharedBlobs(LocalBlobs):
    """Blobs of one database, whichever server took them in."""

    def __init__(
        self,
        folder: Path,
        in_use: InUse,
        db: Reading,
        connector: Connector,
        queries: Mapping[str, Query],
    ) -> None:
        super().__init__(folder, in_use)
        self._db = db
        self._connector = connector
        self._queries = queries
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._uploads = asyncio.Semaphore(_MOST_UPLOADS)
        self._fetching: dict[str, asyncio.Lock] = {}

    async def create(self) -> "SharedBlobWriter":  # type: ignore[override]
        """Begin a blob."""
        return SharedBlobWriter(await super().create(), self)

    async def put(self, data: bytes) -> str:
        """Keep these bytes durably; their digest."""
        digest = await super().put(data)
        await self.share(digest, len(data))
        return digest

    async def size(self, digest: str) -> int | None:
        """Bytes; None when there is no such blob."""
        found = await super().size(digest)
        return found if found is not None else await self._shared_size(digest)

    async def load(self, digest: str) -> bytes | None:
        """All bytes of a small blob."""
        await self._fetch(digest)
        return await super().load(digest)

    async def read(
        self, digest: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Its bytes in parts; FileNotFoundError when there is no such blob."""
        await self._fetch(digest)
        async for part in super().read(digest, offset, length):
            yield part

    async def prune(self, older_than: datetime, in_use: set[str]) -> int:
        """Delete blobs last touched before then that nobody names; how many."""
        await super().prune(older_than, in_use)
        before = micros(older_than)
        deleted, after = 0, (0, "")
        while True:
            old = await self._db.all(
                "old_blobs",
                before=before,
                after_touched=after[0],
                after_digest=after[1],
                limit=PRUNED_AT_ONCE,
            )
            if gone := await self._unnamed([digest for digest, _ in old], in_use):
                deleted += await self._unshare(gone, before)
            if len(old) < PRUNED_AT_ONCE:
                return deleted
            after = (old[-1][1], old[-1][0])

    async def close(self) -> None:
        """Let go of the connections; one that is in use is closed after that."""
        self._is_closed = True
        await self._close_idle()

    # ------------------------------------------------------------ the database

    async def share(self, digest: str, size: int) -> None:
        """Put a blob that is in the folder into the database, durably."""
        async with self._connected() as connection, connection.transaction():
            found = await connection.execute(
                *self._statement("share_blob", digest=digest, size=size)
            )
            [[is_new]] = await found.fetchall()
            if not is_new:
                return
            number = 0
            async for part in super().read(digest):
                await connection.execute(
                    *self._statement("share_part", digest=digest, number=number, data=part)
                )
                number += 1

    async def _shared_size(self, digest: str) -> int | None:
        row = await self._db.one("shared_size", digest=digest)
        return None if row is None else int(row[0])

    async def _fetch(self, digest: str) -> None:
        """Copy a blob into the folder unless it is there or nowhere."""
        if await super().size(digest) is not None:
            return
        lock = self._fetching.setdefault(digest, asyncio.Lock())
        try:
            async with lock:
                if await super().size(digest) is None:
                    await self._copy(digest)
        finally:
            if not lock.locked():
                self._fetching.pop(digest, None)

    async def _copy(self, digest: str) -> None:
        left = await self._shared_size(digest)
        if left is None:
            return
        writer = await super().create()
        number = 0
        try:
            while left > 0:
                row = await self._db.one("shared_part", digest=digest, number=number)
                if row is None:  # pruned meanwhile
                    break
                await writer.write(row[0])
                left -= len(row[0])
                number += 1
            if writer.digest == digest:
                await writer.commit()
                return
        except BaseException:
            await writer.abort()
            raise
        await writer.abort()

    async def _unshare(self, digests: list[str], before: int) -> int:
        async with self._connected() as connection:
            found = await connection.execute(
                *self._statement("unshare_blobs", digests=digests, before=before)
            )
            return len(await found.fetchall())

    def _statement(self, query: str, **values: Any) -> tuple[bytes, dict[str, Any]]:  # noqa: ANN401
        return self._queries[query].sql.encode(), values

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        async with self._uploads:
            try:
                connection = self._idle.pop() if self._idle else await self._open()
                try:
                    yield connection
                except BaseException:
                    await connection.close()
                    raise
                if self._is_closed:
                    await connection.close()
                else:
                    self._idle.append(connection)
            except (psycopg.Error, DatabaseRefused) as problem:
                await self._close_idle()  # what broke this one has broken them, too
                raise StorageUnavailable(f"the database cannot keep it: {problem}") from problem

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _open(self) -> _Connection:
        connection = await self._connector.open_connection()
        try:
            with contextlib.suppress(psycopg.Error):
                await connection.execute("SET synchronous_commit = on")
        except BaseException:
            await connection.close()
            raise
        return connection


class SharedBlobWriter:
    """A blob being written. Nothing is visible before `commit`."""

    def __init__(self, local: LocalBlobWriter, blobs: SharedBlobs) -> None:
        self._local = local
        self._blobs = blobs
        self._kept: tuple[str, int] | None = None
        """What stands in the folder and is still to be shared."""

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        await self._local.write(data)

    async def commit(self) -> tuple[str, int]:
        """Make it durable; its digest and size. May be tried again when the database was away."""
        if self._kept is None:
            self._kept = await self._local.commit()
        await self._blobs.share(*self._kept)
        return self._kept

    async def abort(self) -> None:
        """Forget it."""
        await self._local.abort()
