"""A door made of routes: finds the route, lets the caller in, calls the endpoint, shows what came.

A hot route has an endpoint of its own kind, found by the same declaration; it takes the same steps
itself, without the objects in between.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec

from runyard.model.errors import InputRefused, RunyardError, TooLarge
from runyard.model.tokens import Permission, TokenKind
from runyard.web.admission import Admission, ByToken
from runyard.web.asgi import ClientGone, Message, Receive, Scope, Send
from runyard.web.errors import MethodNotAllowed
from runyard.web.failures import note_failure
from runyard.web.house import House
from runyard.web.problems import code_of, headers_of, problem_from, status_of, unexpected_problem
from runyard.web.requests import Request
from runyard.web.responses import (
    ENCODER,
    JSON,
    PROBLEM_JSON,
    Response,
    send_before_body,
)
from runyard.web.routing import Route, Router


class ProblemForm(Protocol):
    """How a door writes an error down: each dialect has its own form.

    Everything goes through it, what no route answered too: addresses and methods that are not there.
    """

    def __call__(self, error: RunyardError | None, trace: str, scope: Scope) -> Response:
        """The answer; `error` None: something failed that must not, and `trace` finds it."""


def native_form(error: RunyardError | None, trace: str, scope: Scope) -> Response:
    """Problems as the native API shows them."""
    return native_refusal(error, trace)


def native_refusal(error: RunyardError | None, trace: str) -> Response:
    """The same, whatever was asked for."""
    if error is None:
        body = ENCODER.encode(unexpected_problem(trace))
        return Response(body, status=500, content_type=PROBLEM_JSON)
    return Response(
        ENCODER.encode(problem_from(error)),
        status=status_of(type(error)),
        content_type=PROBLEM_JSON,
        headers=headers_of(error),
    )


NATIVE_ADMISSION = ByToken(TokenKind.NATIVE)


class _Sending:
    """Remembers what status went out, if any."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._send(message)


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
    """An ASGI app over a table of routes.

    What makes it one dialect's: how it lets callers in, and how it writes problems down.
    """

    def __init__(
        self,
        house: House,
        prefix: str,
        routes: Sequence[Route],
        admission: Admission = NATIVE_ADMISSION,
        form: ProblemForm = native_form,
    ) -> None:
        self._house = house
        self._engine = house.engine
        self._router = Router(prefix, routes)
        self._admission = admission
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
            if route.hot is not None:
                await route.hot(self._house, params, scope, receiving, sending)
            else:
                await self._serve(route, params, scope, receiving, sending)
        except ClientGone:
            return
        except MethodNotAllowed as error:
            await self._refuse_method(error, scope, sending)
        except RunyardError as error:
            await self._refuse(error, scope, sending, receiving)
        except Exception as error:  # noqa: BLE001 - the outermost layer: nothing passes it unseen
            await self._confess(error, name, scope, sending)
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
        request = Request(self._house, params, scope, receive)
        if route.permission is not Permission.PUBLIC:
            await self._admission.admit(route, request)
        answer = await (_recorded if route.is_recorded else _answered)(route, request)
        response = answer if isinstance(answer, Response) else _encoded(answer, route)
        if request.is_head:
            await response.send_head(send)
        else:
            await response.send(receive, send)

    async def _refuse_method(self, error: MethodNotAllowed, scope: Scope, send: _Sending) -> None:
        if scope["method"] == "OPTIONS":
            await Response(status=204, headers=headers_of(error)).send(_nothing, send)
        else:
            await self._refuse(error, scope, send, None)

    async def _refuse(
        self, error: RunyardError, scope: Scope, send: _Sending, receive: _Receiving | None
    ) -> None:
        if send.status:  # the answer has begun: it cannot become another one
            return
        answer = self._form(error, "", scope)
        if isinstance(error, TooLarge) and receive is not None and not receive.is_over:
            await send_before_body(send, receive, answer)
        else:
            await answer.send(_nothing, send)

    async def _confess(self, error: Exception, route: str, scope: Scope, send: _Sending) -> None:
        trace = note_failure(self._engine.clock, route, error)
        if not send.status:
            await self._form(None, trace, scope).send(_nothing, send)


async def _answered(route: Route, request: Request) -> msgspec.Struct | Response:
    assert route.endpoint is not None
    return await route.endpoint(request)


async def _recorded(route: Route, request: Request) -> msgspec.Struct | Response:
    try:
        answer = await _answered(route, request)
    except RunyardError as error:
        request.note(route.name, _reason(error))
        raise
    request.note(route.name)
    return answer


def _reason(error: RunyardError) -> str:
    """Why something was refused, without what was sent: it may be a secret."""
    code = code_of(type(error))
    if isinstance(error, InputRefused):
        return f"{code}: {', '.join(problem.field for problem in error.problems)}"
    return f"{code}: {error.detail}"


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _encoded(answer: msgspec.Struct, route: Route) -> Response:
    return Response(ENCODER.encode(answer), status=route.status, content_type=JSON)
