"""The OpenAPI document: complete, true, and held against the running API."""

import asyncio
import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from runyard.dialects.native.examples import REFUSALS
from runyard.dialects.native.routes import PREFIX, ROUTES, openapi_document
from tests.dialects.native.conftest import Place

DOCUMENT = json.loads(openapi_document())

ENDLESS = {"watch_run", "watch_company", "wait_for_run"}
"""Operations that answer when something happens, and have tests of their own."""
OPERATIONS = [route.name for route in ROUTES if route.name not in ENDLESS]


def test_every_route_is_in_the_document() -> None:
    told = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}

    assert told == {(route.method, f"{PREFIX}{route.path}") for route in ROUTES}
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_refusal_has_the_status_that_its_example_says() -> None:
    assert {status: refusal.example["status"] for status, refusal in REFUSALS.items()} == {
        status: status for status in REFUSALS
    }


def test_every_operation_says_what_it_needs_and_how_it_refuses() -> None:
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            is_public = operation["x-permission"] == "public"
            assert operation.get("security", DOCUMENT["security"]) == (
                [] if is_public else [{"bearer": []}]
            )
            refused = {
                status: answer["$ref"].rpartition("/")[2]
                for status, answer in operation["responses"].items()
                if "$ref" in answer
            }
            assert refused.pop("default") == "Failed"
            assert refused == {status: f"Refused{status}" for status in refused}
            assert ("401" in refused) is not is_public


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


async def test_the_document_is_public(place: Place) -> None:
    del place.acme.headers["authorization"]

    answer = await place.acme.get(f"{place.server.url}{PREFIX}/openapi.json")

    assert answer.json() == DOCUMENT


@pytest.mark.parametrize("name", OPERATIONS)
async def test_whatever_is_sent_the_api_answers_as_its_document_says(
    place: Place,
    name: str,
    torture: bool,  # noqa: FBT001 - a fixture
) -> None:
    run = await place.start(parked=True)
    values = {"company": place.acme_slug, "task": "Zip code", "run": str(run)}

    await asyncio.to_thread(try_operation, place, name, values, 300 if torture else 12)


@schemathesis.serializer("application/zip")
def as_it_is(_context: object, value: object) -> bytes:
    """Archives are opaque to the document; any text will do for one that nobody can read."""
    return value if isinstance(value, bytes) else str(value).encode()


def try_operation(place: Place, name: str, values: dict[str, str], examples: int) -> None:
    """Send this operation what its schema allows and what it does not, at things that exist."""
    operation = SCHEMA.find_operation_by_id(name)
    headers = {"authorization": place.admin.headers["authorization"]}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def answers_as_described(case: Case) -> None:
        for param in set(values) & set(case.path_parameters or {}):
            case.path_parameters[param] = values[param]
        response = case.call(base_url=place.server.url, headers=headers)
        case.validate_response(response, checks=CHECKS)

    answers_as_described()


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
