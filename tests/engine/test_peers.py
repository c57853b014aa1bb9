"""Several servers over one database: what one does, the others know at once.

The clock stands still unless a test turns it, so that no server looks at the database of its own
accord: whatever happens at the other one happens because it was told.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.peers import LOOK_DEAF, LOOK_LISTENING
from runyard.engine.watch import Follower, Lines, Progressed, Resync, StateChanged
from runyard.model.errors import ClockOff, NameTaken, Unauthenticated
from runyard.model.logs import LogLevel, LogLine
from runyard.model.states import RunState
from runyard.model.tasks import Policies
from runyard.model.tokens import Role, TokenKind
from runyard.stores.postgres.store import open_postgres
from tests.support.pair import Pair, opened_pair, until
from tests.support.turned_clock import TurnedClock
from tests.support.yard import opened_yard


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def heard(follower: Follower, count: int) -> list[object]:
    async with asyncio.timeout(20):
        return [await follower.next() for _ in range(count)]


# ---------------------------------------------------------------- runs


async def test_a_run_started_at_one_server_goes_to_a_worker_of_another(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await pair.there.a_worker(name="far")

    run = await pair.here.a_run()

    await worker.has_runs(1)
    assert worker.queue[0].run_id == run.id


async def test_a_full_server_leaves_to_another_what_it_has_no_room_for(pair: Pair) -> None:
    await pair.here.a_task()
    near = await pair.here.a_worker(capacity=1)
    runs = [await pair.here.a_run()]
    await near.has_runs(1)
    far = await pair.there.a_worker(name="far", capacity=5)

    runs += [await pair.here.a_run() for _ in range(3)]

    await far.has_runs(3)
    assert {r.run_id for r in (*near.queue, *far.queue)} == {run.id for run in runs}


async def test_an_end_at_one_server_makes_room_under_a_limit_for_another(pair: Pair) -> None:
    """R7"""
    await pair.here.a_task(policies=Policies(concurrency=1))
    near = await pair.here.a_worker(capacity=1)
    first = await pair.here.a_run()
    await near.has_runs(1)
    far = await pair.there.a_worker(name="far", capacity=5)
    second = await pair.there.a_run()
    await pair.there.turned()
    is_held = far.queue == []
    assert near.session is not None
    pair.here.engine.set_capacity(near.session, 0)

    await pair.here.end(near, pair.here.begin(near))

    await far.has_runs(1)
    assert is_held
    assert (await pair.there.run(first)).state is RunState.COMPLETED
    assert far.queue[0].run_id == second.id


async def test_a_wait_ends_with_a_run_that_another_server_executed(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await pair.there.a_worker(name="far")
    run = await pair.here.a_run()

    waiting = asyncio.ensure_future(
        pair.here.engine.runs.wait(pair.here.company, str(run.id), timedelta(minutes=1))
    )
    await pair.there.executed(worker)

    ended = await asyncio.wait_for(waiting, 20)
    assert ended.state is RunState.COMPLETED


async def test_a_follower_sees_what_happens_at_another_server(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await pair.there.a_worker(name="far")

    with pair.here.engine.watch.following(pair.here.company.id) as follower:
        await until(lambda: pair.there.engine.peers.follow(pair.here.company.id))
        run = await pair.there.a_run()
        await worker.has_runs(1)
        claimed = pair.there.begin(worker)
        assert worker.session is not None
        line = LogLine(1, pair.clock.now(), LogLevel.INFO, "on it")
        pair.there.engine.logged(worker.session, run.id, claimed.token, (line,), 0)
        pair.there.engine.attempts.progressed(worker.session, run.id, claimed.token, 1, 2)
        await pair.there.end(worker, claimed)
        events = await heard(follower, 4)

    states = [event.run.state for event in events if isinstance(event, StateChanged)]
    assert states[-1] is RunState.COMPLETED
    assert [event.lines for event in events if isinstance(event, Lines)] == [(line,)]
    [progress] = [event for event in events if isinstance(event, Progressed)]
    assert (progress.run_id, progress.done, progress.total) == (run.id, 1, 2)


# ---------------------------------------------------------------- what is kept in memory


async def test_a_token_revoked_at_one_server_is_refused_by_another(pair: Pair) -> None:
    tokens, others = pair.here.engine.tokens, pair.there.engine.tokens
    created = await tokens.create(TokenKind.NATIVE, None, role=Role.VIEWER)
    await others.authenticate(created.secret)

    await tokens.revoke(None, created.token.id)

    await until(lambda: others.recall(created.secret) is None)
    with pytest.raises(Unauthenticated, match="revoked"):
        await others.authenticate(created.secret)


async def test_changes_at_one_server_are_known_to_another(pair: Pair) -> None:
    task = await pair.here.a_task()
    directory = pair.there.engine.directory
    await until(lambda: task.gate_id in directory.gates)

    await pair.here.engine.companies.update("acme", weight=7, time_zone="Europe/Prague")
    await pair.here.engine.orchestrator.pause(pair.here.company)

    await until(lambda: not directory.gates[task.gate_id].is_open)
    company = await pair.there.engine.companies.load("acme")
    assert (company.weight, company.time_zone, company.runnable) == (7, "Europe/Prague", False)
    assert pair.there.engine._parts.dispatcher._weights[company.id] == 7


async def test_what_is_opened_again_at_one_server_starts_at_another(pair: Pair) -> None:
    await pair.here.a_task()
    await pair.here.engine.orchestrator.pause(pair.here.company)
    worker = await pair.there.a_worker(name="far")
    await pair.here.a_run()
    await pair.there.turned()
    is_held = worker.queue == []

    await pair.here.engine.orchestrator.resume(pair.here.company)

    await worker.has_runs(1)
    assert is_held


# ---------------------------------------------------------------- when news are lost


async def test_a_server_that_was_cut_off_catches_up_by_itself(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await pair.there.a_worker(name="far", capacity=3)
    created = await pair.here.engine.tokens.create(TokenKind.NATIVE, None, role=Role.VIEWER)
    await pair.there.engine.tokens.authenticate(created.secret)

    pair.cut_off(pair.there)
    runs = [await pair.here.a_run() for _ in range(3)]
    await pair.here.engine.tokens.revoke(None, created.token.id)

    await worker.has_runs(3)
    assert {run.run_id for run in worker.queue} == {run.id for run in runs}
    await until(lambda: pair.there.engine.tokens.recall(created.secret) is None)


async def test_followers_of_a_server_that_was_cut_off_are_told_to_start_anew(pair: Pair) -> None:
    await pair.here.a_task()
    with pair.there.engine.watch.following(pair.here.company.id) as follower:
        pair.cut_off(pair.there)
        [event] = await heard(follower, 1)

    assert isinstance(event, Resync)


async def test_what_nobody_lived_to_tell_is_found_by_a_look(
    postgres_dsn: str, memory_path: Path
) -> None:
    """Nothing relies on news: the other server is there and mute."""
    clock = TurnedClock()
    here = await open_postgres(postgres_dsn, memory_path / "here")
    there = await open_postgres(postgres_dsn, memory_path / "there")
    async with opened_yard(here, clock, "here") as mute, opened_yard(there, clock, "there") as yard:
        await mute.a_task()
        mute.engine.peers._others.clear()
        worker = await yard.a_worker()
        await until(lambda: yard.engine.peers.look == LOOK_LISTENING)
        mute.engine.peers._others.clear()
        await mute.a_run()
        yard.later(LOOK_LISTENING)
        await worker.has_runs(1)
    await here.close()
    await there.close()


async def test_a_server_that_cannot_listen_looks_more_often(pair: Pair) -> None:
    peers = pair.here.engine.peers
    assert peers.look == LOOK_LISTENING

    await pair.here.store.peering.close()  # type: ignore[union-attr]

    assert peers.look == LOOK_DEAF


# ---------------------------------------------------------------- who is there


async def test_servers_see_each_other_come_and_go(postgres_dsn: str, memory_path: Path) -> None:
    here = await open_postgres(postgres_dsn, memory_path / "here")
    there = await open_postgres(postgres_dsn, memory_path / "there")
    async with opened_yard(here, server="here") as yard:
        assert not yard.engine.peers.are_there
        async with opened_yard(there, server="there"):
            await until(lambda: yard.engine.peers.are_there)
            listed = await yard.engine.peers.list()
            together = [(server.name, server.is_connected) for server in listed]
        await until(lambda: not yard.engine.peers.are_there)
        alone = await yard.engine.peers.list()

    assert together == [("here", True), ("there", True)]
    assert [(s.name, s.is_connected, s.left_at is None) for s in alone] == [
        ("here", True, True),
        ("there", False, False),
    ]
    await here.close()
    await there.close()


async def test_two_servers_never_have_one_name(postgres_dsn: str, memory_path: Path) -> None:
    stores = [await open_postgres(postgres_dsn, memory_path) for _ in range(3)]
    clock = TurnedClock()
    chosen = EngineSettings(server="host:7070")
    by_default = EngineSettings(server="host:7070", is_name_given=False)

    async with Engine(stores[0], clock, chosen), Engine(stores[1], clock, by_default) as second:
        refused = asyncio.ensure_future(Engine(stores[2], clock, chosen).__aenter__())
        await until(lambda: bool(clock.advance(timedelta(seconds=1)) or refused.done()))
        with pytest.raises(NameTaken, match="host:7070"):
            refused.result()
        names = [server.name for server in await second.peers.list()]

    assert names == ["host:7070", "host:7070-2"]
    for store in stores:
        await store.close()


async def test_the_name_of_a_dead_server_is_free_at_once(
    postgres_dsn: str, memory_path: Path
) -> None:
    dead = await open_postgres(postgres_dsn, memory_path)
    engine = await Engine(dead, TurnedClock(), EngineSettings(server="one")).__aenter__()
    assert dead.peering is not None
    assert engine._loops is not None
    engine._loops.cancel()
    await asyncio.wait([engine._loops])
    await dead.peering.close()  # all of it what the end of its process does
    store = await open_postgres(postgres_dsn, memory_path)

    async with Engine(store, TurnedClock(), EngineSettings(server="one")) as again:
        [server] = await again.peers.list()

    assert server.incarnation == store.incarnation
    await dead.close()
    await store.close()


async def test_a_server_alone_tells_nothing(postgres_dsn: str, memory_path: Path) -> None:
    """Idle or busy, it costs nobody a NOTIFY."""
    store = await open_postgres(postgres_dsn, memory_path)
    async with opened_yard(store) as yard, await listener(postgres_dsn) as connection:
        await yard.a_task()
        worker = await yard.a_worker()
        await yard.a_run()
        await yard.executed(worker)
        await yard.engine.orchestrator.pause(yard.company)
        told = [n.payload async for n in connection.notifies(timeout=0.1)]

    assert [text for text in told if '"t":1' not in text] == []
    await store.close()


async def test_a_burst_is_told_in_few_parts(pair: Pair) -> None:
    await pair.here.a_task()
    loop = asyncio.get_running_loop()
    async with await listener(pair.dsn) as connection:
        began = loop.time()
        await asyncio.gather(*(pair.here.a_run() for _ in range(300)))
        lasted = loop.time() - began
        told = [n async for n in connection.notifies(timeout=0.2) if '"g":' in n.payload]

    assert 1 <= len(told) <= (lasted + 0.2) / 0.01 + 1


async def listener(dsn: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    await connection.execute("LISTEN runyard")
    return connection


# ---------------------------------------------------------------- shared duties


class OffClock(TurnedClock):
    """A clock that the database finds to be off."""

    def __init__(self) -> None:
        super().__init__()
        self.is_off_by = timedelta()

    def adjust(self, database_now: datetime) -> timedelta:
        return self.is_off_by


async def test_a_server_whose_clock_is_off_leaves_what_is_due_to_the_others(
    postgres_dsn: str, memory_path: Path
) -> None:
    """R9: it sets its clock by the database's first."""
    clock = OffClock()
    store = await open_postgres(postgres_dsn, memory_path)
    async with opened_yard(store, clock) as yard:
        await yard.a_task()
        run = await yard.a_run(due_at=clock.now() + timedelta(seconds=10))
        clock._now += timedelta(seconds=20)  # as a machine that woke up sees it
        clock.is_off_by = timedelta(seconds=-20)

        with pytest.raises(ClockOff):
            await yard.engine.maintenance.stage()
        while_off = (await yard.run(run)).state
        clock.is_off_by = timedelta()
        await yard.engine.maintenance.stage()

        assert while_off is RunState.SCHEDULED
        assert (await yard.run(run)).state is RunState.QUEUED
    await store.close()


