"""API reference pages, read and used by a person at a real browser."""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.support.browser import visiting
from tests.support.server import running_server


async def test_a_reference_shows_endpoints_and_schemas(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        await page.goto("/console/reference/native")

        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()
        await expect(page.get_by_text("Schemas", exact=True)).to_be_visible()
