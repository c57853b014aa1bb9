"""Backups, what they are restored to, and moves between databases (R14, R15)."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest

from runyard.model.errors import RunyardError
from runyard.model.states import RunState
from runyard.server.app import open_store
from runyard.server.copies import SamePlace, move, place_of, restore, verify
from runyard.server.settings import Settings, read_settings
from runyard.stores.backup_format import (
    BackupDamaged,
    BackupIncomplete,
    BackupNotFound,
    BackupUnderWay,
)
from runyard.stores.backup_writer import Origin, new_backup
from runyard.stores.contract.leases import ClaimedRun
from runyard.stores.migrations import SchemaTooNew, load_migrations
from runyard.stores.sqlite import transfer as sqlite
from runyard.stores.sqlite.database import CannotOpen
from runyard.stores.sqlite.writer import migrate, open_database
from runyard.stores.transfer import PlaceTaken, SchemaTooOld, ServerRunning
from tests.server.copying import contents, fill, filled, in_folder, seed_empty_tables, silent, take
from tests.stores.builders import ACME, NOW, World, a_finish
from tests.support.postgres import PostgresServer
from tests.support.yard import opened_yard

FORMS = ("backup", "backup.tar")


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, memory_path: Path) -> Settings:
    """Of a server over either database."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    return read_settings({"data": memory_path / "data", "database": dsn}, {})


@pytest.fixture
def embedded(memory_path: Path) -> Settings:
    """Of a server over SQLite, where it makes no difference."""
    return read_settings({"data": memory_path / "data"}, {})


@pytest.fixture
def another_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """One more empty database."""
    dsn = postgres_server.create_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, memory_path: Path) -> Settings:
    """An empty place of either kind."""
    dsn = request.getfixturevalue("another_dsn") if request.param == "postgres" else None
    return read_settings({"data": memory_path / "place", "database": dsn}, {})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tables_at(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
            "'public'::regnamespace"
        )
        return [row[0] for row in found.fetchall()]


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("form", FORMS)
async def test_a_restored_store_has_every_row_and_every_blob(
    settings: Settings, place: Settings, memory_path: Path, form: str
) -> None:
    """R15: whichever of the two databases it came from and goes to."""
    await filled(settings)
    seed_empty_tables(settings)
    manifest = take(settings, memory_path / form)

    restored = restore(place, memory_path / form, silent)

    assert restored.carried == manifest.carried == verify(memory_path / form, silent).carried
    assert min(restored.carried.tables.values()) >= 1, "the test has nothing in some table"
    assert restored.carried.blobs == 4
    assert (place.data / "admin.token").read_text() == "secret\n"
    again = contents(take(place, memory_path / "again"))
    changed = {name for name, content in contents(manifest).items() if again[name] != content}
    assert changed == {"installation", "runs", "sessions"}, "only what voids the leases"


