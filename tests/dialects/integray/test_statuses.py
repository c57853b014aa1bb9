"""Each of the fifteen statuses, reached by a real run: real code, in real children."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from runyard.model.tokens import Role, TokenKind
from tests.dialects.integray.conftest import Control, controlled
from tests.support.house import environment
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import a_bundle, running_runyard

CODE = """
    import os, time
    from dataclasses import dataclass
    from runyard import log, task

    @task("Greet")
    def greet(name: str = "Eva") -> str:
        log.info("greeting")
        return f"Hello {name}"

    @task("Nothing")
    def nothing() -> None:
        log.info("nothing to do")

    @task("Grumble")
    def grumble() -> str:
        log.error("one row failed")
        return "the others are done"

    @task("Raise")
    def fail() -> str:
        raise ValueError("no such zip code")

    @task("Dawdle")
    def dawdle() -> str:
        log.info(f"pid {os.getpid()}")
        time.sleep(600)
        return "done"

    @task("Hurry", timeout="500ms")
    def hurry() -> str:
        time.sleep(600)
        return "done"

    @task("Mislead")
    def mislead() -> int:
        return "not a number"

    @task("Gpu", labels=("gpu",))
    def gpu() -> str:
        return "drawn"

    @task("Doomed", labels=("doomed",))
    def doomed() -> str:
        log.info("begun")
        time.sleep(600)
        return "done"

    @dataclass
    class Picky:
        zip: str

        def __post_init__(self) -> None:
            if len(self.zip) != 5:
                raise ValueError("a zip code has five digits")

    @task("Picky input")
    def picky_input(where: Picky) -> str:
        return where.zip
"""
PICKY = """
    import sys
    from runyard import task

    if "runyard.sdk.inspection" not in sys.modules:
        raise RuntimeError("this library is not on this machine")

    @task("Not here")
    def not_here() -> str:
        return "never"
"""

pytestmark = pytest.mark.timeout(240)


async def bundle(files: dict[str, str]) -> AsyncIterator[bytes]:
    yield a_bundle(files)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme() -> AsyncIterator[Control]:
    """A company under remote control, on a server with a real worker of two slots."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        lease = timedelta(seconds=4)
        async with (
            running_runyard(Path(folder), slots=2, lease=lease) as server,
            AsyncExitStack() as opened,
        ):
            control = await controlled(server, "acme", opened)
            deploys = server.engine.deploys
            await deploys.deploy(control.company, "tasks", bundle({"tasks.py": CODE}))
            await deploys.deploy(control.company, "picky", bundle({"picky.py": PICKY}))
            yield control


async def shown(acme: Control, run: int, status: int, name: str) -> dict:
    """The detail of the run, which has this status everywhere that shows one."""
    detail = await acme.until(run, status)
    listed = await acme.get("/taskruns", statusId=status, count=1000)
    assert detail["status"] == name
    assert run in [item["taskRunId"] for item in listed]
    assert {item["statusId"] for item in listed} == {status}
    assert detail["history"][-1]["statusId"] == status or status == 101
    return detail


async def test_1_scheduled(acme: Control) -> None:
    await acme.put("/orchestrator/status", {"isRunnable": False})
    run = await acme.start("Greet")

    detail = await shown(acme, run, 1, "Scheduled")

    assert (detail["started"], detail["waitTimeMs"]) == (None, None)
    await acme.put("/orchestrator/status", {"isRunnable": True})
    assert (await acme.ended(run))["statusId"] == 200


async def test_100_in_progress(acme: Control) -> None:
    run = await acme.start("Dawdle")

    detail = await shown(acme, run, 100, "In progress")

    assert detail["started"] is not None
    assert detail["finished"] is None
    await acme.post(f"/taskruns/{run}/cancel")


async def test_101_waiting_for_agent(acme: Control) -> None:
    run = await acme.start("Gpu")

    detail = await shown(acme, run, 101, "Waiting for agent")

    assert detail["started"] is None
    assert (await acme.get("/orchestrator/status"))["runningCount"] == 1
    killed = await acme.post(f"/tasks/{await acme.task('Gpu')}/kill")
    assert killed["taskRunIds"] == [run]
    assert await acme.status(run) == 303


async def test_200_finished_successfully(acme: Control) -> None:
    run = await acme.start("Greet", {"input": {"name": "Ida"}})
    await acme.ended(run)

    detail = await shown(acme, run, 200, "Finished successfully")

    assert detail["execTimeMs"] >= 0
    assert [entry["statusId"] for entry in detail["history"]] == [1, 100, 200]
    assert detail["steps"][0]["name"] == "Greet"


