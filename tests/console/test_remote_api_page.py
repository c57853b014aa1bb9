"""The Remote API's page, as the vendor's article has people use it, in its order."""

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.support.browser import visiting
from tests.support.server import HandWorker, running_server


async def opened(page: Page, section: str, operation: str) -> None:
    """Go to an operation by the list at the side."""
    await page.get_by_text(section, exact=True).first.click()
    await page.get_by_role("link", name=operation).first.click()
    await expect(page.get_by_role("heading", name=operation, exact=True)).to_be_visible()


async def authorize(page: Page, secret: str) -> None:
    """Type in the token."""
    await page.get_by_label("Authorization", exact=True).fill(secret)


async def send(page: Page) -> None:
    """Press the button."""
    await page.get_by_role("button", name="Send API Request").click()


def answer(page: Page, status: str) -> Locator:
    """The panel that shows what came back."""
    return page.get_by_role("region").filter(has_text=status)


async def test_the_status_is_shown_and_set(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        company = await server.engine.companies.create("acme")
        token = await server.engine.remote_control.allow(company)

        await page.goto("/remote-api/acme")
        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()
        await expect(page.get_by_text("Schemas", exact=True)).to_be_visible()
        await opened(page, "Orchestrator", "Get status")
        await expect(page.get_by_label("CompanySlug", exact=True)).to_have_value("acme")
        await authorize(page, token.secret)
        await send(page)
        await expect(answer(page, "200 OK")).to_contain_text('"isRunnable": true')

        await page.get_by_role("link", name="Set status").click()
        await expect(page.get_by_role("heading", name="Set status", exact=True)).to_be_visible()
        for wanted in ("false", "true"):
            await page.locator("#reference textarea").fill(f'{{"isRunnable": {wanted}}}')
            await send(page)
            await expect(answer(page, "200 OK")).to_contain_text(f'"isRunnable": {wanted}')
            view = await server.engine.orchestrator.view(company)
            assert view.runnable == (wanted == "true")


async def test_without_the_page_of_a_company_its_slug_is_filled_in_by_hand(
    browser: Browser, memory_path: Path
) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        company = await server.engine.companies.create("acme")
        token = await server.engine.remote_control.allow(company)

        await page.goto("/console/reference")
        await page.get_by_role("link", name="Remote API").click()
        await opened(page, "Orchestrator", "Get status")
        await page.get_by_label("CompanySlug", exact=True).fill("acme")
        await authorize(page, token.secret)
        await send(page)

        await expect(answer(page, "200 OK")).to_contain_text('"companySlug": "acme"')


@pytest.mark.parametrize("operation", ["Get tasks", "Get agents", "Get task runs"])
async def test_lists_are_shown(browser: Browser, memory_path: Path, operation: str) -> None:
    sections = {"Get tasks": "Task", "Get agents": "Agent", "Get task runs": "Task run"}
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        company = await server.engine.companies.create("acme")
        token = await server.engine.remote_control.allow(company)
        worker = HandWorker(server.engine)
        await worker.connect()

        await page.goto("/remote-api/acme")
        await opened(page, sections[operation], operation)
        await authorize(page, token.secret)
        await send(page)

        await expect(answer(page, "200 OK")).to_contain_text("[")


async def test_the_page_does_not_tell_whether_a_company_exists(memory_path: Path) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        company = await server.engine.companies.create("acme")
        before = await anyone.get(f"{server.url}/remote-api/acme")
        await server.engine.remote_control.allow(company)
        known = await anyone.get(f"{server.url}/remote-api/acme")
        unknown = await anyone.get(f"{server.url}/remote-api/nobody")

    assert before.text == known.text
    assert known.text.replace("acme", "nobody") == unknown.text
    assert {answer.status_code for answer in (before, known, unknown)} == {200}
