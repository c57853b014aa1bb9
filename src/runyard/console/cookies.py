"""Cookies: the login's secret, and the secret that ties a form to the browser it was shown in.

Behind TLS their names begin with `__Host-`: no other host, no subdomain and no unencrypted page can
set them. Without TLS the server is on this machine alone; there the port stands in the name, because
browsers do not keep the cookies of two ports apart.
"""

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from runyard.web.asgi import Headers
from runyard.web.requests import Request

_VALUE = re.compile(r"[A-Za-z0-9_-]{20,100}")
_LONG = timedelta(days=365)


def is_secure(request: Request) -> bool:
    """Whether the browser reaches this server over TLS."""
    return request.scheme == "https" or request.house.public_url.startswith("https:")


def login_secret(request: Request) -> str | None:
    """The secret of the login that the browser presents."""
    return _value(request, "login")


def login_cookie(request: Request, secret: str, lasting: timedelta) -> Headers:
    """Let the browser keep a login's secret."""
    return _kept(request, "login", secret, lasting)


def no_login_cookie(request: Request) -> Headers:
    """Let the browser forget the login's secret."""
    return _kept(request, "login", "", timedelta())


def form_token(request: Request) -> str | None:
    """What forms that are shown in this browser carry, and no other site can know."""
    secret = login_secret(request) or _value(request, "form")
    return None if secret is None else _token_of(secret)


def new_form_secret(request: Request) -> tuple[str, Headers]:
    """A form token for a browser that has no secret yet, and the cookie that brings it one."""
    secret = secrets.token_urlsafe(32)
    return _token_of(secret), _kept(request, "form", secret, _LONG)


def is_form_token(request: Request, presented: str) -> bool:
    """Whether a form was shown in this very browser."""
    expected = form_token(request)
    return expected is not None and hmac.compare_digest(expected.encode(), presented.encode())


def _token_of(secret: str) -> str:
    return hashlib.sha256(b"form of " + secret.encode()).hexdigest()


def _name(request: Request, purpose: str) -> str:
    if is_secure(request):
        return f"__Host-runyard-{purpose}"
    return f"runyard-{purpose}-{urlsplit(request.house.public_url).port or 80}"


def _value(request: Request, purpose: str) -> str | None:
    wanted = _name(request, purpose)
    header = request.headers.get(b"cookie", b"").decode("latin-1")
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value if _VALUE.fullmatch(value) else None
    return None


def _kept(request: Request, purpose: str, value: str, lasting: timedelta) -> Headers:
    attributes = f"Path=/; Max-Age={int(lasting.total_seconds())}; HttpOnly; SameSite=Lax"
    if is_secure(request):
        attributes += "; Secure"
    return [(b"set-cookie", f"{_name(request, purpose)}={value}; {attributes}".encode())]
