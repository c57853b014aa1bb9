"""The console can be used without a mouse and without good eyes, in light and in dark."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from runyard.engine.audit import Deed
from runyard.engine.sessions import WorkerHello
from runyard.model.companies import Company
from runyard.model.tokens import Role
from runyard.model.users import Grant
from runyard.server.app import Server
from tests.console.callbacks import a_dead_callback
from tests.support.browser import visiting
from tests.support.server import HandWorker, running_server
from tests.support.walking import sign_in, walk

AXE = Path(__file__).with_name("vendor") / "axe.js"
A_REQUEST = {"source": "POST /runyard/v1/companies/acme/systems", "address": "10.0.0.7"}
DRAWN_BY_OTHERS = ("/console/reference/", "/remote-api/")
"""Pages inside which Elements draws: what is wrong there is not ours to mend."""


@pytest_asyncio.fixture(loop_scope="session")
async def lived_in(memory_path: Path) -> AsyncIterator[Server]:
    """A server with something on every page."""
    async with running_server(memory_path) as server:
        engine = server.engine
        acme = await engine.companies.create("acme", name="Acme Ltd")
        north = await engine.companies.create("north", name="Northwind")
        await engine.remote_control.allow(acme)
        await engine.orchestrator.pause(north)
        grant = Grant(company_id=acme.id, role=Role.OPERATOR)
        await engine.users.create("bob@example.com", name="Bob", grants=(grant,))
        hello = WorkerHello(
            name="yard-1",
            version="1",
            host="yard-1",
            os="Linux",
            address="10.0.0.7",
            labels=("gpu",),
            slots=4,
            allowed=True,
        )
        await engine.connect(HandWorker(engine), hello)
        await add_systems_and_callbacks(server, acme)
        for company in (acme.id, None):
            for refusal in (None, "forbidden: this takes the role administrator"):
                deed = Deed(action="create_system", company=company, refusal=refusal, **A_REQUEST)
                engine.audit.note(deed)
        yield server


async def add_systems_and_callbacks(server: Server, acme: Company) -> None:
    """A system in each state, and a callback that was given up."""
    systems = server.engine.systems
    for name, allowed in (("Finance", True), ("Sales", False), ("Old", True)):
        made = await systems.create(acme, name, description="d", allowed=allowed)
    await systems.keep_out(made.system)
    await a_dead_callback(server, acme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible(browser: Browser, lived_in: Server, scheme: str) -> None:
    examine = AXE.read_text()
    found: list[str] = []
    examined: set[str] = set()
    async with visiting(browser, lived_in.url, color_scheme=scheme) as (page, complaints):
        complaints.expect("status of 404")

        async def look(path: str) -> None:
            await page.evaluate(examine)
            scope = "header.topbar" if path.startswith(DRAWN_BY_OTHERS) else "html"
            report = await page.evaluate("scope => axe.run(scope)", scope)
            examined.add(path)
            found.extend(
                f"{path}: {violation['id']}: {node['html']}: {node['failureSummary']}"
                for violation in report["violations"]
                for node in violation["nodes"]
            )

        for path in ("/console/login", "/console/reference/nowhere-at-all"):
            await page.goto(path)
            await look(path.replace("/reference/", "/"))
        await sign_in(page, lived_in)
        async for path, _ in walk(page):
            await look(path)

    assert found == []
    assert {"/console", "/console/companies/acme", "/console/users"} <= examined
    assert {"/console/audit", "/console/audit/verification"} <= examined
    assert "/console/companies/acme/audit" in examined
    for section in ("systems", "callbacks"):
        home = f"/console/companies/acme/{section}"
        assert home in examined
        assert [path for path in examined if path.startswith(f"{home}/")]
    assert len(examined) > 14


async def test_the_first_step_of_the_keyboard_leads_past_the_navigation(
    browser: Browser, lived_in: Server
) -> None:
    async with visiting(browser, lived_in.url) as (page, _):
        await sign_in(page, lived_in)
        await page.goto("/console")

        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
