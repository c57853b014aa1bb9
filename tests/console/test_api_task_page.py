"""The API Task page: the five steps of its vendor's description, sent from the page in their order."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Locator, Page, expect

from runyard.model.tokens import Role
from runyard.model.users import Grant
from tests.support.browser import visiting
from tests.support.server import a_bundle, running_runyard

GOOD = "correct horse battery"
PATH = "Automation Anywhere\\Bots\\Zip Code API Task"
CODE = """
from typing import Annotated

from runyard import Input, Output, task


@task("Zip Code API Task", path="Bots/Zip Code API Task")
def zip_code(zip: Annotated[str, Input(name="iStrZipCode")]) -> Annotated[str, Output(name="Place")]:
    return f"Fort Worth {zip}"
"""


async def uploaded(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def opened(page: Page, section: str, operation: str) -> None:
    """Go to an operation by the list at the side."""
    link = page.get_by_role("link", name=operation)
    if not await link.count():
        await page.locator(f'#reference [title="{section}"]').last.click()
    await link.first.click()
    await expect(page.get_by_role("heading", name=operation, exact=True)).to_be_visible()


async def sent(page: Page, body: object, token: str = "") -> Any:
    """Fill the form in and send it; the JSON of the answer, which the page shows."""
    if token:
        await page.get_by_label("X-Authorization", exact=True).fill(token)
    await page.locator("#reference textarea").fill(json.dumps(body))
    async with page.expect_response(lambda answer: answer.request.method != "GET") as coming:
        await page.get_by_role("button", name="Send API Request").click()
    answer = await coming.value
    await expect(panel(page, "200 OK")).to_be_visible()
    return await answer.json()


def panel(page: Page, status: str) -> Locator:
    """What shows the answer."""
    return page.get_by_role("region").filter(has_text=status)


async def test_the_five_steps_are_sent_from_the_page(browser: Browser, memory_path: Path) -> None:
    async with (
        running_runyard(memory_path) as server,
        visiting(browser, server.url) as (page, _),
    ):
        engine = server.engine
        company = await engine.companies.create("acme")
        await engine.deploys.deploy(company, "zip", uploaded(a_bundle({"zip_code.py": CODE})))
        [task] = await engine.tasks.list(company)
        for name, role in (("ann", Role.ADMINISTRATOR), ("bob", Role.DEVELOPER)):
            grants = (Grant(company_id=company.id, role=role),)
            await engine.users.create(f"{name}@example.com", grants=grants, password=GOOD)

        await page.goto("/console/reference")
        await page.get_by_role("link", name="API Task").click()
        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()
        await expect(page.get_by_text("Schemas", exact=True)).to_be_visible()

        await opened(page, "Authentication", "Log in")
        tokens = [
            (await sent(page, {"username": f"{name}@example.com", "password": GOOD}))["token"]
            for name in ("ann", "bob")
        ]
        admin, developer = tokens

        await opened(page, "API Task", "Create an allocation")
        wanted = {"fileId": str(task.id), "concurrencyLimit": 2}
        created = await sent(page, wanted, admin)
        assert created == {**wanted, "runAsUserOrNone": 0}

        await opened(page, "API Task", "List allocations")
        listed = await sent(page, {"page": {"offset": 0, "length": 100}}, admin)
        assert [row["filePath"] for row in listed["list"]] == [PATH]
        await expect(panel(page, "200 OK")).to_contain_text('"totalFilter": 1')

        await opened(page, "API Task", "Get execution URLs and tokens")
        found = await sent(page, {"botRepositoryPath": [PATH]}, developer)
        access = found["accessDetails"][PATH]

        await opened(page, "API Task", "Execute an API Task")
        _, _, bot, tenant, _ = urlsplit(access["url"]).path.split("/")
        await page.get_by_label("botId", exact=True).fill(bot)
        await page.get_by_label("tenant", exact=True).fill(tenant)
        value = {"type": "STRING", "string": "76131"}
        result = await sent(
            page, {"botInput": {"iStrZipCode": value}}, access["headers"]["X-Authorization"]
        )

        await expect(panel(page, "200 OK")).to_contain_text("Fort Worth 76131")
        place = {"type": "STRING", "string": "Fort Worth 76131"}
        assert result == {"hotBotResult": {"botOutput": {"Place": place}}}
