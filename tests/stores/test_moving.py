"""Moves between states that no attempt makes: guards, clean, stage, leases."""

import asyncio

from runyard.model.states import Cause, RunState
from runyard.stores.contract.runs import Beginning
from tests.stores.builders import (
    ACME,
    GLOBEX,
    NOW,
    World,
    a_finish,
    a_move,
    later,
)

QUEUED, RUNNING, SCHEDULED = RunState.QUEUED, RunState.RUNNING, RunState.SCHEDULED
PARKED, CANCELLED, WAITING = RunState.PARKED, RunState.CANCELLED, RunState.WAITING


async def test_a_moved_run_answers_as_it_is_now(world: World) -> None:
    task = await world.add_task()
    run = await task.start()

    [moved] = await world.store.runs.move(
        [a_move(run, [QUEUED, RUNNING], CANCELLED, cause=Cause.CANCELLED)]
    )

    assert (moved.id, moved.state, moved.cause) == (run, CANCELLED, Cause.CANCELLED)
    assert moved.finished_at == later(5)
    assert await world.run(run) == moved
    assert await world.claim(task) == []


async def test_a_run_in_another_state_is_not_moved(world: World) -> None:
    task = await world.add_task()
    run = await task.start()

    moved = await world.store.runs.move([a_move(run, [PARKED, RUNNING], CANCELLED)])

    assert moved == []
    assert await world.state(run) is QUEUED


