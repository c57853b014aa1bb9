"""Deploying: what becomes of tasks and their versions, or nothing at all."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from runyard.engine.deploys import Change, DeployReport
from runyard.engine.starts import RestartRequest
from runyard.model.errors import (
    CodeRefused,
    InputRefused,
    NoWorker,
    RunyardError,
    TaskOwnedElsewhere,
    VersionNotFound,
)
from runyard.model.tasks import Declaration, Policies
from runyard.model.types import Field, Integer
from tests.support.yard import HandWorker, Yard, a_declaration


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"bundle"


async def deployed(
    yard: Yard,
    inspector: HandWorker,
    *found: Declaration,
    bundle: str = "shop",
    take_over: bool = False,
) -> DeployReport:
    inspector.next_bundle = found
    return await yard.engine.deploys.deploy(yard.company, bundle, some_bytes(), take_over=take_over)


def changes(report: DeployReport) -> dict[str, Change]:
    return {item.task.name: item.change for item in report.tasks}


async def test_only_what_changed_gets_a_version(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    first = await deployed(yard, inspector, a_declaration("A"), a_declaration("B"))
    again = await deployed(yard, inspector, a_declaration("A"), a_declaration("B"))
    changed = await deployed(
        yard, inspector, a_declaration("A"), a_declaration("B", fingerprint="1")
    )

    assert changes(first) == {"A": Change.NEW, "B": Change.NEW}
    assert changes(again) == {"A": Change.UNCHANGED, "B": Change.UNCHANGED}
    assert changes(changed) == {"A": Change.UNCHANGED, "B": Change.CHANGED}
    tasks = {task.name: task for task in await yard.engine.tasks.list(yard.company)}
    assert [tasks[name].version for name in "AB"] == [1, 2]
    versions = await yard.engine.tasks.versions(yard.company, tasks["B"])
    assert [version.number for version in versions] == [2, 1]
    with pytest.raises(VersionNotFound):
        await yard.engine.tasks.version(yard.company, tasks["A"], 2)


async def test_a_task_that_is_gone_is_withdrawn_and_comes_back_with_its_ids(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    first = await deployed(yard, inspector, a_declaration("A"), a_declaration("B"))
    without = await deployed(yard, inspector, a_declaration("A"))
    listed = [task.name for task in await yard.engine.tasks.list(yard.company)]
    back = await deployed(yard, inspector, a_declaration("A"), a_declaration("B"))

    ids = [next(t.task for t in r.tasks if t.task.name == "B") for r in (first, without, back)]
    assert changes(without)["B"] is Change.WITHDRAWN
    assert listed == ["A"]
    assert len({task.id for task in ids}) == 1
    assert len({task.uuid for task in ids}) == 1
    assert [task.withdrawn_at is None for task in ids] == [True, False, True]


async def test_a_task_belongs_to_one_bundle_until_it_is_taken_over(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    await deployed(yard, inspector, a_declaration("A"))

    with pytest.raises(TaskOwnedElsewhere):
        await deployed(yard, inspector, a_declaration("A"), a_declaration("C"), bundle="other")
    names = [task.name for task in await yard.engine.tasks.list(yard.company)]
    await deployed(yard, inspector, a_declaration("A"), bundle="other", take_over=True)

    assert names == ["A"]
    assert (await yard.engine.tasks.load(yard.company, "A")).bundle_name == "other"


async def test_broken_code_changes_nothing(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    await deployed(yard, inspector, a_declaration("A"))
    before = await yard.engine.tasks.list(yard.company, include_withdrawn=True)
    inspector.next_bundle = CodeRefused("it does not parse", file="shop.py", line=3)
    lines: list[str] = []

    with pytest.raises(CodeRefused) as refusal:
        await yard.engine.deploys.deploy(yard.company, "shop", some_bytes(), on_line=lines.append)

    assert (refusal.value.file, refusal.value.line) == ("shop.py", 3)
    assert lines == ["looking into the bundle"]
    assert await yard.engine.tasks.list(yard.company, include_withdrawn=True) == before


async def test_a_deploy_needs_a_worker_and_a_name(yard: Yard) -> None:
    with pytest.raises(NoWorker):
        await yard.engine.deploys.deploy(yard.company, "shop", some_bytes())
    await yard.a_worker(capacity=0)
    with pytest.raises(InputRefused, match="letters, digits"):
        await yard.engine.deploys.deploy(yard.company, "../shop", some_bytes())


async def test_deploys_at_the_same_moment_leave_one_consistent_state(yard: Yard) -> None:
    """R3: each is applied whole, or refused."""
    inspectors = [await yard.a_worker(capacity=0, name=f"i{n}") for n in range(4)]
    await deployed(yard, inspectors[0], a_declaration("A"))

    answers = await asyncio.gather(
        *(
            deployed(
                yard,
                inspectors[0],
                a_declaration("A", fingerprint=f"{n}"),
                a_declaration("B", fingerprint=f"{n}"),
            )
            for n in range(1, 5)
        ),
        return_exceptions=True,
    )

    assert any(isinstance(answer, DeployReport) for answer in answers)
    assert all(isinstance(answer, DeployReport | RunyardError) for answer in answers)
    tasks = {task.name: task for task in await yard.engine.tasks.list(yard.company)}
    current = [
        (await yard.engine.tasks.version(yard.company, tasks[name])).declaration.fingerprint
        for name in "AB"
    ]
    assert current[0] == current[1]
    numbers = [v.number for v in await yard.engine.tasks.versions(yard.company, tasks["A"])]
    assert numbers == list(range(len(numbers), 0, -1))


async def test_a_run_keeps_the_version_that_it_was_started_with(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    await deployed(yard, inspector, a_declaration("A"))
    before = await yard.a_run("A")
    await deployed(yard, inspector, a_declaration("A", fingerprint="1"))
    after = await yard.a_run("A")
    await yard.engine.runs.cancel(yard.company, str(before.id))

    new = await yard.engine.runs.restart(yard.company, str(before.id))
    same = await yard.engine.runs.restart(
        yard.company, str(before.id), RestartRequest(same_version=True)
    )

    assert before.version_id != after.version_id
    assert (new.version_id, same.version_id) == (after.version_id, before.version_id)


async def test_a_new_limit_holds_from_the_deploy_on(yard: Yard) -> None:
    """R7"""
    inspector = await yard.a_worker(capacity=0)
    narrow = a_declaration("A", policies=Policies(concurrency=1))
    await deployed(yard, inspector, narrow)
    worker = await yard.a_worker(capacity=5, name="able")
    for _ in range(4):
        await yard.a_run("A")
    await worker.has_runs(1)
    await yard.turned()
    before = len(worker.queue)

    wide = msgspec.structs.replace(narrow, policies=Policies(concurrency=3), fingerprint="1")
    await deployed(yard, inspector, wide)
    await worker.has_runs(3)
    await yard.turned()

    assert (before, len(worker.queue)) == (1, 3)


async def test_a_restart_whose_input_no_longer_fits_is_refused(yard: Yard) -> None:
    inspector = await yard.a_worker(capacity=0)
    await deployed(yard, inspector, a_declaration("A"))
    run = await yard.a_run("A")
    await yard.engine.runs.cancel(yard.company, str(run.id))
    needed = Field(name="count", parameter="count", type=Integer())
    await deployed(yard, inspector, a_declaration("A", inputs=(needed,), fingerprint="1"))

    with pytest.raises(InputRefused, match="count"):
        await yard.engine.runs.restart(yard.company, str(run.id))
