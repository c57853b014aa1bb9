"""Who is let in: programs with a signed token, in X-Authorization bare or in Authorization as Bearer.

Never both: which of two users was meant nobody could tell.
"""

from collections.abc import Mapping

from runyard.dialects.automation_anywhere.wire import HeadersConflict, TokenMissing
from runyard.engine.engine import Engine
from runyard.engine.tickets import Guest
from runyard.model.errors import Forbidden, Unauthenticated
from runyard.web.authentication import bearer_secret
from runyard.web.permissions import demand
from runyard.web.requests import Request
from runyard.web.routing import Route

TOKEN_HEADER = "X-Authorization"
_HEADER = TOKEN_HEADER.lower().encode()
_BEARER = b"bearer "


class TicketAdmission:
    """Lets users' programs in, each into the company in which it has logged in."""

    async def admit(self, route: Route, request: Request) -> None:
        """Raises Unauthenticated, HeadersConflict, Forbidden."""
        guest = await guest_of(request.engine, token_in(request.headers))
        if guest.task_id is not None:
            raise Forbidden("this token executes one task and opens nothing else")
        company = await request.engine.directory.company_by_id(guest.company.id)
        demand(route.permission, guest.user, company)
        request.admit_user(guest.user, company)


async def guest_of(engine: Engine, token: str) -> Guest:
    """Whom this token lets in; raises Unauthenticated."""
    return engine.tickets.recall(token) or await engine.tickets.authenticate(token)


def token_in(headers: Mapping[bytes, bytes]) -> str:
    """The token that a request presents; raises TokenMissing, HeadersConflict, Unauthenticated."""
    token = token_or_none(headers)
    if token is None:
        raise TokenMissing
    return token


def token_or_none(headers: Mapping[bytes, bytes]) -> str | None:
    """The same, None when there is none."""
    own, general = headers.get(_HEADER), headers.get(b"authorization")
    if own is None:
        return None if general is None else bearer_secret(general)
    if general is not None:
        raise HeadersConflict
    if own[: len(_BEARER)].lower() == _BEARER:
        raise Unauthenticated(f"{TOKEN_HEADER} takes the token alone, without the word Bearer")
    return own.decode("latin-1")
