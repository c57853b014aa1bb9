"""User settings: the account of the user who is signed in."""

from runyard.console.cookies import no_login_cookie
from runyard.console.entrance import let_in, origin, repeated
from runyard.console.forms import Form, FormEndpoint, complaints, guarded
from runyard.console.frames import View, led_to, shown
from runyard.console.instants import time_zones
from runyard.engine.passwords import SHORTEST
from runyard.model.errors import (
    CompanyNotFound,
    EmailTaken,
    InputRefused,
    RunyardError,
    TooManyLogins,
    Unauthenticated,
)
from runyard.model.ids import LoginId
from runyard.model.tokens import Permission
from runyard.model.users import ClockStyle, DateStyle, Display, User
from runyard.web.problems import headers_of, status_of
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

ADDRESS = "/console/account"
_DATE_STYLES = {
    DateStyle.ISO.value: "2026-03-31",
    DateStyle.DAY_FIRST.value: "31.03.2026",
    DateStyle.MONTH_FIRST.value: "03/31/2026",
}
_CLOCK_STYLES = {ClockStyle.HOURS_24.value: "17:05", ClockStyle.HOURS_12.value: "5:05 PM"}


async def show_account(request: Request) -> Response:
    """Show the account of the user who is signed in."""
    return await _page(request)


async def change_account(request: Request, form: Form) -> Response:
    """Change name, email and home company. Another email needs the password."""
    users, visit = request.engine.users, request.visit
    try:
        if form.text("email").lower() != visit.user.email:
            await _confirm(request, form)
        slug = form.text("home_company")
        await users.update(
            visit.user,
            email=form.text("email"),
            name=form.text("name"),
            home_company=await request.engine.companies.load(slug) if slug else None,
        )
    except (InputRefused, EmailTaken, CompanyNotFound, TooManyLogins) as error:
        return await _page(request, form=form, error=error, part="account")
    return led_to(f"{ADDRESS}?said=saved")


async def change_display(request: Request, form: Form) -> Response:
    """Change how dates and times are shown."""
    user = request.visit.user
    try:
        await request.engine.users.update(user, display=_display(form))
    except InputRefused as error:
        return await _page(request, form=form, error=error, part="display")
    return led_to(f"{ADDRESS}?said=saved")


async def change_password(request: Request, form: Form) -> Response:
    """Change the password: every login ends, and this browser gets a new one."""
    user = request.visit.user
    try:
        await _confirm(request, form)
        await request.engine.users.set_password(user, repeated(form))
    except (InputRefused, TooManyLogins) as error:
        return await _page(request, form=form, error=error, part="password")
    new = await request.engine.logins.open(user, origin(request))
    return let_in(request, new, f"{ADDRESS}?said=password")


async def end_login(request: Request, form: Form) -> Response:
    """End one login of the user, in another browser."""
    login = LoginId(form.number("login", "the number of a login"))
    await request.engine.logins.end(request.visit.user.id, login)
    return led_to(f"{ADDRESS}?said=login-ended")


async def sign_out_everywhere(request: Request, _: Form) -> Response:
    """End every login of the user, this one included."""
    await request.engine.logins.sign_out_everywhere(request.visit.user.id)
    return led_to("/console/login?said=signed-out-everywhere", no_login_cookie(request))


async def _confirm(request: Request, form: Form) -> None:
    """Raise InputRefused unless the present password was given."""
    try:
        await request.engine.logins.confirm(request.visit, form.secret("present"))
    except Unauthenticated:
        raise refused("present", "another text", "your present password") from None


def _display(form: Form) -> Display:
    date, clock = form.text("date_style"), form.text("clock_style")
    if date not in _DATE_STYLES:
        raise refused("date_style", date[:80], ", ".join(_DATE_STYLES))
    if clock not in _CLOCK_STYLES:
        raise refused("clock_style", clock[:80], ", ".join(_CLOCK_STYLES))
    return Display(
        date_style=DateStyle(date),
        clock_style=ClockStyle(clock),
        time_zone=form.text("time_zone"),
    )


async def _page(
    request: Request,
    *,
    form: Form | None = None,
    error: RunyardError | None = None,
    part: str = "",
) -> Response:
    """The page; `part` is the form that was refused, and shows what was typed in."""
    engine, visit = request.engine, request.visit
    user = await engine.users.load(str(visit.user.id))
    values = {
        "typed": _typed(user, form if part == "account" else None),
        "companies": await engine.users.companies_of(user),
        "home": await engine.users.home_company(user),
        "logins": await engine.logins.list(user.id),
        "login": visit.login,
        "date_styles": _DATE_STYLES,
        "clock_styles": _CLOCK_STYLES,
        "time_zones": time_zones(),
        "shortest": SHORTEST,
        "part": part,
        "complaints": {} if error is None else complaints(error),
    }
    return shown(
        request,
        View(
            template="account.html",
            section="account",
            values=values,
            status=200 if error is None else status_of(type(error)),
            headers=[] if error is None else headers_of(error),
        ),
    )


def _typed(user: User, form: Form | None) -> dict[str, str]:
    if form is None:
        return {"email": user.email, "name": user.name}
    return {"email": form.text("email"), "name": form.text("name")}


def _change(path: str, endpoint: FormEndpoint) -> Route:
    return Route(
        method="POST",
        path=path,
        permission=Permission.OWN,
        endpoint=guarded(endpoint),
        tag="account",
    )


ROUTES = (
    Route(
        method="GET",
        path="/account",
        permission=Permission.OWN,
        endpoint=show_account,
        tag="account",
    ),
    _change("/account", change_account),
    _change("/account/display", change_display),
    _change("/account/password", change_password),
    _change("/account/end-login", end_login),
    _change("/account/sign-out-everywhere", sign_out_everywhere),
)
