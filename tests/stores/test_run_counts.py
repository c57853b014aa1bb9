"""The kept counts are what counting all runs gives: after any sequence of changes, and after faults."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import psycopg
import pytest

from runyard.model.ids import RunId, SessionId
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.contract.leases import ClaimedRun
from runyard.stores.contract.listing import TOTAL_LIMIT, RunFilter
from runyard.stores.contract.runs import Beginning
from runyard.stores.contract.store import Store
from runyard.stores.sqlite.counting import moves_runs
from runyard.stores.sqlite.store import open_sqlite
from tests.stores.builders import (
    ACME,
    GLOBEX,
    NOW,
    KnownTask,
    World,
    a_finish,
    a_move,
    a_retry,
    a_session,
    later,
)
from tests.stores.places import Place, PostgresPlace
from tests.stores.test_sqlite_faults import killed_after

COUNTED = (
    "SELECT company_id, task_id, state, coalesce(cause, 0), count(*) FROM runs"
    " GROUP BY company_id, task_id, state, coalesce(cause, 0)"
)
KEPT = (
    "SELECT company_id, task_id, state, cause, sum(count) FROM run_counts WHERE state <> 9"
    " GROUP BY company_id, task_id, state, cause HAVING sum(count) <> 0"
)
ENDS = (
    (RunState.COMPLETED, Cause.RETURNED, Outcome.RETURNED),
    (RunState.COMPLETED, Cause.RETURNED_NOTHING, Outcome.RETURNED),
    (RunState.FAILED, Cause.RAISED, Outcome.RAISED),
    (RunState.FAILED, Cause.TIMED_OUT, Outcome.TIMED_OUT),
)


def assert_counts_hold(place: Place) -> None:
    assert sorted(map(tuple, place.execute(KEPT))) == sorted(map(tuple, place.execute(COUNTED)))


class Wanderer:
    """Does anything that the store can do to runs, at random, also what must fail."""

    def __init__(self, world: World, tasks: list[KnownTask], random: Random) -> None:
        self.world = world
        self.tasks = tasks
        self.random = random
        self.runs: list[RunId] = []
        self.held: list[ClaimedRun] = []

    async def step(self) -> None:
        """A few things at once, so that they share a group."""
        deeds: tuple[Callable[[], Awaitable[object]], ...] = (
            self.start,
            self.start,
            self.start_many,
            self.claim,
            self.claim,
            self.begin,
            self.finish,
            self.finish,
            self.retry,
            self.move,
            self.move,
            self.clean,
            self.stage,
            self.prune,
        )
        await asyncio.gather(*(deed() for deed in self.random.choices(deeds, k=4)))

    @property
    def task(self) -> KnownTask:
        return self.random.choice(self.tasks)

    async def start(self) -> None:
        state = self.random.choice(
            (RunState.QUEUED, RunState.QUEUED, RunState.PARKED, RunState.SCHEDULED)
        )
        due_at = later(self.random.randint(1, 60)) if state is RunState.SCHEDULED else None
        trigger = self.random.choice((Trigger.API, Trigger.SCHEDULE))
        self.runs.append(await self.task.start(state=state, due_at=due_at, trigger=trigger))

    async def start_many(self) -> None:
        self.runs += await self.task.start_many(5)

    async def claim(self) -> None:
        self.held += await self.world.claim(self.task, 3)

    async def begin(self) -> None:
        some = self.random.sample(self.held, min(2, len(self.held)))
        await self.world.store.runs.begin([Beginning(run.run_id, run.token, NOW) for run in some])

    async def finish(self) -> None:
        """The ends of some runs; some of them again, which nobody accepts."""
        some = self.random.sample(self.held, min(3, len(self.held)))
        state, cause, outcome = self.random.choice(ENDS)
        await self.world.store.runs.finish(
            [
                a_finish(
                    run, company_id=self.company(run), state=state, cause=cause, outcome=outcome
                )
                for run in some
            ]
        )

    async def retry(self) -> None:
        some = self.random.sample(self.held, min(1, len(self.held)))
        await self.world.store.runs.finish(
            [a_retry(run, company_id=self.company(run)) for run in some]
        )

    def company(self, run: ClaimedRun) -> int:
        return run.company_id

    async def move(self) -> None:
        """Any run, from any state that is not final, to any other."""
        sources = [state for state in RunState if state not in {s for s, _, _ in ENDS}]
        sources.remove(RunState.CANCELLED)
        state = self.random.choice(
            (RunState.PARKED, RunState.QUEUED, RunState.WAITING, RunState.CANCELLED)
        )
        cause = Cause.CANCELLED if state is RunState.CANCELLED else None
        some = self.random.sample(self.runs, min(2, len(self.runs)))
        await self.world.store.runs.move(
            [
                a_move(run, sources, state, cause=cause, company_id=company)
                for run in some
                for company in (ACME, GLOBEX)
            ]
        )

    async def clean(self) -> None:
        task, runs = self.task, self.world.store.runs
        how = self.random.randrange(3)
        if how == 0:
            await runs.clean(task.company, task.gate, NOW, 3)
        elif how == 1:
            await runs.cancel_queued(task.company, task.gate, NOW)
        else:
            await runs.cancel_between_attempts(task.company, task.gate, NOW)

    async def stage(self) -> None:
        await self.world.store.runs.stage(later(self.random.randint(1, 60)), 3)

    async def prune(self) -> None:
        await self.world.store.runs.prune(self.task.company, self.task.id, later(10), 4)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_counts_hold_whatever_happens(world: World, place: Place, seed: int) -> None:
    await world.add_company(GLOBEX, "globex")
    tasks = [await world.add_task(), await world.add_task(name="Other")]
    tasks.append(await world.add_task(GLOBEX))
    wanderer = Wanderer(world, tasks, Random(seed))

    for _ in range(8):
        for _ in range(8):
            await wanderer.step()
        assert_counts_hold(place)

    kinds = {(state, cause) for _, _, state, cause, _ in place.execute(KEPT)}
    assert len(kinds) >= 8


async def test_a_page_tells_an_exact_total_by_task_states_and_causes(
    world: World, place: Place
) -> None:
    task, other = await world.add_task(), await world.add_task(name="Other")
    await task.start_many(TOTAL_LIMIT)
    await other.start_many(5)
    [claimed] = await world.claim(task)
    await world.store.runs.finish([a_finish(claimed)])

    totals = {
        RunFilter(): TOTAL_LIMIT + 5,
        RunFilter(task_id=task.id): TOTAL_LIMIT,
        RunFilter(states=(RunState.QUEUED,)): TOTAL_LIMIT + 4,
        RunFilter(task_id=other.id, states=(RunState.QUEUED, RunState.COMPLETED)): 5,
        RunFilter(causes=(Cause.RETURNED, Cause.RAISED)): 1,
        RunFilter(states=(RunState.QUEUED,), causes=(Cause.RETURNED,)): 0,
    }
    for wanted, total in totals.items():
        page = await world.store.runs.page(ACME, wanted, None, 2)
        assert (page.total, page.total_is_exact) == (total, True), wanted


async def test_a_total_of_all_but_a_few_is_exact_however_large(world: World) -> None:
    task = await world.add_task()
    await task.start_many(3, created_at=later(-10))
    await task.start_many(TOTAL_LIMIT + 1, created_at=later(0))
    await task.start_many(2, created_at=later(10))
    await world.claim(task)
    totals = {
        RunFilter(created_from=later(-5)): TOTAL_LIMIT + 3,
        RunFilter(task_id=task.id, created_before=later(5)): TOTAL_LIMIT + 4,
        RunFilter(
            states=(RunState.QUEUED, RunState.RUNNING),
            created_from=later(-5),
            created_before=later(5),
        ): TOTAL_LIMIT + 1,
        RunFilter(states=(RunState.QUEUED,), created_before=later(-5)): 2,
        RunFilter(states=(RunState.RUNNING,), created_before=later(5)): 1,
        RunFilter(created_from=later(20), created_before=later(-20)): 0,
        RunFilter(created_from=later(5)): 2,
        RunFilter(states=(RunState.FAILED,), created_from=later(-5)): 0,
        RunFilter(states=(RunState.QUEUED,), causes=(Cause.RAISED,), created_from=later(5)): 0,
    }
    for wanted, total in totals.items():
        page = await world.store.runs.page(ACME, wanted, None, 2)
        assert (page.total, page.total_is_exact) == (total, True), wanted


async def test_under_other_filters_totals_are_exact_up_to_the_limit(world: World) -> None:
    task = await world.add_task()
    await task.start_many(TOTAL_LIMIT)
    wanted = RunFilter(trigger=Trigger.API)
    exact = await world.store.runs.page(ACME, wanted, None, 1)
    await task.start()

    more = await world.store.runs.page(ACME, wanted, None, 1)
    again = await world.store.runs.page(ACME, wanted, more.next, 1)

    assert (exact.total, exact.total_is_exact) == (TOTAL_LIMIT, True)
    assert (more.total, more.total_is_exact) == (TOTAL_LIMIT, False)
    assert (again.total, again.total_is_exact) == (TOTAL_LIMIT, False)


@pytest.mark.parametrize("lines", [30, 200])
async def test_counts_hold_after_the_death_of_a_server(memory_path: Path, lines: int) -> None:
    killed_after(memory_path, lines)
    store = await open_sqlite(memory_path)

    counts = await store.queues.state_counts(ACME)
    page = await store.runs.page(ACME, RunFilter(), None, 1_000)

    assert page.total == len(page.runs) > 0
    unfinished = [run for run in page.runs if not run.is_final]
    assert sum(counts.values()) == len(unfinished)
    await store.close()


@pytest.fixture
async def two_stores(
    postgres_dsn: str, memory_path: Path
) -> AsyncIterator[tuple[Place, Store, Store]]:
    place = PostgresPlace(postgres_dsn, memory_path)
    one, two = await place.open(), await place.open()
    yield place, one, two
    await asyncio.gather(one.close(), two.close())


async def test_servers_that_share_a_database_count_together(
    two_stores: tuple[Place, Store, Store],
) -> None:
    place, one, two = two_stores
    world = World(one)
    await world.add_company(ACME)
    await world.connect()
    task = await world.add_task()
    second = World(two)
    second.worker, second.session = world.worker, SessionId(world.next_id())
    await two.workers.open_session(a_session(second.session, second.worker), NOW)

    async def work(side: World) -> None:
        for _ in range(10):
            runs = [task.new_run() for _ in range(3)]
            await side.store.runs.start(runs)
            claimed = await side.claim(task, 2)
            await side.store.runs.finish([a_finish(run) for run in claimed])

    await asyncio.gather(work(world), work(second))

    assert_counts_hold(place)
    assert await one.queues.state_counts(ACME) == await two.queues.state_counts(ACME)


async def test_what_lanes_of_earlier_openings_counted_is_folded(
    postgres_dsn: str, memory_path: Path
) -> None:
    place = PostgresPlace(postgres_dsn, memory_path)
    store = await place.open()
    world = World(store)
    await world.add_company(ACME)
    task = await world.add_task()
    await task.start_many(4)
    await store.close()
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
        await connection.execute("DELETE FROM lanes")

    store = await place.open()
    counts = await store.queues.state_counts(ACME)
    await store.close()

    assert counts == {RunState.QUEUED: 4}
    assert place.execute("SELECT lane, count FROM run_counts") == [(0, 4)]


def test_statements_that_move_runs_are_told_from_others() -> None:
    assert moves_runs("INSERT INTO runs (id) VALUES (1)")
    assert moves_runs("DELETE FROM runs WHERE id = 1")
    assert moves_runs("UPDATE runs\n   SET level = 1, state = 3\n WHERE id = 1")
    assert not moves_runs("UPDATE runs SET attempt = 1 WHERE state = 3")
    assert not moves_runs("INSERT INTO run_inputs (run_id) VALUES (1)")
    assert not moves_runs("SELECT state FROM runs WHERE state = 3")
