"""Workers of other servers: what is asked at a server without one is answered all the same."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runyard.model.errors import CodeRefused, NoWorker
from runyard.model.tasks import Policies
from tests.support.pair import Pair, opened_pair
from tests.support.yard import a_declaration


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def a_bundle() -> AsyncIterator[bytes]:
    yield b"bundle"


async def test_a_bundle_is_inspected_by_a_worker_of_another_server(pair: Pair) -> None:
    worker = await pair.there.a_worker(name="far")
    worker.next_bundle = (a_declaration("Found"),)
    lines: list[str] = []

    report = await pair.here.engine.deploys.deploy(
        pair.here.company, "code", a_bundle(), on_line=lines.append
    )

    assert [deployed.task.name for deployed in report.tasks] == ["Found"]
    assert lines == ["looking into the bundle"]
    assert (await pair.there.engine.tasks.load(pair.there.company, "Found")).name == "Found"


async def test_what_is_wrong_with_a_bundle_is_told_by_a_worker_of_another_server(
    pair: Pair,
) -> None:
    worker = await pair.there.a_worker(name="far")
    worker.next_bundle = CodeRefused("invalid syntax", file="tasks.py", line=7)

    with pytest.raises(CodeRefused, match="invalid syntax") as refusal:
        await pair.here.engine.deploys.deploy(pair.here.company, "code", a_bundle())

    assert (refusal.value.file, refusal.value.line) == ("tasks.py", 7)
    assert await pair.here.engine.tasks.list(pair.here.company) == []


async def test_without_any_worker_nothing_is_deployed(pair: Pair) -> None:
    with pytest.raises(NoWorker):
        await pair.here.engine.deploys.deploy(pair.here.company, "code", a_bundle())


async def test_the_labels_and_slots_of_workers_elsewhere_count_when_waiting_is_explained(
    pair: Pair,
) -> None:
    await pair.here.a_task("Drawn", policies=Policies(labels=("gpu",)))
    run = await pair.here.a_run("Drawn")
    explain = pair.here.engine.explain
    [missing] = await explain.why(pair.here.company, run)
    far = await pair.there.a_worker(capacity=1, name="far", labels=("gpu",))
    await far.has_runs(1)
    behind = await pair.here.a_run("Drawn")

    full, before = await explain.why(pair.here.company, behind), far.queue[0].run_id

    assert missing.code == "no_worker"
    assert [(reason.code, reason.run_ids) for reason in full] == [("no_free_slot", (before,))]


async def test_the_doctor_sees_the_servers_and_all_their_workers(pair: Pair) -> None:
    await pair.there.a_worker(capacity=3, name="far")

    found = {c.name: c for c in (await pair.here.engine.doctor.examine()).checks}

    assert found["workers"].ok
    assert found["workers"].detail == "1 online with 3 slots"
    assert found["servers"].detail == "2 connected"
    assert "isolation of far" in found
