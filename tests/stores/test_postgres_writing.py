"""Groups on PostgreSQL: order, merging, replay, and two at once."""

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from runyard.model.errors import Overloaded, RunyardError
from runyard.model.ids import RunId
from runyard.stores.contract.runs import Beginning, StartKey
from runyard.stores.postgres.writer import MOST_WAITING
from runyard.stores.tables.pieces import WriteRefused
from tests.stores.postgres_support import (
    ACME,
    NOON,
    SESSION,
    a_claim,
    a_finish,
    a_new_run,
    furnish,
    opened,
    stored_runs,
)


async def test_a_start_and_a_claim_of_one_turn_are_one_transaction(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        before = (await store.statistics()).groups

        _, claimed = await asyncio.gather(
            store.runs.start([a_new_run(1)]), store.leases.claim(a_claim(5))
        )

        assert [run.run_id for run in claimed] == [1]
        assert (await store.statistics()).groups == before + 1


async def test_pieces_of_one_turn_that_name_the_same_run_keep_their_order(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await store.runs.start([a_new_run(number) for number in range(1, 51)])
        runs = await store.leases.claim(a_claim(50))

        pairs = [
            (
                store.runs.begin([Beginning(run.run_id, run.token, NOON + timedelta(seconds=1))]),
                store.runs.finish([a_finish(run)]),
            )
            for run in runs
        ]
        answers = await asyncio.gather(*(answer for pair in pairs for answer in pair))

        assert answers == [[run.run_id] for run in runs for _ in range(2)]
        found = await store.runs.find(ACME, RunId(1))
        assert found is not None
        assert found.attempt == 1
        assert found.begun_at == NOON + timedelta(seconds=1)


async def test_each_piece_of_a_merged_statement_gets_its_own_answer(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await store.runs.start([a_new_run(number) for number in range(1, 5)])
        first, second, third, _ = await store.leases.claim(a_claim(4))
        late = a_finish(third)

        answers = await asyncio.gather(
            store.runs.finish([a_finish(second), a_finish(first)]),
            store.runs.finish([a_finish(third)]),
            store.runs.finish([late]),
        )

        assert [sorted(answer) for answer in answers] == [[1, 2], [3], []]


async def test_only_the_guilty_piece_of_a_group_fails(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await store.runs.start([a_new_run(3)])

        answers = await asyncio.gather(
            *(store.runs.start([a_new_run(number)]) for number in range(1, 6)),
            return_exceptions=True,
        )

        assert [isinstance(answer, WriteRefused) for answer in answers] == [
            number == 3 for number in range(1, 6)
        ]
        assert await stored_runs(postgres_dsn) == [1, 2, 3, 4, 5]


async def test_of_two_starts_under_one_key_in_one_group_the_first_wins(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)

        def key(number: int) -> StartKey:
            return StartKey(
                company_id=ACME,
                key="k",
                request_digest=b"d",
                first_run_id=RunId(number),
                run_count=1,
                created_at=NOON,
            )

        first, second = await asyncio.gather(
            store.runs.start([a_new_run(1)], key(1)), store.runs.start([a_new_run(2)], key(2))
        )

        assert (first.inserted, second.inserted) == (True, False)
        assert second.first_run_id == 1
        assert await stored_runs(postgres_dsn) == [1]


async def test_of_two_servers_starting_under_one_key_one_wins(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as one, opened(postgres_dsn, memory_path) as two:
        await furnish(one)
        for number in range(1, 100, 2):
            keys = [
                StartKey(
                    company_id=ACME,
                    key=f"k{number}",
                    request_digest=b"d",
                    first_run_id=RunId(number + side),
                    run_count=1,
                    created_at=NOON,
                )
                for side in (0, 1)
            ]
            outcomes = await asyncio.gather(
                one.runs.start([a_new_run(number)], keys[0]),
                two.runs.start([a_new_run(number + 1)], keys[1]),
            )
            assert sorted(outcome.inserted for outcome in outcomes) == [False, True]
            assert outcomes[0].first_run_id == outcomes[1].first_run_id


async def test_a_full_queue_refuses_at_once_and_loses_nothing(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        starts = [store.runs.start([a_new_run(number)]) for number in range(1, MOST_WAITING + 101)]

        outcomes = await asyncio.gather(*starts, return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert len(refused) == 100
        assert len(await stored_runs(postgres_dsn)) == MOST_WAITING


async def test_two_servers_that_move_the_same_runs_never_fail(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as one, opened(postgres_dsn, memory_path) as two:
        await furnish(one)
        await one.runs.start([a_new_run(number) for number in range(1, 201)])
        runs = await one.leases.claim(a_claim(200))
        chance = random.Random(7)
        accepted: list[int] = []

        async def finish_in_any_order(store: object) -> None:
            finishes = [a_finish(run) for run in runs]
            chance.shuffle(finishes)
            for start in range(0, 200, 20):
                accepted.extend(await store.runs.finish(finishes[start : start + 20]))  # type: ignore[attr-defined]

        await asyncio.gather(*(finish_in_any_order(store) for store in (one, two, one, two)))

        assert sorted(accepted) == list(range(1, 201))


async def test_a_store_that_only_waits_writes_nothing(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        groups = (await store.statistics()).groups

        await store.leases.held_by([SESSION], 10)
        await store.queues.occupied_gates()

        assert (await store.statistics()).groups == groups


async def test_values_of_every_kind_come_back_as_they_were(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        inputs = [b"", b"\x00\xff", b'{"a": "\\u0000 \xc3\xa9"}', b"x" * 40_000, b"y" * 300_000]
        await store.runs.start(
            [
                msgspec.structs.replace(a_new_run(number), input=value)
                for number, value in enumerate(inputs, 1)
            ]
        )

        claimed = await store.leases.claim(a_claim(10))

        assert [run.input for run in claimed] == inputs


async def test_a_write_after_the_close_is_refused(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)

    with pytest.raises(RunyardError, match="closed"):
        await store.runs.start([a_new_run(1)])
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
        rows = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runyard' "
            "AND datname = current_database() AND state = 'idle in transaction'"
        )
        assert await rows.fetchone() == (0,)


async def test_waiting_writes_are_finished_by_a_close(postgres_dsn: str, memory_path: Path):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        starts = [
            asyncio.ensure_future(store.runs.start([a_new_run(number)])) for number in range(1, 900)
        ]

    outcomes = await asyncio.gather(*starts)
    assert all(outcome.inserted for outcome in outcomes)
    assert await stored_runs(postgres_dsn) == list(range(1, 900))
