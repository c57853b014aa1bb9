"""Lists by several things at once: no page looks at more than it may, and none loses a run."""

import itertools
from typing import Any

import pytest

from runyard.model.ids import ScheduleId
from runyard.model.runs import Run
from runyard.model.states import RunState, Trigger
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.tables import pages, totals
from tests.stores.builders import ACME, World, a_finish, later
from tests.stores.places import Place
from tests.stores.test_lists import Population, a_population, fits

ONE_OF_EACH: list[dict[str, Any]] = [
    {"states": (RunState.QUEUED, RunState.COMPLETED)},
    {"created_from": later(1)},
    {"created_before": later(3)},
    {"finished_from": later(10)},
    {"finished_before": later(12)},
    {"trigger": Trigger.API},
    {"trigger": Trigger.SCHEDULE},
    {"trigger": Trigger.RESTART},
    {"schedule_id": 71},
]


def pairs(population: Population) -> list[dict[str, Any]]:
    """Any two things that a filter may ask for."""
    origin = min(population.runs, key=lambda run: run.id)
    asked = [
        *ONE_OF_EACH,
        {"task_id": population.task.id},
        {"task_id": population.other.id},
        {"worker_id": population.alice},
        {"restarted_from": origin.id},
    ]
    return [
        one | other for one, other in itertools.combinations(asked, 2) if not one.keys() & other
    ]


async def all_runs(world: World, wanted: RunFilter, size: int) -> tuple[list[Run], int]:
    """All that fit, page by page, and how many pages that were."""
    runs: list[Run] = []
    after: Position | None = None
    for number in itertools.count(1):
        page = await world.store.runs.page(ACME, wanted, after, size)
        assert len(page.runs) <= size
        part = await world.store.runs.part(ACME, wanted, after, size)
        assert (part.runs, part.next) == (page.runs, page.next)
        runs += page.runs
        if page.next is None:
            return runs, number
        after = page.next
    raise AssertionError


@pytest.mark.parametrize(("first", "most"), [(1, 2), (3, 5), (1_000, 10_000)])
async def test_no_pair_of_conditions_loses_a_run(
    world: World, monkeypatch: pytest.MonkeyPatch, first: int, most: int
) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT_FIRST", first)
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", most)
    population = await a_population(world)
    for wanted in pairs(population):
        expected = [
            run
            for run in population.runs
            if all(fits(run, field, value) for field, value in wanted.items())
        ]
        if RunFilter(**wanted).by_end:
            expected.sort(key=lambda run: (run.finished_at, run.id), reverse=True)

        for size in (1, 2, 20):
            runs, _ = await all_runs(world, RunFilter(**wanted), size)

            assert runs == expected, wanted


async def test_a_page_that_finds_nothing_in_time_says_where_the_next_one_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT_FIRST", 5)
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", 10)
    task, other = await world.add_task(), await world.add_task(name="Other")
    hit = await task.start(created_at=later(0), schedule_id=71)
    for second in range(1, 25):
        await other.start(created_at=later(second), schedule_id=71)
        await task.start(created_at=later(second))
    wanted = RunFilter(task_id=task.id, schedule_id=ScheduleId(71))

    first = await world.store.runs.page(ACME, wanted, None, 3)
    runs, number = await all_runs(world, wanted, 3)

    assert first.runs == ()
    assert first.next is not None
    assert [run.id for run in runs] == [hit]
    # 25 runs of the schedule, ten a page.
    assert number == 3


async def test_what_is_rare_by_any_index_is_found_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT_FIRST", 5)
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", 10)
    task, rare = await world.add_task(), await world.add_task(name="Rare")
    hits = [await rare.start(created_at=later(second)) for second in range(3)]
    for second in range(3, 30):
        await task.start(created_at=later(second))
    claimed = [*await world.claim(rare, 3), *await world.claim(task, 27)]
    await world.store.runs.finish([a_finish(run, finished_at=later(60)) for run in claimed])

    for asked in ({"worker_id": world.worker}, {"finished_from": later(50)}):
        page = await world.store.runs.page(ACME, RunFilter(task_id=rare.id, **asked), None, 5)

        assert [run.id for run in page.runs] == hits[::-1]
        assert page.next is None
        assert (page.total, page.total_is_exact) == (3, True)


async def test_a_total_is_exact_whatever_comes_and_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "WORTH_REMEMBERING", 0)
    task = await world.add_task()
    await task.start_many(6, created_at=later(1))
    wanted = RunFilter(task_id=task.id, states=(RunState.COMPLETED,), created_from=later(0))
    anything = RunFilter(task_id=task.id, created_from=later(0))

    async def told() -> tuple[int, int]:
        found = [await world.store.runs.page(ACME, each, None, 1) for each in (wanted, anything)]
        return found[0].total, found[1].total

    await told()
    assert await told() == (0, 6)
    first, second, third = await world.claim(task, 3)
    await world.store.runs.finish([a_finish(first), a_finish(second)])
    assert [await told(), await told()] == [(2, 6)] * 2
    # As many as before, but not the same ones.
    await world.store.runs.finish([a_finish(third)])
    assert await world.store.runs.delete(ACME, [first.run_id]) == 1
    assert [await told(), await told()] == [(2, 5)] * 2
    await task.start(created_at=later(1))
    assert await told() == (2, 6)
    await world.store.runs.delete(ACME, [second.run_id, third.run_id])
    assert [await told(), await told()] == [(0, 4)] * 2


async def test_a_total_is_not_counted_again_while_no_run_comes_or_goes(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "WORTH_REMEMBERING", 0)
    task = await world.add_task()
    await task.start_many(3, created_at=later(1))
    wanted = RunFilter(task_id=task.id, created_from=later(0))

    async def told() -> int:
        return (await world.store.runs.page(ACME, wanted, None, 1)).total

    assert [await told(), await told()] == [3, 3]
    # Nobody keeps count of what is done behind the store's back.
    place.execute("UPDATE runs SET created_at = 0 WHERE id = (SELECT min(id) FROM runs)")
    assert await told() == 3
    await task.start(created_at=later(1))
    assert await told() == 3
