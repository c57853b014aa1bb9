"""The embedded store when things go wrong: processes die, disks fill, files are not what they should be."""

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from runyard.model.errors import Busy, StorageUnavailable
from runyard.model.states import RunState
from runyard.stores.contract.store import Store
from runyard.stores.migrations import Migration, SchemaTooNew, load_migrations, missing_migrations
from runyard.stores.sqlite.database import CannotOpen, SqliteDatabase, _again
from runyard.stores.sqlite.store import SqliteStore, open_sqlite
from runyard.stores.sqlite.writer import UNAVAILABLE, Writer, migrate, open_database
from runyard.stores.tables.pieces import Statement, a_piece
from tests.stores.builders import ACME, KnownTask, World, a_finish

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(memory_path: Path) -> AsyncIterator[Store]:
    opened = await open_sqlite(memory_path)
    yield opened
    await opened.close()


@pytest.fixture
async def world(store: Store) -> World:
    world = World(store)
    await world.add_company(ACME)
    await world.connect()
    return world


def database(store: Store) -> SqliteDatabase:
    assert isinstance(store, SqliteStore)
    return store._db


def writer_of(store: Store) -> int:
    link = database(store)._link
    assert link is not None
    return link.writer_id


# ---------------------------------------------------------------- death


def a_producer(folder: Path) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "tests.stores.producer", str(folder))
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_after(folder: Path, lines: int) -> dict[str, set[int]]:
    """What a producer had said to be acknowledged when it was killed."""
    acknowledged: dict[str, set[int]] = {"started": set(), "finished": set()}
    with a_producer(folder) as producer:
        assert producer.stdout is not None
        for line in itertools.islice(producer.stdout, lines):
            word, run = line.split()
            acknowledged[word].add(int(run))
        producer.kill()
    return acknowledged


@pytest.mark.parametrize("lines", [1, 40, 200])
async def test_what_was_acknowledged_survives_the_death_of_the_server(
    memory_path: Path, lines: int
) -> None:
    acknowledged = killed_after(memory_path, lines)

    store = await open_sqlite(memory_path)

    started, finished = acknowledged["started"], acknowledged["finished"]
    assert started
    found = {run.id: run for run in await store.runs.find_many(ACME, sorted(started))}
    assert set(found) == started
    assert {found[run].state for run in finished} <= {RunState.COMPLETED}
    for run in finished:
        values = await store.runs.values(ACME, run)
        assert values is not None
        assert values.output == b"%d" % run
    await store.close()


async def test_a_writer_that_dies_is_replaced(world: World) -> None:
    task = await world.add_task()
    before = writer_of(world.store)
    outcomes: list[object] = []
    runs = []

    async def start() -> None:
        run = task.new_run()
        runs.append(run.id)
        try:
            outcomes.append((await world.store.runs.start([run])).first_run_id)
        except Busy as refused:
            outcomes.append(refused)

    for number in range(30):
        if number == 10:
            os.kill(before, signal.SIGKILL)
        await asyncio.gather(*(start() for _ in range(5)))

    acknowledged = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert writer_of(world.store) != before
    assert len(acknowledged) >= 140
    found = await world.store.runs.find_many(ACME, acknowledged)
    assert len(found) == len(acknowledged)