async def test_keys_to_what_is_in_a_backup_come_along_only_when_asked_for(
    embedded: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(embedded)

    manifest = take(embedded, memory_path / "backup", keys=False)
    restore(place, memory_path / "backup", silent)

    assert manifest.left_out == ("admin.token",)
    assert not (memory_path / "backup" / "files").exists()
    assert not (place.data / "admin.token").exists()


async def test_a_restored_store_goes_on(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    running = await filled(settings)
    take(settings, memory_path / "backup")
    restore(place, memory_path / "backup", silent)

    async with open_store(place) as store:
        values = await store.runs.values(ACME, running.run_id)
        [abandoned] = await store.leases.abandoned(NOW, 10)
        first = await store.reserve_ids(10)

    assert values is not None
    assert values.input == b'{"zip":"76131"}'
    assert abandoned.run_id == running.run_id, "nobody holds it any more"
    assert first >= 1


async def test_a_backup_is_taken_while_the_store_is_in_use(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    async with open_store(settings) as store:
        await fill(store)
        manifest = take(settings, memory_path / "backup")
        world = World(store)
        world._numbers = iter(range(5000, 5010))  # type: ignore[assignment]
        await world.connect("bob")

    restored = restore(place, memory_path / "backup", silent)

    assert restored.carried == manifest.carried
    assert restored.carried.tables["sessions"] == 1, "bob came after the backup"


async def test_no_report_from_before_a_restore_counts(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    """R4, R15: nor from what became of the original afterwards."""
    running = await filled(settings)
    take(settings, memory_path / "backup")
    later = [await a_claim_at(settings, 2000 + 10 * life) for life in range(3)]
    restore(place, memory_path / "backup", silent)

    async with open_store(place) as store:
        assert await store.runs.finish([a_finish(running)]) == []
        async with opened_yard(store) as yard:
            rescued = await yard.run(running.run_id)
            diagnosis = await yard.engine.doctor.examine()

    assert rescued.state is RunState.QUEUED, "it had not begun"
    assert [check.ok for check in diagnosis.checks if check.name == "promises"] == [True]
    assert all(claimed.token >> 32 < store.incarnation for claimed in (running, *later))


async def a_claim_at(settings: Settings, number: int) -> ClaimedRun:
    """A run claimed by another life of a store."""
    async with open_store(settings) as store:
        world = World(store)
        world._numbers = iter(range(number, number + 10))  # type: ignore[assignment]
        task = await world.add_task(name=f"Task {number}")
        await world.connect()
        return await task.running()


async def test_an_original_and_two_restores_of_it_never_deal_the_same_token(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    """R4: each goes on from an incarnation that only its own instant gives."""
    await filled(settings)
    take(settings, memory_path / "backup")
    one = in_folder(place, memory_path / "one")
    restore(one, memory_path / "backup", silent)
    take(one, memory_path / "of one")

    restore(place, memory_path / "of one", silent)

    incarnations = [await the_incarnation(of) for of in (settings, one, place)]
    assert incarnations[0] < 10 < 50_000_000 < incarnations[1] <= incarnations[2] < 2**31


async def the_incarnation(settings: Settings) -> int:
    async with open_store(settings) as store:
        return store.incarnation


def an_old_backup(folder: Path, target: Path) -> None:
    """What the first release would have written of a store with one company."""
    folder.mkdir()
    with ExitStack() as opened:
        books = {}
        for name, (file, migrations) in FIRST_FILES.items():
            db = opened.enter_context(closing(open_database(str(folder / file))))
            migrate(db, load_migrations(SQLITE / migrations)[:1])
            books[name] = sqlite._Book(db)
        books[sqlite.MAIN].db.execute(A_COMPANY, (b"u" * 16,))
        backup = opened.enter_context(new_backup(target))
        origin = Origin(
            release="0.0.1",
            taken_at=NOW,
            schemas={"sqlite": 1, "sqlite_logs": 1, "postgres": 1},
            takes_files=False,
        )
        backup.write(sqlite.SqliteSource(folder, books), origin, silent)


FIRST_FILES = {
    sqlite.MAIN: ("runyard.db", "migrations"),
    sqlite.LOGS: ("logs.db", "log_migrations"),
}
SQLITE = Path(sqlite.__file__).parent
A_COMPANY = """
INSERT INTO companies VALUES (7, ?, 'old', 'Old', 'UTC', 1, 50, 86400000000, 1000, 1, 1700000000000000)
"""


async def test_a_backup_of_an_older_release_is_brought_forward(
    place: Settings, memory_path: Path
) -> None:
    """R14, R15: as a database is."""
    an_old_backup(memory_path / "old", memory_path / "backup")

    restore(place, memory_path / "backup", silent)

    async with open_store(place) as store:
        [company] = await store.companies.list()
        assert (await store.statistics()).schema_version > 1
    assert company.slug == "old"
    take(place, memory_path / "current")


async def test_a_store_of_an_older_release_is_to_be_brought_forward_first(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(settings)
    execute(settings, "DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations)")

    with pytest.raises(SchemaTooOld, match="runyard db migrate"):
        take(settings, memory_path / "backup")
    with pytest.raises(SchemaTooOld, match="runyard db migrate"):
        move(settings, place, NOW, silent)


async def test_a_store_of_a_newer_release_is_left_alone(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(settings)
    execute(settings, "INSERT INTO migrations (number, name) VALUES (99, 'later')")

    with pytest.raises(SchemaTooNew, match="schema 99"):
        take(settings, memory_path / "backup")
    with pytest.raises(SchemaTooNew, match="schema 99"):
        move(settings, place, NOW, silent)
    assert_empty(place)


def execute(settings: Settings, sql: str) -> None:
    """Do behind the store's back what no store would do."""
    if settings.database is None:
        with closing(apsw.Connection(str(settings.data / "runyard.db"))) as db:
            db.execute(sql).fetchall()
    else:
        with psycopg.connect(settings.database) as connection:
            connection.execute(sql.encode())


# ---------------------------------------------------------------- what is refused


def flip(path: Path, at: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def damage(name: str, at: int = -1) -> Callable[[Path], None]:
    def do(backup: Path) -> None:
        [path] = sorted(backup.glob(name))[:1]
        flip(path, at)

    return do


def lose(name: str) -> Callable[[Path], None]:
    def do(backup: Path) -> None:
        [path] = sorted(backup.glob(name))[:1]
        path.unlink()

    return do


def rewrite(**changes: Any) -> Callable[[Path], None]:
    """Change the manifest, and its checksum with it."""

    def do(backup: Path) -> None:
        manifest = msgspec.json.decode((backup / "manifest.json").read_bytes())
        text = msgspec.json.encode({**manifest, **changes})
        (backup / "manifest.json").write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        (backup / "manifest.sha256").write_text(f"{digest}  manifest.json\n")

    return do


BROKEN: tuple[tuple[Callable[[Path], None], type[RunyardError], str], ...] = (
    (damage("tables/runs/*.z"), BackupDamaged, "tables/runs/000001.z"),
    (lose("tables/runs/*.z"), BackupDamaged, "tables/runs/000001.z is missing"),
    (damage("blobs/*/*", 0), BackupDamaged, "the blob"),
    (lose("blobs/*/*"), BackupDamaged, "3 blobs"),
    (damage("files/admin.token", 0), BackupDamaged, "files/admin.token"),
    (damage("manifest.json", 30), BackupDamaged, "manifest"),
    (lose("manifest.sha256"), BackupIncomplete, "no complete backup"),
    (lose("manifest.json"), BackupIncomplete, "no complete backup"),
    (rewrite(format=2), SchemaTooNew, "format 2"),
    (rewrite(schemas={"sqlite": 99, "sqlite_logs": 99, "postgres": 99}), SchemaTooNew, "schema 99"),
)


@pytest.mark.parametrize(("breaking", "error", "words"), BROKEN)
async def test_a_backup_that_is_not_what_it_says_is_refused(
    embedded: Settings,
    place: Settings,
    memory_path: Path,
    breaking: Callable[[Path], None],
    error: type[RunyardError],
    words: str,
) -> None:
    await filled(embedded)
    take(embedded, memory_path / "backup")
    breaking(memory_path / "backup")

    with pytest.raises(error, match=words):
        restore(place, memory_path / "backup", silent)
    if error is not SchemaTooNew:
        with pytest.raises(error, match=words):
            verify(memory_path / "backup", silent)

    assert_empty(place)


def assert_empty(place: Settings) -> None:
    """Nothing is there that anybody could take for a store."""
    found = list(place.data.iterdir()) if place.data.exists() else []
    assert {path.name for path in found} <= {"server.lock", "blobs"}
    if place.database is not None:
        assert tables_at(place.database) == []


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
async def test_a_tar_file_that_was_cut_off_is_refused(
    embedded: Settings, place: Settings, memory_path: Path, where: float
) -> None:
    await filled(embedded)
    take(embedded, memory_path / "backup.tar")
    size = (memory_path / "backup.tar").stat().st_size
    os.truncate(memory_path / "backup.tar", int(size * where))

    with pytest.raises((BackupDamaged, BackupIncomplete)):
        restore(place, memory_path / "backup.tar", silent)

    assert_empty(place)


async def test_what_is_no_backup_is_refused(place: Settings, memory_path: Path) -> None:
    (memory_path / "empty").mkdir()
    (memory_path / "text").write_text("hello " * 1000)

    with pytest.raises(BackupNotFound, match="nowhere"):
        restore(place, memory_path / "nowhere", silent)
    with pytest.raises(BackupIncomplete):
        restore(place, memory_path / "empty", silent)
    with pytest.raises(BackupDamaged, match="tar"):
        restore(place, memory_path / "text", silent)


async def test_only_an_empty_place_takes_a_restore(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(settings)
    take(settings, memory_path / "backup")
    if place.database is None:
        place.data.mkdir()
        (place.data / "letter.txt").write_text("mine")
        words = "letter.txt"
    else:
        with psycopg.connect(place.database) as connection:
            connection.execute("CREATE TABLE letters (id int)")
        words = "letters"

    with pytest.raises(PlaceTaken, match=words):
        restore(place, memory_path / "backup", silent)
    with pytest.raises(PlaceTaken):
        restore(settings, memory_path / "backup", silent)

    if place.database is None:
        assert (place.data / "letter.txt").read_text() == "mine"


async def test_a_backup_is_never_written_over_anything(
    settings: Settings, memory_path: Path
) -> None:
    await filled(settings)
    for form in FORMS:
        take(settings, memory_path / form)
        with pytest.raises(PlaceTaken, match=form):
            take(settings, memory_path / form)
    with pytest.raises(BackupNotFound, match="no folder"):
        take(settings, memory_path / "nowhere" / "backup")


async def test_two_backups_to_one_place_do_not_mix(settings: Settings, memory_path: Path) -> None:
    await filled(settings)

    with new_backup(memory_path / "backup"), pytest.raises(BackupUnderWay):
        take(settings, memory_path / "backup")

    assert names_in(memory_path) == ["data"]


async def test_what_a_killed_backup_left_is_taken_away_by_the_next(
    settings: Settings, memory_path: Path
) -> None:
    await filled(settings)
    left = memory_path / ".backup.unfinished"
    (left / "backup" / "tables").mkdir(parents=True)
    (left / "copies").mkdir()
    (left / "copies" / "runyard.db").write_bytes(b"half")

    take(settings, memory_path / "backup")

    assert names_in(memory_path) == ["backup", "data"]


async def test_the_blobs_of_postgresql_are_copied_without_any_data_folder(
    postgres_dsn: str, place: Settings, memory_path: Path
) -> None:
    """R15: another server may have taken them in."""
    settings = read_settings({"data": memory_path / "data", "database": postgres_dsn}, {})
    await filled(settings)
    shutil.rmtree(settings.data / "blobs")

    take(settings, memory_path / "backup")
    restored = restore(place, memory_path / "backup", silent)

    assert restored.carried.missing_blobs == ()
    assert restored.carried.blobs == 4


async def test_a_blob_that_is_gone_or_damaged_is_told_and_stops_nothing(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(settings)
    gone, damaged, *_ = sorted((settings.data / "blobs").glob("??/*"))
    gone.unlink()
    flip(damaged, 0)
    if settings.database is not None:  # where these are copies
        with psycopg.connect(settings.database) as connection:
            both = [gone.name, damaged.name]
            connection.execute("DELETE FROM blob_parts WHERE digest = ANY (%s)", (both,))

    manifest = take(settings, memory_path / "backup")
    restored = restore(place, memory_path / "backup", silent)

    assert set(manifest.blobs.missing) == {gone.name, damaged.name}
    assert set(restored.carried.missing_blobs) == {gone.name, damaged.name}
    assert restored.carried.blobs == 2


async def test_a_place_without_a_store_has_no_backup(settings: Settings, memory_path: Path) -> None:
    with pytest.raises(PlaceTaken, match="no database"):
        take(settings, memory_path / "backup")

    assert not (memory_path / "backup").exists()


# ---------------------------------------------------------------- moves


async def test_there_and_back_again_is_the_same_store(memory_path: Path, postgres_dsn: str) -> None:
    """R14: by the checksum of every table."""
    settings = read_settings({"data": memory_path / "data"}, {})
    there = replace(settings, database=postgres_dsn)
    home = in_folder(settings, memory_path / "home")
    await filled(settings)
    seed_empty_tables(settings)
    before = contents(take(settings, memory_path / "before"))

    moved = move(settings, there, NOW, silent)
    move(there, home, NOW, silent)

    assert contents(take(home, memory_path / "after")) == before
    assert moved.tables == {name: rows for name, (rows, _) in before.items()}
    assert (home.data / "admin.token").read_text() == "secret\n"
    with pytest.raises(CannotOpen, match="was moved"):
        async with open_store(settings):
            pass


async def test_a_moved_store_goes_on(settings: Settings, place: Settings) -> None:
    running = await filled(settings)
    async with open_store(settings) as store:
        following = await store.reserve_ids(5) + 5
        incarnation = store.incarnation

    move(settings, place, NOW, silent)

    async with open_store(place) as store:
        assert await store.reserve_ids(1) == following
        assert store.incarnation == incarnation + 1
        assert await store.runs.values(ACME, running.run_id) is not None


async def test_a_database_in_use_is_not_moved(
    settings: Settings, place: Settings, memory_path: Path
) -> None:
    await filled(settings)

    async with open_store(settings):
        with pytest.raises(ServerRunning, match="stop"):
            move(settings, place, NOW, silent)

    assert_empty(place)
    assert move(settings, place, NOW, silent).tables["runs"] == 4


async def test_a_move_needs_an_empty_place(settings: Settings, place: Settings) -> None:
    await filled(settings)
    await filled(place)

    with pytest.raises(PlaceTaken):
        move(settings, place, NOW, silent)
    with pytest.raises(SamePlace):
        move(settings, settings, NOW, silent)

    async with open_store(settings), open_store(place):
        pass  # both are as they were


def test_what_is_said_of_a_place_has_no_secret_in_it() -> None:
    url = "postgresql://runyard:secret@db.example.com/runyard?password=secret"

    assert place_of(read_settings({"database": url}, {})) == "postgresql://db.example.com/runyard"


async def test_a_move_that_fails_leaves_nothing_and_starts_over(
    settings: Settings, place: Settings
) -> None:
    await filled(settings)

    def fails(word: str) -> None:
        if word.startswith("versions"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        move(settings, place, NOW, fails)
    assert_empty(place)

    move(settings, place, NOW, silent)
    async with open_store(place) as store:
        assert (await store.queues.state_counts(ACME))[RunState.RUNNING] == 1


async def test_a_half_filled_folder_is_not_opened_and_is_filled_again(
    settings: Settings, memory_path: Path
) -> None:
    await filled(settings)
    take(settings, memory_path / "backup")
    home = in_folder(settings, memory_path / "home")
    home.data.mkdir()
    (home.data / "restoring").write_text("")
    (home.data / "runyard.db").write_bytes(b"half a database")
    (home.data / "admin.token").write_text("of another backup")

    with pytest.raises(CannotOpen, match="half filled"):
        async with open_store(home):
            pass
    with pytest.raises(PlaceTaken, match="half filled"):
        take(home, memory_path / "other")

    restore(home, memory_path / "backup", silent)
    async with open_store(home) as store:
        assert (await store.queues.state_counts(ACME))[RunState.RUNNING] == 1
