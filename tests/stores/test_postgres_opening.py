"""Opening a PostgreSQL store: together, too late, at the wrong address."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from runyard.model.errors import StorageUnavailable
from runyard.stores.migrations import SchemaTooNew
from runyard.stores.postgres.connecting import DatabaseRefused
from runyard.stores.postgres.store import open_postgres
from tests.stores.postgres_support import BadConnection, opened


async def test_servers_that_start_together_on_an_empty_database_all_open_it(
    postgres_dsn: str, memory_path: Path
):
    stores = await asyncio.gather(*(open_postgres(postgres_dsn, memory_path) for _ in range(4)))

    assert len({store.incarnation for store in stores}) == 4
    first_ids = await asyncio.gather(*(store.reserve_ids(100) for store in stores))
    assert sorted(first_ids) == [1, 101, 201, 301]
    for store in stores:
        await store.close()


async def test_the_incarnation_rises_with_every_opening(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        before = store.incarnation

    async with opened(postgres_dsn, memory_path) as store:
        assert store.incarnation > before


async def test_a_database_of_a_newer_release_is_refused(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path):
        pass
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
        await connection.execute("INSERT INTO migrations (number, name) VALUES (999, 'later')")

    with pytest.raises(SchemaTooNew, match="schema 999"):
        await open_postgres(postgres_dsn, memory_path)


async def test_a_connection_pooler_is_refused_with_advice(postgres_dsn: str, memory_path: Path):
    def with_another_process_id(data: bytes) -> bytes:
        # BackendKeyData: 'K', length 12, process id, secret.
        place = data.find(b"K\x00\x00\x00\x0c")
        if place < 0:
            return data
        return data[: place + 5] + (77).to_bytes(4, "big") + data[place + 9 :]

    async with BadConnection(postgres_dsn, memory_path).up() as pooler:
        pooler.from_server = with_another_process_id

        with pytest.raises(DatabaseRefused, match="PgBouncer"):
            await open_postgres(pooler.dsn, memory_path)


async def test_an_address_where_nobody_answers_is_a_clear_error(memory_path: Path):
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        await open_postgres(f"postgresql://nobody@/none?host={memory_path}", memory_path)


async def test_an_opened_store_says_what_it_is(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        statistics = await store.statistics()

        assert statistics.kind == "postgres"
        assert statistics.schema_version >= 1
        assert statistics.size > 0
        assert store.is_shared
