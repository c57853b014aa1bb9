"""Lists of runs under every filter, page by page, and counts."""

from typing import Any

import pytest

from runyard.model.ids import RunId, WorkerId
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.queues import GateLoad
from runyard.stores.contract.runs import Beginning
from tests.stores.builders import (
    ACME,
    GLOBEX,
    KnownTask,
    World,
    a_finish,
    a_move,
    a_retry,
    later,
)

ALL = RunFilter()


async def every_page(world: World, wanted: RunFilter, size: int = 3) -> list[Run]:
    """All runs that fit, read page by page; the total of each page is compared too."""
    runs: list[Run] = []
    totals = set()
    after: Position | None = None
    while True:
        page = await world.store.runs.page(ACME, wanted, after, size)
        runs += page.runs
        totals.add((page.total, page.total_is_exact))
        assert len(page.runs) <= size
        if page.next is None:
            break
        after = page.next
    assert totals == {(len(runs), True)}
    return runs


class Population:
    """One run of every kind, with what a filter may ask about it."""

    def __init__(self, task: KnownTask, other: KnownTask, alice: WorkerId) -> None:
        self.task = task
        self.other = other
        self.alice = alice
        self.runs: list[Run] = []


async def a_population(world: World) -> Population:
    task, other = await world.add_task(), await world.add_task(name="Other")
    origin = await task.start(created_at=later(0))
    for number, state in enumerate((RunState.PARKED, RunState.PREPARING, RunState.SCHEDULED)):
        due_at = later(100) if state is RunState.SCHEDULED else None
        await task.start(state=state, created_at=later(number), due_at=due_at, queued_at=None)
    await other.start(created_at=later(1), trigger=Trigger.SCHEDULE, schedule_id=71)
    await other.start(created_at=later(2), trigger=Trigger.RESTART, restarted_from=origin)
    await task.start_many(6, created_at=later(3))
    claimed = await world.claim(task, 6)
    retried, paused = claimed.pop(), claimed.pop()
    await world.store.runs.finish([a_retry(retried)])
    waits = a_move(paused.run_id, [RunState.RUNNING], RunState.WAITING, token=paused.token)
    await world.store.runs.move([waits])
    alice = world.worker
    await world.connect("bob")
    claimed += await world.claim(other, 1)
    ends = (
        (RunState.COMPLETED, Cause.RETURNED, Outcome.RETURNED),
        (RunState.COMPLETED, Cause.RETURNED_NOTHING, Outcome.RETURNED),
        (RunState.FAILED, Cause.RAISED, Outcome.RAISED),
    )
    for number, (run, (state, cause, outcome)) in enumerate(zip(claimed, ends, strict=False)):
        end = a_finish(
            run, state=state, cause=cause, outcome=outcome, finished_at=later(10 + number)
        )
        assert await world.store.runs.finish([end])
    cancelled = await task.start(created_at=later(4))
    await world.store.runs.move(
        [a_move(cancelled, [RunState.QUEUED], RunState.CANCELLED, cause=Cause.CANCELLED)]
    )
    population = Population(task, other, alice)
    population.runs = await every_page(world, ALL, 100)
    return population


def newest_first(runs: list[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.created_at, run.id), reverse=True)


async def test_a_list_shows_every_run_once_newest_first(world: World) -> None:
    population = await a_population(world)

    runs = await every_page(world, ALL)

    assert len(runs) == 13
    assert {run.state for run in runs} == set(RunState)
    assert runs == newest_first(runs) == population.runs


def fits(run: Run, field: str, value: Any) -> bool:
    """What each field of a filter means, in plain words of Python."""
    questions = {
        "task_id": lambda: run.task_id == value,
        "states": lambda: run.state in value,
        "causes": lambda: run.cause in value,
        "created_from": lambda: run.created_at >= value,
        "created_before": lambda: run.created_at < value,
        "finished_from": lambda: run.finished_at is not None and run.finished_at >= value,
        "finished_before": lambda: run.finished_at is not None and run.finished_at < value,
        "worker_id": lambda: run.worker_id == value,
        "schedule_id": lambda: run.schedule_id == value,
        "restarted_from": lambda: run.restarted_from == value,
        "trigger": lambda: run.trigger is value,
    }
    return questions[field]()


