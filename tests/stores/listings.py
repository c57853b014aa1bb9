"""Every kind of list, and the indexes that serve it: what the tests of plans ask both databases."""

from datetime import timedelta

from runyard.model.ids import RunId, ScheduleId, TaskId, WorkerId
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.contract.listing import RunFilter
from tests.stores.builders import NOW

S, T = RunState, TaskId(10)
BAD = (S.FAILED, S.CANCELLED)
LATER = NOW + timedelta(seconds=5)

EVERYTHING = {"runs_active", "runs_aside", "runs_ended"}
OF_TASK = {"runs_active_of_task", "runs_aside_of_task", "runs_ended_of_task"}
OF_WORKER = {"runs_of_worker", "runs_tried_of_worker", "runs_running"}

LISTINGS: list[tuple[RunFilter, set[str]]] = [
    (RunFilter(), EVERYTHING),
    *((RunFilter(states=(state,)), {"runs_aside"}) for state in (S.PARKED, S.PREPARING)),
    *((RunFilter(states=(state,)), {"runs_aside"}) for state in (S.SCHEDULED, S.WAITING)),
    (RunFilter(states=(S.QUEUED,)), {"runs_active"}),
    (RunFilter(states=(S.RUNNING,)), {"runs_running"}),
    (RunFilter(states=(S.RUNNING, S.QUEUED)), {"runs_active"}),
    (RunFilter(states=(S.RUNNING, S.WAITING)), {"runs_running", "runs_aside"}),
    *((RunFilter(states=(state,)), {"runs_ended"}) for state in (S.COMPLETED, *BAD)),
    (RunFilter(states=BAD), {"runs_ended"}),
    (RunFilter(states=(S.SCHEDULED, S.QUEUED)), {"runs_active", "runs_aside"}),
    (RunFilter(states=(S.COMPLETED, S.QUEUED)), {"runs_active", "runs_ended"}),
    (RunFilter(causes=(Cause.RAISED, Cause.RETURNED)), {"runs_ended"}),
    (RunFilter(states=(S.FAILED, S.QUEUED), causes=(Cause.RAISED,)), {"runs_ended"}),
    (RunFilter(created_from=NOW), EVERYTHING),
    (RunFilter(created_before=NOW), EVERYTHING),
    (RunFilter(created_from=NOW, created_before=LATER), EVERYTHING),
    (RunFilter(finished_from=NOW), {"runs_by_end"}),
    (RunFilter(finished_from=NOW, finished_before=LATER), {"runs_by_end"}),
    (RunFilter(finished_before=NOW, states=(S.FAILED,), task_id=T), {"runs_by_end"}),
    (RunFilter(worker_id=WorkerId(1)), OF_WORKER),
    (RunFilter(worker_id=WorkerId(1), states=(S.RUNNING,)), {"runs_running"}),
    (RunFilter(worker_id=WorkerId(1), states=(S.FAILED,), task_id=T), {"runs_ended_of_task"}),
    (RunFilter(worker_id=WorkerId(1), states=(S.FAILED,)), {"runs_of_worker"}),
    (RunFilter(worker_id=WorkerId(1), causes=(Cause.RAISED,)), {"runs_of_worker"}),
    (RunFilter(schedule_id=ScheduleId(1)), {"runs_of_schedule"}),
    (RunFilter(schedule_id=ScheduleId(1), states=(S.QUEUED,)), {"runs_of_schedule"}),
    (RunFilter(restarted_from=RunId(1)), {"runs_restarted"}),
    (RunFilter(trigger=Trigger.SCHEDULE), {"runs_by_trigger"}),
    (RunFilter(trigger=Trigger.API, created_from=NOW), {"runs_by_trigger"}),
    (RunFilter(trigger=Trigger.API, states=(S.FAILED,)), {"runs_ended"}),
    (RunFilter(task_id=T), OF_TASK),
    (RunFilter(task_id=T, created_from=NOW, created_before=LATER), OF_TASK),
    (RunFilter(task_id=T, trigger=Trigger.API), OF_TASK),
    (RunFilter(task_id=T, states=(S.QUEUED,)), {"runs_active_of_task"}),
    (RunFilter(task_id=T, states=(S.RUNNING,)), {"runs_running"}),
    (RunFilter(task_id=T, states=(S.SCHEDULED,)), {"runs_aside_of_task"}),
    (RunFilter(task_id=T, states=(S.COMPLETED,)), {"runs_ended_of_task"}),
    (RunFilter(task_id=T, states=BAD, created_from=NOW), {"runs_ended_of_task"}),
    (RunFilter(task_id=T, causes=(Cause.TIMED_OUT,), created_before=NOW), {"runs_ended_of_task"}),
]

COMBINED: list[tuple[RunFilter, list[set[str]]]] = [
    # A worker may work for other companies, too.
    (RunFilter(worker_id=WorkerId(1)), [OF_WORKER, EVERYTHING]),
    (RunFilter(worker_id=WorkerId(1), states=(S.FAILED,)), [{"runs_of_worker"}, {"runs_ended"}]),
    (RunFilter(task_id=T, worker_id=WorkerId(1)), [OF_TASK, OF_WORKER]),
    (
        RunFilter(task_id=T, worker_id=WorkerId(1), states=BAD, trigger=Trigger.API),
        [{"runs_ended_of_task"}, {"runs_of_worker"}, {"runs_by_trigger"}],
    ),
    (RunFilter(task_id=T, trigger=Trigger.RESTART), [{"runs_by_trigger"}, OF_TASK]),
    (RunFilter(task_id=T, trigger=Trigger.DIALECT), [OF_TASK, {"runs_by_trigger"}]),
    (
        RunFilter(schedule_id=ScheduleId(1), states=(S.QUEUED,)),
        [{"runs_of_schedule"}, {"runs_active"}],
    ),
    (RunFilter(schedule_id=ScheduleId(1), task_id=T), [{"runs_of_schedule"}, OF_TASK]),
    (
        RunFilter(worker_id=WorkerId(1), trigger=Trigger.API),
        [OF_WORKER, EVERYTHING, {"runs_by_trigger"}],
    ),
    (RunFilter(states=(S.FAILED,), trigger=Trigger.API), [{"runs_ended"}, {"runs_by_trigger"}]),
    (RunFilter(finished_from=NOW, task_id=T), [{"runs_by_end"}, {"runs_ended_of_task"}]),
    (
        RunFilter(finished_from=NOW, worker_id=WorkerId(1), schedule_id=ScheduleId(1)),
        [{"runs_by_end"}, {"runs_of_schedule"}, {"runs_of_worker"}, {"runs_ended"}],
    ),
    (RunFilter(finished_from=NOW, states=(S.FAILED,)), [{"runs_by_end"}, {"runs_ended"}]),
]
"""What no index has together, and the indexes of each way to it; the first is that of the list."""


def named(wanted: RunFilter | set[str] | list[set[str]]) -> str:
    """A filter in the name of a test: what it asks for."""
    if not isinstance(wanted, RunFilter):
        return ""
    fields = ((name, getattr(wanted, name)) for name in wanted.__struct_fields__)
    asked = []
    for name, value in fields:
        if isinstance(value, tuple) and value:
            asked.append("+".join(value))
        elif isinstance(value, Trigger):
            asked.append(f"{name}={value}")
        elif value:
            asked.append(name)
    return ",".join(asked) or "all"
