"""Reads and claims on PostgreSQL go by an index, however much history there is."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runyard.model.ids import RunId, WorkerId
from runyard.model.states import RunState, Trigger
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.runs import Beginning
from runyard.stores.filters import Listing, listing_of, listings_of
from runyard.stores.postgres.connecting import FOR_READING
from runyard.stores.postgres.database import list_text
from runyard.stores.queries import SHARED, load_queries
from tests.stores.listings import COMBINED, LISTINGS, named
from tests.stores.postgres_support import (
    ACME,
    GATE,
    NOON,
    TASK,
    a_claim,
    a_finish,
    a_new_run,
    furnish,
    opened,
)
from tests.support.postgres import PostgresServer

QUERIES = load_queries(
    "psycopg", SHARED, Path(__file__).parents[2] / "src/runyard/stores/postgres/queries"
)
HISTORY = 20_000
MOST = 30
"""So many runs are looked at for a page that has to pass over some."""
RANGES = 8
"""So many ranges of indexes, at most, have runs that fit a filter."""


async def a_long_history(dsn: str) -> None:
    """Many ended runs, fewer that failed, wait or are set aside: no index is empty or tiny."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            f"""
            INSERT INTO runs (id, public_id, company_id, task_id, version_id, gate_id, state, cause,
                              priority, rank, level, trigger, created_at, queued_at, finished_at,
                              worker_id, schedule_id, restarted_from)
            SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex'), {ACME} + n % 2, {TASK} + n % 5 * 10, 12,
                   {GATE} + n % 5 * 10, state, cause, 50, n, 0, n / 10 % 20 / 19,
                   1769860800000000 + n, 1, CASE WHEN state >= 6 THEN 1769860800000000 + 2 * n END,
                   1 + n / 10 % 3, CASE WHEN n / 10 % 20 = 19 THEN 1 + n % 3 END,
                   CASE WHEN n / 10 % 20 = 18 THEN 1 + n % 3 END
              FROM generate_series(1, {HISTORY}) AS n,
                   LATERAL (SELECT CASE WHEN n / 10 % 10 = 0 THEN 3 WHEN n / 10 % 10 = 1 THEN n / 100 % 4
                                        WHEN n / 10 % 10 = 2 THEN 7 ELSE 6 END) AS held (state),
                   LATERAL (SELECT CASE state WHEN 7 THEN 23 WHEN 6 THEN 20 END) AS ended (cause)
            """
        )
        await connection.execute("INSERT INTO run_inputs (run_id, value) SELECT id, '1' FROM runs")
        await connection.execute("SELECT pg_stat_force_next_flush()")


async def analyzed(dsn: str) -> None:
    """Have the planner look at what there is."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE")


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The plan's steps, each with what it is."""
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes_of(part))]


Kind = tuple[str, str]
PAGE: Kind = ("page_of_runs", "page_branch")
COUNT: Kind = ("count_of_runs", "count_branch")
SIFTED: Kind = ("sifted_runs", "sifted_branch")
FEW: Kind = ("few_runs", "few_branch")


async def plan_of(
    dsn: str, kind: Kind, listing: Listing, limit: int, planning: str = "auto"
) -> list[dict[str, Any]]:
    """What really happens when a reader executes this, planned for its values or for any."""
    asked = {"company_id": ACME, "limit": limit}
    if kind in {SIFTED, FEW}:
        asked["most"] = MOST
    text, values = list_text(QUERIES, kind, listing, asked)
    given = ", ".join(str(value) for value in values)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for setting in FOR_READING:
            await connection.execute(setting.encode())
        await connection.execute(f"SET plan_cache_mode = {planning}".encode())
        await connection.execute(b"PREPARE list AS " + text.encode())
        rows = await connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE list ({given})".encode()
        )
        [[[explained]]] = await rows.fetchall()
        return nodes_of(explained["Plan"])


@pytest.fixture(scope="module", params=["never looked", "looked when it was empty", "knows"])
def history(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, tmp_path_factory: Any
) -> Iterator[str]:
    """A database with a long history whose statistics are in one state or another."""
    dsn = postgres_server.create_database()
    folder = tmp_path_factory.mktemp("plans")
    asyncio.run(a_history_of(dsn, folder, request.param))
    yield dsn
    postgres_server.drop_database(dsn)


