"""What is remembered of a run: its moments, who asked, how it was started again."""

from datetime import timedelta
from pathlib import Path

import pytest

from runyard.engine.history import Moment
from runyard.engine.starts import RestartRequest, StartRequest
from runyard.model.errors import InputGone, TaskNotRunnable, TaskWithdrawn
from runyard.model.ids import ActorId
from runyard.model.runs import Outcome, Run, RunError
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy, Task
from runyard.model.types import Field, Text
from runyard.stores.contract.queues import GateLoad
from runyard.stores.postgres.store import PostgresStore
from tests.support.yard import Yard, _no_bytes, a_declaration

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=30)
RETRIES = Policies(retry=RetryPolicy(retries=1, jitter=0.0))


def copies_in(folder: Path) -> list[Path]:
    return list(folder.glob("blobs/??/*"))


async def delete_blobs(yard: Yard, folder: Path) -> None:
    copies = copies_in(folder)
    if isinstance(yard.store, PostgresStore):
        await yard.store._shared_blobs._unshare([copy.name for copy in copies], 2**62)
    for copy in copies:
        copy.unlink()


async def moments(yard: Yard, run: Run) -> list[tuple[RunState, int]]:
    story = await yard.engine.history.tell(yard.company, await yard.run(run))
    return [(moment.state, moment.attempt) for moment in story.moments]


async def last_moment(yard: Yard, run: Run) -> Moment:
    story = await yard.engine.history.tell(yard.company, await yard.run(run))
    return story.moments[-1]


async def test_the_moments_of_a_run_that_went_well(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    yard.later(SECOND)
    await yard.executed(worker)

    assert await moments(yard, run) == [
        (RunState.QUEUED, 0),
        (RunState.RUNNING, 1),
        (RunState.COMPLETED, 1),
    ]
    end = await last_moment(yard, run)
    assert (end.cause, end.note) == (Cause.RETURNED_NOTHING, None)


async def test_every_attempt_has_its_moments_and_says_how_it_failed(yard: Yard) -> None:
    await yard.a_task(policies=RETRIES)
    worker = await yard.a_worker()
    run = await yard.a_run()
    for number in (1, 2):
        yard.later(2 * SECOND)
        await worker.has_runs(1)
        error = RunError(kind="ValueError", message=f"wrong {number}")
        await yard.end(worker, yard.begin(worker), Outcome.RAISED, error=error)

    story = await yard.engine.history.tell(yard.company, await yard.run(run))

    assert [(m.state, m.attempt) for m in story.moments] == [
        (RunState.QUEUED, 0),
        (RunState.RUNNING, 1),
        (RunState.SCHEDULED, 1),
        (RunState.RUNNING, 2),
        (RunState.FAILED, 2),
    ]
    assert story.moments[2].note == (
        "attempt 1 ended (raised: ValueError: wrong 1); another one follows"
    )
    assert story.moments[-1].note == "ValueError: wrong 2"


async def test_parking_and_releasing_are_remembered_and_the_clock_starts_anew(yard: Yard) -> None:
    await yard.a_task()
    run = await yard.a_run(parked=True)
    yard.clock.advance(MINUTE)
    await yard.engine.runs.release(yard.company, str(run.id))
    released = yard.clock.now()
    yard.clock.advance(MINUTE)
    await yard.engine.runs.park(yard.company, str(run.id))

    assert await moments(yard, run) == [
        (RunState.PARKED, 0),
        (RunState.QUEUED, 0),
        (RunState.PARKED, 0),
    ]
    assert (await yard.run(run)).ready_at == released
    assert run.ready_at == run.created_at


async def test_a_run_that_is_due_later_is_ready_then(yard: Yard) -> None:
    await yard.a_task()
    due_at = yard.clock.now() + MINUTE
    run = await yard.a_run(due_at=due_at)

    assert run.ready_at == due_at
    assert await moments(yard, run) == [(RunState.SCHEDULED, 0)]


@pytest.mark.parametrize(
    ("begun", "note"),
    [(False, "removed from the queue"), (True, "cancelled while it was under way")],
)
async def test_the_end_of_a_cancelled_run_says_where_it_was(
    yard: Yard,
    begun: bool,  # noqa: FBT001
    note: str,
) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    if begun:
        yard.begin(worker)
        await yard.engine.tasks.kill(yard.company, "Work")
    else:
        await yard.engine.tasks.clean(yard.company, "Work")

    end = await last_moment(yard, run)

    assert (end.state, end.cause, end.note) == (RunState.CANCELLED, Cause.CANCELLED, note)


async def test_a_note_and_whoever_asked_are_remembered(yard: Yard) -> None:
    await yard.a_task()
    control = await yard.engine.remote_control.allow(yard.company)
    by = ActorId(control.token.id)
    run = await yard.a_run(by=by, note="for the audit")

    story = await yard.engine.history.tell(yard.company, run)

    assert story.moments[0].note == "for the audit"
    name = await yard.engine.actors.name(run.started_by)
    assert name == f"remote-control token ...{control.secret[-4:]} (remote control)"
    assert await yard.engine.actors.name(None) is None
    assert (
        await yard.engine.actors.name(ActorId(10**9)) == "somebody who was removed, id 1000000000"
    )


async def test_a_chain_of_restarts_knows_its_origin(yard: Yard) -> None:
    await yard.a_task()
    runs = [await yard.a_run(parked=True)]
    for _ in range(3):
        how = RestartRequest(parked=True, by=ActorId(7))
        runs.append(await yard.engine.runs.restart(yard.company, str(runs[-1].id), how))
    again = await yard.engine.runs.restart(yard.company, str(runs[0].id))

    stories = [await yard.engine.history.tell(yard.company, run) for run in runs]

    assert [run.level for run in runs] == [0, 1, 2, 3]
    assert {story.origin for story in stories} == {runs[0].id}
    assert [story.restarts for story in stories] == [2, 1, 1, 0]
    assert (again.level, again.state) == (1, RunState.QUEUED)
    assert runs[1].started_by == 7


async def test_whoever_may_wait_starts_runs_of_a_task_that_is_not_runnable(yard: Yard) -> None:
    await yard.a_task()
    old = await yard.a_run(parked=True)
    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)

    waiting = await yard.a_run(waits=True)
    how = RestartRequest(waits=True)
    restarted = await yard.engine.runs.restart(yard.company, str(old.id), how)

    assert {waiting.state, restarted.state} == {RunState.QUEUED}
    with pytest.raises(TaskNotRunnable):
        await yard.a_run()
    with pytest.raises(TaskNotRunnable):
        await yard.engine.runs.restart(yard.company, str(old.id))