async def test_a_run_of_another_company_is_not_moved(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    run = await task.start()

    assert await world.store.runs.move([a_move(run, [QUEUED], PARKED, company_id=GLOBEX)]) == []
    assert await world.state(run) is QUEUED


async def test_final_states_never_change(world: World) -> None:
    task = await world.add_task()
    run = await task.ended()

    moved = await world.store.runs.move(
        [a_move(run, [QUEUED, RUNNING, WAITING, PARKED, SCHEDULED], QUEUED)]
    )

    assert moved == []
    assert await world.state(run) is RunState.COMPLETED


async def test_the_cause_of_a_move_is_recorded_only_at_the_end(world: World) -> None:
    task = await world.add_task()
    run = await task.start()

    [parked] = await world.store.runs.move([a_move(run, [QUEUED], PARKED, cause=Cause.PARKED)])

    assert (parked.cause, parked.finished_at) == (None, None)


async def test_a_move_under_a_token_needs_that_token(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    stale = a_move(claimed.run_id, [RUNNING], QUEUED, token=claimed.token + 1)

    assert await world.store.runs.move([stale]) == []
    [moved] = await world.store.runs.move(
        [a_move(claimed.run_id, [RUNNING], QUEUED, token=claimed.token)]
    )

    assert moved.state is QUEUED
    assert moved.lease_token == claimed.token
    assert await world.store.leases.held_by([world.session], 10) == []


async def test_a_recalled_run_keeps_its_place(world: World) -> None:
    task = await world.add_task()
    first, second = await task.start_many(2)
    [claimed] = await world.claim(task)

    [recalled] = await world.store.runs.move([a_move(first, [RUNNING], QUEUED)])

    assert claimed.run_id == first
    assert (recalled.queued_at, recalled.rank) == (NOW, claimed.rank)
    again = await world.claim(task, 2)
    assert [run.run_id for run in again] == [first, second]


async def test_an_attempt_that_began_is_not_recalled_as_unbegun(world: World) -> None:
    task = await world.add_task()
    begun, unbegun = await task.running(), await task.running()
    await world.store.runs.begin([Beginning(begun.run_id, begun.token, NOW)])

    moved = await world.store.runs.move(
        [
            a_move(run.run_id, [RUNNING], QUEUED, unbegun_attempt_only=True)
            for run in (begun, unbegun)
        ]
    )

    assert [run.id for run in moved] == [unbegun.run_id]


async def test_a_run_that_ever_began_is_not_taken_for_unbegun(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    await world.store.runs.begin([Beginning(claimed.run_id, claimed.token, NOW)])
    [queued] = await world.store.runs.move([a_move(claimed.run_id, [RUNNING], QUEUED)])
    assert (queued.attempt, queued.begun_at) == (1, None)

    assert (
        await world.store.runs.move([a_move(queued.id, [QUEUED], PARKED, unbegun_only=True)]) == []
    )
    assert await world.store.runs.move(
        [a_move(queued.id, [QUEUED], PARKED, unbegun_attempt_only=True)]
    )


async def test_a_released_run_is_queued_at_that_instant_with_its_new_rank(world: World) -> None:
    task = await world.add_task()
    run = await task.start(state=PARKED, queued_at=None)

    [released] = await world.store.runs.move([a_move(run, [PARKED], QUEUED, rank=42)])

    assert (released.state, released.queued_at, released.rank) == (QUEUED, later(5), 42)
    [claimed] = await world.claim(task)
    assert claimed.run_id == run


async def test_a_postponed_run_is_due_at_its_new_instant(world: World) -> None:
    task = await world.add_task()
    run = await task.start(state=PARKED, queued_at=None)

    [postponed] = await world.store.runs.move([a_move(run, [PARKED], SCHEDULED, due_at=later(60))])

    assert postponed.due_at == later(60)
    assert await world.store.queues.next_due_at() == later(60)


async def test_several_moves_answer_the_winners(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(3)
    await world.claim(task)

    moved = await world.store.runs.move([a_move(run, [QUEUED], PARKED) for run in runs])

    assert sorted(run.id for run in moved) == runs[1:]


async def test_of_two_moves_in_one_group_one_wins(world: World) -> None:
    task = await world.add_task()
    run = await task.start()

    first, second = await asyncio.gather(
        world.store.runs.move([a_move(run, [QUEUED], PARKED)]),
        world.store.runs.move([a_move(run, [QUEUED], CANCELLED, cause=Cause.CANCELLED)]),
    )

    assert len(first) == 1
    assert second == []


# ---------------------------------------------------------------- clean


async def test_clean_cancels_what_never_began(world: World) -> None:
    task, other = await world.add_task(), await world.add_task(name="Other")
    dropped = [
        await task.start(state=state, due_at=later(60))
        for state in (QUEUED, SCHEDULED, RunState.PREPARING)
    ]
    kept = [await task.start(state=PARKED), await other.start()]

    cleaned = await world.store.runs.clean(ACME, task.gate, later(9), 100)

    assert sorted(cleaned) == dropped
    for run in dropped:
        found = await world.run(run)
        assert (found.state, found.cause, found.finished_at) == (
            CANCELLED,
            Cause.CANCELLED,
            later(9),
        )
    assert [await world.state(run) for run in kept] == [PARKED, QUEUED]


async def test_clean_leaves_runs_that_began_or_are_running(world: World) -> None:
    task = await world.add_task()
    begun, running = await task.running(), await task.running()
    await world.store.runs.begin([Beginning(begun.run_id, begun.token, NOW)])
    await world.store.runs.move([a_move(begun.run_id, [RUNNING], QUEUED)])

    assert await world.store.runs.clean(ACME, task.gate, NOW, 100) == []
    assert await world.state(running.run_id) is RUNNING


async def test_clean_goes_so_far_and_no_further(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    await task.start_many(5)

    assert await world.store.runs.clean(GLOBEX, task.gate, NOW, 100) == []
    assert len(await world.store.runs.clean(ACME, task.gate, NOW, 2)) == 2
    assert len(await world.store.runs.clean(ACME, task.gate, NOW, 100)) == 3


# ---------------------------------------------------------------- stage


async def test_due_runs_are_staged_earliest_first(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(GLOBEX)
    late = await task.start(state=SCHEDULED, due_at=later(3), queued_at=None)
    early = [await task.start(state=SCHEDULED, due_at=later(1), queued_at=None) for _ in range(2)]
    others = await other.start(state=SCHEDULED, due_at=later(2), queued_at=None)
    future = await task.start(state=SCHEDULED, due_at=later(9), queued_at=None, rank=5)

    staged = await world.store.runs.stage(later(3), 3)

    assert sorted(staged) == [(task.gate, ACME, 2), (other.gate, GLOBEX, 1)]
    assert await world.state(late) is SCHEDULED
    assert await world.store.runs.stage(later(3), 3) == [(task.gate, ACME, 1)]
    assert await world.store.runs.stage(later(3), 3) == []
    assert await world.state(future) is SCHEDULED
    for run in (late, *early):
        found = await world.run(run)
        assert (found.state, found.queued_at) == (QUEUED, later(3))
    assert await world.state(others, GLOBEX) is QUEUED


async def test_a_run_due_exactly_now_is_staged(world: World) -> None:
    task = await world.add_task()
    await task.start(state=SCHEDULED, due_at=NOW, queued_at=None, rank=7)

    assert await world.store.runs.stage(NOW, 10) == [(task.gate, ACME, 1)]
    [claimed] = await world.claim(task)
    assert claimed.rank == 7


async def test_the_next_due_instant_is_the_earliest(world: World) -> None:
    task = await world.add_task()
    assert await world.store.queues.next_due_at() is None

    await task.start(state=SCHEDULED, due_at=later(20), queued_at=None)
    await task.start(state=SCHEDULED, due_at=later(10), queued_at=None)
    await task.start(due_at=later(1))

    assert await world.store.queues.next_due_at() == later(10)


# ---------------------------------------------------------------- leases


async def test_a_session_holds_what_it_claimed(world: World) -> None:
    task = await world.add_task()
    first = await task.running()
    other = await world.connect("bob")
    second = await task.running()
    await world.store.runs.begin([Beginning(second.run_id, second.token, later(1))])

    [leased] = await world.store.leases.held_by([other], 10)
    both = await world.store.leases.held_by([other, world.session, 1], 10)

    assert (leased.run_id, leased.session_id, leased.token) == (
        second.run_id,
        other,
        second.token,
    )
    assert (leased.attempt, leased.begun_at, leased.rank) == (1, later(1), second.rank)
    assert (leased.company_id, leased.task_id, leased.version_id, leased.gate_id) == (
        ACME,
        task.id,
        task.version,
        task.gate,
    )
    assert [run.run_id for run in both] == [second.run_id]
    assert [run.run_id for run in await world.store.leases.abandoned(NOW, 10)] == []
    assert (await world.run(first.run_id)).state is RUNNING


async def test_leases_come_smallest_ids_first_up_to_a_limit(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(4)
    await world.claim(task, 4)

    leased = await world.store.leases.held_by([world.session], 3)

    assert [run.run_id for run in leased] == runs[:3]


async def test_a_gate_shows_its_running_and_waiting_runs(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(name="Other")
    running, waiting, done = [await task.running() for _ in range(3)]
    await world.store.runs.move([a_move(waiting.run_id, [RUNNING], WAITING)])
    await world.store.runs.finish([a_finish(done)])
    await task.start()
    await other.running()

    leased = await world.store.leases.of_gate(ACME, task.gate)

    assert [run.run_id for run in leased] == [running.run_id, waiting.run_id]
    assert await world.store.leases.of_gate(GLOBEX, task.gate) == []


async def test_runs_of_a_closed_or_unknown_session_are_abandoned(world: World) -> None:
    task = await world.add_task()
    of_closed = await task.running()
    await world.store.workers.close_session(world.session, NOW)
    await world.connect("bob")
    held = await task.running()
    await task.start()
    [of_nobody] = await world.store.leases.claim(world.a_claim(task.share(), session=999_999))

    abandoned = await world.store.leases.abandoned(NOW, 10)

    assert [run.run_id for run in abandoned] == sorted([of_closed.run_id, of_nobody.run_id])
    assert held.run_id not in {run.run_id for run in abandoned}
    assert len(await world.store.leases.abandoned(NOW, 1)) == 1


async def test_runs_of_a_lapsed_session_are_abandoned(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    assert await world.store.leases.abandoned(later(10), 10) == []
    [abandoned] = await world.store.leases.abandoned(later(10.001), 10)

    assert abandoned.run_id == claimed.run_id
