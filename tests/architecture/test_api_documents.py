"""The OpenAPI documents are valid, and every shape in them has an example that fits it.

Here, and not beside the tests of the APIs, so that `make check` notices a shape that has changed.
"""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from runyard.dialects.native.examples import EXAMPLES
from runyard.dialects.native.routes import ROUTES, openapi_document
from runyard.web.routing import Route

DOCUMENTS = MappingProxyType({"native": json.loads(openapi_document())})


def shapes_of(route: Route) -> Iterator[type[msgspec.Struct]]:
    """What stands in the bodies and answers of a route."""
    for shape in (route.body, route.answer, *route.bodies, *route.answers):
        if shape is not None:
            yield shape


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_the_document_is_valid(document: Mapping[str, object]) -> None:
    OPENAPI_31_VALIDATOR.validate(document)


def test_every_body_and_every_answer_has_an_example() -> None:
    lacking = [
        (route.name, shape.__name__)
        for route in ROUTES
        for shape in shapes_of(route)
        if shape not in EXAMPLES
    ]

    assert lacking == []


@pytest.mark.parametrize("shape", EXAMPLES, ids=lambda shape: shape.__name__)
def test_every_example_fits_its_shape(shape: type[msgspec.Struct]) -> None:
    encoded = msgspec.json.encode(EXAMPLES[shape])

    msgspec.json.decode(encoded, type=shape)
    shown = DOCUMENTS["native"]["components"]["schemas"][shape.__name__]
    assert shown["examples"] == [EXAMPLES[shape]]
