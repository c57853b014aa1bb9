"""The OpenAPI documents are valid, and every shape in them has an example that fits it.

Here, and not beside the tests of the APIs, so that `make check` notices a shape that has changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from runyard.dialects.automation_anywhere import routes as automation_anywhere
from runyard.dialects.automation_anywhere.examples import EXAMPLES as API_TASK_EXAMPLES
from runyard.dialects.elma.examples import EXAMPLES as ELMA_EXAMPLES
from runyard.dialects.elma.options import Options as ElmaOptions
from runyard.dialects.elma.routes import TaskQueue
from runyard.dialects.integray.dialect import Options
from runyard.dialects.integray.examples import EXAMPLES as REMOTE_EXAMPLES
from runyard.dialects.integray.routes import RemoteApi
from runyard.dialects.native.examples import EXAMPLES
from runyard.dialects.native.routes import ROUTES, openapi_document
from runyard.web.routing import Route

Shape = type[msgspec.Struct]


@dataclass(frozen=True)
class Api:
    """A door with a document."""

    name: str
    document: dict[str, Any]
    routes: Sequence[Route]
    examples: Mapping[Shape, object]


REMOTE = RemoteApi(Options())
QUEUE = TaskQueue(ElmaOptions())
APIS = (
    Api("native", json.loads(openapi_document()), ROUTES, EXAMPLES),
    Api(
        "automation-anywhere",
        json.loads(automation_anywhere.openapi_document()),
        automation_anywhere.OPERATIONS,
        API_TASK_EXAMPLES,
    ),
    Api("elma", json.loads(QUEUE.openapi_document()), QUEUE.operations, ELMA_EXAMPLES),
    Api("integray", json.loads(REMOTE.openapi_document()), REMOTE.operations, REMOTE_EXAMPLES),
)
SHAPES = [(api, shape) for api in APIS for shape in api.examples]

each_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


def shapes_of(route: Route) -> Iterator[Shape]:
    """What stands in the bodies and answers of a route."""
    for shape in (route.body, route.answer, *route.bodies, *route.answers):
        if shape is not None:
            yield shape


@each_api
def test_the_document_is_valid(api: Api) -> None:
    OPENAPI_31_VALIDATOR.validate(api.document)


@each_api
def test_every_operation_has_a_title_and_a_description(api: Api) -> None:
    lacking = [
        (method, path)
        for path, item in api.document["paths"].items()
        for method, operation in item.items()
        if not (operation["summary"] and operation["description"])
    ]

    assert lacking == []


@each_api
def test_every_body_and_every_answer_has_an_example(api: Api) -> None:
    lacking = [
        (route.name, shape.__name__)
        for route in api.routes
        for shape in shapes_of(route)
        if shape not in api.examples
    ]

    assert lacking == []


@pytest.mark.parametrize(
    ("api", "shape"), SHAPES, ids=[f"{a.name}-{s.__name__}" for a, s in SHAPES]
)
def test_every_example_fits_its_shape(api: Api, shape: Shape) -> None:
    encoded = msgspec.json.encode(api.examples[shape])

    msgspec.json.decode(encoded, type=shape)
    shown = api.document["components"]["schemas"][shape.__name__]
    assert shown["examples"] == [api.examples[shape]]