FILTERS: list[dict[str, Any]] = [
    *({"states": (state,)} for state in RunState),
    {"states": (RunState.QUEUED, RunState.RUNNING)},
    {"states": (RunState.RUNNING, RunState.WAITING)},
    {"states": (RunState.PARKED, RunState.PREPARING)},
    {"states": (RunState.FAILED, RunState.CANCELLED)},
    {"states": (RunState.COMPLETED, RunState.QUEUED)},
    {"states": tuple(RunState)},
    {"causes": (Cause.RETURNED_NOTHING,)},
    {"causes": (Cause.RETURNED, Cause.RAISED, Cause.CANCELLED)},
    {"causes": (Cause.RAISED, Cause.CANCELLED), "states": (RunState.FAILED,)},
    {"created_from": later(2)},
    {"created_before": later(3)},
    {"created_from": later(1), "created_before": later(3)},
    {"finished_from": later(11)},
    {"finished_before": later(11)},
    {"finished_from": later(10), "finished_before": later(12)},
    {"finished_from": later(10), "states": (RunState.FAILED,)},
    {"finished_from": later(10), "states": (RunState.FAILED, RunState.QUEUED)},
    {"finished_from": later(10), "causes": (Cause.RAISED,), "created_from": later(1)},
    {"trigger": Trigger.RESTART},
    {"trigger": Trigger.RESTART, "states": (RunState.QUEUED, RunState.RUNNING)},
    {"trigger": Trigger.SCHEDULE},
    {"trigger": Trigger.API, "states": (RunState.COMPLETED,), "created_from": later(3)},
    {"schedule_id": 71},
    {"schedule_id": 71, "states": (RunState.QUEUED, RunState.RUNNING)},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=",".join)
async def test_a_filter_shows_what_it_asks_for(world: World, wanted: dict[str, Any]) -> None:
    population = await a_population(world)

    runs = await every_page(world, RunFilter(**wanted), size=2)

    expected = [
        run
        for run in population.runs
        if all(fits(run, field, value) for field, value in wanted.items())
    ]
    if RunFilter(**wanted).by_end:
        expected.sort(key=lambda run: (run.finished_at, run.id), reverse=True)
    assert expected
    assert runs == expected


async def test_filters_by_task_worker_and_origin(world: World) -> None:
    population = await a_population(world)
    origin = min(population.runs, key=lambda run: run.id)
    task, other = population.task.id, population.other.id
    for wanted in (
        {"task_id": task},
        *({"task_id": task, "states": (state,)} for state in RunState),
        {"task_id": other, "states": (RunState.QUEUED,)},
        {"task_id": task, "states": (RunState.QUEUED, RunState.RUNNING, RunState.PARKED)},
        {"task_id": task, "causes": (Cause.RAISED, Cause.RETURNED)},
        {"task_id": other, "trigger": Trigger.RESTART},
        {"task_id": task, "created_from": later(3), "states": (RunState.COMPLETED,)},
        {"task_id": task, "finished_from": later(11)},
        {"worker_id": world.worker},
        {"worker_id": population.alice},
        {"worker_id": population.alice, "task_id": task},
        {"worker_id": population.alice, "states": (RunState.COMPLETED,)},
        {"worker_id": population.alice, "states": (RunState.RUNNING,)},
        {"worker_id": population.alice, "states": (RunState.SCHEDULED,)},
        {"worker_id": population.alice, "causes": (Cause.RAISED,)},
        {"restarted_from": origin.id},
        {"restarted_from": origin.id, "states": (RunState.QUEUED, RunState.RUNNING)},
    ):
        expected = [
            run
            for run in population.runs
            if all(fits(run, field, value) for field, value in wanted.items())
        ]

        runs = await every_page(world, RunFilter(**wanted), size=2)

        assert expected
        assert runs == expected