async def test_201_finished_with_no_data_produced(acme: Control) -> None:
    run = await acme.start("Nothing")
    await acme.ended(run)

    await shown(acme, run, 201, "Finished with no data produced")


async def test_202_finished_with_errors(acme: Control) -> None:
    run = await acme.start("Grumble")
    await acme.ended(run)

    await shown(acme, run, 202, "Finished with errors")


async def test_300_connector_failed(acme: Control) -> None:
    run = await acme.start("Raise")
    await acme.ended(run)

    detail = await shown(acme, run, 300, "Connector failed")

    assert detail["message"] == "ValueError: no such zip code"


async def test_301_agent_killed(acme: Control) -> None:
    run = await acme.start("Dawdle")
    await acme.until(run, 100)
    async with asyncio.timeout(60):
        while not (records := await acme.get(f"/taskruns/{run}/logs")):
            pass
    os.kill(int(records[0]["message"].split()[1]), signal.SIGKILL)
    await acme.ended(run)

    await shown(acme, run, 301, "Agent killed")


async def test_302_timeout_failed(acme: Control) -> None:
    run = await acme.start("Hurry")
    await acme.ended(run)

    await shown(acme, run, 302, "Timeout failed")


async def test_303_cancelled_by_user(acme: Control) -> None:
    run = await acme.start("Dawdle")
    await acme.until(run, 100)

    killed = await acme.post(f"/tasks/{await acme.task('Dawdle')}/kill")

    assert killed["taskRunIds"] == [run]
    assert killed["unconfirmedTaskRunIds"] == []
    detail = await shown(acme, run, 303, "Cancelled by user")
    assert detail["history"][-1]["note"] == "cancelled while it was under way"


async def test_304_runtime_failed(acme: Control) -> None:
    run = await acme.start("Not here")
    await acme.ended(run)

    detail = await shown(acme, run, 304, "Runtime failed")

    assert "this library is not on this machine" in detail["message"]


async def test_305_agent_failed(acme: Control, tmp_path: Path) -> None:
    """The machine of the agent that executes it is gone."""
    created = await acme.server.engine.tokens.create(
        TokenKind.WORKER, acme.company, role=Role.OPERATOR
    )
    agent = subprocess.Popen(  # noqa: ASYNC220 - it is stopped by its id below
        [
            *(sys.executable, "-m", "runyard", "worker", "--server", acme.server.url),
            *("--name", "doomed", "--label", "doomed", "--slots", "1", "--data", str(tmp_path)),
        ],
        env=environment({"RUNYARD_WORKER_TOKEN": created.secret}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run = await acme.start("Doomed")
        await allowed(acme, "doomed")
        await acme.until(run, 100)
    finally:
        agent.kill()
        agent.wait()
    await acme.ended(run)

    await shown(acme, run, 305, "Agent failed")
    [doomed] = [agent for agent in await acme.get("/agents") if agent["name"] == "doomed"]
    assert (doomed["type"], doomed["state"]) == ("Remote", "Offline")


async def allowed(acme: Control, name: str) -> None:
    """Returns once an agent of this name is there and allowed to execute."""
    async with asyncio.timeout(60):
        while True:
            for view in await acme.server.engine.workers.list(acme.company):
                if view.worker.name == name:
                    if view.worker.state != "allowed":
                        await acme.server.engine.workers.allow(view.worker)
                    return
            await asyncio.sleep(0.05)  # noqa: TID251 - polls


async def test_306_output_failed(acme: Control) -> None:
    run = await acme.start("Mislead")
    await acme.ended(run)

    await shown(acme, run, 306, "Output failed")


async def test_307_input_failed(acme: Control) -> None:
    run = await acme.start("Picky input", {"input": {"where": {"zip": "1"}}})
    await acme.ended(run)

    detail = await shown(acme, run, 307, "Input failed")

    assert "five digits" in detail["message"]


async def test_999_parked(acme: Control) -> None:
    old = await acme.start("Greet")
    await acme.ended(old)
    created = await acme.post(f"/taskruns/{old}/restart-as-parked", status=201)
    run = created["taskRunId"]

    await shown(acme, run, 999, "Parked")

    unparked = await acme.post(f"/taskruns/{run}/unpark")
    assert unparked["statusId"] == 1
    detail = await acme.ended(run)
    assert [entry["statusId"] for entry in detail["history"]] == [999, 1, 100, 200]
