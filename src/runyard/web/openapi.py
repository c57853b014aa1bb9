"""The OpenAPI 3.1 document of a door, made from the routes themselves.

Shapes come from the structs that the routes read and write, their descriptions from the docstrings
below the fields, summaries from the endpoints' docstrings. What is not declared on a route cannot
be said about it here.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args, get_type_hints

import msgspec

from runyard.model.tokens import Permission
from runyard.web.problems import Problem
from runyard.web.responses import PROBLEM_JSON
from runyard.web.routing import Route

Json = dict[str, object]

_REF = "#/components/schemas/{name}"
_BEARER = "bearer"


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says about itself."""

    title: str
    version: str
    description: str
    tags: Mapping[str, str]
    """Headings and what stands below them."""
    params: Mapping[str, str]
    """Parameters of addresses and what they are."""
    examples: Mapping[type[msgspec.Struct], Json]
    """A value for each shape that people should see one of."""


def document(about: Title, prefix: str, routes: Sequence[Route]) -> Json:
    """The whole document."""
    schemas = _schemas(routes, about.examples)
    paths: dict[str, Json] = {}
    for route in routes:
        path = paths.setdefault(f"{prefix}{route.path}", {})
        path[route.method.lower()] = _operation(route, about.params, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in about.tags.items()],
        "security": [{_BEARER: []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                _BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of kind native: runyard token create native",
                }
            },
        },
    }


# ---------------------------------------------------------------- operations


def _operation(route: Route, params: Mapping[str, str], schemas: Json) -> Json:
    summary, _, description = inspect.cleandoc(route.story.__doc__ or "").partition("\n")
    needs = f"Permission: {route.permission}."
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "description": f"{summary} {' '.join(description.split())}".strip() + f"\n\n{needs}",
        "parameters": [
            *_path_params(route, params),
            *_query_params(route, schemas),
            *_headers(route),
        ],
        "responses": _responses(route),
        "x-permission": str(route.permission),
    }
    body = _request_body(route)
    if body is not None:
        operation["requestBody"] = body
    if route.permission is Permission.PUBLIC:
        operation["security"] = []
    return operation


def _path_params(route: Route, described: Mapping[str, str]) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": described[name],
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
        for name in route.params
    ]


def _query_params(route: Route, schemas: Json) -> list[Json]:
    if route.query is None:
        return []
    # The query's own schema is no component: nobody sends it as an object.
    schema = schemas.pop(route.query.__name__, None) or _component(route.query)
    assert isinstance(schema, dict)
    return [
        _query_param(name, field, name in schema["required"])
        for name, field in schema["properties"].items()
    ]


def _query_param(name: str, field: Json, is_required: bool) -> Json:  # noqa: FBT001
    field = dict(field)
    param: Json = {"name": name, "in": "query", "required": is_required}
    if "description" in field:
        param["description"] = field.pop("description")
    options = field.pop("anyOf", None)
    if isinstance(
        options, list
    ):  # a query has no null: leaving the parameter out is how it is said
        field.pop("default", None)
        field = {**field, **next(option for option in options if option.get("type") != "null")}
    if field.get("type") == "array":
        param |= {"style": "form", "explode": True}
    param["schema"] = field
    return param


def _headers(route: Route) -> list[Json]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
        for name, description in route.headers.items()
    ]


def _request_body(route: Route) -> Json | None:
    shapes = (route.body,) if route.body is not None else route.bodies
    content: Json = {media: {"schema": _media_schema(media)} for media in route.media}
    if shapes:
        content["application/json"] = {"schema": _any_of(shapes)}
    if not content:
        return None
    return {"required": not route.is_body_optional, "content": content}


def _media_schema(media: str) -> Json:
    if media == "multipart/form-data":
        part = {"type": "string", "contentMediaType": "application/octet-stream"}
        return {"type": "object", "properties": {"file": part}, "required": ["file"]}
    return {"type": "string", "contentMediaType": media}


def _responses(route: Route) -> Json:
    shapes = (route.answer,) if route.answer is not None else route.answers
    success: Json = {"description": "Done."}
    content: Json = {}
    if shapes:
        content["application/json"] = {"schema": _any_of(shapes)}
    if route.answer_media != "application/json":
        content[route.answer_media] = {"schema": {"type": "string"}}
    if content:
        success["content"] = content
    responses: Json = {str(status): success for status in (route.status, *route.statuses)}
    problem = {
        "description": "Refused; the code says why.",
        "content": {
            PROBLEM_JSON.decode(): {"schema": {"$ref": _REF.format(name=Problem.__name__)}}
        },
    }
    responses |= {str(status): problem for status in _refusals(route)}
    responses["default"] = problem
    return responses


def _refusals(route: Route) -> list[int]:
    has_body = bool(route.body or route.bodies or route.media)
    statuses = [
        (400, has_body or route.query is not None),
        (401, route.permission is not Permission.PUBLIC),
        (403, route.permission is not Permission.PUBLIC),
        (404, bool(route.params)),
        (409, route.method != "GET"),
        (413, has_body),
        (415, has_body),
        (429, route.method != "GET"),
        (503, True),
    ]
    return [status for status, applies in statuses if applies]


# ---------------------------------------------------------------- schemas


def _any_of(shapes: Sequence[type[msgspec.Struct]]) -> Json:
    refs: list[Json] = [{"$ref": _REF.format(name=shape.__name__)} for shape in shapes]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _schemas(routes: Iterable[Route], examples: Mapping[type[msgspec.Struct], Json]) -> Json:
    wanted: dict[type[msgspec.Struct], None] = {Problem: None}
    for route in routes:
        for shape in (route.query, route.body, route.answer, *route.bodies, *route.answers):
            if shape is not None:
                wanted[shape] = None
    _, components = msgspec.json.schema_components(list(wanted), ref_template=_REF)
    for shape in _all_structs(wanted):
        schema = components.get(shape.__name__)
        if schema is not None:
            _describe(schema, shape)
            if shape in examples:
                schema["examples"] = [examples[shape]]
    return dict(components)


def _component(shape: type[msgspec.Struct]) -> Json:
    _, components = msgspec.json.schema_components([shape], ref_template=_REF)
    schema: Json = components[shape.__name__]
    _describe(schema, shape)
    return schema


def _describe(schema: Json, shape: type[msgspec.Struct]) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, text in field_descriptions(shape).items():
            if name in properties:
                properties[name].setdefault("description", text)


def _all_structs(roots: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """These structs and all that stand in their fields, at any depth."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting: list[object] = list(roots)
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        is_struct = isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
        if is_struct and annotation not in found:
            found[annotation] = None  # type: ignore[index]
            waiting.extend(get_type_hints(annotation).values())
    return list(found)


def field_descriptions(kind: type) -> dict[str, str]:
    """What the docstrings below the fields of a class, and of its ancestors, say."""
    found: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if ancestor.__module__.startswith("runyard."):
            found |= _own_field_descriptions(ancestor)
    return found


def _own_field_descriptions(kind: type) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found
