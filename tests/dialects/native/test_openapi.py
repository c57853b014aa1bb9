"""The OpenAPI document: complete, true, and held against the running API."""

import json

import msgspec
import pytest

from runyard.dialects.native.examples import EXAMPLES
from runyard.dialects.native.routes import PREFIX, ROUTES, openapi_document
from tests.dialects.native.conftest import Place

DOCUMENT = json.loads(openapi_document())


def test_every_route_is_in_the_document() -> None:
    told = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}

    assert told == {(route.method, f"{PREFIX}{route.path}") for route in ROUTES}
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_operation_and_every_parameter_is_described() -> None:
    lacking = []
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if not operation["summary"] or not operation["description"]:
                lacking.append((method, path))
            lacking += [
                (method, path, parameter["name"])
                for parameter in operation["parameters"]
                if parameter["in"] != "query" and not parameter.get("description")
            ]

    assert lacking == []


def test_every_schema_says_what_it_is() -> None:
    lacking = [
        name
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if not schema.get("description")
    ]

    assert lacking == []


@pytest.mark.parametrize("shape", EXAMPLES, ids=lambda shape: shape.__name__)
def test_every_example_fits_its_shape(shape: type[msgspec.Struct]) -> None:
    encoded = msgspec.json.encode(EXAMPLES[shape])

    msgspec.json.decode(encoded, type=shape)
    assert DOCUMENT["components"]["schemas"][shape.__name__]["examples"] == [EXAMPLES[shape]]


async def test_the_document_is_public(place: Place) -> None:
    del place.acme.headers["authorization"]

    answer = await place.acme.get(f"{place.server.url}{PREFIX}/openapi.json")

    assert answer.json() == DOCUMENT
