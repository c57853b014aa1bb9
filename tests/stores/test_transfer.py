"""What is carried to another place: everything that the schema has, in one form for both databases."""

from collections.abc import Mapping
from pathlib import Path

import apsw
import psycopg
import pytest

from runyard.stores.migrations import SchemaTooNew
from runyard.stores.postgres import transfer as postgres
from runyard.stores.postgres.store import open_postgres
from runyard.stores.sqlite import transfer as sqlite
from runyard.stores.sqlite.store import open_sqlite
from runyard.stores.transfer import Source, Table, UnknownColumnType, carry, leap, named_once

LISTED_TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
    "ESCAPE '\\'",
    "postgres": "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
    "AND relnamespace = 'public'::regnamespace",
}
UNCARRIED_THINGS = """
SELECT 'sequence ' || relname FROM pg_class
 WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'foreign key ' || conname FROM pg_constraint
 WHERE contype = 'f' AND connamespace = 'public'::regnamespace
"""


@pytest.fixture
async def folder(memory_path: Path) -> Path:
    """A folder with a fresh SQLite store that nobody has open."""
    await (await open_sqlite(memory_path / "sqlite")).close()
    return memory_path / "sqlite"


@pytest.fixture
async def url(postgres_dsn: str, memory_path: Path) -> str:
    """A fresh PostgreSQL store that nobody has open."""
    await (await open_postgres(postgres_dsn, memory_path / "postgres")).close()
    return postgres_dsn


def silent(_: str) -> None:
    pass


def tables_of(source: Source) -> Mapping[str, Table]:
    return {table.name: table for table in source.tables()}


def in_sqlite(folder: Path, sql: str, file: str = "runyard.db") -> list[str]:
    db = apsw.Connection(str(folder / file))
    try:
        return [row[0] for row in db.execute(sql).fetchall()]
    finally:
        db.close()


def in_postgres(url: str, sql: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


async def test_both_databases_carry_the_same_tables_with_the_same_columns(
    folder: Path, url: str
) -> None:
    """A table of one database alone needs its reason in that database's OWN_TABLES."""
    with sqlite.stopped_sqlite(folder) as ours, postgres.stopped_postgres(url, folder) as theirs:
        assert tables_of(ours) == tables_of(theirs)


async def test_every_table_is_carried_or_excused(folder: Path, url: str) -> None:
    found = [*in_sqlite(folder, LISTED_TABLES["sqlite"])]
    found += in_sqlite(folder, LISTED_TABLES["sqlite"], "logs.db")
    with sqlite.stopped_sqlite(folder) as source:
        assert set(found) == tables_of(source).keys() | sqlite.OWN_TABLES.keys()
    with postgres.stopped_postgres(url, folder) as theirs:
        found = in_postgres(url, LISTED_TABLES["postgres"])
        assert set(found) == tables_of(theirs).keys() | postgres.OWN_TABLES.keys()


async def test_no_table_has_a_state_outside_of_its_rows(folder: Path, url: str) -> None:
    """What would not be carried: counters of sequences, rows in an order that foreign keys want."""
    assert in_postgres(url, UNCARRIED_THINGS) == []
    found = in_sqlite(folder, "SELECT name FROM sqlite_schema WHERE sql LIKE '%REFERENCES%'")
    assert found == []


async def test_every_column_that_names_blobs_is_known_to_the_pruning_of_blobs(folder: Path) -> None:
    with sqlite.stopped_sqlite(folder) as source:
        found = {
            (table.name, column.name)
            for table in source.tables()
            for column in table.columns
            if column.names_blobs
        }

    query = (Path(sqlite.__file__).parent / "queries" / "files.sql").read_text()
    kept = query[query.index("digests_in_use") :]
    # A bundle's own row goes with its versions.
    unknown = {
        table
        for table, column in found
        if f"FROM {table} WHERE {column} =" not in kept and table != "bundles"
    }
    assert unknown == set()
    assert ("run_inputs", "digest") in found
    assert ("versions", "bundle_digest") in found


async def test_a_table_that_a_later_migration_adds_is_carried(folder: Path, tmp_path: Path) -> None:
    in_sqlite(folder, "CREATE TABLE newcomers (id INTEGER PRIMARY KEY, word TEXT, digest TEXT)")
    in_sqlite(folder, f"INSERT INTO newcomers VALUES (7, 'hello', '{'a' * 64}')")

    with sqlite.stopped_sqlite(folder) as source:
        table = tables_of(source)["newcomers"]
        rows, blobs = list(source.rows(table)), [blob.digest for blob in source.blobs()]

    assert rows == [("a" * 64, 7, "hello")]
    assert blobs == ["a" * 64]


async def test_rows_without_a_primary_key_have_one_order_in_both_databases(
    folder: Path, url: str
) -> None:
    make = "CREATE TABLE pairs (one TEXT, two INTEGER)"
    fill = "INSERT INTO pairs VALUES ('b', 1), (NULL, 7), ('B', 2), ('b', NULL), ('ä', 0), ('', 3)"
    for statement in (make, fill):
        in_sqlite(folder, statement)
        in_postgres(url, statement)

    with sqlite.stopped_sqlite(folder) as ours, postgres.stopped_postgres(url, folder) as theirs:
        table = tables_of(ours)["pairs"]
        assert tables_of(theirs)["pairs"] == table
        rows = list(ours.rows(table))
        assert list(theirs.rows(table)) == rows

    assert rows == [(None, 7), ("", 3), ("B", 2), ("b", None), ("b", 1), ("ä", 0)]


async def test_a_table_without_a_place_in_the_target_is_refused_by_name(
    folder: Path, tmp_path: Path
) -> None:
    in_sqlite(folder, "CREATE TABLE newcomers (id INTEGER PRIMARY KEY, word TEXT)")

    with (
        sqlite.stopped_sqlite(folder) as source,
        sqlite.built_sqlite(tmp_path / "new", beside=False) as target,
        pytest.raises(SchemaTooNew, match="newcomers"),
    ):
        carry(source, target, sqlite.known_schemas(), silent)


async def test_a_column_of_an_unknown_type_is_refused_by_name(folder: Path) -> None:
    in_sqlite(folder, "CREATE TABLE newcomers (id INTEGER PRIMARY KEY, at TIMESTAMP)")

    with pytest.raises(UnknownColumnType, match="at"), sqlite.stopped_sqlite(folder) as source:
        source.tables()


def test_each_digest_comes_once_and_in_order() -> None:
    assert list(named_once([["a", "c"], ["a", "b", "c"]])) == ["a", "b", "c"]


def test_a_leap_of_the_incarnation_fits_a_lease_token_until_2093() -> None:
    seconds = (2093 - 1970) * 31_556_952

    assert 0 < leap(seconds * 1_000_000) < 2**31