async def test_runs_created_at_one_instant_are_not_lost_between_pages(world: World) -> None:
    task = await world.add_task()
    started = await task.start_many(7)

    runs = await every_page(world, ALL, 2)

    assert [run.id for run in runs] == sorted(started, reverse=True)


async def test_a_run_that_starts_meanwhile_shifts_no_page(world: World) -> None:
    task = await world.add_task()
    started = await task.start_many(4)
    first = await world.store.runs.page(ACME, ALL, None, 2)
    await task.start(created_at=later(9))

    second = await world.store.runs.page(ACME, ALL, first.next, 2)

    assert [run.id for run in (*first.runs, *second.runs)] == sorted(started, reverse=True)
    assert second.next is None


async def test_a_company_sees_only_its_runs(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(GLOBEX)
    await task.start()
    theirs = await other.start()

    page = await world.store.runs.page(GLOBEX, ALL, None, 10)
    foreign = await world.store.runs.page(GLOBEX, RunFilter(task_id=task.id), None, 10)

    assert [run.id for run in page.runs] == [theirs]
    assert (foreign.runs, foreign.total) == ((), 0)


# ---------------------------------------------------------------- counts


async def test_states_are_counted_until_runs_end(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    await a_population(world)

    counts = await world.store.queues.state_counts(ACME)

    assert counts == {
        RunState.PARKED: 1,
        RunState.PREPARING: 1,
        RunState.SCHEDULED: 2,
        RunState.QUEUED: 2,
        RunState.RUNNING: 2,
        RunState.WAITING: 1,
    }
    assert await world.store.queues.state_counts(GLOBEX) == {}


async def test_a_gate_counts_what_stands_behind_it(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(name="Other")
    await task.start_many(5)
    begun, *_ = await world.claim(task, 3)
    await world.store.runs.begin([Beginning(begun.run_id, begun.token, later(1))])
    await other.start(state=RunState.PARKED)

    loads = {load.gate_id: load for load in await world.store.queues.gate_loads(ACME)}

    assert loads == {
        task.gate: GateLoad(gate_id=task.gate, scheduled=0, queued=2, assigned=2, begun=1),
        other.gate: GateLoad(
            gate_id=other.gate, scheduled=0, queued=0, assigned=0, begun=0, parked=1
        ),
    }
    assert await world.store.queues.gate_loads(GLOBEX) == []


async def test_occupied_gates_are_those_with_queued_runs(world: World) -> None:
    first, second, third = [await world.add_task(name=name) for name in "abc"]
    assert await world.store.queues.occupied_gates() == []
    await third.start_many(3)
    await first.start_many(3)
    await second.running()
    await second.start(state=RunState.PARKED)

    assert await world.store.queues.occupied_gates() == [first.gate, third.gate]


async def test_a_run_knows_how_many_go_first(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    first, second = [await task.start(rank=5) for _ in range(2)]
    await task.start(rank=9)
    before = world.store.queues.queued_before

    assert await before(ACME, task.gate, 5, first) == 0
    assert await before(ACME, task.gate, 5, second) == 1
    assert await before(ACME, task.gate, 100, 0) == 3
    assert await before(GLOBEX, task.gate, 100, 0) == 0


async def test_queued_runs_are_counted_per_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, second, other = (
        await world.add_task(),
        await world.add_task(name="Second"),
        await world.add_task(GLOBEX),
    )
    await task.start_many(3)
    await second.start_many(2)
    await other.running()

    assert await world.store.queues.queued_totals() == {ACME: 5}


async def test_a_position_beyond_the_bound_of_a_list_shows_no_more_than_the_list(
    world: World,
) -> None:
    task = await world.add_task()
    runs = [await task.start(created_at=later(number)) for number in range(4)]
    wanted = RunFilter(created_before=later(2))

    for beyond in (2, 3, 9):
        after = Position(later(beyond), RunId(10**9))
        page = await world.store.runs.page(ACME, wanted, after, 10)
        assert [run.id for run in page.runs] == [runs[1], runs[0]]
    page = await world.store.runs.page(ACME, wanted, Position(later(1), runs[1]), 10)
    assert [run.id for run in page.runs] == [runs[0]]
