"""How a door lets callers in: who it is, for which company, and whether they may.

A door is given one `Admission`. It is asked before every route that is not public, and either leaves
caller and company in the request or raises; what it raises reaches the caller in the door's own form.

`ByToken` serves doors where a token of one kind opens; what differs between those is two questions,
each answered by a function: where the secret stands, and how the company is named. A door whose
callers come otherwise (a cookie, a signed ticket) brings an admission of its own.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound
from runyard.model.tokens import Token, TokenKind
from runyard.web.authentication import bearer_secret, token_of
from runyard.web.permissions import demand
from runyard.web.requests import Request
from runyard.web.routing import Route

SecretFinder = Callable[[Request], Awaitable[str]]
"""Where the secret stands; raises Unauthenticated when it is not there."""
SlugFinder = Callable[[Route, Request], str | None]
"""The slug of the company that the request is about, None when it is about none."""


class Admission(Protocol):
    """How a door lets callers in."""

    async def admit(self, route: Route, request: Request) -> None:
        """Let the caller in with `request.admit`, or raise what the door then shows."""


async def bearer(request: Request) -> str:
    """The secret of `Authorization: Bearer <token>`; raises Unauthenticated."""
    return bearer_secret(request.headers.get(b"authorization"))


def company_of_address(route: Route, request: Request) -> str | None:
    """What stands at `{company}` in the address, if the route has it."""
    return request.params["company"] if route.is_about_company else None


class ByToken:
    """By a token of one kind."""

    def __init__(
        self,
        kind: TokenKind,
        secret: SecretFinder = bearer,
        slug: SlugFinder = company_of_address,
    ) -> None:
        self._kind = kind
        self._secret = secret
        self._slug = slug

    async def admit(self, route: Route, request: Request) -> None:
        """Raises Unauthenticated, CompanyNotFound, Forbidden."""
        token = await token_of(request.engine.tokens, await self._secret(request), self._kind)
        slug = self._slug(route, request)
        company = None if slug is None else await load_company(request.engine, slug, token)
        demand(route.permission, token, company)
        request.admit(token, company)


async def load_company(engine: Engine, slug: str, token: Token) -> Company:
    """The company of this slug; raises CompanyNotFound with one text for unknown and foreign."""
    try:
        company = await engine.companies.load(slug)
    except CompanyNotFound:
        raise CompanyNotFound from None
    if token.company_id is not None and token.company_id != company.id:
        raise CompanyNotFound
    return company
