"""What is kept beside the row of a run, and what ends many runs at once."""

from runyard.model.runs import Outcome
from runyard.model.states import RunState
from runyard.stores.contract.runs import Finish, Move
from tests.stores.builders import ACME, GLOBEX, NOW, World, later


async def a_retried(world: World, task) -> int:
    """A run that has begun and waits for another attempt."""
    claimed = await task.running()
    await world.store.runs.finish(
        [
            Finish(
                run_id=claimed.run_id,
                company_id=ACME,
                token=claimed.token,
                state=RunState.SCHEDULED,
                cause=None,
                outcome=Outcome.RAISED,
                begun_at=NOW,
                finished_at=later(1),
                due_at=later(60),
            )
        ]
    )
    return claimed.run_id


async def test_what_waits_for_another_attempt_is_cancelled_apart(world: World) -> None:
    task = await world.add_task()
    between = await a_retried(world, task)
    queued = await task.start()

    foreign = await world.store.runs.cancel_between_attempts(GLOBEX, task.gate, later(9))
    ended = await world.store.runs.cancel_between_attempts(ACME, task.gate, later(9))

    assert (foreign, ended) == ([], [between])
    assert (await world.run(between)).finished_at == later(9)
    assert (await world.run(queued)).state is RunState.QUEUED


async def test_what_is_queued_and_never_began_is_cancelled_apart(world: World) -> None:
    task = await world.add_task()
    between = await a_retried(world, task)
    queued = await task.start()
    parked = await task.start(state=RunState.PARKED, queued_at=None)

    foreign = await world.store.runs.cancel_queued(GLOBEX, task.gate, later(9))
    ended = await world.store.runs.cancel_queued(ACME, task.gate, later(9))

    assert (foreign, ended) == ([], [queued])
    assert (await world.run(between)).state is RunState.SCHEDULED
    assert (await world.run(parked)).state is RunState.PARKED


async def test_only_ended_runs_of_the_company_are_deleted(world: World) -> None:
    task = await world.add_task()
    ended, waiting = await task.ended(), await task.start()

    foreign = await world.store.runs.delete(GLOBEX, [ended, waiting])
    own = await world.store.runs.delete(ACME, [waiting, ended, 999_999])

    assert (foreign, own) == (0, 1)
    assert await world.store.runs.find(ACME, ended) is None
    assert await world.store.runs.values(ACME, ended) is None
    assert await world.store.runs.find(ACME, waiting) is not None


async def test_a_change_is_recorded_only_where_it_happened(world: World) -> None:
    task = await world.add_task()
    run = await task.start(state=RunState.PARKED, queued_at=None)

    def released(at: int) -> Move:
        return Move(
            run_id=run,
            company_id=ACME,
            sources=(RunState.PARKED,),
            state=RunState.QUEUED,
            at=later(at),
            put_off_until=later(at),
            is_recorded=True,
        )

    await world.store.runs.move([released(5)])
    assert await world.store.runs.move([released(6)]) == []

    changes = await world.store.histories.changes(ACME, run)
    assert [(change.at, change.state) for change in changes] == [
        (NOW, RunState.PARKED),
        (later(5), RunState.QUEUED),
    ]
    assert await world.store.histories.changes(GLOBEX, run) == []
    assert (await world.run(run)).put_off_until == later(5)
    assert await world.store.queues.earliest_put_off(ACME, later(5)) == NOW
    assert await world.store.queues.earliest_put_off(ACME, later(6)) is None
    assert await world.store.queues.earliest_put_off(GLOBEX, later(5)) is None


async def test_a_chain_of_restarts_is_followed_to_its_origin(world: World) -> None:
    task = await world.add_task()
    chain = [await task.start()]
    for level in (1, 2, 3):
        chain.append(await task.start(level=level, restarted_from=chain[-1]))
    histories = world.store.histories

    assert await histories.ancestors(ACME, chain[3]) == [chain[2], chain[1], chain[0]]
    assert await histories.ancestors(ACME, chain[0]) == []
    assert await histories.ancestors(GLOBEX, chain[3]) == []
    assert [await histories.restarts(ACME, run) for run in chain] == [1, 1, 1, 0]
