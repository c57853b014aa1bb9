"""Carrying a whole store elsewhere: into a backup, out of one, from one database to another.

What is carried is found in the schema itself, never listed: every table but those that a database
keeps for itself alone (its `OWN_TABLES`, with a reason each), every column, every blob that a column
of digests names, every small file that stands in the data folder. A table that a later migration
adds is carried without a word here.

Both databases give a table's rows in one form (whole numbers, numbers, texts, bytes, null), in the
order of the primary key (else of all columns), texts by their bytes. So a table has one checksum wherever it stands, and a
copy is compared with its original by counting and adding up both.

A source is a database, or a backup; a target is a database. `carry` needs no more memory for a
million runs than for ten.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import IO, Any, Protocol, TypeAlias

import msgspec

from runyard.model.errors import Conflict, RunyardError
from runyard.stores.migrations import SchemaTooNew

Row: TypeAlias = tuple[Any, ...]
Progress: TypeAlias = Callable[[str], None]
"""Is told now and then how far things are."""

_ROWS_BETWEEN_WORDS = 250_000
_BLOBS_BETWEEN_WORDS = 1_000
_FIRST_SECOND = 1_735_689_600
"""2025 began."""
_encode = msgspec.msgpack.Encoder().encode


class PlaceTaken(Conflict):
    """The place is not empty."""


class ServerRunning(Conflict):
    """A server uses this database."""


class SchemaTooOld(Conflict):
    """The database has not been brought to the schema of this release."""


class CopiesDiffer(RunyardError):
    """What was written is not what was read."""


class UnknownColumnType(RunyardError):
    """A column has a type that cannot be carried."""


class TransferFailed(RunyardError):
    """The database could not be read or written to its end."""


class ColumnType(StrEnum):
    """What the values of a column are, whichever database keeps them."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BYTES = "bytes"


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    name: str
    type: ColumnType

    @property
    def names_blobs(self) -> bool:
        """Whether its values are digests of blobs."""
        return self.type is ColumnType.TEXT and (
            self.name == "digest" or self.name.endswith("_digest")
        )


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table as both databases see it; its columns are sorted by name."""

    name: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    """Columns of the primary key, in its order; none when there is no such key."""

    @property
    def order(self) -> tuple[str, ...]:
        """Columns that rows are read in the order of, nulls before anything else."""
        return self.primary or tuple(column.name for column in self.columns)


class Blob(msgspec.Struct, frozen=True):
    """A blob on its way. `file` is None when it is not where it should be."""

    digest: str
    size: int
    file: IO[bytes] | None


class Source(Protocol):
    """Where a store is read from, as it was at one instant."""

    kind: str
    """Which database wrote the rows: sqlite or postgres."""

    @property
    def incarnation(self) -> int:
        """That of the last opening."""

    def tables(self) -> Sequence[Table]:
        """Everything that is carried, by name."""

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows in the table's order, their values in the order of the columns."""

    def blobs(self) -> Iterator[Blob]:
        """Every blob that a row names, once, by digest; the file is closed by the next step."""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Small files that stand beside the database, by name."""


class Target(Protocol):
    """Where a store is built up. Nothing of it counts before `complete`."""

    def prepare(self, schemas: Mapping[str, int]) -> None:
        """Make empty tables of this schema; raises SchemaTooNew when this release is older."""

    def tables(self) -> Sequence[Table]:
        """The tables that there are now."""

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Write all rows of a table, their values in the order of its columns."""

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows as they are read back."""

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is in place already."""

    def put_blob(self, digest: str, file: IO[bytes]) -> None:
        """Keep a blob durably; raises CopiesDiffer when these are not its bytes."""

    def put_file(self, name: str, content: bytes) -> None:
        """Keep a small file."""

    def void_leases(self) -> None:
        """Nothing that was claimed before may ever be reported here: sessions are over, and the
        incarnation leaps beyond any that the original can have reached since.
        """

    def complete(self) -> None:
        """Bring it to the schema of this release, and make it count, durably."""


# ---------------------------------------------------------------- counting


