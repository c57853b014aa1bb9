"""Requests as values, and operations as generators of them.

An operation is written once, as a generator: it yields a `Request`, is sent the `Answer`, and
returns its result. `operation` makes a method of it: on a `Client` the call returns the result, on
an `AsyncClient` something to await.
"""

import secrets
from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import timedelta
from functools import update_wrapper
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import msgspec

from runyard.sdk.client.failures import ServerBroken

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
JSON = "application/json"
PATIENCE = timedelta(seconds=60)
"""How long an answer may take unless a request asks for more."""

Query = Mapping[str, str | list[str] | None]


class ServerEvent(msgspec.Struct, frozen=True):
    """One server-sent event."""

    name: str
    data: str
    id: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask the server."""

    method: str
    path: str
    """Below the server's address."""
    query: Query = {}
    headers: Mapping[str, str] = {}
    body: bytes | Path | None = None
    """A path: the file's content."""
    content_type: str = JSON
    is_repeatable: bool = False
    """Whether asking twice does no more than asking once."""
    patience: timedelta = PATIENCE
    save_to: Path | None = None
    """Where the body of the answer is written; in memory unless given."""
    on_event: Callable[[ServerEvent], None] | None = None
    """Called with each event of an answer that is a stream of events."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said."""

    status_code: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


Plan = Generator[Request, Answer, T]
"""An operation under way: yields requests, is sent answers, returns its result."""


class Blocking(Protocol):
    """A client whose operations return when they are done."""

    def carry_out(self, plan: Plan[T]) -> T:
        """The plan's result."""
        ...


class Awaiting(Protocol):
    """A client whose operations are awaited."""

    async def carry_out(self, plan: Plan[T]) -> T:
        """The plan's result."""
        ...


class Operation(Generic[P, T]):
    """A method of both clients, described by one generator."""

    def __init__(self, plan: Callable[Concatenate[Any, P], Plan[T]]) -> None:
        self._plan = plan
        self.__doc__ = plan.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> T | Coroutine[Any, Any, T]:
            result: T | Coroutine[Any, Any, T] = client.carry_out(
                self._plan(client, *args, **kwargs)
            )
            return result

        return update_wrapper(call, self._plan)


def operation(plan: Callable[Concatenate[Any, P], Plan[T]]) -> Operation[P, T]:
    """Makes a method of both clients from one generator."""
    return Operation(plan)


def ask(request: Request, answer: type[T]) -> Plan[T]:
    """Sends one request and reads its answer as the given type."""
    received = yield request
    return read(received.body, answer)


def read(body: bytes | str, answer: type[T]) -> T:
    """The answer as a value; raises ServerBroken when it is something else."""
    try:
        return msgspec.json.decode(body, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerBroken(f"The answer is not what this client expects: {error}") from error


def as_json(value: object) -> bytes:
    """A request body."""
    return msgspec.json.encode(value)


def get(path: str, query: Query | None = None) -> Request:
    """Asks for something."""
    return Request(method="GET", path=path, query=query or {}, is_repeatable=True)


def put(path: str, body: object) -> Request:
    """Sets something, whatever it was."""
    return Request(method="PUT", path=path, body=as_json(body), is_repeatable=True)


def patch(path: str, body: object) -> Request:
    """Changes what the body has."""
    return Request(method="PATCH", path=path, body=as_json(body), is_repeatable=True)


def post(path: str, body: object = None) -> Request:
    """Does something, each time anew."""
    return Request(method="POST", path=path, body=None if body is None else as_json(body))


def delete(path: str) -> Request:
    """Takes something away."""
    return Request(method="DELETE", path=path, is_repeatable=True)


def keyed_post(path: str, body: object, key: str | None) -> Request:
    """A start: with its key, asking twice does no more than asking once."""
    return Request(
        method="POST",
        path=path,
        body=as_json(body),
        headers={"idempotency-key": key or secrets.token_urlsafe(16)},
        is_repeatable=True,
    )


class Listed(Protocol[T_co]):
    """A page of a list."""

    @property
    def items(self) -> tuple[T_co, ...]: ...
    @property
    def next(self) -> str | None: ...


def all_pages(request: Request, page: type[Listed[T]]) -> Plan[tuple[T, ...]]:
    """The items of all pages of a list."""
    items: list[T] = []
    cursor: str | None = None
    while True:
        query = {**request.query, "limit": "500", "cursor": cursor}
        part = yield from ask(msgspec.structs.replace(request, query=query), page)
        items.extend(part.items)
        cursor = part.next
        if cursor is None:
            return tuple(items)


def paged(limit: int | None, after: str | None) -> dict[str, str | list[str] | None]:
    """The query for one page: `after` is the `next` of the page before."""
    return {"limit": None if limit is None else str(limit), "cursor": after}


def without_none(**fields: object) -> dict[str, object]:
    """A body of what is given."""
    return {name: value for name, value in fields.items() if value is not None}
