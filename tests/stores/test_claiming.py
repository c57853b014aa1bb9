"""Claims: order, limits, closed gates, and what a session gets."""

import asyncio

from runyard.model.states import RunState
from runyard.stores.contract.leases import ClaimedRun, Share
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, KnownTask, World, a_finish, later
from tests.stores.places import Place


def ids(claimed: list[ClaimedRun]) -> list[int]:
    return [run.run_id for run in claimed]


async def test_a_claimed_run_comes_with_all_that_a_worker_needs(world: World) -> None:
    task = await world.add_task()
    run = task.new_run(input=b"[1]", rank=77)
    await world.store.runs.start([run])
    claim = world.a_claim(task.share())

    claimed = await world.store.leases.claim(claim)

    assert claimed == [
        ClaimedRun(
            run_id=run.id,
            public_id=run.public_id,
            company_id=ACME,
            task_id=task.id,
            version_id=task.version,
            gate_id=task.gate,
            token=claim.first_token,
            attempt=0,
            rank=77,
            input=b"[1]",
        )
    ]
    found = await world.run(run.id)
    assert found.state is RunState.RUNNING
    assert (found.worker_id, found.lease_token) == (world.worker, claim.first_token)
    assert (found.attempt, found.begun_at) == (0, None)


async def test_a_claim_of_the_same_turn_sees_the_start_before_it(world: World) -> None:
    task = await world.add_task()
    run = task.new_run()
    before = (await world.store.statistics()).groups

    starting = world.store.runs.start([run])
    claiming = world.store.leases.claim(world.a_claim(task.share()))
    await starting

    assert ids(await claiming) == [run.id]
    assert (await world.store.statistics()).groups == before + 1


async def test_runs_are_claimed_by_rank_then_id(world: World) -> None:
    task = await world.add_task()
    last = await task.start(rank=30)
    second = await task.start(rank=10)
    third = await task.start(rank=10)
    first = await task.start(rank=-10)

    claimed = await world.claim(task, 10)

    assert ids(claimed) == [first, second, third, last]
    assert [run.token - claimed[0].token for run in claimed] == [0, 1, 2, 3]


async def test_gates_of_a_share_are_merged_by_rank_and_offset(world: World, place: Place) -> None:
    plain, urgent = await world.add_task(name="Plain"), await world.add_task(name="Urgent")
    place.execute(f"UPDATE gates SET priority_offset = -100 WHERE id = {urgent.gate}")
    a, b, c = [await plain.start(rank=rank) for rank in (0, 50, 60)]
    d, e = [await urgent.start(rank=rank) for rank in (140, 151)]
    share = Share(company_id=ACME, count=4, gate_ids=(plain.gate, urgent.gate))

    claimed = await world.store.leases.claim(world.a_claim(share))

    assert ids(claimed) == [a, d, b, e]
    assert await world.state(c) is RunState.QUEUED


