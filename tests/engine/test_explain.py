"""Why a run is waiting, and what clears it."""

from datetime import timedelta

import pytest

from runyard.model.runs import Outcome
from runyard.model.tasks import Policies, RetryPolicy
from runyard.telemetry import listening
from tests.support.yard import Yard

SOON = timedelta(minutes=1)


async def codes(yard: Yard, run: object) -> list[str]:
    now = await yard.run(run)  # type: ignore[arg-type]
    company = await yard.engine.companies.load("acme")
    reasons = await yard.engine.explain.why(company, now)
    assert all(reason.text and reason.action for reason in reasons)
    return [reason.code for reason in reasons]


async def test_every_reason_is_told_in_the_order_of_dispatch(yard: Yard) -> None:
    await yard.a_task(policies=Policies(labels=("gpu",)))
    run = await yard.a_run(parked=True)
    await yard.engine.orchestrator.pause(yard.company)
    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)

    found = [await codes(yard, run)]
    await yard.engine.runs.release(yard.company, str(run.id))
    found.append(await codes(yard, run))
    await yard.engine.orchestrator.resume(yard.company)
    found.append(await codes(yard, run))
    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=True)
    found.append(await codes(yard, run))
    worker = await yard.a_worker(labels=("gpu",))
    await worker.has_runs(1)
    found.append(await codes(yard, run))

    everything = ["parked", "orchestrator_paused", "task_not_runnable", "no_worker"]
    assert found == [everything, everything[1:], everything[2:], everything[3:], []]


async def test_a_run_at_its_limit_names_the_runs_that_hold_it(yard: Yard) -> None:
    await yard.a_task(policies=Policies(concurrency=1))
    holder, run = await yard.a_run(), await yard.a_run()
    worker = await yard.a_worker()
    await worker.has_runs(1)
    await yard.turned()

    [reason] = await yard.engine.explain.why(yard.company, await yard.run(run))

    assert reason.code == "at_limit"
    assert reason.run_ids == (holder.id,)


async def test_a_run_without_a_free_slot_says_who_is_before_it(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker(capacity=1)
    await yard.a_run()
    await worker.has_runs(1)
    first, second = await yard.a_run(), await yard.a_run()
    await yard.turned()

    assert await codes(yard, first) == ["no_free_slot"]
    assert await codes(yard, second) == ["no_free_slot", "behind"]


async def test_a_run_due_later_and_one_that_is_tried_again_say_when(yard: Yard) -> None:
    await yard.a_task(policies=Policies(retry=RetryPolicy(retries=1)))
    worker = await yard.a_worker()
    later = await yard.a_run(due_at=yard.clock.now() + SOON)
    await yard.a_run()
    failed = await yard.executed(worker, Outcome.RAISED)

    assert await codes(yard, later) == ["due_later"]
    assert await codes(yard, failed) == ["retry_delay"]


@pytest.mark.parametrize("how", ["cancelled", "completed"])
async def test_an_ended_run_says_how_it_ended(yard: Yard, how: str) -> None:
    await yard.a_task()
    run = await yard.a_run()
    if how == "cancelled":
        run = await yard.engine.runs.cancel(yard.company, str(run.id))
    else:
        run = await yard.executed(await yard.a_worker())

    [reason] = await yard.engine.explain.why(yard.company, run)

    assert reason.code == "ended"
    assert how in reason.text


async def test_a_worker_that_can_start_nothing_says_why(yard: Yard) -> None:
    """R12: the reasons said that all slots were taken, when none was."""
    await yard.a_task()
    worker = await yard.a_worker()
    with listening() as events:
        yard.engine.note_shortage(worker.session, "no process could be made for it")
    yard.engine.set_capacity(worker.session, 0)
    run = await yard.a_run()

    [reason] = await yard.engine.explain.why(yard.company, run)

    assert reason.code == "no_process"
    assert "hand" in reason.text
    assert [(name, fields["name"]) for name, fields in events] == [("worker.short", "hand")]
    yard.engine.note_shortage(worker.session, "")
    yard.engine.set_capacity(worker.session, 2)
    await worker.has_runs(1)
