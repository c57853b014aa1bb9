"""Reads and claims on PostgreSQL go by an index, however much history there is."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runyard.model.ids import RunId, ScheduleId, WorkerId
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.base import Position, RunFilter
from runyard.stores.filters import runs_predicate
from runyard.stores.postgres.connecting import FOR_READING
from runyard.stores.postgres.database import bind_filtered
from runyard.stores.postgres.link import Bound
from runyard.stores.queries import load_queries
from tests.stores.postgres_support import (
    ACME,
    GATE,
    NOON,
    TASK,
    a_claim,
    furnish,
    opened,
)

QUERIES = load_queries(Path(__file__).parents[2] / "src/runyard/stores/postgres/queries", "psycopg")
HISTORY = 20_000

FILTERS = {
    "nothing": RunFilter(),
    "a task": RunFilter(task_id=TASK),
    "running": RunFilter(states=(RunState.RUNNING,)),
    "unfinished": RunFilter(states=(RunState.SCHEDULED, RunState.QUEUED)),
    "failed": RunFilter(states=(RunState.FAILED,)),
    "completed of a task": RunFilter(task_id=TASK, states=(RunState.COMPLETED,)),
    "a cause": RunFilter(states=(RunState.FAILED,), causes=(Cause.RAISED,)),
    "a schedule": RunFilter(schedule_id=ScheduleId(5)),
    "a restart": RunFilter(restarted_from=RunId(5)),
    "a time": RunFilter(created_from=NOON, created_before=NOON + timedelta(seconds=5)),
    "an end": RunFilter(finished_from=NOON, finished_before=NOON + timedelta(seconds=5)),
    "a worker and a trigger": RunFilter(worker_id=WorkerId(1), trigger=Trigger.API),
}


async def a_long_history(dsn: str) -> None:
    """Many ended runs, a few that are not, and statistics that know it."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            f"""
            INSERT INTO runs (id, public_id, company_id, task_id, version_id, gate_id, state, cause,
                              priority, rank, level, trigger, created_at, queued_at, finished_at)
            SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex'), {ACME}, {TASK}, 12, {GATE},
                   CASE WHEN n % 500 = 0 THEN 7 WHEN n > {HISTORY} - 50 THEN 3 ELSE 6 END,
                   CASE WHEN n % 500 = 0 THEN 23 WHEN n > {HISTORY} - 50 THEN NULL ELSE 20 END,
                   50, n, 0, 0, 1769860800000000 + n, 1, 2
              FROM generate_series(1, {HISTORY}) AS n
            """
        )
        await connection.execute("INSERT INTO run_inputs (run_id, value) SELECT id, '1' FROM runs")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("SELECT pg_stat_force_next_flush()")


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The plan's steps, each with what it is."""
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes_of(part))]


async def plan_of(dsn: str, bound: Bound) -> list[dict[str, Any]]:
    """What really happens when a reader executes this."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for setting in FOR_READING:
            await connection.execute(setting.encode())
        result = connection.pgconn.exec_params(
            b"EXPLAIN (ANALYZE, FORMAT JSON) " + bound.statement.sql,
            list(bound.values),
            None,
            list(bound.formats),
        )
        assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
        [explained] = json.loads(result.get_value(0, 0) or b"")
        return nodes_of(explained["Plan"])


@pytest.mark.parametrize("query", ["page_of_runs", "count_of_runs"])
async def test_lists_never_scan_the_table_of_runs(postgres_dsn: str, memory_path: Path, query: str):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
    await a_long_history(postgres_dsn)
    after = Position(NOON + timedelta(hours=1), RunId(1_000_000))

    for name, wanted in FILTERS.items():
        bound = bind_filtered(
            QUERIES[query], runs_predicate(wanted, after), {"company_id": ACME, "limit": 50}
        )
        scans = [node for node in await plan_of(postgres_dsn, bound) if "Scan" in node["Node Type"]]
        assert scans, name
        assert all(node["Node Type"] != "Seq Scan" for node in scans), name


@pytest.mark.parametrize(
    "wanted", [FILTERS["failed"], FILTERS["unfinished"], FILTERS["nothing"]], ids=str
)
async def test_a_page_touches_little_more_than_it_shows(
    postgres_dsn: str, memory_path: Path, wanted: RunFilter
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
    await a_long_history(postgres_dsn)

    bound = bind_filtered(
        QUERIES["page_of_runs"], runs_predicate(wanted), {"company_id": ACME, "limit": 20}
    )

    nodes = await plan_of(postgres_dsn, bound)
    assert max(node["Actual Rows"] for node in nodes) <= 100


async def test_what_a_claim_touches_does_not_grow_with_history_or_queue(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await a_long_history(postgres_dsn)
        before = await rows_read(postgres_dsn)

        claimed = await store.runs.claim(a_claim(8))

        assert len(claimed) == 8
    # A backend reports what it has read when it ends.
    await end_of_all_connections(postgres_dsn)
    assert 8 <= await rows_read(postgres_dsn) - before < 200


async def end_of_all_connections(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            rows = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runyard' "
                "AND datname = current_database()"
            )
            if await rows.fetchone() == (0,):
                return


async def rows_read(dsn: str) -> int:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        rows = await connection.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'runs'"
        )
        [[count]] = await rows.fetchall()
        return int(count)
