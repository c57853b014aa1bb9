"""Passing a request on to the one server that can answer it, once.

A real-time call can only be answered by the server that gives out the children of its allocation.
Another server passes the request on as it came, with the caller's own credentials, which are judged
there again; a header says that it was passed on, so that no request goes round in circles.
"""

from collections.abc import Mapping

import httpx

from runyard.model.errors import CallsPaused, KeptElsewhere
from runyard.web.asgi import Scope, Send, target_of
from runyard.web.responses import send_bytes

FORWARDED = b"runyard-forwarded"
_PASSED_ON = (b"authorization", b"x-authorization", b"content-type", b"accept")
_PASSED_BACK = (b"x-execution-id", b"retry-after")
_PATIENCE = httpx.Timeout(20 * 60, connect=2)
"""Longer than any call may take; whoever does not take the connection in two seconds is not there."""
_CONNECTIONS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)


class Forwarding:
    """Connections to other servers of the database, opened when the first request needs one."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def pass_on(
        self,
        to: KeptElsewhere,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        body: bytes,
        send: Send,
    ) -> None:
        """Answer with what that server answers; raises CallsPaused when it cannot be asked."""
        if FORWARDED in headers:
            raise CallsPaused(f"the allocation is moving; {to.detail}")
        passed = [(name, headers[name]) for name in _PASSED_ON if name in headers]
        try:
            answer = await self._connected().request(
                scope["method"],
                f"{to.address}{target_of(scope)}",
                content=body,
                headers=[*passed, (FORWARDED, b"1")],
            )
        except httpx.ConnectError as error:
            raise CallsPaused(f"{to.detail}, which does not answer: {error}") from error
        except httpx.HTTPError as error:
            raise CallsPaused(f"{to.detail}, which broke off: {error}") from error
        extra = [
            (name, value) for name, value in answer.headers.raw if name.lower() in _PASSED_BACK
        ]
        content_type = answer.headers.get("content-type", "application/json").encode()
        await send_bytes(send, answer.status_code, answer.content, content_type, extra)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._client is not None:
            await self._client.aclose()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=_PATIENCE, limits=_CONNECTIONS, trust_env=False, follow_redirects=False
            )
        return self._client
