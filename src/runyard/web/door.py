"""A door made of routes: finds the route, lets the caller in, calls the endpoint, shows what came.

A hot route has an endpoint of its own kind, found by the same declaration; it takes the same steps
itself, without the objects in between.
"""

import traceback
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, RunyardError, TooLarge
from runyard.model.tokens import Permission, Token, TokenKind
from runyard.telemetry import REQUEST_FAILED, emit
from runyard.web.asgi import ClientGone, Message, Receive, Scope, Send
from runyard.web.authentication import authenticate
from runyard.web.errors import MethodNotAllowed
from runyard.web.house import House
from runyard.web.permissions import demand
from runyard.web.problems import headers_of, problem_from, status_of, unexpected_problem
from runyard.web.requests import Request
from runyard.web.responses import (
    ENCODER,
    JSON,
    PROBLEM_JSON,
    Response,
    send_before_body,
    send_bytes,
)
from runyard.web.routing import Route, Router


class ProblemForm(Protocol):
    """How a door writes an error down: each dialect has its own form."""

    def __call__(self, error: RunyardError | None, trace: str) -> tuple[int, bytes, bytes]:
        """Status, body and content type; `error` None: something failed that must not."""


def native_form(error: RunyardError | None, trace: str) -> tuple[int, bytes, bytes]:
    """Problems as the native API shows them."""
    if error is None:
        return 500, ENCODER.encode(unexpected_problem(trace)), PROBLEM_JSON
    return status_of(type(error)), ENCODER.encode(problem_from(error)), PROBLEM_JSON


class _Sending:
    """Remembers what status went out, if any."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class _Receiving:
    """Remembers whether the whole request has come."""

    __slots__ = ("_receive", "is_over")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_over = not message.get("more_body", False)
        return message


class Door:
    """An ASGI app over a table of routes."""

    def __init__(
        self, house: House, prefix: str, routes: Sequence[Route], form: ProblemForm = native_form
    ) -> None:
        self._house = house
        self._engine = house.engine
        self._router = Router(prefix, routes)
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        receiving, sending = _Receiving(receive), _Sending(send)
        name = "none"
        try:
            raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
            route, params = self._router.find(scope["method"], raw_path)
            name = route.name
            await self._serve(route, params, scope, receiving, sending)
        except ClientGone:
            return
        except MethodNotAllowed as error:
            await self._refuse_method(error, scope["method"], sending)
        except RunyardError as error:
            await self._refuse(error, sending, receiving)
        except Exception as error:  # noqa: BLE001 - the outermost layer: nothing passes it unseen
            await self._confess(error, name, sending)
        finally:
            self._house.answered[name, sending.status] += 1

    async def _serve(
        self,
        route: Route,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if route.hot is not None:
            await route.hot(self._house, params, scope, receive, send)
            return
        assert route.endpoint is not None
        request = Request(self._house, params, scope, receive)
        await self._admit(route, request)
        answer = await route.endpoint(request)
        response = answer if isinstance(answer, Response) else _encoded(answer, route)
        if request.is_head:
            await response.send_head(send)
        else:
            await response.send(receive, send)

    async def _admit(self, route: Route, request: Request) -> None:
        if route.permission is Permission.PUBLIC:
            return
        header = request.headers.get(b"authorization")
        token = await authenticate(self._engine.tokens, header, TokenKind.NATIVE)
        company: Company | None = None
        if route.is_about_company:
            company = await load_company(self._engine, request.params["company"], token)
        demand(route.permission, token, company)
        request.admit(token, company)

    async def _refuse_method(self, error: MethodNotAllowed, method: str, send: _Sending) -> None:
        if method == "OPTIONS":
            await Response(status=204, headers=headers_of(error)).send(_nothing, send)
        else:
            await self._refuse(error, send, None)

    async def _refuse(
        self, error: RunyardError, send: _Sending, receive: _Receiving | None
    ) -> None:
        if send.status:  # the answer has begun: it cannot become another one
            return
        status, body, content_type = self._form(error, "")
        headers = headers_of(error)
        if isinstance(error, TooLarge) and receive is not None and not receive.is_over:
            await send_before_body(send, receive, status, body, content_type, headers)
        else:
            await send_bytes(send, status, body, content_type, headers)

    async def _confess(self, error: Exception, route: str, send: _Sending) -> None:
        trace = self._engine.clock.new_uuid().hex
        emit(
            REQUEST_FAILED,
            route=route,
            trace=trace,
            error="".join(traceback.format_exception(error)),
        )
        if not send.status:
            status, body, content_type = self._form(None, trace)
            await send_bytes(send, status, body, content_type)


async def load_company(engine: Engine, slug: str, token: Token) -> Company:
    """The company of this slug; raises CompanyNotFound with one text for unknown and foreign."""
    try:
        company = await engine.companies.load(slug)
    except CompanyNotFound:
        raise CompanyNotFound from None
    if token.company_id is not None and token.company_id != company.id:
        raise CompanyNotFound
    return company


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _encoded(answer: msgspec.Struct, route: Route) -> Response:
    return Response(ENCODER.encode(answer), status=route.status, content_type=JSON)
