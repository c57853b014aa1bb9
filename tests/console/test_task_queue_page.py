"""The reference page of ELMA's task queue: all six calls, sent by a person at a real browser."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.ids import RunId
from runyard.stores.contract.listing import RunFilter
from tests.dialects.elma.conftest import a_bundle_of_bytes, an_intake
from tests.support.browser import visiting
from tests.support.server import HandWorker, running_server

ANY, PATIENCE = RunFilter(), timedelta(seconds=30)
TASKS, REPOSITORY = "Tasks", "Repository"


async def opened(page: Page, operation: str) -> None:
    """Go to an operation by the list at the side."""
    await page.get_by_role("link", name=operation).click()
    await expect(page.get_by_role("heading", name=operation, exact=True)).to_be_visible()


async def sent(page: Page, operation: str, members: dict[str, Any]) -> Any:
    """Fill these members into the example body and press the button; the body that left."""
    await opened(page, operation)
    editor = page.get_by_role("textbox").filter(has_text="auth_tkn")
    await expect(editor).to_be_visible()
    body = json.loads(await editor.input_value())
    task = members.pop("task", None)
    body.update(members)
    if task is not None:
        body["task"].update(task)
    await editor.fill(json.dumps(body))
    async with page.expect_request(re.compile(r"/v1/(orchestra|repository)/")) as leaving:
        await page.get_by_role("button", name="Send API Request").click()
    return (await leaving.value).post_data_json


def answer(page: Page, text: str) -> Locator:
    """The panel that shows what came back, once it says this."""
    return page.get_by_role("region").filter(has_text=text)


async def a_file(engine: Engine, company: Company, task: int) -> dict[str, Any]:
    """A file that the task returns."""
    parts = a_bundle_of_bytes(b"Total 927.20")
    kept = await engine.files.keep(
        company.id, "receipt.txt", "text/plain", parts, limit=1024, run=RunId(task)
    )
    reference = kept.reference()
    return {name: getattr(reference, name) for name in reference.__struct_fields__}


async def test_all_six_calls_are_sent_from_the_page(browser: Browser, memory_path: Path) -> None:
    async with (
        running_server(memory_path) as server,
        visiting(browser, server.url) as (page, complaints),
    ):
        engine, worker = server.engine, HandWorker(server.engine)
        await worker.connect()
        worker.finds = [an_intake()]
        company = await engine.companies.create("acme")
        await engine.deploys.deploy(company, "examples", a_bundle_of_bytes())
        uuid = (await engine.systems.create(company, "Finance BPM", allowed=True)).uuid
        process = str((await engine.tasks.load(company, "Order intake")).uuid)
        await page.goto("/console/reference")
        await page.get_by_role("link", name="Task queue").click()
        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()

        await page.get_by_text(TASKS, exact=True).first.click()
        left = await sent(page, "Create a task", {"auth_tkn": uuid, "task": {"process": process}})
        await expect(answer(page, '"PREPARE"')).to_contain_text('"priority": "HIGH"')
        assert json.loads(left["task"]["ctx"])["IntParam_in"] == 76
        [task] = [run.id for run in (await engine.runs.page(company, ANY, None, 1)).runs]
        await worker.ends(
            task, json.dumps({"FileValue_out": await a_file(engine, company, task)}).encode()
        )
        await engine.runs.wait(company, str(task), PATIENCE)

        own = {"auth_tkn": uuid}
        await sent(page, "Task data", {**own, "id": task})
        await expect(answer(page, '"DONE"')).to_contain_text("receipt.txt")
        complaints.expect("status of 409")
        await sent(page, "Cancel a task in queue", {**own, "id": task})
        await expect(answer(page, "409 Conflict")).to_contain_text("is over (DONE)")

        await page.get_by_text(REPOSITORY, exact=True).first.click()
        await sent(page, "Get a file from the output context", {**own, "taskid": task})
        await expect(answer(page, "200 OK")).to_be_visible()
        await sent(page, "Current versions", own)
        await expect(answer(page, '"total": 1')).to_contain_text(process)
        await sent(page, "All versions of a process", {**own, "token": process})
        await expect(answer(page, '"total": 1')).to_contain_text(process)
