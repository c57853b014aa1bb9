"""How the console lets people in: by the login whose secret their browser presents."""

from runyard.console.cookies import login_secret
from runyard.engine.logins import Visit
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, Unauthenticated
from runyard.web.permissions import demand
from runyard.web.requests import Request
from runyard.web.routing import Route


class ByLogin:
    """By a cookie. A page that refreshes its own numbers does not count as use of the login."""

    async def admit(self, route: Route, request: Request) -> None:
        """Raises Unauthenticated, CompanyNotFound, Forbidden."""
        visit = await recognised(request)
        if visit is None:
            raise Unauthenticated("sign in first")
        company = await _company(route, request)
        demand(route.permission, visit.user, company)
        if not is_refresh(request):
            request.engine.logins.note_use(login_secret(request) or "")
        request.admit_visit(visit, company)


async def recognised(request: Request) -> Visit | None:
    """Who is signed in in this browser."""
    secret = login_secret(request)
    if secret is None:
        return None
    try:
        return await request.engine.logins.recognise(secret)
    except Unauthenticated:
        return None


def is_refresh(request: Request) -> bool:
    """Whether no person asked, but a page of itself."""
    return b"hx-request" in request.headers


async def _company(route: Route, request: Request) -> Company | None:
    if not route.is_about_company:
        return None
    try:
        return await request.engine.companies.load(request.params["company"])
    except CompanyNotFound:
        raise CompanyNotFound from None
