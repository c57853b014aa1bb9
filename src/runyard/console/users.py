"""The installation's users, for its administrators."""

from runyard.console.forms import Endpoint, Form, FormEndpoint, complaints, guarded
from runyard.console.frames import View, led_to, shown
from runyard.model.companies import Company
from runyard.model.errors import (
    CompanyNotFound,
    EmailTaken,
    GrantNotFound,
    InputRefused,
    LastAdministrator,
    RunyardError,
)
from runyard.model.tokens import Permission, Role
from runyard.model.users import Grant, User
from runyard.web.addresses import setup_url
from runyard.web.problems import status_of
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

ADDRESS = "/console/users"
EVERYWHERE = ""
"""What the forms call the whole installation."""


async def show_users(request: Request) -> Response:
    """Show all users, and the form of a new one."""
    return await _list_page(request, Form({}))


async def create_user(request: Request, form: Form) -> Response:
    """Create a user, and show the link with which the password is chosen."""
    users = request.engine.users
    try:
        company = await _company(request, form)
        where = None if company is None else company.id
        user = await users.create(
            form.text("email"),
            name=form.text("name"),
            grants=(Grant(company_id=where, role=_role(form)),),
            home_company=company,
        )
    except (InputRefused, EmailTaken, CompanyNotFound) as error:
        return await _list_page(request, form, error)
    return await _link_page(request, user)


async def show_user(request: Request) -> Response:
    """Show a user, and what can be changed."""
    return await _user_page(request, await _user(request))


async def give_role(request: Request, form: Form) -> Response:
    """Give a user a role in a company or everywhere."""
    users, user = request.engine.users, await _user(request)
    try:
        await users.grant(user, await _company(request, form), _role(form))
    except (InputRefused, CompanyNotFound, LastAdministrator) as error:
        return await _user_page(request, user, error=error)
    return led_to(f"{_address(user)}?said=saved")


async def take_role(request: Request, form: Form) -> Response:
    """Take a role away."""
    users, user = request.engine.users, await _user(request)
    try:
        await users.withdraw(user, await _company(request, form))
    except (CompanyNotFound, GrantNotFound, LastAdministrator) as error:
        return await _user_page(request, user, error=error)
    return led_to(f"{_address(user)}?said=saved")


async def disable_user(request: Request, _: Form) -> Response:
    """Let nobody sign in as this user."""
    user = await _user(request)
    try:
        await request.engine.users.disable(user)
    except LastAdministrator as error:
        return await _user_page(request, user, error=error)
    return led_to(f"{_address(user)}?said=user-disabled")


async def enable_user(request: Request, _: Form) -> Response:
    """Let the user sign in again."""
    user = await _user(request)
    await request.engine.users.enable(user)
    return led_to(f"{_address(user)}?said=user-enabled")


async def remove_user(request: Request, _: Form) -> Response:
    """Forget a user."""
    user = await _user(request)
    try:
        await request.engine.users.remove(user)
    except LastAdministrator as error:
        return await _user_page(request, user, error=error)
    return led_to(f"{ADDRESS}?said=user-removed")


async def make_setup_link(request: Request, _: Form) -> Response:
    """Make a link with which the user chooses a password, and show it."""
    return await _link_page(request, await _user(request))


async def sign_user_out(request: Request, _: Form) -> Response:
    """End every login of a user."""
    user = await _user(request)
    await request.engine.logins.sign_out_everywhere(user.id)
    return led_to(f"{_address(user)}?said=user-signed-out")


async def _list_page(request: Request, form: Form, error: RunyardError | None = None) -> Response:
    engine = request.engine
    companies = await engine.companies.list()
    values = {
        "users": await engine.users.list(),
        "companies": companies,
        "names": {company.id: company.name for company in companies},
        "roles": [role.value for role in Role],
        "form": form,
        "chosen": _chosen(form),
        "complaints": {} if error is None else complaints(error),
    }
    status = 200 if error is None else status_of(type(error))
    return shown(
        request, View(template="users.html", section="users", values=values, status=status)
    )


async def _user_page(
    request: Request, subject: User, *, error: RunyardError | None = None, link: str = ""
) -> Response:
    engine = request.engine
    companies = await engine.companies.list()
    values = {
        "subject": subject,
        "companies": companies,
        "names": {company.id: company for company in companies},
        "roles": [role.value for role in Role],
        "logins": await engine.logins.list(subject.id),
        "link": link,
        "chosen": _chosen(Form({})),
        "complaints": {} if error is None else complaints(error),
    }
    status = 200 if error is None else status_of(type(error))
    return shown(request, View(template="user.html", section="users", values=values, status=status))


async def _link_page(request: Request, user: User) -> Response:
    new = await request.engine.users.setup_link(user)
    link = setup_url(request.house.public_url, new.secret)
    return await _user_page(request, user, link=link)


async def _user(request: Request) -> User:
    return await request.engine.users.load(request.params["user"])


async def _company(request: Request, form: Form) -> Company | None:
    slug = form.text("company")
    return None if slug == EVERYWHERE else await request.engine.companies.load(slug)


def _role(form: Form) -> Role:
    text = form.text("role")
    if text not in list(Role):
        raise refused("role", text[:80] or "nothing", ", ".join(Role))
    return Role(text)


def _chosen(form: Form) -> dict[str, str | None]:
    """What was chosen before, so that a form that is shown again still says so."""
    return {
        "role": form.text("role") or None,
        "company": form.text("company") if form.has("company") else None,
    }


def _address(user: User) -> str:
    return f"{ADDRESS}/{user.id}"


def _page(path: str, endpoint: Endpoint) -> Route:
    return Route(
        method="GET", path=path, permission=Permission.INSTALL, endpoint=endpoint, tag="users"
    )


def _change(path: str, endpoint: FormEndpoint) -> Route:
    return Route(
        method="POST",
        path=path,
        permission=Permission.INSTALL,
        endpoint=guarded(endpoint),
        tag="users",
    )


ROUTES = (
    _page("/users", show_users),
    _change("/users", create_user),
    _page("/users/{user}", show_user),
    _change("/users/{user}/role", give_role),
    _change("/users/{user}/no-role", take_role),
    _change("/users/{user}/disable", disable_user),
    _change("/users/{user}/enable", enable_user),
    _change("/users/{user}/remove", remove_user),
    _change("/users/{user}/setup-link", make_setup_link),
    _change("/users/{user}/sign-out", sign_user_out),
)