async def test_nobody_starts_runs_of_a_withdrawn_task(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker(capacity=0)
    worker.next_bundle = (a_declaration("Other"),)
    await yard.engine.deploys.deploy(yard.company, "Work", _no_bytes())

    with pytest.raises(TaskWithdrawn):
        await yard.engine.starts.start(yard.company, [StartRequest(task="Work", waits=True)])


async def test_a_run_whose_input_is_gone_is_not_restarted(yard: Yard, memory_path: Path) -> None:
    await yard.a_task(inputs=(Field(name="text", parameter="text", type=Text()),))
    run = await yard.a_run(input=b'{"text":"%s"}' % (b"x" * 100_000), parked=True)
    await delete_blobs(yard, memory_path)

    with pytest.raises(InputGone):
        await yard.engine.runs.restart(yard.company, str(run.id))


async def test_the_orchestrator_knows_who_switched_it_last(yard: Yard) -> None:
    orchestrator = yard.engine.orchestrator
    before = await orchestrator.view(yard.company)
    yard.clock.advance(MINUTE)
    await orchestrator.pause(yard.company, by=ActorId(5))
    paused_at = yard.clock.now()
    yard.clock.advance(MINUTE)
    await orchestrator.pause(yard.company, by=ActorId(6))

    after = await orchestrator.view(yard.company)

    assert (before.changed_at, before.changed_by) == (None, None)
    assert (after.runnable, after.changed_at, after.changed_by) == (False, paused_at, 5)


async def test_a_kill_ends_runs_between_attempts_and_leaves_the_queue_alone(yard: Yard) -> None:
    await yard.a_task(policies=RETRIES)
    worker = await yard.a_worker(capacity=1)
    between = await yard.a_run()
    await worker.has_runs(1)
    await yard.end(worker, yard.begin(worker), Outcome.RAISED)
    begun = await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)
    queued = await yard.a_run()

    report = await yard.engine.tasks.kill(yard.company, "Work")

    assert sorted(report.killed) == [between.id, begun.id]
    assert (await yard.run(between)).state is RunState.CANCELLED
    assert (await yard.run(queued)).state in {RunState.QUEUED, RunState.RUNNING}


async def test_what_no_worker_takes_is_dropped_on_its_own(yard: Yard) -> None:
    await yard.a_task()
    queued, parked = await yard.a_run(), await yard.a_run(parked=True)
    later = await yard.a_run(due_at=yard.clock.now() + MINUTE)

    dropped = await yard.engine.tasks.drop_stranded(yard.company, "Work")

    assert dropped == [queued.id]
    assert (await yard.run(parked)).state is RunState.PARKED
    assert (await yard.run(later)).state is RunState.SCHEDULED


async def test_the_loads_of_tasks_are_counted_apart(yard: Yard) -> None:
    task = await yard.a_task(policies=RETRIES)
    worker = await yard.a_worker(capacity=1)
    await yard.a_run()
    await worker.has_runs(1)
    await yard.end(worker, yard.begin(worker), Outcome.RAISED)
    await yard.a_run()
    await worker.has_runs(1)
    yard.begin(worker)
    await yard.a_run()
    await yard.a_run(parked=True)
    await yard.a_run(due_at=yard.clock.now() + MINUTE)
    load = await _load(yard, task)
    while load.begun < 2:  # the begun one counts once its beginning is written
        yard.later(MOMENT)
        await yard.turned()
        load = await _load(yard, task)

    assert (load.scheduled, load.queued, load.assigned, load.parked) == (1, 1, 0, 1)


async def _load(yard: Yard, task: Task) -> GateLoad:
    [load] = [
        load for load in await yard.engine.tasks.loads(yard.company) if load.gate_id == task.gate_id
    ]
    return load
