"""A first day at a real browser, as the article about the Remote API walks through it."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from runyard.server.app import Server
from tests.console.callbacks import a_dead_callback
from tests.support.browser import visiting
from tests.support.certificates import Authority
from tests.support.fleet import a_remote_worker, a_worker_token
from tests.support.server import running_server

GOOD = "correct horse battery"


@pytest_asyncio.fixture(loop_scope="session")
async def server(memory_path: Path) -> AsyncIterator[Server]:
    async with running_server(memory_path) as server:
        yield server


async def set_up(page: Page, server: Server) -> None:
    """Use the set-up link that a fresh server prints."""
    link = await server.first_setup_url()
    assert link is not None
    await page.goto(link)
    await page.get_by_label("Email").fill("ann@example.com")
    await page.get_by_label("Name").fill("Ann")
    await page.get_by_label("Password", exact=True).fill(GOOD)
    await page.get_by_label("The same again").fill(GOOD)
    await page.get_by_role("button", name="Create administrator").click()
    await expect(page.get_by_role("heading", name="Companies")).to_be_visible()


async def create_company(page: Page, name: str, slug: str) -> None:
    await page.goto("/console")
    await page.get_by_role("link", name="Create new").first.click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Slug").fill(slug)
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Company details")).to_be_visible()


async def test_from_the_set_up_link_to_the_remote_api(browser: Browser, server: Server) -> None:
    async with visiting(browser, server.url) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme Ltd", "acme")

        await page.get_by_role("link", name="Home").first.click()
        await page.get_by_role("link", name="Company details of Acme Ltd").click()
        control = page.get_by_role("region", name="Remote control")
        await control.get_by_role("radio", name="Token").check()
        await control.get_by_role("button", name="Save").click()

        secret = await control.get_by_role("textbox", name="Remote control token").input_value()
        assert re.fullmatch(r"ryd_remote-control_[\w-]+", secret)
        await expect(control.get_by_role("button", name="Copy")).to_be_visible()
        link = control.get_by_role("link", name="Open Remote API documentation")
        assert await link.get_attribute("href") == "/remote-api/acme"

        await link.click()
        await page.get_by_text("Orchestrator", exact=True).first.click()
        await page.get_by_role("link", name="Get status").first.click()
        await expect(page.get_by_label("CompanySlug", exact=True)).to_have_value("acme")
        await page.get_by_label("Authorization", exact=True).fill(secret)
        await page.get_by_role("button", name="Send API Request").click()
        answer = page.get_by_role("region").filter(has_text="200 OK")
        await expect(answer).to_contain_text('"isRunnable": true')

        await page.goto("/console/companies/acme")
        assert secret not in await page.content()
        await expect(page.get_by_text(f"ends in {secret[-4:]}")).to_be_visible()
        await expect(page.get_by_text("not yet")).to_have_count(0)


async def test_a_token_is_regenerated_only_after_a_second_look(
    browser: Browser, server: Server
) -> None:
    async with visiting(browser, server.url) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        company = await server.engine.companies.load("acme")
        first = await server.engine.remote_control.allow(company)
        await page.reload()

        button = page.get_by_role("button", name="Regenerate")
        await expect(button).to_be_hidden()
        await page.get_by_text("Regenerate the token").click()
        await button.click()

        secret = await page.get_by_role("textbox", name="Remote control token").input_value()
        assert secret != first.secret


async def test_a_system_is_created_allowed_found_and_locked(
    browser: Browser, server: Server
) -> None:
    async with visiting(browser, server.url) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        await page.get_by_role("link", name="Systems").click()
        await page.get_by_label("Name", exact=True).fill("Finance")
        await page.get_by_label("Description").fill("Books invoices")
        await page.get_by_role("button", name="Create system").click()

        field = page.get_by_role("textbox", name="What the system presents")
        uuid = await field.input_value()
        await expect(page.get_by_role("button", name="Copy")).to_be_visible()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text("It may start tasks of this company")).to_be_visible()
        assert uuid not in await page.content()
        company = await server.engine.companies.load("acme")
        await server.engine.systems.admit(uuid, "192.0.2.17")

        await page.get_by_role("link", name="Systems").first.click()
        await server.engine.systems.create(company, "Sales")  # and the page hears of it
        await expect(page.get_by_role("row", name="Sales")).to_be_visible()
        await page.get_by_label("Search systems").press_sequentially("books")
        await expect(page.get_by_role("row", name="Sales")).to_have_count(0)
        row = page.get_by_role("row", name="Finance")
        await expect(row.get_by_text("192.0.2.17")).to_be_visible()
        await row.get_by_role("button", name="Lock Finance").click()
        await page.get_by_role("link", name="Locked 1").click()
        await expect(page.get_by_role("row", name="Finance")).to_contain_text("Locked")


async def test_a_dead_callback_is_looked_into_and_sent_again(
    browser: Browser, server: Server
) -> None:
    async with visiting(browser, server.url) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        dead = await a_dead_callback(server, await server.engine.companies.load("acme"))
        await page.reload()

        await page.get_by_role("link", name="Callbacks 1 given up").click()
        await page.get_by_role("link", name="Dead 1").click()
        await page.get_by_role("link", name=str(dead.id), exact=True).click()
        await expect(page.get_by_role("region", name="The body")).to_contain_text("run.cancelled")
        await expect(page.get_by_text("may not be visited")).to_be_visible()

        await page.get_by_role("button", name="Send again").click()
        await expect(page.get_by_text("The callback is sent again.")).to_be_visible()
        await page.goto("/console/companies/acme/callbacks")
        await expect(page.get_by_role("row", name=str(dead.id))).to_contain_text("Dead")
        await page.get_by_text("Send all again that were given up (1)").click()
        await page.get_by_role("button", name="Send all again").click()
        await expect(page.get_by_text("All callbacks that were given up are")).to_be_visible()


async def test_home_keeps_its_numbers_fresh(browser: Browser, server: Server) -> None:
    async with visiting(browser, server.url) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        await page.goto("/console")
        row = page.get_by_role("row", name="Acme")
        await expect(row.get_by_text("On", exact=True)).to_be_visible()

        await server.engine.orchestrator.pause(await server.engine.companies.load("acme"))

        await expect(row.get_by_text("Off", exact=True)).to_be_visible()


async def test_an_open_page_says_when_its_login_is_over(browser: Browser, server: Server) -> None:
    async with visiting(browser, server.url) as (page, complaints):
        complaints.expect("401")
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        await page.goto("/console")
        user = await server.engine.users.load("ann@example.com")

        await server.engine.logins.sign_out_everywhere(user.id)

        await expect(page.get_by_text("You are signed out.")).to_be_visible()
        await page.get_by_role("link", name="Sign in").click()
        await page.get_by_label("Email").fill("ann@example.com")
        await page.get_by_label("Password").fill(GOOD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Companies")).to_be_visible()


async def test_everything_essential_works_without_scripts(browser: Browser, server: Server) -> None:
    async with visiting(browser, server.url, java_script_enabled=False) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        control = page.get_by_role("region", name="Remote control")
        await control.get_by_role("radio", name="Token").check()
        await control.get_by_role("button", name="Save").click()

        await expect(control.get_by_role("textbox", name="Remote control token")).to_be_visible()
        await expect(control.get_by_role("button", name="Copy")).to_be_hidden()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_text("You are signed out.")).to_be_visible()


async def test_hostile_names_run_nothing(browser: Browser, server: Server) -> None:
    """The browser would complain about a violated policy or an error; `visiting` looks."""
    hostile = (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</title><svg/onload=alert(1)>",
        "<a href=javascript:alert(1)>x</a>",
    )
    async with visiting(browser, server.url) as (page, complaints):
        await set_up(page, server)
        user = await server.engine.users.load("ann@example.com")
        for number, name in enumerate(hostile):
            await server.engine.companies.create(f"hostile-{number}", name=name)
            user = await server.engine.users.update(user, name=name)
            for path in ("", "/account", "/users", f"/companies/hostile-{number}", "/workers"):
                await page.goto(f"/console{path}")
                await expect(page.get_by_text(name).first).to_be_visible()
        assert complaints.found() == []


async def test_a_copied_token_is_on_the_clipboard(browser: Browser, server: Server) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    async with visiting(browser, server.url, permissions=permissions) as (page, _):
        await set_up(page, server)
        await create_company(page, "Acme", "acme")
        await page.get_by_role("radio", name="Token").check()
        await (
            page.get_by_role("region", name="Remote control")
            .get_by_role("button", name="Save")
            .click()
        )

        await page.get_by_role("button", name="Copy").click()

        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert (
            copied == await page.get_by_role("textbox", name="Remote control token").input_value()
        )


async def test_a_worker_that_asks_is_allowed(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    over = asyncio.Event()
    token = await a_worker_token(server, joins=False)

    async def work() -> None:
        async with a_remote_worker(server.url, token, tmp_path):
            await over.wait()

    async with visiting(browser, server.url) as (page, _), asyncio.TaskGroup() as group:
        group.create_task(work())
        await set_up(page, server)
        await page.get_by_role("link", name="Workers").click()
        row = page.get_by_role("row", name="remote")
        await expect(row.get_by_text("Request", exact=True)).to_be_visible()

        await row.get_by_role("button", name="Allow").click()

        await expect(page.get_by_text("The worker is allowed")).to_be_visible()
        await expect(row.get_by_text("Online", exact=True)).to_be_visible()
        over.set()


async def test_behind_tls_the_login_is_a_cookie_of_this_host_alone(
    browser: Browser, memory_path: Path, tmp_path: Path
) -> None:
    Authority(tmp_path).server("localhost")
    pem = str(tmp_path / "localhost.pem")
    tls = {"tls_cert": pem, "tls_key": pem}
    async with (
        running_server(memory_path, **tls) as server,
        visiting(browser, server.url) as (page, _),
    ):
        await set_up(page, server)

        cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}

        login = cookies["__Host-runyard-login"]
        assert (login["secure"], login["httpOnly"], login["sameSite"]) == (True, True, "Lax")
        assert login["path"] == "/"
