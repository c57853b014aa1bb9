"""How SQLite finds what is asked for: by an index, whatever the filter."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import runyard.stores.sqlite
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.base import Position, RunFilter
from runyard.stores.filters import runs_predicate
from runyard.stores.queries import load_queries
from tests.stores.builders import NOW, later

HERE = Path(runyard.stores.sqlite.__file__).parent
QUERIES = load_queries(HERE / "queries", "sqlite3")

WALKS = {
    "broken_runs": "the doctor looks at every run",
    "bundles_in_use": "one row per version",
    "list_companies": "all of them are wanted",
    "list_gates": "all of them are wanted",
    "delete_expired_setup_links": "links are few",
    "insert_first_user": "whether there is any user",
    "list_grants": "all of them are wanted",
    "list_users": "all of them are wanted",
    "list_workers": "all of them are wanted",
    "list_workers_of_company": "workers are few",
    "queued_totals": "one step per gate",
}
"""Queries that may walk through a whole table or index, and why."""

PARTIAL = {
    "abandoned_runs": "SCAN runs USING INDEX runs_of_session",
    "awaited_runs": "SCAN callbacks USING COVERING INDEX callbacks_awaited",
    "due_hosts": "SCAN callbacks USING INDEX callbacks_due",
    "gates_over_limit": "SCAN runs USING INDEX runs_leased",
    "pending_callbacks": "SCAN runs USING INDEX runs_to_tell",
    "release_callbacks": "SCAN callbacks USING INDEX callbacks_next",
    "runs_to_tell": "SCAN runs USING INDEX runs_to_tell",
    "void_leases": "SCAN runs USING INDEX runs_of_session",
}
"""Queries that walk through a partial index, in which only what they want stands."""

SMALL = (
    "json_each",
    "wanted",
    "gate",
    "counted",
    "chain",
    "CONSTANT",
    "(subquery",
    "sessions USING INDEX",
    "hosts",
)
"""What may be walked through anywhere: lists handed in, and rows found before."""


@pytest.fixture(scope="module")
def schema() -> Iterator[apsw.Connection]:
    """An empty database with the schema, to ask for plans."""
    db = apsw.Connection(":memory:")
    for migration in sorted((HERE / "migrations").glob("*.sql")):
        db.execute(migration.read_text())
    yield db
    db.close()


def plan(db: apsw.Connection, sql: str, parameters: Iterable[str]) -> list[str]:
    rows = db.execute("EXPLAIN QUERY PLAN " + sql, dict.fromkeys(parameters, 1))
    return [str(row[3]) for row in rows]


NAMED = sorted(name for name, query in QUERIES.items() if ":predicate" not in query.sql)
"""All but those that are asked with every filter below."""


@pytest.mark.parametrize("name", NAMED)
def test_a_query_walks_through_no_table(schema: apsw.Connection, name: str) -> None:
    query = QUERIES[name]
    steps = plan(schema, query.sql, query.parameters)

    walks = [
        step
        for step in steps
        if step.startswith("SCAN") and not any(small in step for small in SMALL)
    ]
    if name not in WALKS:
        assert walks == ([PARTIAL[name]] if name in PARTIAL else [])


def test_ids_are_looked_up_by_id(schema: apsw.Connection) -> None:
    for name in ("find_runs", "run_values", "find_files"):
        first = plan(schema, QUERIES[name].sql, QUERIES[name].parameters)[0]
        assert first.endswith("USING INTEGER PRIMARY KEY (rowid=?)"), name


BAD, UNDER_WAY = (RunState.FAILED, RunState.CANCELLED), (RunState.QUEUED, RunState.SCHEDULED)

FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "runs_history"),
    *(({"states": (state,)}, "runs_aside") for state in (RunState.PARKED, RunState.PREPARING)),
    *(({"states": (state,)}, "runs_unfinished") for state in UNDER_WAY),
    *(({"states": (state,)}, "runs_leased") for state in (RunState.RUNNING, RunState.WAITING)),
    ({"states": (RunState.COMPLETED,)}, "runs_history"),
    *(({"states": (state,)}, "runs_unsuccessful") for state in BAD),
    ({"states": BAD}, "runs_unsuccessful"),
    ({"states": UNDER_WAY}, "runs_unfinished"),
    ({"states": (RunState.RUNNING, RunState.QUEUED)}, "runs_unfinished"),
    ({"states": (RunState.COMPLETED, RunState.QUEUED)}, "runs_history"),
    ({"task_id": 1}, "runs_of_task"),
    ({"task_id": 1, "states": (RunState.COMPLETED,)}, "runs_of_task"),
    ({"task_id": 1, "states": (RunState.QUEUED,)}, "runs_unfinished"),
    ({"task_id": 1, "states": BAD}, "runs_unsuccessful"),
    ({"causes": (Cause.RAISED, Cause.TIMED_OUT)}, "runs_unsuccessful"),
    ({"causes": (Cause.RAISED, Cause.RETURNED)}, "runs_history"),
    ({"causes": (Cause.RAISED,), "states": (RunState.QUEUED,)}, "runs_unsuccessful"),
    ({"created_from": NOW}, "runs_history"),
    ({"created_from": NOW, "created_before": later(1)}, "runs_history"),
    ({"finished_from": NOW, "finished_before": later(1)}, "runs_history"),
    ({"worker_id": 1}, "runs_history"),
    ({"trigger": Trigger.SCHEDULE}, "runs_history"),
    ({"schedule_id": 1, "states": (RunState.QUEUED,)}, "runs_of_schedule"),
    ({"restarted_from": 1}, "runs_restarted"),
]


@pytest.mark.parametrize("query", ["page_of_runs", "count_of_runs"])
@pytest.mark.parametrize("after", [None, Position(NOW, 5)], ids=["first", "later"])
@pytest.mark.parametrize(("wanted", "index"), FILTERS, ids=str)
def test_a_list_is_read_by_the_index_that_serves_it(
    schema: apsw.Connection,
    query: str,
    after: Position | None,
    wanted: dict[str, Any],
    index: str,
) -> None:
    predicate = runs_predicate(RunFilter(**wanted), after)
    sql = (
        QUERIES[query]
        .sql.replace(":predicate", predicate.text)
        .replace("FROM runs", f"FROM runs INDEXED BY {predicate.index}")
    )

    steps = plan(schema, sql, [*QUERIES[query].parameters, *predicate.values])

    [step] = [step for step in steps if " runs " in step]
    assert f"INDEX {index}" in step
    # Few runs are leased at once: these are sorted. All other lists come in order.
    is_sorted = any("TEMP B-TREE" in step for step in steps)
    assert is_sorted == (index == "runs_leased" and query == "page_of_runs")
