"""Answers for people's browsers: pages under a content security policy, and files kept for ever.

A page executes and shows only what this server itself serves as files: no script and no style may
stand in a page, so that text which found its way into one stays text.
"""

from collections.abc import Mapping

from runyard.web.asgi import Headers, Message, Receive, Send
from runyard.web.responses import Response

HTML = b"text/html; charset=utf-8"

_STRICT: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}

_FOR_BROWSERS: Headers = [
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def policy(**changed: str) -> bytes:
    """The strict content security policy, with what is different on some page by directive."""
    directives = {**_STRICT, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return "; ".join(f"{name} {value}" for name, value in directives.items()).encode()


STRICT = policy()


class Page(Response):
    """A page that is ready."""

    def __init__(
        self,
        html: str,
        *,
        status: int = 200,
        security: bytes = STRICT,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(
            html.encode(),
            status=status,
            content_type=HTML,
            headers=[*page_headers(security), *(headers or [])],
        )


def page_headers(security: bytes = STRICT) -> Headers:
    """What every page carries besides what every answer does."""
    return [(b"content-security-policy", security), *_FOR_BROWSERS]


class KeptFile(Response):
    """A file at an address that will never answer anything else: browsers keep it."""

    def __init__(self, body: bytes, content_type: bytes, headers: Headers) -> None:
        super().__init__(body, content_type=content_type, headers=headers)

    async def send(self, receive: Receive, send: Send) -> None:
        """Write it out."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"public, max-age=31536000, immutable"),
            (b"x-content-type-options", b"nosniff"),
            *_FOR_BROWSERS,
            *(self.headers or []),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    async def send_head(self, send: Send) -> None:
        """Write out everything but the body, which the server below leaves out by itself."""
        await self.send(_nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
