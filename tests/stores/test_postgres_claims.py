"""Limits and pauses hold on PostgreSQL, whoever claims at the same time."""

import asyncio
from pathlib import Path

from runyard.model.states import RunState
from runyard.stores.contract.leases import Claim, Share
from tests.stores.postgres_support import (
    ACME,
    GATE,
    NOON,
    SESSION,
    TASK,
    WORKER,
    a_claim,
    a_finish,
    a_new_run,
    furnish,
    opened,
)


async def test_two_servers_never_exceed_a_limit_of_one(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as first, opened(postgres_dsn, memory_path) as two:
        await furnish(first, limit=1)
        await first.runs.start([a_new_run(number) for number in range(1, 401)])

        claimed = 0
        for _ in range(300):
            answers = await asyncio.gather(
                first.leases.claim(a_claim(3)), two.leases.claim(a_claim(3))
            )
            runs = [run for answer in answers for run in answer]
            assert len(runs) == 1
            claimed += len(runs)
            await first.runs.finish([a_finish(run) for run in runs])

        assert claimed == 300


async def test_the_lanes_of_one_server_never_exceed_a_limit(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store, limit=3)
        await store.runs.start([a_new_run(number) for number in range(1, 301)])

        async def work() -> int:
            done = 0
            while done < 60:
                runs = await store.leases.claim(a_claim(2))
                counts = await store.queues.state_counts(ACME)
                assert counts.get(RunState.RUNNING, 0) <= 3
                done += len(await store.runs.finish([a_finish(run) for run in runs]))
            return done

        assert sum(await asyncio.gather(*(work() for _ in range(4)))) >= 240
        assert await store.runs.breaches(NOON, 10) == []


async def test_after_a_pause_returned_no_open_claim_lets_a_run_start(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as first, opened(postgres_dsn, memory_path) as two:
        await furnish(first)
        await first.runs.start([a_new_run(number) for number in range(1, 201)])
        started_before_the_pause = 0

        async def pause_and_count() -> int:
            assert await two.companies.set_runnable(ACME, runnable=False)
            return (await two.queues.state_counts(ACME)).get(RunState.RUNNING, 0)

        for _ in range(100):
            running, runs = await asyncio.gather(pause_and_count(), first.leases.claim(a_claim(1)))
            assert (await two.queues.state_counts(ACME)).get(RunState.RUNNING, 0) == running
            assert await first.leases.claim(a_claim(1)) == []
            started_before_the_pause += len(runs)
            await first.runs.finish([a_finish(run) for run in runs])
            assert await first.companies.set_runnable(ACME, runnable=True)

        assert 0 < started_before_the_pause < 101


async def test_a_gate_that_two_shares_name_has_its_room_once(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store, limit=3)
        await store.runs.start([a_new_run(number) for number in range(1, 11)])
        share = Share(company_id=ACME, count=2, gate_ids=(GATE, GATE))

        runs = await store.leases.claim(
            Claim(
                session_id=SESSION, worker_id=WORKER, first_token=50, shares=(share, share), at=NOON
            )
        )

        assert [run.run_id for run in runs] == [1, 2, 3]
        assert [run.token for run in runs] == [50, 51, 52]


async def test_a_cancelled_run_is_never_claimed(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as first, opened(postgres_dsn, memory_path) as two:
        await furnish(first)
        for number in range(1, 51):
            await first.runs.start([a_new_run(number)])
            cleaned, claimed = await asyncio.gather(
                two.runs.clean(ACME, GATE, NOON, 10), first.leases.claim(a_claim(10))
            )
            assert len(cleaned) + len(claimed) == 1
            await first.runs.finish([a_finish(run) for run in claimed])

        assert await first.runs.breaches(NOON, 10) == []
        assert await first.tasks.set_runnable(ACME, TASK, runnable=False)
