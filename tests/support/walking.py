"""Walking through the console: signed in, from page to page, wherever links lead."""

from collections.abc import AsyncIterator

from playwright.async_api import Page, Response

from runyard.engine.logins import Origin
from runyard.model.tokens import Role
from runyard.model.users import Grant
from runyard.server.app import Server

MOST_PAGES = 200


async def sign_in(page: Page, server: Server, *, name: str = "Ann", browser: str = "") -> None:
    """Be an administrator of the installation."""
    user = await server.engine.users.create(
        "ann@example.com", name=name, grants=(Grant(company_id=None, role=Role.ADMINISTRATOR),)
    )
    login = await server.engine.logins.open(user, Origin(address="127.0.0.1", browser=browser))
    port = server.url.rpartition(":")[2]
    cookie = f"runyard-login-{port}"
    await page.context.add_cookies([{"name": cookie, "value": login.secret, "url": server.url}])


async def walk(page: Page, start: str = "/console") -> AsyncIterator[tuple[str, Response]]:
    """Every page of the console that links lead to, one after another, with its answer."""
    waiting, seen = [start], {start}
    while waiting:
        path = waiting.pop()
        response = await page.goto(path)
        assert response is not None
        yield path, response
        new = await _links_of(page) - seen
        seen |= new
        waiting += sorted(new)
        assert len(seen) < MOST_PAGES


async def _links_of(page: Page) -> set[str]:
    found = await page.eval_on_selector_all("a[href]", "all => all.map(a => a.pathname)")
    return {
        path
        for path in found
        if path.startswith(("/console", "/remote-api")) and not path.startswith("/console/assets")
    }
