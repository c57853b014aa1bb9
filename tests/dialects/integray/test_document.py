"""The OpenAPI document of the Remote API: complete, true, and held against the running API."""

import asyncio
import json

import msgspec
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

from runyard.dialects.integray.dialect import Options
from runyard.dialects.integray.examples import EXAMPLES
from runyard.dialects.integray.routes import RemoteApi
from tests.dialects.integray.conftest import BASE, Place, remote

API = RemoteApi(Options())
DOCUMENT = json.loads(API.openapi_document())
OPERATIONS = {
    operation["operationId"]: operation
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
}
CAPTIONS = {
    "Agent": ["Get agents"],
    "Orchestrator": ["Set status", "Get status"],
    "Task": ["Get tasks", "Start task", "Kill", "Clean", "Set runnability"],
    "Task run": [
        "Get logs",
        "Restart",
        "Restart as Parked",
        "Get Level",
        "Get task run",
        "Get task runs",
        "Get task run statuses",
    ],
    "Extensions": ["Unpark", "Cancel", "Wait", "Get metrics"],
}
"""The vendor's groups and what is in them, in its order; and ours."""


def test_fifteen_operations_stand_in_four_groups_under_their_captions() -> None:
    found: dict[str, list[str]] = {tag["name"]: [] for tag in DOCUMENT["tags"]}
    for operation in OPERATIONS.values():
        [tag] = operation["tags"]
        found[tag].append(operation["summary"])

    assert found == CAPTIONS
    assert sum(map(len, list(CAPTIONS.values())[:4])) == 15


def test_the_token_is_an_api_key_and_the_company_a_parameter_of_the_address() -> None:
    scheme = DOCUMENT["components"]["securitySchemes"]["Authorization"]

    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
    assert DOCUMENT["security"] == [{"Authorization": []}]
    for operation in OPERATIONS.values():
        slug = operation["parameters"][0]
        assert (slug["name"], slug["in"], slug["required"]) == ("CompanySlug", "path", True)
        assert "Authorization" not in [param["name"] for param in operation["parameters"]]


def test_everything_is_described_and_has_its_example() -> None:
    for operation in OPERATIONS.values():
        assert operation["description"]
        assert all(param.get("description") for param in operation["parameters"]), operation
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), name
    shown = {shape.__name__ for shape in EXAMPLES}
    answered = {route.answer.__name__ for route in API.operations if route.answer is not None} | {
        route.body.__name__ for route in API.operations if route.body is not None
    }
    assert answered <= shown


@pytest.mark.parametrize("shape", EXAMPLES, ids=lambda shape: shape.__name__)
def test_every_example_fits_its_shape(shape: type[msgspec.Struct]) -> None:
    encoded = msgspec.json.encode(EXAMPLES[shape])

    assert (
        json.loads(msgspec.json.encode(msgspec.json.decode(encoded, type=shape)))
        == (EXAMPLES[shape])
    )


def test_the_fifteen_statuses_are_in_the_schemas() -> None:
    schema = DOCUMENT["components"]["schemas"]["StatusId"]

    assert schema["enum"] == [1, 100, 101, 200, 201, 202, *range(300, 308), 999]


async def test_the_document_is_public(place: Place) -> None:
    async with remote(place.server, BASE, None) as client:
        answer = await client.get("/openapi.json")

    assert answer.json() == DOCUMENT


ENDLESS = {"waitForTaskRun"}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ENDLESS])
async def test_whatever_is_sent_the_api_answers_as_its_document_says(
    place: Place,
    name: str,
    torture: bool,  # noqa: FBT001 - a fixture
) -> None:
    run = await place.finished()
    values = {
        "CompanySlug": place.acme.slug,
        "taskId": str(await place.acme.task()),
        "taskRunId": str(run),
    }

    await asyncio.to_thread(try_operation, place, name, values, 300 if torture else 12)


def try_operation(place: Place, name: str, values: dict[str, str], examples: int) -> None:
    """Send this operation what its schema allows and what it does not, at things that exist."""
    operation = SCHEMA.find_operation_by_id(name)

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
        response = case.call(
            base_url=place.server.url, headers={"authorization": place.acme.secret}
        )
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
