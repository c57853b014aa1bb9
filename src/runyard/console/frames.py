"""The frame around every page: who is signed in, where one may go, what was just done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runyard.console.cookies import form_token, new_form_secret
from runyard.console.rendering import render
from runyard.model.companies import Company
from runyard.model.tokens import Permission
from runyard.model.users import User
from runyard.web.asgi import Headers
from runyard.web.pages import Page
from runyard.web.permissions import may
from runyard.web.requests import Request
from runyard.web.responses import Response

SAID: Mapping[str, str] = {
    "saved": "Saved.",
    "created": "The company is there now.",
    "forbidden": "Remote control is off; the token that was valid is refused.",
    "paused": "The orchestrator is off: queued runs wait, begun ones go on.",
    "resumed": "The orchestrator is on.",
    "password": "The password is changed, and every other browser is signed out.",
    "login-ended": "That browser is signed out.",
    "signed-out": "You are signed out.",
    "signed-out-everywhere": "You are signed out everywhere.",
    "user-signed-out": "The user is signed out everywhere.",
    "user-removed": "The user is removed.",
    "user-disabled": "The user cannot sign in any more, and is signed out.",
    "user-enabled": "The user can sign in again.",
    "worker-allowed": "The worker is allowed: it gets runs from now on.",
    "worker-locked": "The worker is locked: it gets no more runs.",
    "worker-draining": "The worker finishes what it has begun, and takes nothing new.",
    "worker-removed": "The worker is removed.",
    "system-allowed": "The system is allowed: it may call from now on.",
    "system-locked": "The system is locked: it is refused from now on.",
    "system-saved": "The system is changed.",
    "system-removed": "The system is removed; its UUID is refused.",
    "callback-resent": "The callback is sent again.",
    "callbacks-resent": "All callbacks that were given up are sent again.",
}
"""What a page may say about the change that led to it: nothing else of its address is shown."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the user may do here; the server asks again, whatever was shown."""

    operate: bool
    administer: bool
    install: bool
    monitor: bool


def allowed(user: User, company: Company | None) -> Allowed:
    """What a user may do with a company, or with the installation."""
    return Allowed(
        operate=may(Permission.OPERATE, user, company),
        administer=may(Permission.ADMINISTER, user, company),
        install=may(Permission.INSTALL, user, None),
        monitor=may(Permission.MONITOR, user, None),
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page is made of, besides its frame."""

    template: str
    section: str = ""
    """The part of the console that it belongs to."""
    company: Company | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    headers: Headers = field(default_factory=list)


def shown(request: Request, view: View) -> Page:
    """A page for a user who is signed in."""
    user = request.visit.user
    html = render(
        view.template,
        user=user,
        display=user.display,
        now=request.engine.clock.now(),
        allowed=allowed(user, view.company),
        section=view.section,
        company=view.company,
        form_token=form_token(request),
        said=said(request),
        **view.values,
    )
    return Page(html, status=view.status, headers=view.headers)


def shown_to_anybody(request: Request, view: View) -> Page:
    """A page for somebody who is not signed in; its form is tied to the browser."""
    token: str | None = form_token(request)
    cookie: Headers = []
    if token is None:
        token, cookie = new_form_secret(request)
    html = render(view.template, form_token=token, said=said(request), **view.values)
    return Page(html, status=view.status, headers=[*view.headers, *cookie])


def said(request: Request) -> str:
    """What was just done, when the address says so in one of our words."""
    _, _, query = request.target.partition("?")
    for part in query.split("&"):
        name, _, word = part.partition("=")
        if name == "said":
            return SAID.get(word, "")
    return ""


def led_to(address: str, headers: Headers | None = None) -> Response:
    """Let the browser go on to a page after a change: loading that one again repeats nothing."""
    return Response(
        status=303,
        content_type=b"text/plain; charset=utf-8",
        headers=[(b"location", address.encode()), *(headers or [])],
    )
