"""The OpenAPI document of the task queue: complete, true, and held against the running API."""

import asyncio
import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runyard.dialects.elma.options import Options
from runyard.dialects.elma.routes import TaskQueue
from tests.dialects.elma.conftest import Place

DOCUMENT = json.loads(TaskQueue(Options()).openapi_document())
OPERATIONS = {
    operation["operationId"]: operation
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
}


def test_the_six_calls_stand_at_the_vendors_addresses_under_its_captions() -> None:
    found = {
        path: operation["summary"]
        for path, item in DOCUMENT["paths"].items()
        for operation in item.values()
    }

    assert found == {
        "/v1/orchestra/task/create": "Create a task",
        "/v1/orchestra/task/status": "Task data",
        "/v1/orchestra/task/cancel": "Cancel a task in queue",
        "/v1/repository/task/download": "Get a file from the output context",
        "/v1/repository/actual": "Current versions",
        "/v1/repository/history": "All versions of a process",
    }


def test_who_calls_stands_in_the_body_and_nowhere_else() -> None:
    assert DOCUMENT["security"] == []
    assert DOCUMENT["components"]["securitySchemes"] == {}
    for operation in OPERATIONS.values():
        [content] = operation["requestBody"]["content"].values()
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert "auth_tkn" in DOCUMENT["components"]["schemas"][name]["required"]


def test_every_refusal_is_described_with_its_example() -> None:
    for name, response in DOCUMENT["components"]["responses"].items():
        [content] = response["content"].values()
        example = content["examples"]["Failure"]["value"]
        assert set(example) == {"status", "ErrorMessage"}
        assert name in {f"Refused{example['status']}", "Failed"}
    for operation in OPERATIONS.values():
        assert {"400", "401", "403", "409", "413"} <= set(operation["responses"])


async def test_the_document_is_public(place: Place) -> None:
    answer = await place.bpm.http.get("/orchestra/openapi.json")

    assert answer.json() == DOCUMENT


@pytest.mark.parametrize("name", OPERATIONS)
async def test_whatever_is_sent_the_api_answers_as_its_document_says(
    place: Place,
    name: str,
    torture: bool,  # noqa: FBT001 - a fixture
) -> None:
    task = await place.over()
    values = {"auth_tkn": place.bpm.uuid, "id": task["id"], "taskid": task["id"]}
    values["token"] = task["process"]

    await asyncio.to_thread(try_operation, place, name, values, 300 if torture else 15)


def try_operation(place: Place, name: str, values: dict[str, object], examples: int) -> None:
    """Send this operation what its schema allows, and what it does not, as a system that may call."""
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
        if isinstance(case.body, dict):
            case.body.update({key: value for key, value in values.items() if key in case.body})
            if isinstance(case.body.get("task"), dict):
                case.body["task"]["process"] = values["token"]
        case.validate_response(case.call(base_url=place.server.url), checks=CHECKS)

    answers_as_described()


SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
