"""Which route a request takes.

A route is declared once, with its permission, its query, its body and its answer; the same
declaration routes, guards, and becomes the OpenAPI document. Segments are compared as they came
over the wire; only a parameter's segment is decoded, so an encoded slash in a name stays in it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import unquote

import msgspec

from runyard.model.tokens import Permission
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.errors import MethodNotAllowed, RouteNotFound
from runyard.web.house import House
from runyard.web.requests import Request
from runyard.web.responses import Response

Endpoint = Callable[[Request], Awaitable[msgspec.Struct | Response]]
HotEndpoint = Callable[[House, Mapping[str, str], Scope, Receive, Send], Awaitable[None]]
"""An endpoint that lets the caller in and answers by itself, for the few routes where each
microsecond counts."""

MOST_REMEMBERED = 2_000
LONGEST_REMEMBERED = 200
"""Addresses that are remembered, and their characters: those that are called again and again."""

_LONGEST_PARAM = 200
_CONTROLS = frozenset(map(chr, (*range(32), 127)))


_READING = frozenset({"GET", "HEAD"})
_RECORDED = frozenset(
    {Permission.DEPLOY, Permission.ADMINISTER, Permission.INSTALL, Permission.OWN}
)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one address."""

    method: str
    path: str
    """Below the door's prefix; parameters in braces."""
    permission: Permission
    endpoint: Endpoint | None = None
    hot: HotEndpoint | None = None
    """Instead of `endpoint`."""
    operation: str = ""
    """Its name in the document, where that is not the function's."""
    tag: str
    title: str = ""
    """What people call it in the reference; the endpoint's name in words unless told otherwise."""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    """JSON that it reads. A union of shapes stands in `bodies` instead."""
    bodies: tuple[type[msgspec.Struct], ...] = ()
    is_body_optional: bool = False
    media: tuple[str, ...] = ()
    """Content types of a body that is not JSON."""
    answer: type[msgspec.Struct] | None = None
    answers: tuple[type[msgspec.Struct], ...] = ()
    """Instead of `answer`, where it depends on the body."""
    is_list: bool = False
    """Whether it answers an array of `answer`s."""
    answer_headers: Mapping[str, str] = {}
    """Headers of a success that have a meaning, and which."""
    answer_media: str = "application/json"
    headers: Mapping[str, str] = {}
    """Request headers with a meaning here, and which."""
    status: int = 200
    statuses: tuple[int, ...] = ()
    """Further successes that it answers with."""
    refusals: tuple[int, ...] = ()
    """Error statuses that it answers with although nothing else declared here says so."""

    only_reads: bool = False
    """Whether it changes nothing although its method says that it may."""

    @property
    def is_recorded(self) -> bool:
        """Whether the audit log has who has used it: it changes what only few may change."""
        return self.method not in _READING and self.permission in _RECORDED and not self.only_reads

    @property
    def name(self) -> str:
        """The route's name in the OpenAPI document and in metrics."""
        return self.operation or self.story.__name__

    @property
    def caption(self) -> str:
        """What people call it."""
        return self.title or self.name.replace("_", " ").capitalize()

    @property
    def story(self) -> Callable[..., object]:
        """The function whose name and docstring describe the route."""
        found = self.endpoint or self.hot
        assert found is not None
        return found

    @property
    def params(self) -> tuple[str, ...]:
        """The names of the address's parameters, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def is_about_company(self) -> bool:
        """Whether the address names a company."""
        return "company" in self.params


class _Node:
    __slots__ = ("children", "param", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.param: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of an address."""

    def __init__(self, prefix: str, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._found: dict[tuple[str, str], tuple[Route, Mapping[str, str]]] = {}
        """What was found lately, by method and address."""
        for route in routes:
            node = self._root
            for part in f"{prefix}{route.path}".split("/")[1:]:
                if part.startswith("{"):
                    node.param = node.param or _Node()
                    node = node.param
                else:
                    node = node.children.setdefault(part, _Node())
            if route.method in node.routes:
                raise ValueError(f"{route.method} {route.path} is declared twice")
            node.routes[route.method] = route

    def find(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its parameters; raises RouteNotFound or MethodNotAllowed."""
        known = self._found.get((method, raw_path))
        if known is not None:
            return known
        found = self._search(method, raw_path)
        if len(raw_path) <= LONGEST_REMEMBERED:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            self._found[method, raw_path] = found
        return found

    def _search(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, str]]:
        node, values = self._root, []
        for part in raw_path.split("/")[1:]:
            child = node.children.get(part)
            if child is None:
                child = node.param
                if child is None:
                    raise RouteNotFound
                values.append(_decoded(part))
            node = child
        if not node.routes:
            raise RouteNotFound
        route = node.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowed(methods_of(node.routes))
        return route, dict(zip(route.params, values, strict=True))


def methods_of(routes: Mapping[str, Route]) -> tuple[str, ...]:
    """What an address allows, with the methods that come for free."""
    extra = {"OPTIONS", "HEAD"} if "GET" in routes else {"OPTIONS"}
    return tuple(sorted(extra.union(routes)))


def _decoded(part: str) -> str:
    """The text of a parameter's segment; raises RouteNotFound when it cannot name anything."""
    text = part
    if "%" in part:
        try:
            text = unquote(part, errors="strict")
        except UnicodeDecodeError:
            raise RouteNotFound from None
    if not 0 < len(text) <= _LONGEST_PARAM:
        raise RouteNotFound
    if not text.isprintable() and any(character in _CONTROLS for character in text):
        raise RouteNotFound
    return text
