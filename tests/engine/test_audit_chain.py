"""The chain of the audit log: whatever is done to it in the database is found, and named."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runyard.engine.audit import RETENTION, Audit, Deed
from runyard.engine.audit_chain import Verification
from runyard.engine.engine import Engine, EngineSettings
from runyard.model.errors import WrongMasterKey
from runyard.stores.contract.audit import ChainEnd
from tests.stores.places import Place, PostgresPlace, SqlitePlace
from tests.support.turned_clock import TurnedClock

KEY = b"k" * 32


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, memory_path: Path) -> Place:
    if request.param == "sqlite":
        return SqlitePlace(memory_path)
    return PostgresPlace(request.getfixturevalue("postgres_dsn"), memory_path)


@pytest.fixture
async def engine(place: Place) -> AsyncIterator[Engine]:
    store = await place.open()
    try:
        settings = EngineSettings(server="test", master_key=KEY)
        async with Engine(store, TurnedClock(), settings) as engine:
            yield engine
    finally:
        await store.close()


def noted(audit: Audit, count: int, action: str = "log_in") -> None:
    for number in range(count):
        deed = Deed(action=action, subject=f"{number}", source="POST /x", address="10.0.0.1")
        audit.note(deed)


async def broken(engine: Engine, end: ChainEnd | None = None) -> tuple[int, str]:
    found = (await engine.audit.verify(end)).broken
    assert found is not None
    return found.place, found.detail


async def test_a_log_that_nobody_altered_is_whole(engine: Engine) -> None:
    empty = await engine.audit.verify()
    for _ in range(3):
        noted(engine.audit, 700)
        await engine.audit.flush()

    whole = await engine.audit.verify()
    again = await engine.audit.verify(whole.end)

    assert empty == Verification(entries=0, first=1, end=ChainEnd(), broken=None)
    assert (whole.entries, whole.first, whole.end.place) == (2100, 1, 2100)
    assert whole.broken is None
    assert again == whole


@pytest.mark.parametrize(
    ("change", "place_of_it", "told"),
    [
        ("UPDATE audit_entries SET actor_name = 'eve' WHERE place = 5", 5, "not what was written"),
        ("UPDATE audit_entries SET succeeded = 0 WHERE place = 5", 5, "not what was written"),
        ("UPDATE audit_entries SET company_id = 7 WHERE place = 5", 5, "not what was written"),
        ("UPDATE audit_entries SET at = at + 1 WHERE place = 5", 5, "not what was written"),
        ("UPDATE audit_entries SET is_sealed = 0 WHERE place = 5", 5, "without the installation"),
        ("DELETE FROM audit_entries WHERE place = 5", 5, "missing: entry 5"),
        ("DELETE FROM audit_entries WHERE place BETWEEN 5 AND 7", 5, "missing: entries 5 to 7"),
        ("DELETE FROM audit_entries WHERE place > 8", 9, "missing: everything up to entry 10"),
        ("DELETE FROM audit_entries WHERE place < 3", 1, "missing: entries 1 to 2"),
        ("UPDATE audit_entries SET place = 6 WHERE place = 5", 5, "missing: entry 5"),
        ("UPDATE audit_entries SET place = place + 1 WHERE place > 4", 5, "missing: entry 5"),
        ("UPDATE audit_chain SET place = 9", 10, "said to end with entry 9"),
        ("UPDATE audit_chain SET place = 11", 11, "missing"),
        ("DELETE FROM audit_chain", 10, "said to end with entry 0"),
        (
            "DELETE FROM audit_entries WHERE place < 3; UPDATE audit_chain SET cut_place = 2,"
            " cut_link = (SELECT link FROM audit_entries WHERE place = 3)",
            3,
            "not by this installation",
        ),
    ],
)
async def test_whatever_is_done_to_it_behind_the_server_is_named(
    engine: Engine, place: Place, change: str, place_of_it: int, told: str
) -> None:
    noted(engine.audit, 10)
    await engine.audit.flush()

    for statement in change.split(";"):
        place.execute(statement)

    at, detail = await broken(engine)
    assert at == place_of_it
    assert told in detail
    [check] = [c for c in (await engine.doctor.examine()).checks if c.name == "audit log"]
    assert not check.ok or "cut_place" in change


@pytest.mark.parametrize("stands", [0, -5, 4, 11])
async def test_an_entry_that_somebody_adds_is_named(
    engine: Engine, place: Place, stands: int
) -> None:
    noted(engine.audit, 10)
    await engine.audit.flush()
    place.execute(
        "INSERT INTO audit_entries SELECT 999999, "
        f"{stands}, company_id, at, actor_id, 'eve', action, subject, succeeded, detail, source,"
        " address, is_sealed, link FROM audit_entries WHERE place = 4"
    )

    found = (await engine.audit.verify()).broken

    assert found is not None
    assert (found.place, found.entry) == (stands, 999999)


async def test_a_chain_that_was_made_without_the_key_is_not_believed(place: Place) -> None:
    """Who can write to the database can reckon digests, but has no master key."""
    for key, count in ((KEY, 3), (b"o" * 32, 2), (KEY, 1)):
        store = await place.open()
        settings = EngineSettings(server="test", master_key=key)
        async with Engine(store, TurnedClock(), settings) as engine:
            noted(engine.audit, count)
            await engine.audit.flush()
            if key == KEY:
                found = (await engine.audit.verify()).broken
            else:
                with pytest.raises(WrongMasterKey):
                    await engine.audit.verify()
                checks = (await engine.doctor.examine()).checks
        await store.close()

    assert found is not None
    assert found.place == 4
    assert found.detail == "it was written without the installation's master key"
    assert "audit log" not in {check.name for check in checks}


async def test_what_is_too_old_is_cut_off_and_the_rest_is_whole(engine: Engine) -> None:
    noted(engine.audit, 2500)
    await engine.audit.flush()
    before = await engine.audit.verify()
    clock = engine.clock
    assert isinstance(clock, TurnedClock)
    clock.advance(RETENTION / 2)
    noted(engine.audit, 10)
    await engine.audit.flush()
    clock.advance(RETENTION / 2 + timedelta(seconds=1))

    await engine.audit.prune()

    found = await engine.audit.verify(before.end)
    assert (found.entries, found.first, found.broken) == (10, 2501, None)
    assert await engine.audit.count(None) == 10
    noted(engine.audit, 1)
    assert (await engine.audit.verify()).entries == 11


async def test_an_end_that_was_noted_shows_that_the_log_was_cut_short(
    engine: Engine, place: Place
) -> None:
    noted(engine.audit, 10)
    end = (await engine.audit.verify()).end
    place.execute("DELETE FROM audit_entries WHERE place > 8")
    place.execute(
        "UPDATE audit_chain SET place = 8, link = (SELECT link FROM audit_entries WHERE place = 8)"
    )
    by_itself = (await engine.audit.verify()).broken
    shorter = await broken(engine, end)
    noted(engine.audit, 5, "something else")

    assert by_itself is None
    assert shorter == (10, "the log was longer: it ended with entry 10")
    assert await broken(engine, end) == (10, "it is not the one that was noted")


async def test_a_log_whose_end_was_deleted_goes_on_and_is_broken(
    engine: Engine, place: Place
) -> None:
    noted(engine.audit, 3)
    await engine.audit.flush()
    place.execute("DELETE FROM audit_chain")

    noted(engine.audit, 1)
    noted(engine.audit, 1)

    assert await engine.audit.count(None) == 5
    assert (await engine.audit.verify()).broken is not None


async def test_servers_that_write_at_once_make_one_chain(
    postgres_dsn: str, memory_path: Path
) -> None:
    place = PostgresPlace(postgres_dsn, memory_path)
    stores = [await place.open() for _ in range(3)]
    engines = [
        Engine(store, TurnedClock(), EngineSettings(server=f"s{at}", master_key=KEY))
        for at, store in enumerate(stores)
    ]
    async with engines[0], engines[1], engines[2]:

        async def write(engine: Engine) -> None:
            for number in range(20):
                noted(engine.audit, number)
                await engine.audit.flush()

        await asyncio.gather(*map(write, engines))
        found = await engines[0].audit.verify()
    for store in stores:
        await store.close()

    assert (found.entries, found.broken) == (3 * 190, None)


async def test_what_no_database_holds_breaks_no_chain(engine: Engine) -> None:
    """PostgreSQL ends a text at U+0000: whoever said it in a name broke the chain without signing in."""
    deed = Deed(
        action="log_in", said_to_be="ann\0x@example.com", source="POST /x", address="1.2.3.4"
    )
    engine.audit.note(deed)
    engine.audit.note(msgspec.structs.replace(deed, subject="a\0", refusal="b\0" * 500))

    assert (await engine.audit.verify()).broken is None
    [_, entry] = await engine.audit.page(None, None, 10)
    assert entry.actor_name == "ann\ufffdx@example.com"