async def test_a_claim_whose_answer_got_lost_is_answered_again(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(3)
    db = database(world.store)
    shares = ((ACME, 2, (task.gate,)),)
    first_token = world.store.incarnation << 32
    row = (world.session, world.worker, first_token, 0, shares)
    piece = a_piece(1, Statement("claim_runs", (row,)), is_relaxed=True)
    [lost] = await db.write(piece)

    [again] = await db.write(_again(piece))

    assert again == lost
    assert [row[0] for row in again] == runs[:2]
    assert await world.state(runs[2]) is RunState.QUEUED


async def test_a_claim_that_never_arrived_is_made_by_the_next_writer(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(3)
    os.kill(writer_of(world.store), signal.SIGSTOP)
    claiming = asyncio.ensure_future(world.claim(task, 2))
    await a_turn()
    await a_turn()

    os.kill(writer_of(world.store), signal.SIGKILL)

    assert [run.run_id for run in await claiming] == runs[:2]


async def test_a_write_whose_fate_is_unknown_says_so(world: World) -> None:
    task = await world.add_task()
    os.kill(writer_of(world.store), signal.SIGSTOP)
    starting = asyncio.ensure_future(task.start())
    await a_turn()
    await a_turn()

    os.kill(writer_of(world.store), signal.SIGKILL)

    with pytest.raises(StorageUnavailable, match="unknown"):
        await starting
    assert await world.state(await task.start()) is RunState.QUEUED


async def test_a_writer_that_cannot_start_again_refuses_until_it_can(
    world: World, memory_path: Path
) -> None:
    task = await world.add_task()
    hidden = memory_path / "hidden.db"
    file = memory_path / "runyard.db"
    os.kill(writer_of(world.store), signal.SIGKILL)
    file.rename(hidden)
    file.mkdir()

    with pytest.raises(StorageUnavailable):
        await start_for_ever(task)

    file.rmdir()
    hidden.rename(file)
    started = None
    while started is None:
        with contextlib.suppress(StorageUnavailable):
            started = await task.start()
    assert await world.state(started) is RunState.QUEUED


async def start_for_ever(task: KnownTask) -> None:
    while True:
        await task.start()


async def a_turn() -> None:
    """Let the event loop turn once."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn


async def test_the_writers_die_with_the_server(memory_path: Path) -> None:
    writers = writers_of_a_killed_server(memory_path)

    # The lock that the writers hold too is free only when they are gone.
    store = await open_sqlite(memory_path)

    assert len(writers) == 2
    assert not any(map(is_alive, writers))
    await store.close()


def writers_of_a_killed_server(folder: Path) -> list[int]:
    with a_producer(folder) as producer:
        assert producer.stdout is not None
        producer.stdout.readline()
        writers = children_of(producer.pid)
        producer.kill()
    return writers


def is_alive(process: int) -> bool:
    return Path(f"/proc/{process}/exe").exists()


def children_of(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in children.split()]


# ---------------------------------------------------------------- surroundings


async def test_a_second_server_on_the_folder_is_refused(store: Store, memory_path: Path) -> None:
    with pytest.raises(CannotOpen, match=rf"in use by another server \(process {os.getpid()}\)"):
        await open_sqlite(memory_path)

    assert await store.reserve_ids(1)


async def test_a_closed_folder_can_be_opened_again_at_once(memory_path: Path) -> None:
    for incarnation in (1, 2, 3):
        store = await open_sqlite(memory_path)
        assert store.incarnation == incarnation
        await store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(memory_path: Path) -> None:
    file = memory_path / "runyard.db"
    file.write_bytes(b"These are my holiday notes. " * 100)

    with pytest.raises(CannotOpen, match="not a database"):
        await open_sqlite(memory_path)

    assert file.read_bytes().startswith(b"These are my holiday notes.")


async def test_a_database_of_a_newer_release_is_refused(memory_path: Path) -> None:
    await (await open_sqlite(memory_path)).close()
    db = apsw.Connection(str(memory_path / "runyard.db"))
    db.execute("INSERT INTO migrations (number, name) VALUES (99, 'from_the_future')")
    db.close()

    with pytest.raises(CannotOpen, match="has schema 99, this release knows"):
        await open_sqlite(memory_path)


async def test_a_full_disk_refuses_writes_until_there_is_room(world: World) -> None:
    task = await world.add_task()
    first = await task.start()
    writer = writer_of(world.store)
    unlimited = resource.prlimit(writer, resource.RLIMIT_FSIZE)
    log_size = (database(world.store).path.parent / "runyard.db-wal").stat().st_size
    # No file of the writer may grow any more: what a full disk does.
    resource.prlimit(writer, resource.RLIMIT_FSIZE, (log_size, unlimited[1]))
    refused = 0
    for _ in range(5):
        with contextlib.suppress(StorageUnavailable):
            await task.start(input=b"x" * 30_000)
            refused -= 1
        refused += 1
    assert refused == 5
    assert await world.state(first) is RunState.QUEUED

    resource.prlimit(writer, resource.RLIMIT_FSIZE, unlimited)

    assert await world.state(await task.start()) is RunState.QUEUED
    assert writer_of(world.store) == writer
    assert [run.run_id for run in await world.claim(task)] == [first]


def a_writer(path: Path) -> Iterator[tuple[apsw.Connection, Writer]]:
    db = open_database(str(path / "own.db"))
    db.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, body BLOB)")
    yield db, Writer(db, {"keep": "INSERT INTO things VALUES (?1, ?2) RETURNING id"})
    db.close()


writer = pytest.fixture(a_writer, name="writer")
memory = pytest.fixture(lambda memory_path: memory_path, name="path")


def keep(number: int, body: object = b"x") -> list[object]:
    return [["keep", [[number, body]], 0, -1]]


def test_a_database_that_may_not_grow_fails_the_group_and_recovers(writer) -> None:
    db, writing = writer
    pages = db.pragma("page_count")
    db.pragma("max_page_count", pages + 2)
    large = b"x" * 100_000

    answers, errors = writing.run([keep(1), keep(2, large), keep(3)], is_relaxed=False)

    assert answers == [None] * 3
    assert {kind for kind, _ in errors.values()} == {UNAVAILABLE}
    assert not db.in_transaction
    db.pragma("max_page_count", 1_000_000)
    answers, errors = writing.run([keep(1), keep(2, large)], is_relaxed=False)
    assert (answers, errors) == ([[[(1,)]], [[(2,)]]], {})


def test_of_a_group_with_a_guilty_piece_the_others_are_written(writer) -> None:
    db, writing = writer

    answers, errors = writing.run(
        [keep(1), keep(1), keep(2, object), [["no_such_query", [[1]], 0, -1]], keep(3)],
        is_relaxed=False,
    )

    assert [answer is not None for answer in answers] == [True, False, False, False, True]
    assert sorted(errors) == [1, 2, 3]
    assert db.execute("SELECT id FROM things").fetchall() == [(1,), (3,)]


def test_relaxed_groups_do_not_flush_and_others_do(writer) -> None:
    db, writing = writer
    levels = []
    for number, is_relaxed in enumerate((True, True, False, True, False)):
        writing.run([keep(number)], is_relaxed=is_relaxed)
        levels.append(db.pragma("synchronous"))

    assert levels == [1, 1, 2, 1, 2]


def test_a_checkpoint_empties_the_log_while_readers_read(writer, path: Path) -> None:
    _, writing = writer
    for number in range(200):
        writing.run([keep(number, b"x" * 5000)], is_relaxed=True)
    assert writing.has_upkeep

    writing.keep_up()

    assert not writing.has_upkeep
    reader = apsw.Connection(str(path / "own.db"))
    assert reader.execute("SELECT count(*) FROM things").get == 200
    reader.close()


# ---------------------------------------------------------------- migrations


def test_migrations_are_applied_once_and_in_order(path: Path) -> None:
    db = open_database(str(path / "own.db"))
    first = Migration(1, "first", "CREATE TABLE a (id INTEGER)")
    second = Migration(2, "second", "INSERT INTO a VALUES (2); INSERT INTO a VALUES (3)")

    assert migrate(db, [first]) == 1
    assert migrate(db, [first, second]) == 2
    assert migrate(db, [first, second]) == 2

    assert db.execute("SELECT id FROM a").fetchall() == [(2,), (3,)]
    db.close()


def test_a_migration_that_fails_leaves_the_schema_before_it(path: Path) -> None:
    db = open_database(str(path / "own.db"))
    first = Migration(1, "first", "CREATE TABLE a (id INTEGER)")
    broken = Migration(2, "broken", "INSERT INTO a VALUES (1); INSERT INTO nowhere VALUES (1)")

    with pytest.raises(apsw.SQLError):
        migrate(db, [first, broken])

    assert db.execute("SELECT id FROM a").fetchall() == []
    assert db.execute("SELECT number FROM migrations").fetchall() == [(1,)]
    db.close()


def test_a_newer_schema_is_not_touched() -> None:
    migration = Migration(1, "first", "")

    assert missing_migrations([migration], []) == [migration]
    assert missing_migrations([migration], [1]) == []
    with pytest.raises(SchemaTooNew, match="schema 2"):
        missing_migrations([migration], [1, 2])


@pytest.mark.parametrize("names", [["0002_late.sql"], ["0001_a.sql", "0003_c.sql"], ["first.sql"]])
def test_migrations_with_gaps_or_odd_names_are_refused(path: Path, names: list[str]) -> None:
    for name in names:
        (path / name).write_text("SELECT 1")

    with pytest.raises(ValueError, match=r"numbered|named"):
        load_migrations(path)


async def test_a_started_run_can_be_finished_after_the_writer_was_replaced(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    os.kill(writer_of(world.store), signal.SIGKILL)

    finished: list[int] = []
    while not finished:
        with contextlib.suppress(StorageUnavailable):
            finished = await world.store.runs.finish([a_finish(claimed)])

    assert await world.state(claimed.run_id) is RunState.COMPLETED
