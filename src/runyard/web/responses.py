"""Answers: bytes at once, bytes as they come, or server-sent events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

from runyard.web.asgi import Headers, Receive, Send

LINGERING = timedelta(seconds=5)
"""How long a body that was refused may go on coming."""

ENCODER = msgspec.json.Encoder()

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"

# What every answer carries: it is data for programs, never to be taken for a page or kept.
SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]

# What an answer carries besides when its content is not ours: it stays data even in a browser.
CONTAINMENT_HEADERS: Headers = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"referrer-policy", b"no-referrer"),
]


def lines_of(headers: Headers) -> bytes:
    """These headers as they stand on the wire, each with its end of line."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


JSON_LINES = lines_of([(b"content-type", JSON), *SECURITY_HEADERS])
"""The headers of JSON, on the wire."""


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: bytes = JSON, extra: Headers | None = None
) -> None:
    """Answer with these bytes."""
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *SECURITY_HEADERS,
    ]
    if extra:
        headers += extra
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Response:
    """An answer that is ready."""

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: bytes = JSON,
        headers: Headers | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers

    @property
    def lines(self) -> bytes:
        """Its headers as they stand on the wire, without its length."""
        own = self.headers or []
        return lines_of([(b"content-type", self.content_type), *SECURITY_HEADERS, *own])

    async def send(self, receive: Receive, send: Send) -> None:
        """Write it out. `receive` tells streams that nobody listens any more."""
        if self.status == 204:
            headers = [*SECURITY_HEADERS, *(self.headers or [])]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body"})
            return
        await send_bytes(send, self.status, self.body, self.content_type, self.headers)

    async def send_head(self, send: Send) -> None:
        """Write out what a HEAD request gets: everything but the body."""
        # The server below leaves the body of an answer to HEAD out by itself.
        await send_bytes(send, self.status, self.body, self.content_type, self.headers)


async def send_before_body(send: Send, receive: Receive, answer: Response) -> None:
    """Answer while the request's body is still coming, then let the rest of it pass by for a while.

    Closing a connection into which the other side still writes would destroy the answer on its
    way: most clients read only after they have written everything.
    """
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *SECURITY_HEADERS,
        *(answer.headers or []),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGERING.total_seconds()):
            while (await receive()).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b""})


class ByteStream(Response):
    """An answer whose bytes come in parts, of a size known beforehand."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        size: int,
        *,
        status: int = 200,
        content_type: bytes,
        headers: Headers,
    ) -> None:
        super().__init__(status=status, content_type=content_type, headers=headers)
        self._parts = parts
        self._size = size

    def _start(self) -> dict[str, object]:
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % self._size),
            *SECURITY_HEADERS,
            *CONTAINMENT_HEADERS,
            *(self.headers or []),
        ]
        return {"type": "http.response.start", "status": self.status, "headers": headers}

    async def send(self, receive: Receive, send: Send) -> None:
        """Write the parts out as they come."""
        await send(self._start())
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send_head(self, send: Send) -> None:
        """Write out the size and the rest of the headers."""
        await send(self._start())
        await send({"type": "http.response.body", "body": b""})
