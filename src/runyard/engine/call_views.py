"""Calls as runs: whoever looks at a company's runs sees its calls among them."""

from datetime import datetime

from runyard.model.ids import GateId, RunId
from runyard.model.runs import CALL_TOKEN, Run
from runyard.model.states import Trigger
from runyard.model.tasks import DEFAULT_PRIORITY
from runyard.stores.contract.calls import CallCount, CallPage, CallRecord
from runyard.stores.contract.listing import RunFilter, RunPage
from runyard.stores.contract.runs import RunValues


def run_from_call(call: CallRecord) -> Run:
    """A call as the run that it is."""
    return Run(
        id=call.id,
        public_id=call.public_id,
        company_id=call.company_id,
        task_id=call.task_id,
        version_id=call.version_id,
        gate_id=GateId(0),
        state=call.state,
        cause=call.cause,
        priority=DEFAULT_PRIORITY,
        rank=0,
        level=0,
        restarted_from=None,
        trigger=Trigger.CALL,
        schedule_id=None,
        created_at=call.created_at,
        due_at=None,
        queued_at=call.created_at,
        started_at=call.started_at,
        finished_at=call.finished_at,
        attempt=0 if call.started_at is None else 1,
        begun_at=call.started_at,
        worker_id=call.worker_id,
        lease_token=CALL_TOKEN,
        logged_errors=call.logged_errors,
        progress_done=None,
        progress_total=None,
    )


def values_of_call(call: CallRecord) -> RunValues:
    """What went into a call and came out of it."""
    return RunValues(input=call.input, output=call.output, error=call.error)


def merged(
    wanted: RunFilter, page: RunPage, calls: CallPage, count: CallCount, limit: int
) -> RunPage:
    """A page of runs with the calls that belong between them."""
    found = [*page.runs, *map(run_from_call, calls.records)]
    ends = [end for end in (page.next, calls.next) if end is not None]
    end = max(ends, key=lambda position: (position.at, position.run_id), default=None)
    if end is not None:
        # Beyond it not everything has been looked at that may stand between these.
        found = [run for run in found if _place(wanted, run) >= (end.at, end.run_id)]
    found.sort(key=lambda run: _place(wanted, run), reverse=True)
    shown = tuple(found[:limit])
    return RunPage(
        runs=shown,
        next=wanted.position_of(shown[-1]) if len(found) > limit else end,
        total=page.total + count.count,
        total_is_exact=page.total_is_exact and count.is_exact,
    )


def _place(wanted: RunFilter, run: Run) -> tuple[datetime, RunId]:
    position = wanted.position_of(run)
    return position.at, position.run_id
