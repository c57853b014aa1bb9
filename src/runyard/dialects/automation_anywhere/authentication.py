"""Logging in, refreshing, validating and logging out, under /v1 and /v2 alike.

What stands in the headers of a login is overlooked. A token that is refreshed, looked at or ended may
stand in the header, in the body or, to be looked at, in the query.
"""

from runyard.dialects.automation_anywhere import shapes
from runyard.dialects.automation_anywhere.admission import token_or_none
from runyard.dialects.automation_anywhere.people import logged_in_user
from runyard.dialects.automation_anywhere.wire import CredentialsInvalid, TokenMissing
from runyard.engine.logins import Origin
from runyard.engine.tickets import NewTicket
from runyard.model.errors import FieldProblem, InputRefused, TooManyLogins, Unauthenticated
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Authentication"


async def log_in(request: Request) -> shapes.Session:
    """Log in with the password or an API key. The token is valid for 20 minutes.

    A plain login ends the user's earlier plain session: programs that share a user log in with
    `multipleLogin` or an API key.
    """
    wanted = await request.json(shapes.Credentials)
    origin = Origin(address=request.address)
    tickets = request.engine.tickets
    _refuse_unclear(wanted)
    try:
        if wanted.password is not None:
            is_multiple = bool(wanted.multiple_login)
            new = await tickets.log_in(
                wanted.username, wanted.password, origin, is_multiple=is_multiple
            )
        else:
            new = await tickets.log_in_with_key(wanted.username, wanted.api_key or "", origin)
    except (Unauthenticated, TooManyLogins) as refused:
        request.note("logIn", refused.detail, wanted.username)
        if isinstance(refused, TooManyLogins):
            raise
        raise CredentialsInvalid(refused.detail) from None
    request.admit_user(new.guest.user, new.guest.company)
    request.note("logIn")
    return _session(new)


async def refresh(request: Request) -> shapes.Session:
    """Get another token in place of one that is still valid; the old one ends at once."""
    return _session(await request.engine.tickets.refresh(await _token(request)))


async def validate(request: Request) -> shapes.Validity:
    """Say whether a token opens anything."""
    token = request.query(shapes.TokenQuery).token or token_or_none(request.headers)
    if token is None:
        raise TokenMissing("give the token in the query: ?token=...")
    return shapes.Validity(valid=await request.engine.tickets.is_valid(token))


async def log_out(request: Request) -> Response:
    """End a session at once."""
    tickets, token = request.engine.tickets, await _token(request)
    guest = await tickets.authenticate(token)
    await tickets.log_out(token)
    request.admit_user(guest.user, guest.company)
    request.note("logOut")
    return Response(status=204)


def _refuse_unclear(wanted: shapes.Credentials) -> None:
    if (wanted.password is None) == (wanted.api_key is None):
        seen = "neither" if wanted.password is None else "both"
        problem = FieldProblem(
            field="password, apiKey", seen=seen, allowed="one of the two besides the username"
        )
        raise InputRefused([problem])


async def _token(request: Request) -> str:
    """The token of the header, else of the body."""
    token = token_or_none(request.headers)
    if token is None:
        token = (await request.json_or(shapes.TokenBody())).token
    if token is None:
        raise TokenMissing
    return token


def _session(new: NewTicket) -> shapes.Session:
    return shapes.Session(token=new.token, user=logged_in_user(new.guest.user, new.guest.company))


def _routes(version: str) -> tuple[Route, ...]:
    base = f"/{version}/authentication"
    suffix = "" if version == "v2" else "V1"
    return (
        Route(
            method="POST",
            path=base,
            operation=f"authenticate{suffix}",
            title="Log in",
            permission=Permission.PUBLIC,
            endpoint=log_in,
            tag=TAG,
            body=shapes.Credentials,
            answer=shapes.Session,
        ),
        Route(
            method="POST",
            path=f"{base}/token",
            operation=f"refreshToken{suffix}",
            title="Refresh a token",
            permission=Permission.PUBLIC,
            endpoint=refresh,
            tag=TAG,
            body=shapes.TokenBody,
            is_body_optional=True,
            answer=shapes.Session,
        ),
        Route(
            method="GET",
            path=f"{base}/token",
            operation=f"validateToken{suffix}",
            title="Validate a token",
            permission=Permission.PUBLIC,
            endpoint=validate,
            tag=TAG,
            query=shapes.TokenQuery,
            answer=shapes.Validity,
        ),
        Route(
            method="POST",
            path=f"{base}/logout",
            operation=f"logOut{suffix}",
            title="Log out",
            permission=Permission.PUBLIC,
            endpoint=log_out,
            tag=TAG,
            body=shapes.TokenBody,
            is_body_optional=True,
            status=204,
        ),
    )


ROUTES = (*_routes("v2"), *_routes("v1"))
