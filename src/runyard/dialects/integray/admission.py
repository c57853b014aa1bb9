"""Who may use the Remote API: programs with the company's remote control token.

An unknown company, another company's, and a wrong token look the same, so that nobody learns from
here which companies there are. Only the token that *None* has switched off is told so.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from runyard.dialects.integray.profile import SLUG, Profile
from runyard.dialects.integray.wire import SlugMissing
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, Unauthenticated
from runyard.model.tokens import Token, TokenKind
from runyard.web.permissions import demand
from runyard.web.requests import Request, refused
from runyard.web.routing import Route

_SCHEME = b"bearer "
_WRONG = "the token is not valid for this company"


class RemoteControlAdmission:
    """Lets remote control tokens in."""

    def __init__(self, profile: Profile, usual: Sequence[Route]) -> None:
        self._profile = profile
        self._ids = {
            route.operation: [name for name in route.params if name != SLUG] for route in usual
        }
        """The ids that each operation is about."""

    async def admit(self, route: Route, request: Request) -> None:
        """Raises Unauthenticated, RemoteControlDisabled, SlugMissing, Forbidden."""
        token = await token_of(request)
        self._bring_to_place(route, request)
        company = await self._company(request, token)
        demand(route.permission, token, company)
        request.admit(token, company)

    async def _company(self, request: Request, token: Token) -> Company:
        slug = _take_slug(request)
        if slug is None:
            raise SlugMissing(
                "say in the address, a header or the query which company: CompanySlug"
            )
        try:
            company = await request.engine.companies.load(slug)
        except CompanyNotFound:
            raise Unauthenticated(_WRONG) from None
        if company.id != token.company_id:
            raise Unauthenticated(_WRONG)
        return company

    def _bring_to_place(self, route: Route, request: Request) -> None:
        """Give parameters that the profile puts elsewhere their usual names and places."""
        placement = self._profile.placement(route.operation)
        if placement.params:
            request.query_string = self._profile.usual_query(route.operation, request.query_string)
        if placement.path is not None:
            for name in self._ids[route.operation]:
                if name not in request.params:
                    _take_from_query(request, name)


def _take_from_query(request: Request, name: str) -> None:
    """Move an id from the query to where the operation looks for it."""
    pairs = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise refused(name, f"{len(values)} values", "one value")
    request.params = {**request.params, name: values[0]}
    request.query_string = urlencode([pair for pair in pairs if pair[0] != name]).encode()


async def token_of(request: Request) -> Token:
    """The caller's token, valid at this moment; raises Unauthenticated, RemoteControlDisabled."""
    header = request.headers.get(b"authorization")
    if header is None:
        raise Unauthenticated("send the remote control token in the header Authorization")
    secret = header[len(_SCHEME) :] if header[: len(_SCHEME)].lower() == _SCHEME else header
    try:
        text = secret.strip().decode("ascii")
    except UnicodeDecodeError:
        raise Unauthenticated(_WRONG) from None
    token = await request.engine.remote_control.authenticate(text)
    if token.kind is not TokenKind.REMOTE_CONTROL:
        raise Unauthenticated(_WRONG)
    return token


def _take_slug(request: Request) -> str | None:
    """The slug, wherever it stands; the query loses it. Raises InputRefused when one place
    contradicts another: nobody shall steer a company and believe that it was another one.
    """
    said = [
        *_values(request.params.get(SLUG)),
        *_values(request.headers.get(SLUG.lower().encode(), b"").decode("latin-1")),
        *_out_of_query(request),
    ]
    if not said:
        return None
    for other in said[1:]:
        if other != said[0]:
            raise refused(SLUG, other, f"{said[0]}, as elsewhere in the request")
    return said[0]


def _values(text: str | None) -> list[str]:
    return [text] if text else []


def _out_of_query(request: Request) -> list[str]:
    if SLUG.encode() not in request.query_string:
        return []
    pairs = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
    request.query_string = urlencode([pair for pair in pairs if pair[0] != SLUG]).encode()
    return [value for name, value in pairs if name == SLUG and value]