async def test_one_server_at_a_time_prunes(pair: Pair) -> None:
    here, there = pair.here.engine.peers, pair.there.engine.peers

    async with here.alone("prune") as first, there.alone("prune") as second:
        together = (first, second)
    async with there.alone("prune") as afterwards:
        assert afterwards

    assert together == (True, False)


async def test_servers_that_are_gone_for_long_are_forgotten(pair: Pair) -> None:
    async def names() -> list[str]:
        return [server.name for server in await pair.here.engine.peers.list()]

    with psycopg.connect(pair.dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO servers (name, incarnation, address, version, started_at, seen_at)"
            " VALUES ('old', 0, '', '', 0, 0)"
        )
    before = await names()
    await pair.here.engine.peers.tidy()

    assert before == ["here", "old", "there"]
    assert await names() == ["here", "there"]


async def test_a_schedule_fires_once_whichever_server_sees_it_first(pair: Pair) -> None:
    """R9"""
    await pair.here.a_task()
    await pair.here.engine.schedules.create(
        pair.here.company, "Work", name="each minute", interval=timedelta(minutes=1)
    )

    pair.clock.advance(timedelta(minutes=1))
    await asyncio.gather(*(yard.engine.maintenance.stage() for yard in (pair.here, pair.there)))

    assert await pair.here.count(RunState.QUEUED) == 1
