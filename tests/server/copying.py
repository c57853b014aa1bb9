"""Stores to be copied: one with something in every table, and what a copy of it says."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import apsw
import psycopg

from runyard.engine.clock import SystemClock
from runyard.model.ids import GateId, TaskId, TokenId, VersionId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.tokens import Role, Token, TokenKind
from runyard.server.app import open_store, read_stopped_store
from runyard.server.copies import BackupOptions, back_up
from runyard.server.settings import Settings
from runyard.stores.backup_format import Manifest
from runyard.stores.contract.leases import ClaimedRun
from runyard.stores.contract.logs import LogChunk
from runyard.stores.contract.runs import StartKey
from runyard.stores.contract.store import Store
from runyard.stores.contract.tasks import TaskChange
from runyard.stores.transfer import ColumnType, Table
from tests.stores.builders import (
    ACME,
    NOW,
    KnownTask,
    World,
    a_declaration,
    a_deploy,
    a_finish,
    a_retry,
    later,
)
from tests.stores.test_attempts import a_step
from tests.stores.test_files import a_file
from tests.stores.test_schedules import a_schedule

LARGE = b'"' + b"x" * 100_000 + b'"'
"""A value that stands in a blob."""


def silent(_: str) -> None:
    """Nobody wants to hear how far it is."""


def take(settings: Settings, target: Path, *, keys: bool = True) -> Manifest:
    """A backup, now."""
    options = BackupOptions(now=SystemClock().now(), takes_keys=keys)
    return back_up(settings, target, options, silent)


def in_folder(settings: Settings, folder: Path) -> Settings:
    """An SQLite database there."""
    return replace(settings, data=folder, database=None)


def contents(manifest: Manifest) -> dict[str, tuple[int, str]]:
    """Rows and checksum of each table."""
    return {entry.name: (entry.rows, entry.sha256) for entry in manifest.tables}


async def fill(store: Store) -> ClaimedRun:
    """Something in every table of the first schema; the run that is running in the end."""
    world = World(store)
    await world.add_company(ACME)
    await world.connect()
    task = await _deployed(world)
    await store.tokens.create(_a_token(), b"t" * 32)
    await store.schedules.create(a_schedule(task))
    await _an_ended_run(world, task)
    await _a_retried_run(world, task)
    await task.start()
    running = await task.running()
    line = LogLine(1, NOW, LogLevel.INFO, "hello")
    await store.logs.append([LogChunk(company_id=ACME, run_id=running.run_id, lines=(line,))])
    return running


async def filled(settings: Settings) -> ClaimedRun:
    """The same in a store that is closed again."""
    async with open_store(settings) as store:
        running = await fill(store)
    (settings.data / "admin.token").write_text("secret\n")
    return running


async def _deployed(world: World) -> KnownTask:
    digest = await world.store.blobs.put(b"a bundle")
    change = TaskChange(
        id=TaskId(1),
        uuid=UUID(int=1),
        gate_id=GateId(2),
        expected_version_id=None,
        version_id=VersionId(3),
        version=1,
        declaration=a_declaration(),
    )
    assert await world.store.tasks.deploy(a_deploy([change], bundle_digest=digest))
    return KnownTask(world, ACME, change)


A_VALUE: dict[ColumnType, object] = {
    ColumnType.INTEGER: 1,
    ColumnType.REAL: 0.5,
    ColumnType.TEXT: "x",
    ColumnType.BYTES: b"\x00",
}


def seed_empty_tables(settings: Settings) -> None:
    """A made-up row in each table that is still empty, so that tables of later migrations have one."""
    with read_stopped_store(settings) as source:
        empty = [table for table in source.tables() if not any(True for _ in source.rows(table))]
    for table in empty:
        values = [None if c.names_blobs else A_VALUE[c.type] for c in table.columns]
        _insert(settings, table, values)


def _insert(settings: Settings, table: Table, values: list[object]) -> None:
    mark = "?" if settings.database is None else "%s"
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join(mark for _ in values)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"
    if settings.database is None:
        with closing(apsw.Connection(str(settings.data / "runyard.db"))) as db:
            db.execute(statement, values)
    else:
        with psycopg.connect(settings.database) as connection:
            connection.execute(statement.encode(), values)


async def _an_ended_run(world: World, task: KnownTask) -> None:
    run = task.new_run(input=LARGE)
    key = StartKey(
        company_id=ACME,
        key="once",
        request_digest=b"d" * 32,
        first_run_id=run.id,
        run_count=1,
        created_at=NOW,
    )
    await world.store.runs.start([run], key)
    [claimed] = await world.claim(task)
    await world.store.runs.finish([a_finish(claimed, output=LARGE + b" ")])


async def _a_retried_run(world: World, task: KnownTask) -> None:
    claimed = await task.running()
    await world.store.runs.record_step(a_step(claimed))
    await world.store.runs.finish([a_retry(claimed)])
    digest = await world.store.blobs.put(b"a file")
    await world.store.files.create(a_file(digest=digest, run_id=claimed.run_id))


def _a_token() -> Token:
    return Token(
        id=TokenId(77),
        kind=TokenKind.NATIVE,
        company_id=ACME,
        role=Role.OPERATOR,
        name="prüfer",
        last_characters="abcd",
        created_at=NOW,
        expires_at=later(3600),
        revoked_at=None,
        last_used_at=None,
    )
