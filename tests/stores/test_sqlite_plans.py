"""How SQLite finds what is asked for: by an index, whatever the filter."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw
import pytest

import runyard.stores.sqlite
from runyard.model.ids import RunId, TaskId
from runyard.model.states import RunState, Trigger
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.filters import Listing, calls_of, listing_of, listings_of, outside_of
from runyard.stores.queries import SHARED, load_queries
from runyard.stores.sqlite.database import list_text
from tests.stores.builders import NOW
from tests.stores.listings import COMBINED, LISTINGS, OF_TASK, named

HERE = Path(runyard.stores.sqlite.__file__).parent
QUERIES = load_queries("sqlite3", SHARED, HERE / "queries")

WALKS = {
    "all_allocations": "allocations are few, and all are wanted",
    "placed_allocations": "allocations are few",
    "broken_runs": "the doctor looks at every run",
    "bundles_in_use": "one row per version",
    "delete_expired_setup_links": "there are a few links, each for a short time",
    **dict.fromkeys(
        (
            "delete_old_signing_keys",
            "insert_first_signing_key",
            "list_signing_keys",
            "retire_signing_keys",
        ),
        "there are two or three keys",
    ),
    "digests_of_systems": "all of them are wanted",
    "find_able_administrator": "users are few",
    "insert_first_user": "users are few",
    "forget_runner": "allocations are few",
    "list_companies": "all of them are wanted",
    "list_gates": "all of them are wanted",
    "list_grants": "all of them are wanted",
    "list_users": "all of them are wanted",
    "insert_first_signing_key": "signing keys are few",
    "list_signing_keys": "signing keys are few",
    "delete_old_signing_keys": "signing keys are few",
    "retire_signing_keys": "signing keys are few",
    "list_workers": "all of them are wanted",
    "list_workers_of_company": "workers are few",
    "queued_totals": "one step per gate",
    "release_preparations": "when a server comes or goes, and there are few",
}
"""Queries that may walk through a whole table or index, and why."""

PARTIAL = {
    "awaited_runs": "SCAN callbacks USING COVERING INDEX callbacks_awaited",
    "due_hosts": "SCAN callbacks USING INDEX callbacks_due",
    "pending_callbacks": "SCAN runs USING INDEX runs_to_tell",
    "release_callbacks": "SCAN callbacks USING INDEX callbacks_next",
    "runs_to_tell": "SCAN runs USING INDEX runs_to_tell",
    "waiting_systems": "SCAN systems USING INDEX systems_waiting",
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
    "places",
    "runs USING INDEX runs_running",
)
"""What may be walked through anywhere: lists handed in, rows found before, and what is running, which
is never more than the workers hold."""


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


NAMED = sorted(
    name
    for name, query in QUERIES.items()
    if ":branches" not in query.sql and ":condition" not in query.sql
)
"""All but those that are asked with every filter below."""


@pytest.mark.parametrize("name", NAMED)
def test_a_query_walks_through_no_table(schema: apsw.Connection, name: str) -> None:
    query = QUERIES[name]
    steps = plan(schema, query.sql, query.parameters)

    walks = [
        step
        for step in steps
        if step.startswith("SCAN")
        and not any(small in step.replace("COVERING ", "") for small in SMALL)
    ]
    if name not in WALKS:
        assert walks == ([PARTIAL[name]] if name in PARTIAL else [])


def test_ids_are_looked_up_by_id(schema: apsw.Connection) -> None:
    for name in ("find_runs", "run_values", "find_files"):
        first = plan(schema, QUERIES[name].sql, QUERIES[name].parameters)[0]
        assert first.endswith("USING INTEGER PRIMARY KEY (rowid=?)"), name


@pytest.mark.parametrize("after", [None, Position(NOW, RunId(5))], ids=["first", "later"])
@pytest.mark.parametrize(("wanted", "indexes"), LISTINGS, ids=named)
def test_a_list_is_read_along_the_indexes_that_serve_it(
    schema: apsw.Connection, after: Position | None, wanted: RunFilter, indexes: set[str]
) -> None:
    listing = listing_of(wanted, after)

    steps = steps_of(schema, "page", listing)

    # Runs that run are few, and sorted. All other ranges come in order; they are only merged.
    looked_at = [step for step in steps if re.search(r"\bruns\b", step)]
    assert {found_index(step) for step in looked_at} == indexes
    scanned = {found_index(step) for step in looked_at if step.startswith("SCAN")}
    assert scanned <= {"runs_running"}
    ranges = sum(len(branch.ranges()) for branch in listing.branches)
    assert len(looked_at) == ranges
    assert sorts(steps) == ("runs_running" in indexes)


@pytest.mark.parametrize(("wanted", "indexes"), LISTINGS, ids=named)
def test_a_list_is_counted_along_the_same_indexes(
    schema: apsw.Connection, wanted: RunFilter, indexes: set[str]
) -> None:
    steps = steps_of(schema, "count", listing_of(wanted))

    looked_at = [step for step in steps if re.search(r"\bruns\b", step)]
    assert {found_index(step) for step in looked_at} == indexes
    assert sorts(steps) == 0


@pytest.mark.parametrize("after", [None, Position(NOW, RunId(5))], ids=["first", "later"])
@pytest.mark.parametrize(("wanted", "ways"), COMBINED, ids=named)
def test_what_no_index_has_together_is_sifted_along_one_or_another(
    schema: apsw.Connection, after: Position | None, wanted: RunFilter, ways: list[set[str]]
) -> None:
    first, *others = listings_of(wanted, after)

    sifted = steps_of(schema, "sifted", first)
    few = [steps_of(schema, "few", other) for other in others]

    assert [indexes_of(steps) for steps in (sifted, *few)] == ways
    # Each range comes in order: nothing is sorted but what runs (once to look, once for the last place),
    # and the page.
    assert not any(step.startswith("SCAN runs") and "runs_running" not in step for step in sifted)
    assert sorts(sifted) <= 1 + 2 * ("runs_running" in ways[0])


def test_what_was_created_outside_is_counted_along_the_same_indexes(
    schema: apsw.Connection,
) -> None:
    wanted = RunFilter(task_id=TaskId(10), created_from=NOW, created_before=NOW)
    listing = outside_of(wanted)
    sql = list_text(QUERIES["count_outside"].sql, QUERIES["count_branch"].sql, listing)

    steps = plan(schema, sql, ["company_id", "limit", "first_task", "last_task", *listing.values])

    looked_at = [step for step in steps if re.search(r"\bruns\b", step)]
    assert {found_index(step) for step in looked_at} == OF_TASK
    assert all(step.startswith("SEARCH") for step in looked_at)


@pytest.mark.parametrize("after", [None, Position(NOW, RunId(5))], ids=["first", "later"])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(task_id=TaskId(10)), "calls_history"),
        (RunFilter(task_id=TaskId(10), finished_from=NOW), "calls_by_end"),
    ],
    ids=named,
)
def test_calls_are_sifted_along_one_history(
    schema: apsw.Connection, after: Position | None, wanted: RunFilter, index: str
) -> None:
    listing = calls_of(wanted, after)
    sql = list_text(QUERIES["sifted_calls"].sql, QUERIES["sifted_call_branch"].sql, listing)

    steps = plan(schema, sql, ["company_id", "limit", "most", *listing.values])

    looked_at = [step for step in steps if re.search(r"\bcalls\b", step)]
    assert {found_index(step) for step in looked_at if "PRIMARY KEY" not in step} == {index}
    assert not any(step.startswith("SCAN calls") for step in looked_at)
    assert sorts(steps) == 1


def test_what_an_index_holds_is_counted_without_its_rows(schema: apsw.Connection) -> None:
    task = TaskId(10)
    for wanted in (
        RunFilter(),
        RunFilter(states=(RunState.FAILED,)),
        RunFilter(task_id=task, created_from=NOW),
        RunFilter(trigger=Trigger.API),
        RunFilter(finished_from=NOW),
    ):
        sql = list_sql("count", listing_of(wanted))
        values = dict.fromkeys(["company_id", "limit", *listing_of(wanted).values], 1)
        steps = list(schema.execute("EXPLAIN " + sql, values))

        # The cursor of a table says how many columns it has, that of an index what its key is.
        tables = {
            cursor
            for _, opcode, cursor, *_, key, _, _ in steps
            if opcode == "OpenRead" and "k(" not in key
        }
        assert [step for step in steps if step[1] == "Column" and step[2] in tables] == [], wanted


def steps_of(db: apsw.Connection, kind: str, listing: Listing) -> list[str]:
    return plan(db, list_sql(kind, listing), ["company_id", "limit", "most", *listing.values])


def list_sql(kind: str, listing: Listing) -> str:
    whole = f"{kind}_of_runs" if f"{kind}_of_runs" in QUERIES else f"{kind}_runs"
    return list_text(QUERIES[whole].sql, QUERIES[f"{kind}_branch"].sql, listing)


def indexes_of(steps: Iterable[str]) -> set[str]:
    """The indexes along which runs are looked for; their rows are then found by id."""
    looked_at = [step for step in steps if re.search(r"\bruns\b", step)]
    return {found_index(step) for step in looked_at if "PRIMARY KEY" not in step}


def found_index(step: str) -> str:
    found = re.search(r"USING (?:COVERING )?INDEX (\w+)", step)
    return found[1] if found else step


def sorts(steps: Iterable[str]) -> int:
    return sum("TEMP B-TREE" in step for step in steps)