async def a_history_of(dsn: str, folder: Path, knowledge: str) -> None:
    async with opened(dsn, folder) as store:
        await furnish(store)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("ALTER TABLE runs SET (autovacuum_enabled = off)")
    if knowledge == "looked when it was empty":
        await analyzed(dsn)
    await a_long_history(dsn)
    if knowledge == "knows":
        await analyzed(dsn)


@pytest.mark.parametrize("after", [None, Position(NOON, RunId(5))], ids=["first", "later"])
@pytest.mark.parametrize("kind", [PAGE, COUNT], ids=["page", "count"])
@pytest.mark.parametrize("planning", ["force_custom_plan", "force_generic_plan"])
async def test_a_list_is_read_along_the_indexes_that_serve_it(
    history: str, planning: str, kind: Kind, after: Position | None
) -> None:
    for wanted, indexes in LISTINGS:
        nodes = await plan_of(history, kind, listing_of(wanted, after), 50, planning)

        assert {node["Index Name"] for node in nodes if "Index Name" in node} == indexes, wanted
        tables = [node for node in nodes if node.get("Relation Name") == "runs"]
        assert all(node["Node Type"] != "Seq Scan" for node in tables), wanted


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(),
        RunFilter(states=(RunState.FAILED,)),
        RunFilter(states=(RunState.QUEUED, RunState.SCHEDULED)),
        RunFilter(task_id=TASK, states=(RunState.FAILED,)),
        RunFilter(trigger=Trigger.SCHEDULE),
        RunFilter(finished_from=NOON),
        RunFilter(worker_id=WorkerId(2)),
    ],
    ids=named,
)
async def test_a_page_touches_little_more_than_it_shows(history: str, wanted: RunFilter) -> None:
    nodes = await plan_of(history, PAGE, listing_of(wanted), 20)

    assert 20 <= max(node["Actual Rows"] for node in nodes) <= 20 * RANGES
    assert max(node.get("Rows Removed by Filter", 0) for node in nodes) <= 100


@pytest.mark.parametrize("after", [None, Position(NOON, RunId(5))], ids=["first", "later"])
@pytest.mark.parametrize("planning", ["force_custom_plan", "force_generic_plan"])
async def test_what_no_index_has_together_is_sifted_along_one_or_another(
    history: str, planning: str, after: Position | None
) -> None:
    for wanted, ways in COMBINED:
        first, *others = listings_of(wanted, after)

        sifted = await plan_of(history, SIFTED, first, 20, planning)
        few = [await plan_of(history, FEW, other, 20, planning) for other in others]

        assert [indexes_of(nodes) for nodes in (sifted, *few)] == ways, wanted
        # Neither looks at more than it may: one run more of each range is read to merge them.
        for nodes in (sifted, *few):
            scans = [node for node in nodes if node.get("Relation Name") == "runs"]
            read = sum(
                node["Actual Rows"] for node in scans if node["Index Name"] != "runs_running"
            )
            assert read <= MOST + len(scans), wanted


def indexes_of(nodes: list[dict[str, Any]]) -> set[str]:
    """The indexes along which runs are looked for."""
    return {node["Index Name"] for node in nodes if node.get("Relation Name") == "runs"}


async def test_what_a_claim_touches_does_not_grow_with_history_or_queue(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await a_long_history(postgres_dsn)
        await analyzed(postgres_dsn)
        before = await rows_read(postgres_dsn)

        claimed = await store.leases.claim(a_claim(8))

        assert len(claimed) == 8
    # A backend reports what it has read when it ends.
    await end_of_all_connections(postgres_dsn)
    assert 8 <= await rows_read(postgres_dsn) - before < 200


async def test_what_a_runs_life_touches_does_not_grow_with_those_that_are_active(
    postgres_dsn: str, memory_path: Path
):
    async with opened(postgres_dsn, memory_path) as store:
        await furnish(store)
        await a_long_history(postgres_dsn)
        await analyzed(postgres_dsn)
        before = await rows_read(postgres_dsn)

        await store.runs.start([a_new_run(HISTORY + number) for number in range(1, 9)])
        claimed = await store.leases.claim(a_claim(8))
        await store.runs.begin([Beginning(run.run_id, run.token, NOON) for run in claimed])
        ended = await store.runs.finish([a_finish(run) for run in claimed])

        assert ended
    await end_of_all_connections(postgres_dsn)
    assert 8 <= await rows_read(postgres_dsn) - before < 400


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
