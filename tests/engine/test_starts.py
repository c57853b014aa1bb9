"""Starting runs: refused with every problem, all or none, once for each key (R1, R12)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.starts import MOST_RUNS, VALUES_LIMIT, IdempotencyKey, StartRequest
from runyard.model.errors import (
    IdempotencyConflict,
    InputRefused,
    QueueFull,
    TaskNotFound,
    TaskNotRunnable,
    TooLarge,
    VersionNotFound,
)
from runyard.model.states import RunState
from runyard.model.tasks import Policies
from runyard.model.types import Field, Integer, Text
from tests.support.yard import Yard, _no_bytes, a_declaration

COUNT = Field(name="count", parameter="count", type=Integer())
TEXT = Field(name="text", parameter="text", type=Text())
KEY = IdempotencyKey(text="once", request_digest=b"a" * 32)


async def nothing_was_started(yard: Yard) -> bool:
    return await yard.store.queues.state_counts(yard.company.id) == {}


async def test_input_that_does_not_fit_is_refused_with_all_its_problems(yard: Yard) -> None:
    await yard.a_task(inputs=(COUNT, TEXT))

    with pytest.raises(InputRefused) as refusal:
        await yard.a_run(input=b'{"count": "many", "colour": 1}')

    assert {problem.field for problem in refusal.value.problems} == {"count", "text", "colour"}
    assert await nothing_was_started(yard)


async def test_one_wrong_request_keeps_all_of_them_from_starting(yard: Yard) -> None:
    """R1"""
    await yard.a_task()
    good, wrong = StartRequest(task="Work"), StartRequest(task="Work", priority=100)

    with pytest.raises(InputRefused):
        await yard.engine.starts.start(yard.company, [good, wrong])

    assert await nothing_was_started(yard)


@pytest.mark.parametrize("priority", [0, 100, -1])
async def test_a_priority_out_of_bounds_is_refused(yard: Yard, priority: int) -> None:
    await yard.a_task()

    with pytest.raises(InputRefused, match="1 to 99"):
        await yard.a_run(priority=priority)


async def test_a_priority_is_asked_for_or_the_tasks_or_the_companys(yard: Yard) -> None:
    await yard.a_task("Choosy", policies=Policies(priority=10))
    await yard.a_task("Plain")
    await yard.engine.companies.update("acme", default_priority=70)
    company = await yard.engine.companies.load("acme")

    runs = [
        await yard.a_run(task, company=company, priority=asked)
        for task, asked in (("Choosy", 1), ("Choosy", None), ("Plain", None))
    ]

    assert [run.priority for run in runs] == [1, 10, 70]


async def test_a_run_of_a_fixed_version_is_judged_by_that_version(yard: Yard) -> None:
    await yard.a_task(inputs=(COUNT,))
    inspector = await yard.a_worker(capacity=0, name="inspector")
    inspector.next_bundle = (a_declaration(inputs=(TEXT,), fingerprint="1"),)
    await yard.engine.deploys.deploy(yard.company, "Work", _no_bytes())
    task = await yard.engine.tasks.load(yard.company, "Work")

    newest = await yard.a_run(input=b'{"text":"x"}')
    fixed = await yard.a_run(input=b'{"count":1}', version=1)

    assert newest.version_id == task.version_id
    assert fixed.version_id == (await yard.engine.tasks.version(yard.company, task, 1)).id
    with pytest.raises(InputRefused):
        await yard.a_run(input=b'{"text":"x"}', version=1)
    with pytest.raises(VersionNotFound, match="'Work' has no version 3"):
        await yard.a_run(version=3)


async def test_an_unknown_task_cannot_be_started(yard: Yard) -> None:
    with pytest.raises(TaskNotFound):
        await yard.a_run("Nothing")


async def test_the_task_of_another_company_cannot_be_started(yard: Yard) -> None:
    task = await yard.a_task()
    other = await yard.engine.companies.create("other")

    for ref in (task.name, str(task.id), task.public_id, str(task.uuid)):
        with pytest.raises(TaskNotFound):
            await yard.a_run(ref, company=other)


async def test_a_closed_task_cannot_be_started(yard: Yard) -> None:
    await yard.a_task()
    await yard.engine.tasks.set_runnable(yard.company, "Work", runnable=False)

    with pytest.raises(TaskNotRunnable):
        await yard.a_run()


async def test_a_withdrawn_task_cannot_be_started(yard: Yard) -> None:
    await yard.a_task()
    inspector = await yard.a_worker(capacity=0)
    inspector.next_bundle = ()
    await yard.engine.deploys.deploy(yard.company, "Work", _no_bytes())

    with pytest.raises(TaskNotRunnable, match="withdrawn"):
        await yard.a_run()


@pytest.mark.parametrize("count", [0, MOST_RUNS + 1])
async def test_a_start_has_one_to_a_thousand_runs(yard: Yard, count: int) -> None:
    """R12"""
    await yard.a_task()

    with pytest.raises(InputRefused, match="1 to 1000"):
        await yard.engine.starts.start(yard.company, [StartRequest(task="Work")] * count)


async def test_a_thousand_runs_start_in_order(yard: Yard) -> None:
    await yard.a_task()

    requests = [StartRequest(task="Work")] * MOST_RUNS
    started = await yard.engine.starts.start(yard.company, requests)

    ids = [run.id for run in started.runs]
    assert ids == sorted(set(ids))
    assert await yard.count(RunState.QUEUED) == MOST_RUNS


async def test_an_input_that_is_too_large_is_refused(yard: Yard) -> None:
    """R12"""
    await yard.a_task(inputs=(TEXT,))

    with pytest.raises(TooLarge):
        await yard.a_run(input=b'{"text": "' + b"x" * VALUES_LIMIT + b'"}')


async def test_a_run_with_a_large_input_is_picked_up_at_once(yard: Yard) -> None:
    """R2: its claim came before its row, and then nobody looked for a minute."""
    await yard.a_task(inputs=(TEXT,))
    worker = await yard.a_worker()
    text = b'{"text":"' + b"x" * 200_000 + b'"}'

    await yard.a_run(input=text)
    await worker.has_runs(1)

    assert worker.queue[0].input == text


async def test_more_runs_than_a_company_may_queue_are_refused(yard: Yard) -> None:
    """R12"""
    await yard.a_task()
    company = await yard.engine.companies.update("acme", queue_cap=3)
    for _ in range(3):
        run = await yard.a_run(company=company)

    with pytest.raises(QueueFull, match="allowed: 3"):
        await yard.a_run(company=company)
    await yard.engine.runs.cancel(company, str(run.id))
    await yard.a_run(company=company)

    assert await yard.count(RunState.QUEUED) == 3


async def test_a_repeated_key_answers_with_the_first_runs(yard: Yard) -> None:
    """R1"""
    await yard.a_task()
    requests = [StartRequest(task="Work")] * 3

    first = await yard.engine.starts.start(yard.company, requests, key=KEY)
    again = await yard.engine.starts.start(yard.company, requests, key=KEY)

    assert (first.repeated, again.repeated) == (False, True)
    assert [run.id for run in again.runs] == [run.id for run in first.runs]
    assert await yard.count(RunState.QUEUED) == 3


async def test_the_same_key_for_another_request_is_a_conflict(yard: Yard) -> None:
    await yard.a_task()
    request = [StartRequest(task="Work")]
    await yard.engine.starts.start(yard.company, request, key=KEY)

    other = IdempotencyKey(text=KEY.text, request_digest=b"b" * 32)
    with pytest.raises(IdempotencyConflict):
        await yard.engine.starts.start(yard.company, request, key=other)


async def test_a_key_used_many_times_at_once_starts_one_run(yard: Yard) -> None:
    """R1, R3"""
    await yard.a_task()
    request = [StartRequest(task="Work")]

    answers = await asyncio.gather(
        *(yard.engine.starts.start(yard.company, request, key=KEY) for _ in range(20))
    )

    assert len({answer.runs[0].id for answer in answers}) == 1
    assert sum(not answer.repeated for answer in answers) == 1
    assert await yard.count(RunState.QUEUED) == 1


async def test_a_key_of_another_company_is_another_key(yard: Yard) -> None:
    await yard.a_task()
    other = await yard.engine.companies.create("other")
    await yard.a_task(company=other)

    first = await yard.engine.starts.start(yard.company, [StartRequest(task="Work")], key=KEY)
    second = await yard.engine.starts.start(other, [StartRequest(task="Work")], key=KEY)

    assert not second.repeated
    assert first.runs[0].id != second.runs[0].id


async def test_a_run_due_later_starts_then_and_not_before(yard: Yard) -> None:
    """R9"""
    await yard.a_task()
    worker = await yard.a_worker()
    due_at = yard.clock.now() + timedelta(hours=1)
    run = await yard.a_run(due_at=due_at)

    yard.later(timedelta(minutes=59, seconds=59, milliseconds=999))
    await yard.turned()
    too_early = list(worker.queue)
    yard.later(timedelta(milliseconds=1))
    await worker.has_runs(1)

    assert run.state is RunState.SCHEDULED
    assert too_early == []
    assert worker.queue[0].run_id == run.id


async def test_a_run_due_in_the_past_is_queued_at_once(yard: Yard) -> None:
    await yard.a_task()

    run = await yard.a_run(due_at=yard.clock.now() - timedelta(hours=1))

    assert (run.state, run.due_at) == (RunState.QUEUED, None)
