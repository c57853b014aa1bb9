"""Coming in and going out: set-up links, signing in, signing out."""

from urllib.parse import parse_qsl

from runyard.console.admission import recognised
from runyard.console.cookies import login_cookie, no_login_cookie
from runyard.console.forms import Form, complaints, guarded
from runyard.console.frames import View, led_to, shown_to_anybody
from runyard.engine.logins import NewLogin, Origin
from runyard.engine.passwords import SHORTEST
from runyard.model.errors import (
    EmailTaken,
    InputRefused,
    RunyardError,
    TooManyLogins,
    Unauthenticated,
)
from runyard.model.tokens import Permission
from runyard.model.users import User
from runyard.web.problems import headers_of, status_of
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

HOME = "/console"
_LEADS_TO = ("/console", "/remote-api/")


async def show_login(request: Request) -> Response:
    """Show the page to sign in on."""
    if await recognised(request) is not None:
        return led_to(HOME)
    return await _login_page(request, after=_after(request))


async def sign_in(request: Request, form: Form) -> Response:
    """Sign in."""
    email, after = form.text("email"), safe_address(form.text("after"))
    before = await recognised(request)
    try:
        new = await request.engine.logins.sign_in(email, form.secret("password"), origin(request))
    except (Unauthenticated, TooManyLogins) as error:
        request.note("sign_in", error.detail, email)
        return await _login_page(request, error=error, email=email[:254], after=after)
    request.admit_visit(new.visit, None)
    request.note("sign_in", said_to_be=email)
    if before is not None:
        await request.engine.logins.sign_out(before)
    return let_in(request, new, after)


async def sign_out(request: Request, _: Form) -> Response:
    """Sign out."""
    await request.engine.logins.sign_out(request.visit)
    return led_to("/console/login?said=signed-out", no_login_cookie(request))


async def show_setup(request: Request) -> Response:
    """Show the page that a set-up link leads to."""
    _, user = await request.engine.users.find_link(request.params["secret"])
    return _setup_page(request, user)


async def set_up(request: Request, form: Form) -> Response:
    """Spend a set-up link: choose a password, and be signed in."""
    secret = request.params["secret"]
    users = request.engine.users
    _, user = await users.find_link(secret)
    try:
        password = repeated(form)
        if user is None:
            email, name = form.text("email"), form.text("name")
            chosen = await users.set_up(secret, email=email, name=name, password=password)
        else:
            chosen = await users.choose_password(secret, password)
    except (InputRefused, EmailTaken) as error:
        return _setup_page(request, user, form=form, error=error)
    new = await request.engine.logins.open(chosen, origin(request))
    return let_in(request, new, HOME)


def let_in(request: Request, new: NewLogin, address: str) -> Response:
    """Give the browser its login and let it go on."""
    cookie = login_cookie(request, new.secret, request.engine.logins.lasting)
    return led_to(address, cookie)


def origin(request: Request) -> Origin:
    """Where the request comes from."""
    browser = request.headers.get(b"user-agent", b"").decode("latin-1")
    return Origin(address=request.address, browser=browser)


def repeated(form: Form) -> str:
    """A new password that was typed twice; raises InputRefused unless both are the same."""
    password = form.secret("password")
    if password != form.secret("again"):
        raise refused("again", "another text", "the same password again")
    return password


def safe_address(address: str) -> str:
    """Where to go on to: a page of this server, whatever the address says."""
    is_ours = address.startswith(_LEADS_TO) and address.isascii() and address.isprintable()
    return address if is_ours and "\\" not in address and "//" not in address else HOME


def _after(request: Request) -> str:
    _, _, query = request.target.partition("?")
    fields = dict(parse_qsl(query)) if len(query) < 2000 else {}
    return safe_address(fields.get("after", ""))


async def _login_page(
    request: Request, *, error: RunyardError | None = None, email: str = "", after: str = HOME
) -> Response:
    values = {
        "email": email,
        "after": after,
        "complaint": "" if error is None else complaints(error)[""],
        "is_administered": await request.engine.users.is_administered(),
    }
    status = 200 if error is None else status_of(type(error))
    headers = [] if error is None else headers_of(error)
    return shown_to_anybody(
        request,
        View(template="login.html", values=values, status=status, headers=headers),
    )


def _setup_page(
    request: Request,
    user: User | None,
    *,
    form: Form | None = None,
    error: RunyardError | None = None,
) -> Response:
    form = form or Form({})
    values = {
        "user": user,
        "email": form.text("email"),
        "name": form.text("name"),
        "shortest": SHORTEST,
        "complaints": {} if error is None else complaints(error),
    }
    status = 200 if error is None else status_of(type(error))
    return shown_to_anybody(request, View(template="setup.html", values=values, status=status))


ROUTES = (
    Route(
        method="GET",
        path="/login",
        permission=Permission.PUBLIC,
        endpoint=show_login,
        tag="entrance",
    ),
    Route(
        method="POST",
        path="/login",
        permission=Permission.PUBLIC,
        endpoint=guarded(sign_in),
        tag="entrance",
    ),
    Route(
        method="POST",
        path="/logout",
        permission=Permission.OWN,
        endpoint=guarded(sign_out),
        tag="entrance",
    ),
    Route(
        method="GET",
        path="/set-up/{secret}",
        permission=Permission.PUBLIC,
        endpoint=show_setup,
        tag="entrance",
    ),
    Route(
        method="POST",
        path="/set-up/{secret}",
        permission=Permission.PUBLIC,
        endpoint=guarded(set_up),
        tag="entrance",
    ),
)
