"""Every test of this folder that asks for `store` runs once per database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, World
from tests.stores.places import Place, PostgresPlace, SqlitePlace


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, memory_path: Path) -> Place:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return SqlitePlace(memory_path)
    return PostgresPlace(request.getfixturevalue("postgres_dsn"), memory_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def world(store: Store) -> World:
    """A store with the company Acme and a worker that is connected."""
    world = World(store)
    await world.add_company(ACME)
    await world.connect()
    return world