class Tally:
    """Counts the rows of a table and adds them up."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    @property
    def checksum(self) -> str:
        """SHA-256 of all rows so far."""
        return self._hash.hexdigest()

    def add(self, encoded: bytes | memoryview, rows: int) -> None:
        """Some more rows, encoded one behind the other."""
        self._hash.update(encoded)
        self.rows += rows

    def following(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, counted as they pass."""
        for row in rows:
            self.add(_encode(row), 1)
            yield row


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What was carried."""

    tables: Mapping[str, int]
    """Rows of each table."""
    blobs: int
    blob_bytes: int
    missing_blobs: tuple[str, ...] = ()
    """Digests that rows name and nobody has."""
    files: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.tables.values())


def spoken(rows: Iterable[Row], name: str, progress: Progress) -> Iterator[Row]:
    """The rows; a word about every so many of them."""
    for number, row in enumerate(rows, 1):
        if number % _ROWS_BETWEEN_WORDS == 0:
            progress(f"{name}: {number:,} rows")
        yield row


# ---------------------------------------------------------------- carrying


def carry(
    source: Source, target: Target, schemas: Mapping[str, int], progress: Progress
) -> Carried:
    """Fill the target with everything that the source has, comparing each table with its original.

    `schemas`: how many migrations the release that wrote the source knows, for each sequence of them.
    What the target has become counts once `complete` is called, which is left to the caller.
    """
    target.prepare(schemas)
    tables = {}
    for table in _matched(source.tables(), target.tables()):
        tables[table.name] = _carry_table(table, source, target, progress)
        progress(f"{table.name}: {tables[table.name]:,} rows, compared")
    blobs, size, missing = _carry_blobs(source, target, progress)
    files = []
    for name, content in source.files():
        target.put_file(name, content)
        files.append(name)
    return Carried(
        tables=tables,
        blobs=blobs,
        blob_bytes=size,
        missing_blobs=tuple(missing),
        files=tuple(files),
    )


def _carry_table(table: Table, source: Source, target: Target, progress: Progress) -> int:
    read, written = Tally(), Tally()
    target.fill(table, read.following(spoken(source.rows(table), table.name, progress)))
    for _ in written.following(target.rows(table)):
        pass
    if (read.rows, read.checksum) != (written.rows, written.checksum):
        raise CopiesDiffer(
            f"table {table.name}: {read.rows} rows with checksum {read.checksum[:16]} were read, "
            f"{written.rows} with {written.checksum[:16]} are there now"
        )
    return read.rows


def _carry_blobs(
    source: Source, target: Target, progress: Progress
) -> tuple[int, int, Sequence[str]]:
    count = size = 0
    missing = []
    for blob in source.blobs():
        if blob.file is None:
            missing.append(blob.digest)
            continue
        if not target.has_blob(blob.digest):
            target.put_blob(blob.digest, blob.file)
        count, size = count + 1, size + blob.size
        if count % _BLOBS_BETWEEN_WORDS == 0:
            progress(f"blobs: {count:,}")
    return count, size, missing


def _matched(given: Sequence[Table], known: Sequence[Table]) -> Iterator[Table]:
    """The source's tables, once each is known to have the very same columns in the target."""
    places = {table.name: table for table in known}
    for table in given:
        place = places.get(table.name)
        if place is None:
            raise SchemaTooNew(f"there is no place here for table {table.name}")
        if table != place:
            odd = set(table.columns) ^ set(place.columns)
            names = ", ".join(sorted({column.name for column in odd})) or "its primary key"
            raise SchemaTooNew(f"table {table.name} differs here in {names}")
        yield table


def require_known(schemas: Mapping[str, int], known: Mapping[str, int]) -> None:
    """Raises SchemaTooNew when a newer release wrote what is to be read."""
    for name, number in schemas.items():
        if number > known.get(name, 0):
            raise SchemaTooNew(
                f"it has schema {number} ({name}), this release knows schemas up to "
                f"{known.get(name, 0)}: install the release that wrote it, or a newer one"
            )


def leap(now: int) -> int:
    """An incarnation above all that any copy of a store can have reached by this instant, given in
    microseconds: nobody opens a store more often than once a second. Fits its 31 bits until 2093.
    """
    return now // 1_000_000 - _FIRST_SECOND


def typed(name: str, declared: str, types: Mapping[str, ColumnType]) -> Column:
    """A column by its declared type; raises UnknownColumnType."""
    found = types.get(declared.lower())
    if found is None:
        raise UnknownColumnType(
            f"column {name} is {declared!r}; what can be carried is {', '.join(types)}"
        )
    return Column(name, found)


def batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """The rows in lists of so many."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def named_once(digests: Iterable[Iterable[str]]) -> Iterator[str]:
    """Sorted digests of several places, each once; the places are sorted themselves."""
    last = None
    for digest in heapq.merge(*digests):
        if digest != last:
            yield digest
        last = digest