async def test_shares_are_served_in_order_and_no_run_twice(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    here, there = await world.add_task(ACME), await world.add_task(GLOBEX)
    ours = await here.start_many(3)
    theirs = await there.start_many(2)
    claim = world.a_claim(there.share(1), here.share(2), there.share(5), here.share(5))

    claimed = await world.store.leases.claim(claim)

    assert ids(claimed) == [theirs[0], *ours[:2], theirs[1], ours[2]]
    assert len({run.token for run in claimed}) == 5


async def test_a_gate_named_twice_counts_once(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(2)
    share = Share(company_id=ACME, count=4, gate_ids=(task.gate, task.gate))

    claimed = await world.store.leases.claim(world.a_claim(share))

    assert ids(claimed) == runs


async def test_a_gate_is_not_claimed_from_through_another_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task(ACME)
    await task.start()
    share = Share(company_id=GLOBEX, count=1, gate_ids=(task.gate,))

    assert await world.store.leases.claim(world.a_claim(share)) == []


async def test_only_queued_runs_are_claimed(world: World) -> None:
    task = await world.add_task()
    for state in (RunState.PARKED, RunState.PREPARING, RunState.SCHEDULED):
        await task.start(state=state, due_at=later(-60), queued_at=None)

    assert await world.claim(task, 10) == []


async def test_a_claim_of_an_empty_queue_gets_nothing(world: World) -> None:
    task = await world.add_task()

    assert await world.claim(task) == []
    assert await world.store.leases.claim(world.a_claim()) == []


async def test_a_limit_counts_live_leases(world: World) -> None:
    task = await world.add_task(concurrency=2)
    await task.start_many(4)

    first = await world.claim(task, 4)
    second = await world.claim(task, 4)
    await world.store.runs.finish([a_finish(first[0])])
    third = await world.claim(task, 4)

    assert [len(first), len(second), len(third)] == [2, 0, 1]


async def test_a_task_at_its_limit_does_not_hold_others_back(world: World) -> None:
    narrow = await world.add_task(name="Narrow", concurrency=1)
    wide = await world.add_task(name="Wide")
    await narrow.start_many(3, rank=0)
    await wide.start_many(2, rank=100)
    share = Share(company_id=ACME, count=3, gate_ids=(narrow.gate, wide.gate))

    claimed = await world.store.leases.claim(world.a_claim(share))

    assert [run.gate_id for run in claimed] == [narrow.gate, wide.gate, wide.gate]


async def test_a_limit_holds_under_claims_that_meet(world: World) -> None:
    task = await world.add_task(concurrency=3)
    await task.start_many(40)

    claims = [world.store.leases.claim(world.a_claim(task.share(2))) for _ in range(20)]
    claimed = [run for runs in await asyncio.gather(*claims) for run in runs]

    assert len(claimed) == 3
    assert len(set(ids(claimed))) == 3


async def test_no_run_is_claimed_by_two(world: World) -> None:
    task = await world.add_task()
    runs = await task.start_many(60)

    claims = [world.store.leases.claim(world.a_claim(task.share(7))) for _ in range(12)]
    claimed = [run for some in await asyncio.gather(*claims) for run in some]

    assert sorted(ids(claimed)) == runs
    assert len({run.token for run in claimed}) == 60


async def close_task(store: Store, task: KnownTask) -> None:
    assert await store.tasks.set_runnable(task.company, task.id, runnable=False)


async def close_company(store: Store, task: KnownTask) -> None:
    assert await store.companies.set_runnable(task.company, runnable=False)


async def test_a_closed_task_gives_no_run_until_it_opens(world: World) -> None:
    task = await world.add_task()
    run = await task.start()
    await close_task(world.store, task)

    assert await world.claim(task) == []
    await world.store.tasks.set_runnable(ACME, task.id, runnable=True)
    assert ids(await world.claim(task)) == [run]


async def test_a_paused_company_gives_no_run_until_it_goes_on(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task, other = await world.add_task(), await world.add_task(GLOBEX)
    run, others = await task.start(), await other.start()
    await close_company(world.store, task)

    claimed = await world.store.leases.claim(world.a_claim(task.share(), other.share()))

    assert ids(claimed) == [others]
    await world.store.companies.set_runnable(ACME, runnable=True)
    assert ids(await world.claim(task)) == [run]


async def test_after_a_pause_returned_no_claim_takes_a_run(world: World) -> None:
    task = await world.add_task()
    await task.start_many(200)
    claimed: list[ClaimedRun] = []
    late: list[ClaimedRun] = []
    under_way, paused = asyncio.Event(), asyncio.Event()

    async def claim_on() -> None:
        for _ in range(30):
            was_paused = paused.is_set()
            got = await world.store.leases.claim(world.a_claim(task.share(1)))
            claimed.extend(got)
            if was_paused:
                late.extend(got)
            if len(claimed) >= 5:
                under_way.set()

    async def pause() -> None:
        await under_way.wait()
        await close_company(world.store, task)
        paused.set()

    await asyncio.gather(claim_on(), claim_on(), pause())

    assert 5 <= len(claimed) < 60
    assert late == []


async def test_a_task_added_to_a_paused_company_is_closed_too(world: World) -> None:
    await world.store.companies.set_runnable(ACME, runnable=False)

    task = await world.add_task()

    gate = await world.store.tasks.gate(task.gate)
    assert gate is not None
    assert not gate.is_open
    await task.start()
    assert await world.claim(task) == []


async def test_the_cost_of_a_claim_does_not_grow_with_what_waits_elsewhere(world: World) -> None:
    closed = await world.add_task(name="Closed")
    task = await world.add_task(name="Open")
    await closed.start_many(2000)
    await world.store.tasks.set_runnable(ACME, closed.id, runnable=False)
    run = await task.start(rank=10**12)
    share = Share(company_id=ACME, count=3, gate_ids=(closed.gate, task.gate))

    assert ids(await world.store.leases.claim(world.a_claim(share))) == [run]
