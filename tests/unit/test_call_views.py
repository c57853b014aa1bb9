"""Calls among runs: a page shows both in their order, and passes over nothing unseen."""

from datetime import UTC, datetime, timedelta

from runyard.engine.call_views import merged, run_from_call
from runyard.model.ids import AllocationId, CompanyId, RunId, TaskId, VersionId, WorkerId
from runyard.model.states import Cause, RunState
from runyard.stores.contract.calls import CallCount, CallPage, CallRecord
from runyard.stores.contract.listing import TOTAL_LIMIT, Position, RunFilter, RunPage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_call(second: int) -> CallRecord:
    at = NOON + timedelta(seconds=second)
    return CallRecord(
        id=RunId(second),
        public_id=bytes(16),
        company_id=CompanyId(1),
        task_id=TaskId(2),
        version_id=VersionId(3),
        allocation_id=AllocationId(4),
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        created_at=at,
        started_at=at,
        finished_at=at,
        worker_id=WorkerId(5),
        logged_errors=0,
        input=b"{}",
        output=None,
        error=None,
    )


def calls(*seconds: int, until: int | None = None) -> CallPage:
    return CallPage(tuple(a_call(second) for second in seconds), until and place(until))


def place(second: int) -> Position:
    return Position(a_call(second).created_at, RunId(second))


def a_page(*seconds: int, until: int | None = None, total: int = 5) -> RunPage:
    runs = tuple(run_from_call(a_call(second)) for second in seconds)
    return RunPage(runs=runs, next=until and place(until), total=total, total_is_exact=True)


TWO = CallCount(2, is_exact=True)


def test_runs_and_calls_are_in_one_order() -> None:
    page = merged(RunFilter(), a_page(9, 5), calls(7, 3), TWO, 10)

    assert [run.id for run in page.runs] == [9, 7, 5, 3]
    assert page.next is None
    assert (page.total, page.total_is_exact) == (7, True)


def test_a_full_page_leads_on_from_its_last_run() -> None:
    page = merged(RunFilter(), a_page(9, 5), calls(7, 3), TWO, 3)

    assert [run.id for run in page.runs] == [9, 7, 5]
    assert page.next == place(5)


def test_calls_beyond_what_was_looked_at_wait_for_the_next_page() -> None:
    page = merged(RunFilter(), a_page(9, until=6), calls(7, 3), TWO, 10)

    assert [run.id for run in page.runs] == [9, 7]
    assert page.next == place(6)


def test_runs_beyond_the_last_call_that_was_looked_at_wait_too() -> None:
    page = merged(RunFilter(), a_page(9, 5, until=4), calls(7, until=6), TWO, 10)

    assert [run.id for run in page.runs] == [9, 7]
    assert page.next == place(6)


def test_a_total_is_exact_if_both_counts_are() -> None:
    many = a_page(9, total=50 * TOTAL_LIMIT)

    few_calls = merged(RunFilter(), many, calls(7), TWO, 10)
    many_calls = merged(RunFilter(), many, calls(7), CallCount(TOTAL_LIMIT, is_exact=False), 10)

    assert (few_calls.total, few_calls.total_is_exact) == (50 * TOTAL_LIMIT + 2, True)
    assert (many_calls.total, many_calls.total_is_exact) == (51 * TOTAL_LIMIT, False)
