"""The OpenAPI 3.1 document of a door, made from the routes themselves.

Shapes come from the structs that the routes read and write, their descriptions from the docstrings
below the fields, what an operation does from its endpoint's docstring, its title from the endpoint's
name. What is not declared on a route cannot be said about it here; what all operations of a door
have in common (how callers are let in, how problems look) the door says in `Title`.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from runyard.model.tokens import Permission
from runyard.web.events import EVENT_STREAM
from runyard.web.problems import Problem
from runyard.web.responses import PROBLEM_JSON
from runyard.web.routing import Route
from runyard.web.schemas import Json, component, components, reference


class SecurityScheme(msgspec.Struct, frozen=True, kw_only=True):
    """How callers are let in."""

    name: str
    described: Json
    """The scheme as OpenAPI has it."""


BEARER = SecurityScheme(
    name="bearer",
    described={
        "type": "http",
        "scheme": "bearer",
        "description": "A token of kind `native`; `runyard token create native` makes one.",
    },
)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What an error status means, and how the answer looks."""

    meaning: str
    example: Json


class Title(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says about itself, and about all operations at once."""

    title: str
    version: str
    description: str
    """Markdown."""
    tags: Mapping[str, str]
    """Headings and what stands below them."""
    params: Mapping[str, str | Json]
    """Parameters of addresses: what they are, or the whole of it where they are no mere texts."""
    examples: Mapping[type[msgspec.Struct], Json]
    """A value of each shape that stands in a body or an answer."""
    refusals: Mapping[int, Refusal]
    """Every error status that the door answers with; which operation has which follows from its
    route."""
    failure: Refusal
    """What is answered when something failed that must not."""
    problem: type[msgspec.Struct] = Problem
    """The shape of a problem."""
    problem_media: str = PROBLEM_JSON.decode()
    security: SecurityScheme | None = BEARER
    """None: callers say in the body who they are."""
    tells_permissions: bool = True
    """Whether operations say which permission they need."""


def document(about: Title, prefix: str, routes: Sequence[Route]) -> Json:
    """The whole document."""
    schemes = [] if about.security is None else [about.security]
    paths: dict[str, Json] = {}
    for route in routes:
        path = paths.setdefault(f"{prefix}{route.path}", {})
        path[route.method.lower()] = _operation(route, about)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": heading(name), "description": text} for name, text in about.tags.items()],
        "security": [{scheme.name: []} for scheme in schemes],
        "paths": paths,
        "components": {
            "schemas": components(_shapes(about, routes), about.examples),
            "responses": _shared_responses(about),
            "securitySchemes": {scheme.name: scheme.described for scheme in schemes},
        },
    }


def heading(tag: str) -> str:
    """A tag as people read it."""
    return tag[:1].upper() + tag[1:]


def _shapes(about: Title, routes: Iterable[Route]) -> list[type[msgspec.Struct]]:
    # The query's own schema is no component: nobody sends it as an object.
    found = [about.problem]
    for route in routes:
        found += [
            shape
            for shape in (route.body, route.answer, *route.bodies, *route.answers)
            if shape is not None
        ]
    return found


# ---------------------------------------------------------------- operations


def _operation(route: Route, about: Title) -> Json:
    operation: Json = {
        "operationId": route.name,
        "tags": [heading(route.tag)],
        "summary": route.caption,
        "description": _story(route, about),
        "parameters": [
            *_path_params(route, about.params),
            *_query_params(route),
            *_headers(route),
        ],
        "responses": _responses(route, about),
        "x-permission": str(route.permission),
    }
    body = _request_body(route, about.examples)
    if body is not None:
        operation["requestBody"] = body
    if route.permission is Permission.PUBLIC:
        operation["security"] = []
    return operation


def _story(route: Route, about: Title) -> str:
    told = inspect.cleandoc(route.story.__doc__ or "")
    if route.permission is Permission.PUBLIC:
        return f"{told}\n\nOpen to everybody: no token is needed."
    return (
        f"{told}\n\nNeeds the permission `{route.permission}`." if about.tells_permissions else told
    )


def _path_params(route: Route, described: Mapping[str, str | Json]) -> list[Json]:
    return [_path_param(name, described[name]) for name in route.params]


def _path_param(name: str, described: str | Json) -> Json:
    param: Json = {"name": name, "in": "path", "required": True}
    if isinstance(described, str):
        schema = {"type": "string", "minLength": 1, "maxLength": 200}
        return {**param, "description": described, "schema": schema}
    return {**param, **described}


def _query_params(route: Route) -> list[Json]:
    if route.query is None:
        return []
    schema = component(route.query)
    required, properties = schema["required"], schema["properties"]
    assert isinstance(required, list)
    assert isinstance(properties, dict)
    return [_query_param(name, field, name in required) for name, field in properties.items()]


def _query_param(name: str, field: Json, is_required: bool) -> Json:  # noqa: FBT001
    field = _without_null(field)
    param: Json = {"name": name, "in": "query", "required": is_required}
    if "description" in field:
        param["description"] = field.pop("description")
    if field.get("type") == "array":
        param |= {"style": "form", "explode": True}
    param["schema"] = field
    return param


def _without_null(field: Json) -> Json:
    """A query has no null: leaving a parameter out is how it is said."""
    match field:
        case {"type": [kind, "null"], **rest}:
            found = {**rest, "type": kind}
        case {"anyOf": [value, {"type": "null"}], **rest}:
            assert isinstance(value, dict)
            found = {**rest, **value}
        case _:
            return dict(field)
    found.pop("default", None)
    return found


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


def _request_body(route: Route, examples: Mapping[type[msgspec.Struct], Json]) -> Json | None:
    shapes = (route.body,) if route.body is not None else route.bodies
    content: Json = {media: {"schema": _media_schema(media)} for media in route.media}
    if shapes:
        content["application/json"] = _content(shapes, examples)
    if not content:
        return None
    return {"required": not route.is_body_optional, "content": content}


def _media_schema(media: str) -> Json:
    if media == "multipart/form-data":
        part = {"type": "string", "contentMediaType": "application/octet-stream"}
        return {"type": "object", "properties": {"file": part}, "required": ["file"]}
    return {"type": "string", "contentMediaType": media}


def _content(
    shapes: Sequence[type[msgspec.Struct]],
    examples: Mapping[type[msgspec.Struct], Json],
    *,
    is_list: bool = False,
) -> Json:
    """JSON of one of these shapes, or an array of it, with an example of each that has one."""
    schema = reference(shapes)
    content: Json = {"schema": {"type": "array", "items": schema} if is_list else schema}
    shown = {
        shape.__name__: {
            "summary": first_sentence(shape),
            "value": [examples[shape]] if is_list else examples[shape],
        }
        for shape in shapes
        if shape in examples
    }
    if shown:
        content["examples"] = shown
    return content


# ---------------------------------------------------------------- answers


def _responses(route: Route, about: Title) -> Json:
    responses: Json = {
        str(status): _success(route, about.examples) for status in (route.status, *route.statuses)
    }
    responses |= {
        str(status): {"$ref": f"#/components/responses/{_response_name(status)}"}
        for status in _refusals(route)
        if status in about.refusals
    }
    responses["default"] = {"$ref": f"#/components/responses/{_FAILURE}"}
    return responses


def _success(route: Route, examples: Mapping[type[msgspec.Struct], Json]) -> Json:
    shapes = (route.answer,) if route.answer is not None else route.answers
    if route.status == 204:
        return {"description": "Done; the answer is empty."}
    content: Json = {}
    if shapes:
        content["application/json"] = _content(shapes, examples, is_list=route.is_list)
    if not shapes or route.answer_media != "application/json":
        content[route.answer_media] = {"schema": {"type": _type_of(route.answer_media)}}
    told = " Or: ".join(first_sentence(shape) for shape in shapes)
    success: Json = {
        "description": told or _MEDIA.get(route.answer_media, "The content."),
        "content": content,
    }
    if route.answer_headers:
        success["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in route.answer_headers.items()
        }
    return success


_MEDIA = {
    "application/json": "The document.",
    EVENT_STREAM: "Server-sent events, as they happen.",
}


def _type_of(media: str) -> str:
    return "object" if media == "application/json" else "string"


def first_sentence(shape: type) -> str:
    """What a struct's docstring begins with."""
    return inspect.cleandoc(shape.__doc__ or shape.__name__).partition("\n")[0]


_FAILURE = "Failed"


def _response_name(status: int) -> str:
    return f"Refused{status}"


def _shared_responses(about: Title) -> Json:
    told = {_response_name(status): refusal for status, refusal in about.refusals.items()}
    return {
        name: {
            "description": refusal.meaning,
            "content": {
                about.problem_media: {
                    "schema": reference([about.problem]),
                    "examples": {about.problem.__name__: {"value": refusal.example}},
                }
            },
        }
        for name, refusal in {**told, _FAILURE: about.failure}.items()
    }


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
    return [status for status, applies in statuses if applies or status in route.refusals]
