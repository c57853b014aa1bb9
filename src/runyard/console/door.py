"""The console's door: its pages, for people who are signed in."""

from urllib.parse import quote

from runyard.console import (
    account,
    auditing,
    callbacks,
    companies,
    entrance,
    systems,
    users,
    workers,
)
from runyard.console.admission import ByLogin
from runyard.console.frames import led_to
from runyard.console.problems import page_form
from runyard.model.errors import RunyardError, Unauthenticated
from runyard.model.tokens import Permission
from runyard.web.addresses import CONSOLE
from runyard.web.asgi import Scope, target_of
from runyard.web.door import Door
from runyard.web.house import House
from runyard.web.pages import Page
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

ROUTES: tuple[Route, ...] = (
    *entrance.ROUTES,
    *companies.ROUTES,
    *account.ROUTES,
    *users.ROUTES,
    *workers.ROUTES,
    *systems.ROUTES,
    *callbacks.ROUTES,
    *auditing.ROUTES,
)

_SIGNED_OUT = '<p class="notice warn">You are signed out. <a href="/console/login">Sign in</a></p>'


def console_door(house: House) -> Door:
    """The door of the console."""
    return Door(house, CONSOLE, ROUTES, ByLogin(), console_form)


def front_door(house: House) -> Door:
    """The door of the bare address, which leads people to the console."""
    return Door(house, "", (FRONT,), form=page_form)


async def lead_to_console(request: Request) -> Response:
    """Lead people who know nothing but the address to the console."""
    return led_to(CONSOLE)


FRONT = Route(
    method="GET",
    path="/",
    permission=Permission.PUBLIC,
    endpoint=lead_to_console,
    tag="entrance",
)


def console_form(error: RunyardError | None, trace: str, scope: Scope) -> Response:
    """Problems as pages; whoever is not signed in is led to where that is done."""
    if isinstance(error, Unauthenticated):
        return _to_login(scope)
    return page_form(error, trace, scope)


def _to_login(scope: Scope) -> Response:
    if any(name == b"hx-request" for name, _ in scope["headers"]):
        # A page that refreshes a part of itself: only that part can say so.
        return Page(_SIGNED_OUT, status=401)
    address = f"{CONSOLE}/login"
    target = target_of(scope)
    if scope["method"] == "GET" and target != CONSOLE:
        address += f"?after={quote(target, safe='')}"
    return led_to(address)
