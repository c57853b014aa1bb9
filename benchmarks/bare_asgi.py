"""The least an ASGI application can do: read the body, answer a fixed JSON."""

from collections.abc import Awaitable, Callable
from typing import Any

_JSON = (b"content-type", b"application/json")
_BODY = b'{"id":1,"state":"queued"}'
_START = {
    "type": "http.response.start",
    "status": 201,
    "headers": [_JSON, (b"content-length", str(len(_BODY)).encode())],
}
_END = {"type": "http.response.body", "body": _BODY}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer any request with the same created run."""
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_END)
