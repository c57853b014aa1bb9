"""Forms: what browsers send, read within limits, and only when our own page sent it.

Every change goes through `guarded`. Two things must hold: the browser says that the request comes
from this very site (Fetch Metadata, or where it is silent the Origin), and the form carries the
token that was shown in this browser and nowhere else.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from urllib.parse import parse_qsl, urlsplit

from runyard.console.cookies import is_form_token
from runyard.model.errors import Forbidden, InputRefused, RunyardError
from runyard.web.errors import MalformedBody, MediaTypeRefused
from runyard.web.requests import Request, read_body, refused
from runyard.web.responses import Response

FORM = "application/x-www-form-urlencoded"
TOKEN_FIELD = "form_token"
_LIMIT = 64 * 1024
_MOST_FIELDS = 100

Endpoint = Callable[[Request], Awaitable[Response]]
FormEndpoint = Callable[[Request, "Form"], Awaitable[Response]]


class FormForged(Forbidden):
    """This form was not sent from its page."""


class Form:
    """The fields of a form."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """What stands in a field; nothing when it is not there."""
        return self._fields.get(name, "").strip()

    def secret(self, name: str) -> str:
        """What stands in a field, spaces at its ends included."""
        return self._fields.get(name, "")

    def number(self, name: str, allowed: str) -> int:
        """A whole number; raises InputRefused."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise refused(name, text[:80] or "nothing", allowed)
        return int(text)

    def has(self, name: str) -> bool:
        """Whether the field was sent, as a box that is ticked is."""
        return name in self._fields


def guarded(endpoint: FormEndpoint) -> Endpoint:
    """The endpoint of a form, called only when our own page sent it."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        refuse_other_sites(request)
        form = await _read(request)
        if not is_form_token(request, form.text(TOKEN_FIELD)):
            raise FormForged("the page is too old; go back, load it again and repeat")
        return await endpoint(request, form)

    return answer


def refuse_other_sites(request: Request) -> None:
    """Raise FormForged when the browser says that another site made it send this."""
    site = request.headers.get(b"sec-fetch-site")
    if site is not None:
        if site != b"same-origin":
            raise FormForged("another site made your browser send this; nothing was changed")
        return
    origin = request.headers.get(b"origin")
    if origin is not None and origin.decode("latin-1") not in _own_origins(request):
        raise FormForged("another site made your browser send this; nothing was changed")


def _own_origins(request: Request) -> set[str]:
    public = urlsplit(request.house.public_url)
    host = request.headers.get(b"host", b"").decode("latin-1")
    return {f"{public.scheme}://{public.netloc}", f"{request.scheme}://{host}"}


async def _read(request: Request) -> Form:
    if request.media_type != FORM:
        raise MediaTypeRefused(f"send {FORM}")
    body = await read_body(request.headers, request.receive, _LIMIT)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise MalformedBody("the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedBody("a field of the form was sent twice")
    return Form(fields)


def complaints(error: RunyardError) -> dict[str, str]:
    """What is wrong, by field; what concerns no field stands under an empty name."""
    if isinstance(error, InputRefused):
        return {problem.field: f"Allowed: {problem.allowed}." for problem in error.problems}
    detail = error.detail
    return {"": detail[:1].upper() + detail[1:].rstrip(".") + "."}
