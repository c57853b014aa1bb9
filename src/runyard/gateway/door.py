"""The address at which workers connect: who they are is settled before a word is exchanged."""

import msgspec

from runyard.engine.engine import Engine
from runyard.gateway.conversation import Visitor
from runyard.gateway.gateway import Gateway
from runyard.gateway.socket import SocketTransport
from runyard.model.errors import Forbidden, Refused, RunyardError, ServerStopping
from runyard.model.tokens import Token, TokenKind
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.authentication import bearer_secret
from runyard.web.errors import RouteNotFound
from runyard.web.problems import headers_of, problem_from, status_of
from runyard.web.responses import ENCODER, PROBLEM_JSON, SECURITY_HEADERS, send_bytes

PATH = "/worker"
UPGRADE_REQUIRED = 426
SILENT_LEASES = 1.5
"""Leases that may pass without a word before a connection is taken for dead."""


class UpgradeRequired(Refused):
    """This address speaks WebSocket, for workers."""


class WorkerDoor:
    """An ASGI app: WebSockets of workers, and problems for everybody else."""

    def __init__(self, engine: Engine, gateway: Gateway) -> None:
        self._engine = engine
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold one conversation."""
        if scope["type"] != "websocket":
            await _send_away(scope, send)
            return
        try:
            token = await self._admitted(scope)
        except RunyardError as refusal:
            await _deny(refusal, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        transport = SocketTransport(receive, send)
        self._gateway.accept(transport, Visitor(address=_address(scope), token=token))
        await transport.run(SILENT_LEASES * self._engine.lease)

    async def _admitted(self, scope: Scope) -> Token:
        """The worker's token; raises what the caller is told instead."""
        if _path(scope) != PATH:
            raise RouteNotFound
        if self._engine.is_draining:
            raise ServerStopping
        headers = dict(scope["headers"])
        token = await self._engine.tokens.authenticate(bearer_secret(headers.get(b"authorization")))
        if token.kind is not TokenKind.WORKER:
            raise Forbidden(
                f"a token of kind {token.kind} lets no worker in; "
                "make one: runyard token create worker"
            )
        return token


def _path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _deny(refusal: RunyardError, send: Send) -> None:
    """Answer the request for a WebSocket as one for a page."""
    status, body = status_of(type(refusal)), ENCODER.encode(problem_from(refusal))
    headers = [
        (b"content-type", PROBLEM_JSON),
        (b"content-length", b"%d" % len(body)),
        *SECURITY_HEADERS,
        *headers_of(refusal),
    ]
    start = {"type": "websocket.http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


async def _send_away(scope: Scope, send: Send) -> None:
    """Tell somebody who came with a plain request."""
    error: RunyardError
    if _path(scope) == PATH:
        error = UpgradeRequired("connect with a WebSocket: runyard worker --server URL")
        status, extra = UPGRADE_REQUIRED, [(b"upgrade", b"websocket")]
    else:
        error, status, extra = RouteNotFound(), status_of(RouteNotFound), []
    problem = msgspec.structs.replace(problem_from(error), status=status)
    await send_bytes(send, status, ENCODER.encode(problem), PROBLEM_JSON, extra)
