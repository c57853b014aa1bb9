"""Every test of the engine runs on both databases, with a clock that it turns by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runyard.stores.contract.store import Store
from runyard.stores.postgres.store import open_postgres
from runyard.stores.sqlite.store import open_sqlite
from tests.support.yard import Yard, opened_yard


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, memory_path: Path) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        opened = await open_sqlite(memory_path)
    else:
        opened = await open_postgres(request.getfixturevalue("postgres_dsn"), memory_path)
    yield opened
    await opened.close()


@pytest.fixture
async def yard(store: Store) -> AsyncIterator[Yard]:
    async with opened_yard(store) as yard:
        yield yard
