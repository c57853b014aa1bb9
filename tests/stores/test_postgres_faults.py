"""PostgreSQL goes away at the worst moment; nothing acknowledged is lost, nothing is done twice."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from runyard.model.errors import StorageUnavailable
from runyard.model.ids import RunId
from runyard.stores.postgres import lane, readers, writer
from runyard.stores.postgres.connecting import FOR_WRITING, Connector
from runyard.stores.postgres.store import PostgresStore
from tests.stores.postgres_support import (
    ACME,
    BadConnection,
    a_claim,
    a_finish,
    a_new_run,
    furnish,
    opened,
    stored_runs,
)
from tests.support.postgres import DURABLE, PostgresServer, private_postgres

LEASE = 10.0
"""Seconds after which the runs of a server that stands still go to others, by default."""
COMMIT = b"\x00commit\x00"
"""The binding of the prepared statement that commits a group."""


def cut_once_at(sign: bytes) -> Callable[[bytes], bytes | None]:
    """Ends the connection instead of passing on the first packet that holds the sign."""
    is_cut = False

    def change(data: bytes) -> bytes | None:
        nonlocal is_cut
        if is_cut or sign not in data:
            return data
        is_cut = True
        return None

    return change


async def test_a_commit_whose_answer_is_lost_is_answered_and_not_done_twice(
    postgres_dsn: str, memory_path: Path
):
    async with (
        BadConnection(postgres_dsn, memory_path).up() as bad,
        opened(bad.dsn, memory_path) as store,
    ):
        await furnish(store)
        await store.runs.start([a_new_run(1)])
        seen = False

        def note(data: bytes) -> bytes:
            nonlocal seen
            seen = seen or COMMIT in data
            return data

        def cut(data: bytes) -> bytes | None:
            nonlocal seen
            if not seen:
                return data
            seen = False
            return None

        bad.from_store, bad.from_server = note, cut
        claimed = await store.leases.claim(a_claim(5))
        accepted = await store.runs.finish([a_finish(run) for run in claimed])

        assert [run.run_id for run in claimed] == [1]
        assert accepted == [1]
        run = await store.runs.find(ACME, RunId(1))
        assert run is not None
        assert run.is_final
        assert run.attempt == 1


async def test_a_group_that_was_lost_before_its_commit_is_sent_again(
    postgres_dsn: str, memory_path: Path
):
    async with (
        BadConnection(postgres_dsn, memory_path).up() as bad,
        opened(bad.dsn, memory_path) as store,
    ):
        await furnish(store)
        bad.from_store = cut_once_at(COMMIT)

        started = await store.runs.start([a_new_run(1)])

        assert started.inserted
        assert await stored_runs(postgres_dsn) == [1]


async def test_while_the_database_is_away_only_what_is_known_not_to_be_written_fails(
    postgres_dsn: str, memory_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(readers, "PATIENCE", timedelta(seconds=0.2))
    async with (
        BadConnection(postgres_dsn, memory_path).up() as bad,
        opened(bad.dsn, memory_path) as store,
    ):
        await furnish(store)
        await store.runs.start([a_new_run(1)])
        [run] = await store.leases.claim(a_claim(1))
        bad.from_store = lambda data: None

        # A start commits together with its rows, a finish after its answer has come.
        undecided = asyncio.ensure_future(store.runs.start([a_new_run(2)]))
        with pytest.raises(StorageUnavailable):
            await store.runs.find(ACME, run.run_id)
        with pytest.raises(StorageUnavailable):
            await store.runs.finish([a_finish(run)])
        assert not undecided.done()

        bad.from_store = lambda data: data
        assert (await undecided).inserted
        assert await store.runs.finish([a_finish(run)]) == [1]
        assert await stored_runs(postgres_dsn) == [1, 2]


async def test_a_server_that_stands_still_in_a_transaction_holds_nobody_up_for_a_lease(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await store.runs.start([a_new_run(1)])
        [claimed] = await store.leases.claim(a_claim(1))
        still = await Connector(postgres_dsn).open_connection()
        try:
            await still.execute("; ".join(FOR_WRITING))
            await still.execute("BEGIN")
            await still.execute("SELECT id FROM runs FOR UPDATE")

            async with asyncio.timeout(LEASE):
                accepted = await store.runs.finish([a_finish(claimed)])
        finally:
            await still.close()

    assert accepted == [1]


async def test_a_store_can_be_closed_while_the_database_is_away(
    postgres_dsn: str, memory_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(writer, "PATIENCE", timedelta(seconds=0.2))
    async with BadConnection(postgres_dsn, memory_path).up() as bad:
        async with opened(bad.dsn, memory_path) as store:
            await furnish(store)
            bad.from_store = lambda data: None
            undecided = asyncio.ensure_future(store.runs.start([a_new_run(1)]))

        with pytest.raises(StorageUnavailable, match="unknown"):
            await undecided


class Load:
    """Starts, claims and finishes without a pause; remembers what was acknowledged."""

    def __init__(self, store: PostgresStore) -> None:
        self.started: list[int] = []
        self.finished: list[int] = []
        self.failed = 0
        self._store = store
        self._next = 1
        self._ends = asyncio.Event()

    async def run(self, trouble: Callable[[], object], *, times: int, each: int) -> None:
        """Work until the trouble has come so many times, each after so many further finishes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(self._start())
            for _ in range(2):
                group.create_task(self._work())
            for _ in range(times):
                goal = len(self.finished) + each
                await self._until(lambda goal=goal: len(self.finished) >= goal)
                await asyncio.to_thread(trouble)
            goal = len(self.finished) + each
            await self._until(lambda: len(self.finished) >= goal)
            self._ends.set()

    async def _until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_reached():
                await self._store.database_now()

    async def _start(self) -> None:
        while not self._ends.is_set():
            numbers = list(range(self._next, self._next + 5))
            self._next += 5
            try:
                await self._store.runs.start([a_new_run(number) for number in numbers])
            except StorageUnavailable:
                self.failed += 5
            else:
                self.started += numbers

    async def _work(self) -> None:
        while not self._ends.is_set():
            try:
                runs = await self._store.leases.claim(a_claim(20))
                self.finished += await self._store.runs.finish([a_finish(run) for run in runs])
            except StorageUnavailable:
                continue


