"""The route profile: where the operations stand and what fields are called, if not as usual.

Whoever holds the vendor's own reference, which is not public, can map the operations onto its paths
without changing code. The profile is a JSON file:

    {
      "base": "/api/remote",
      "operations": {
        "startTask": {"method": "POST", "path": "/{CompanySlug}/Task/Start",
                      "params": {"taskId": "TaskID"}}
      },
      "names": {"taskRunId": "taskRunID"}
    }

Operations that it does not name stay where they are. In a path the usual parameters stand in braces;
one that has no place there is read from the query, `CompanySlug` also from a header of that name.
`params` says what parameters are called in the query, `names` what members are called in JSON, both
in requests and in answers.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from runyard.model.errors import FieldProblem, InputRefused
from runyard.web.routing import Route

BASE = "/api/remote"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SLUG = "CompanySlug"

_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[A-Za-z]+\}))+")
_BASE = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class Placement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one operation stands."""

    method: str | None = None
    path: str | None = None
    params: dict[str, str] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where all of them stand."""

    base: str = BASE
    operations: dict[str, Placement] = {}
    names: dict[str, str] = {}

    def placement(self, operation: str) -> Placement:
        """That of one operation."""
        return self.operations.get(operation, _AS_USUAL)

    def placed(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """The routes where this profile wants them."""
        return tuple(self._placed(route) for route in routes)

    def _placed(self, route: Route) -> Route:
        wanted = self.placement(route.operation)
        return msgspec.structs.replace(
            route, method=wanted.method or route.method, path=wanted.path or route.path
        )

    def usual_query(self, operation: str, query: bytes) -> bytes:
        """A query with the usual names."""
        params = self.placement(operation).params
        if not params or not query:
            return query
        usual = {theirs: ours for ours, theirs in params.items()}
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        return urlencode([(usual.get(name, name), value) for name, value in pairs]).encode()

    def describe_moved(
        self,
        document: dict[str, object],
        usual: Route,
        placed: Route,
        params: Mapping[str, object],
    ) -> None:
        """Describe as parts of the query what a path has no place for any more."""
        paths: Mapping[str, Any] = document["paths"]  # type: ignore[assignment]
        operation = paths[f"{self.base}{placed.path}"][placed.method.lower()]
        for name in usual.params:
            if name not in placed.params:
                operation["parameters"].append(
                    {"name": name, "in": "query", "required": True, **params[name]}  # type: ignore[dict-item]
                )

    def described(self, document: dict[str, object]) -> dict[str, object]:
        """An OpenAPI document with the names and places of this profile."""
        paths: Mapping[str, Any] = document["paths"]  # type: ignore[assignment]
        components: Mapping[str, Any] = document["components"]  # type: ignore[assignment]
        for operations in paths.values():
            for operation in operations.values():
                params = self.placement(operation["operationId"]).params
                for param in operation["parameters"]:
                    param["name"] = params.get(param["name"], param["name"])
        for schema in components["schemas"].values():
            if self.names and "properties" in schema:
                schema["properties"] = {
                    self.names.get(name, name): field
                    for name, field in schema["properties"].items()
                }
                schema["required"] = [self.names.get(n, n) for n in schema.get("required", [])]
                schema["examples"] = self.their_names(schema.get("examples", []))
        return document

    def usual_names(self, body: object) -> object:
        """A request's body with the usual names. What stands in its members is the caller's own."""
        if not isinstance(body, dict):
            return body
        usual = {theirs: ours for ours, theirs in self.names.items()}
        for name in body:
            if name in self.names and name not in usual:
                allowed = f"it is called {self.names[name]} here"
                raise InputRefused(
                    [FieldProblem(field=name, seen="an unknown name", allowed=allowed)]
                )
        return {usual.get(name, name): value for name, value in body.items()}

    def their_names(self, value: object) -> object:
        """A JSON value with the names of this profile."""
        return _renamed(value, self.names)


_AS_USUAL = Placement()


def read_profile(path: Path, routes: Sequence[Route]) -> Profile:
    """The profile in a file; raises InputRefused naming everything that is wrong with it."""
    try:
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except (OSError, msgspec.DecodeError) as error:
        raise InputRefused([_problem(str(path), str(error), "a route profile, JSON")]) from None
    if problems := _problems(profile, {route.operation: route for route in routes}):
        raise InputRefused(problems)
    return profile


def _problems(profile: Profile, routes: Mapping[str, Route]) -> list[FieldProblem]:
    found = []
    if not _BASE.fullmatch(profile.base):
        found.append(_problem("base", profile.base, "a path such as /api/remote"))
    for name, placement in profile.operations.items():
        field = f"operations.{name}"
        if name not in routes:
            found.append(_problem(field, name, ", ".join(routes)))
            continue
        found += _misplaced(field, placement, routes[name])
    for ours, theirs in profile.names.items():
        if not (_NAME.fullmatch(ours) and _NAME.fullmatch(theirs)):
            found.append(_problem("names", f"{ours}: {theirs}", "names of letters and digits"))
    if len(set(profile.names.values())) < len(profile.names):
        found.append(_problem("names", "one name for two members", "each its own"))
    return found or _clashes(profile, routes)


def _misplaced(field: str, placement: Placement, route: Route) -> list[FieldProblem]:
    found = []
    if placement.method is not None and placement.method not in METHODS:
        found.append(_problem(f"{field}.method", placement.method, ", ".join(METHODS)))
    if placement.path is not None:
        if not _PATH.fullmatch(placement.path):
            allowed = "segments of letters, digits and - . _ ~, or a parameter in braces"
            found.append(_problem(f"{field}.path", placement.path, allowed))
        elif unknown := set(re.findall(r"\{(\w+)\}", placement.path)) - set(route.params):
            allowed = ", ".join(route.params) or "no parameter"
            found.append(_problem(f"{field}.path", ", ".join(sorted(unknown)), allowed))
    return found


def _clashes(profile: Profile, routes: Mapping[str, Route]) -> list[FieldProblem]:
    """Operations that would stand at the same address."""
    seen: dict[tuple[str, str], str] = {}
    found = []
    for route in profile.placed(list(routes.values())):
        address = (route.method, re.sub(r"\{\w+\}", "{}", route.path))
        if address in seen:
            other = f"{route.method} {route.path}, where {seen[address]} stands"
            found.append(_problem(f"operations.{route.operation}", other, "an address of its own"))
        seen[address] = route.operation
    return found


def _problem(field: str, seen: str, allowed: str) -> FieldProblem:
    return FieldProblem(field=f"integray_profile: {field}", seen=seen, allowed=allowed)


def _renamed(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value
