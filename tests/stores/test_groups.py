"""Group commit: who shares a transaction, who fails alone, and when too much waits."""

import asyncio
from collections.abc import Awaitable

from runyard.model.errors import Overloaded
from runyard.model.states import RunState
from runyard.stores.contract.store import Store
from runyard.stores.tables.pieces import WriteRefused
from tests.stores.builders import ACME, World, a_finish, a_move
from tests.stores.places import Place


async def test_calls_of_one_turn_share_a_group(world: World) -> None:
    task = await world.add_task()
    before = await world.store.statistics()

    await asyncio.gather(*(task.start() for _ in range(50)))

    after = await world.store.statistics()
    assert after.pieces == before.pieces + 50
    assert after.groups <= before.groups + 2


async def test_a_poisoned_piece_fails_alone(world: World) -> None:
    task = await world.add_task()
    known = await task.start()
    runs = [task.new_run() for _ in range(20)]
    poisoned = task.new_run(id=known)

    outcomes = await asyncio.gather(
        *(world.store.runs.start([run]) for run in (*runs[:10], poisoned, *runs[10:])),
        return_exceptions=True,
    )

    assert isinstance(outcomes.pop(10), WriteRefused)
    assert all(not isinstance(outcome, BaseException) for outcome in outcomes)
    found = await world.store.runs.find_many(ACME, [run.id for run in runs])
    assert len(found) == 20


async def test_a_poisoned_claim_or_finish_beside_others_fails_alone(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    known = await task.start()
    starting = world.store.runs.start([task.new_run(id=known)])
    finishing = world.store.runs.finish([a_finish(claimed)])
    claiming = world.store.leases.claim(world.a_claim(task.share()))

    outcomes = await asyncio.gather(starting, finishing, claiming, return_exceptions=True)

    assert isinstance(outcomes[0], WriteRefused)
    assert outcomes[1] == [claimed.run_id]
    assert [run.run_id for run in outcomes[2]] == [known]


async def test_a_value_that_no_database_takes_fails_its_own_piece(world: World) -> None:
    task = await world.add_task()
    good, bad = task.new_run(), task.new_run(rank=2**63)

    outcomes = await asyncio.gather(
        world.store.runs.start([good]), world.store.runs.start([bad]), return_exceptions=True
    )

    assert isinstance(outcomes[1], WriteRefused)
    assert await world.state(good.id) is RunState.QUEUED
    assert await world.store.runs.find(ACME, bad.id) is None


async def test_a_caller_that_gave_up_harms_nobody(world: World) -> None:
    task = await world.add_task()
    abandoned, kept = task.new_run(), task.new_run()
    impatient = asyncio.ensure_future(world.store.runs.start([abandoned]))
    patient = asyncio.ensure_future(world.store.runs.start([kept]))
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn

    impatient.cancel()

    assert (await patient).inserted
    assert await world.state(kept.id) is RunState.QUEUED


async def test_a_chain_of_moves_of_one_run_keeps_its_order(world: World) -> None:
    task = await world.add_task()
    run = await task.start()
    queued, parked = RunState.QUEUED, RunState.PARKED

    moves = [
        world.store.runs.move([a_move(run, [source], target)])
        for source, target in ((queued, parked), (parked, queued)) * 20
    ]
    moved = await asyncio.gather(*moves)

    assert [len(answer) for answer in moved] == [1] * 40
    assert [answer[0].state for answer in moved] == [parked, queued] * 20


async def test_too_much_waiting_is_refused_at_once_and_the_rest_is_written(world: World) -> None:
    task = await world.add_task()

    starting = [world.store.runs.start([task.new_run()]) for _ in range(6000)]
    outcomes = await asyncio.gather(*starting, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert len(refused) == 1000
    counts = await world.store.queues.state_counts(ACME)
    assert counts == {RunState.QUEUED: 5000}
    assert await world.state(await task.start()) is RunState.QUEUED


async def test_too_many_bytes_waiting_are_refused(world: World) -> None:
    task = await world.add_task()
    value = b"x" * 32_000

    starting = [world.store.runs.start([task.new_run(input=value)]) for _ in range(1500)]
    outcomes = await asyncio.gather(*starting, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert 400 < len(refused) < 600
    counts = await world.store.queues.state_counts(ACME)
    assert counts == {RunState.QUEUED: 1500 - len(refused)}


async def test_outcomes_go_before_starts_when_much_waits(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()
    order: list[str] = []

    async def note(word: str, written: Awaitable[object]) -> None:
        await written
        order.append(word)

    starts = [note("start", world.store.runs.start([task.new_run()])) for _ in range(3000)]
    finish = note("finish", world.store.runs.finish([a_finish(claimed)]))
    await asyncio.gather(*starts, finish)

    assert order.index("finish") < 1500


async def test_closing_waits_for_what_is_under_way(place: Place) -> None:
    store: Store = await place.open()
    world = World(store)
    await world.add_company()
    task = await world.add_task()
    runs = [task.new_run() for _ in range(300)]
    starting = [asyncio.ensure_future(store.runs.start([run])) for run in runs]
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn

    await store.close()

    outcomes = await asyncio.gather(*starting)
    assert all(outcome.inserted for outcome in outcomes)
    again = await place.open()
    assert len(await again.runs.find_many(ACME, [run.id for run in runs])) == 300
    await again.close()