async def assert_nothing_lost(load: Load, store: PostgresStore, dsn: str) -> None:
    stored = await stored_runs(dsn)
    assert set(load.started) <= set(stored)
    assert len(stored) <= len(load.started) + load.failed
    assert len(load.finished) == len(set(load.finished))
    runs = await store.runs.find_many(ACME, [RunId(number) for number in load.finished])
    assert len(runs) == len(load.finished)
    assert all(run.is_final and run.attempt == 1 for run in runs)


async def test_terminated_connections_lose_nothing(
    postgres_server: PostgresServer, postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        load = Load(store)

        await load.run(
            lambda: postgres_server.terminate_connections(postgres_dsn), times=15, each=40
        )

        await assert_nothing_lost(load, store, postgres_dsn)
        assert load.failed == 0


@pytest.mark.parametrize("ending", ["stop", "crash"])
async def test_a_restart_of_the_database_under_load_loses_nothing(memory_path: Path, ending: str):
    with private_postgres(DURABLE) as server:
        dsn = server.create_database()

        def restart() -> None:
            getattr(server, ending)()
            server.start()

        async with opened(dsn, memory_path) as store:
            await furnish(store)
            load = Load(store)

            await load.run(restart, times=3, each=100)

            await assert_nothing_lost(load, store, dsn)


async def test_a_full_disk_is_told_as_such_and_passes(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as other:
            await other.execute(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE 'no space left' USING ERRCODE = '53100'; END $$"
            )
            await other.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT ON runs EXECUTE FUNCTION no_room()"
            )
            with pytest.raises(StorageUnavailable, match="no space left"):
                await store.runs.start([a_new_run(1)])
            await other.execute("DROP TRIGGER full_disk ON runs")

        assert (await store.runs.start([a_new_run(1)])).inserted
