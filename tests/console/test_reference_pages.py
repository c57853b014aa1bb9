"""API reference pages, read and used by a person at a real browser."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, Request, expect

from runyard.dialects.native.routes import REFERENCE as NATIVE_REFERENCE
from runyard.server import app
from runyard.server.app import Server
from runyard.web.references import Reference
from tests.support.browser import visiting
from tests.support.server import administrator_secret, running_server


async def opened(page: Page, section: str, operation: str) -> None:
    """Go to an operation the way people do: by the list at the side."""
    await page.get_by_text(section, exact=True).first.click()
    await page.get_by_role("link", name=operation).click()
    await expect(page.get_by_role("heading", name=operation, exact=True)).to_be_visible()


async def sent(page: Page) -> Request:
    """Press the button; the request that left."""
    async with page.expect_request("**/runyard/v1/companies/**") as leaving:
        await page.get_by_role("button", name="Send API Request").click()
    return await leaving.value


def answer(page: Page, status: str) -> Locator:
    """The panel that shows what came back."""
    return page.get_by_role("region").filter(has_text=status)


async def test_a_reference_shows_endpoints_and_schemas(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        await page.goto("/console/reference")
        await page.get_by_role("link", name="Runyard API").click()

        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()
        await expect(page.get_by_text("Schemas", exact=True)).to_be_visible()
        await opened(page, "Runs", "Start runs")
        await page.get_by_role("link", name="NewSchedule").click()
        await expect(page.get_by_text("A schedule to create")).to_be_visible()


async def test_a_request_is_sent_and_its_answer_shown(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        await server.engine.companies.create("acme")
        await page.goto("/console/reference/native")
        await opened(page, "Orchestrator", "Show orchestrator")

        await page.get_by_label("Token", exact=True).fill(administrator_secret(server))
        await page.get_by_label("company", exact=True).fill("acme")
        request = await sent(page)

        await expect(answer(page, "200 OK")).to_contain_text('"runnable": true')
        assert "cookie" not in await request.all_headers()


async def test_a_body_is_sent_and_changes_something(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        company = await server.engine.companies.create("acme")
        await page.goto("/console/reference/native")
        await opened(page, "Orchestrator", "Switch orchestrator")

        await page.get_by_label("Token", exact=True).fill(administrator_secret(server))
        await page.get_by_label("company", exact=True).fill("acme")
        request = await sent(page)

        await expect(answer(page, "200 OK")).to_contain_text('"runnable": false')
        assert request.post_data_json == {"runnable": False}
        assert not (await server.engine.orchestrator.view(company)).runnable


async def test_a_refusal_is_shown_as_the_api_answers_it(
    browser: Browser, memory_path: Path
) -> None:
    async with (
        running_server(memory_path) as server,
        visiting(browser, server.url) as (page, complaints),
    ):
        complaints.expect("status of 401")
        await page.goto("/console/reference/native")
        await opened(page, "Runs", "Start runs")

        await page.get_by_label("Token", exact=True).fill("ryd_native_nobody")
        await page.get_by_label("company", exact=True).fill("acme")
        request = await sent(page)

        await expect(answer(page, "401 Unauthorized")).to_contain_text("unauthenticated")
        assert request.post_data_json["task"] == "Zip code"
        assert "idempotency-key" not in request.headers


async def test_what_is_typed_in_as_a_token_is_not_kept(browser: Browser, memory_path: Path) -> None:
    async with running_server(memory_path) as server, visiting(browser, server.url) as (page, _):
        secret = administrator_secret(server)
        await page.goto("/console/reference/native")
        await page.evaluate("localStorage.TryIt_securitySchemeValues = '\"of old\"'")
        await page.reload()
        await opened(page, "Orchestrator", "Show orchestrator")
        await page.get_by_label("Token", exact=True).fill(secret)

        # It is there as long as the page is, also on another operation of it.
        await opened(page, "Runs", "List runs")
        await expect(page.get_by_label("Token", exact=True)).to_have_value(secret)

        kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        await page.reload()
        await expect(page.get_by_label("Token", exact=True)).to_have_value("")

    assert secret not in kept
    assert "of old" not in kept


ANOTHER = Reference(
    name="another",
    title="Another API",
    caption="Made up for this test.",
    document=NATIVE_REFERENCE.document,
    prefilled={"run": "1041"},
    address="/another/{company}",
)
"""A door that contributes a page with an address of its own and prefilled parameters."""


async def test_what_the_address_and_the_door_say_is_filled_in(
    browser: Browser, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REFERENCES", (NATIVE_REFERENCE, ANOTHER))
    async with (
        running_server(memory_path) as server,
        visiting(browser, server.url) as (page, complaints),
    ):
        complaints.expect("status of 401")
        await page.goto("/another/acme-2")
        await opened(page, "Runs", "Cancel run")

        await expect(page.get_by_role("link", name="Runyard API")).to_be_visible()
        await expect(page.get_by_label("company", exact=True)).to_have_value("acme-2")
        await expect(page.get_by_label("run", exact=True)).to_have_value("1041")
        request = await sent(page)
        assert request.url.endswith("/runyard/v1/companies/acme-2/runs/1041/cancel")

        # The same API without an address of its own fills in only what the door says.
        await page.goto("/console/reference/another")
        await opened(page, "Runs", "Cancel run")
        await expect(page.get_by_label("company", exact=True)).to_have_value("")
        await expect(page.get_by_label("run", exact=True)).to_have_value("1041")


async def test_an_address_fills_in_names_and_nothing_else(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REFERENCES", (NATIVE_REFERENCE, ANOTHER))
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        await server.engine.companies.create("acme")
        known = await anyone.get(f"{server.url}/another/acme")
        unknown = await anyone.get(f"{server.url}/another/nobody")
        statuses = [
            (await anyone.get(f"{server.url}/another/{strange}")).status_code
            for strange in ("%22%3E%3Cscript%3E", "a%20b", "%C3%A9", "a/b", "", "a%00", "x" * 201)
        ]

    assert (known.status_code, unknown.status_code) == (200, 200)
    assert known.text.replace("acme", "nobody") == unknown.text
    assert statuses == [404] * 7


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_follow_the_colours_of_the_system(
    browser: Browser, memory_path: Path, scheme: str
) -> None:
    async with (
        running_server(memory_path) as server,
        visiting(browser, server.url, color_scheme=scheme) as (page, _),
    ):
        await page.goto("/console/reference/native")
        await expect(page.get_by_text("Endpoints", exact=True)).to_be_visible()

        backgrounds = [
            brightness(
                await page.locator(part).first.evaluate("e => getComputedStyle(e).backgroundColor")
            )
            for part in ("header.topbar", "#reference .sl-bg-canvas-100")
        ]

    assert all((brightness > 0.8) == (scheme == "light") for brightness in backgrounds)


def brightness(color: str) -> float:
    parts = [float(part) for part in re.findall(r"[\d.]+", color)[:3]]
    return sum(parts) / 3 / 255


async def test_reference_pages_are_strict_but_for_styles(memory_path: Path) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        index = await anyone.get(f"{server.url}/console/reference")
        page = await anyone.get(f"{server.url}/console/reference/native")
        head = await anyone.head(f"{server.url}/console/reference/native")
        missing = await anyone.get(f"{server.url}/console/reference/<script>alert(1)</script>")

    assert (index.status_code, page.status_code, missing.status_code) == (200, 200, 404)
    assert (head.status_code, head.content) == (200, b"")
    relaxed = page.headers["content-security-policy"]
    for answer in (index, missing):
        strict = answer.headers["content-security-policy"]
        assert "unsafe" not in strict
        assert relaxed == strict.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    for answer in (index, page, head, missing):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "<script>alert" not in missing.text


async def shown_documents(server: Server) -> list[str]:
    async with httpx.AsyncClient(base_url=server.url) as anyone:
        index = (await anyone.get("/console/reference")).text
        return re.findall(r'href="(/[^"]+openapi\.json)"', index)


async def test_every_reference_of_the_index_leads_to_its_document(memory_path: Path) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        documents = await shown_documents(server)
        answers = [await anyone.get(f"{server.url}{document}") for document in documents]

    assert documents
    assert [answer.json()["openapi"] for answer in answers] == ["3.1.0"] * len(documents)
