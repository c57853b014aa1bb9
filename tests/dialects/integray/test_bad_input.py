"""What is wrong with a request is named, with what was seen and what is allowed, and changes nothing."""

from typing import Any

import pytest

from tests.dialects.integray.conftest import BASE, Place, remote

NESTED = "[" * 5000 + "]" * 5000


async def refused(place: Place, method: str, path: str, **how: Any) -> dict[str, Any]:
    """The problem that acme is answered."""
    answer = await place.acme.http.request(method, path, **how)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "traceId"}
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:runyard:problem:{problem['code']}"
    assert len(problem["traceId"]) == 32
    return dict(problem)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"isRunnable": "true"}', 'isRunnable: "true"; allowed: true or false'),
        ('{"isRunnable": 1}', "isRunnable: 1; allowed: true or false"),
        ('{"isRunnable": null}', "isRunnable: null; allowed: true or false"),
        ("{}", "isRunnable: nothing; allowed: it must be given"),
        ('{"isrunnable": true}', "isrunnable: an unknown name; allowed: isRunnable"),
        ('{"isRunnable": true, "force": 1}', "force: an unknown name; allowed: isRunnable"),
        ("[true]", "body: [true]; allowed: an object"),
        ("true", "body: true; allowed: an object"),
        ("null", "body: null; allowed: an object"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_switch_is_true_or_false_and_nothing_else(
    place: Place, method: str, body: str, detail: str
) -> None:
    json = {"content-type": "application/json"}
    task = await place.acme.task()

    for path in ("/orchestrator/status", f"/tasks/{task}/runnability"):
        problem = await refused(place, method, path, content=body, headers=json)
        assert (problem["status"], problem["code"]) == (400, "invalid_request")
        assert problem["detail"] == detail
    assert (await place.acme.get("/orchestrator/status"))["changedAt"] is None
    assert (await place.acme.get("/tasks"))[0]["isRunnable"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "malformed_json"),
        ("isRunnable=true", "malformed_json"),
        ('{"isRunnable": true', "malformed_json"),
        ('{"isRunnable": true, "isRunnable": false}', "malformed_json"),
        ('{"isRunnable":\u00a0true}', "malformed_json"),
        (NESTED, "invalid_request"),
        (b"\xff\xfe", "malformed_json"),
    ],
)
async def test_what_is_no_json_is_refused(place: Place, body: str | bytes, code: str) -> None:
    json = {"content-type": "application/json"}

    problem = await refused(place, "PUT", "/orchestrator/status", content=body, headers=json)

    assert (problem["status"], problem["code"]) == (400, code)


async def test_a_form_is_not_read(place: Place) -> None:
    problem = await refused(place, "PUT", "/orchestrator/status", data={"isRunnable": "true"})

    assert (problem["status"], problem["code"]) == (415, "unsupported_media_type")
    assert "send application/json" in problem["detail"]


async def test_a_body_beyond_the_limit_is_refused(place: Place) -> None:
    body = b'{"isRunnable": true, "x": "%s"}' % (b"x" * 1024 * 1024)
    json = {"content-type": "application/json"}

    problem = await refused(place, "PUT", "/orchestrator/status", content=body, headers=json)

    assert (problem["status"], problem["code"]) == (413, "too_large")


OF_RUNS = ("", "/logs", "/level", "/wait")
TO_RUNS = ("/restart", "/restart-as-parked", "/unpark", "/cancel")
TO_TASKS = ("/start", "/kill", "/clean")
HUGE = "9" * 40


@pytest.mark.parametrize("word", ["abc", "-3", "0", "1.5", "1e3", "%201", "0x1f", "١٢", "null"])
async def test_what_is_no_id_is_refused(place: Place, word: str) -> None:
    asked = [("GET", f"/taskruns/{word}{path}") for path in OF_RUNS]
    asked += [("POST", f"/taskruns/{word}{path}") for path in TO_RUNS]
    asked += [("POST", f"/tasks/{word}{path}") for path in TO_TASKS]

    for method, path in asked:
        problem = await refused(place, method, path)
        assert (problem["status"], problem["code"]) == (400, "invalid_request"), path
        assert "in decimal digits" in problem["detail"]


@pytest.mark.parametrize("number", ["999999999", "9223372036854775807", HUGE])
async def test_an_id_that_nothing_has_is_not_found(place: Place, number: str) -> None:
    asked = [("GET", f"/taskruns/{number}{path}") for path in OF_RUNS]
    asked += [("POST", f"/taskruns/{number}{path}") for path in TO_RUNS]
    asked += [("POST", f"/tasks/{number}{path}") for path in TO_TASKS]

    for method, path in asked:
        problem = await refused(place, method, path)
        assert problem["status"] == 404, path
        assert problem["code"] in {"task_not_found", "task_run_not_found"}
        assert number in problem["detail"]


async def test_a_task_that_is_named_like_a_number_is_not_found_by_it(place: Place) -> None:
    from tests.dialects.integray.test_operations import deployed
    from tests.support.server import a_declaration

    await deployed(place, a_declaration("12345678"))

    problem = await refused(place, "POST", "/tasks/12345678/kill")

    assert problem["code"] == "task_not_found"


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/taskruns", {"count": "0"}, "count: 0; allowed: a whole number >= 1"),
        (
            "/taskruns",
            {"count": "1000000000"},
            "count: 1000000000; allowed: a whole number <= 1000",
        ),
        ("/taskruns", {"count": "many"}, "count: many; allowed: a whole number"),
        ("/taskruns", {"count": ["1", "2"]}, "count: several values; allowed: one value"),
        ("/taskruns", {"taskId": "abc"}, "taskId[0]: abc; allowed: a whole number"),
        ("/taskruns", {"taskId": "-1"}, "taskId[0]: -1; allowed: a whole number >= 1"),
        ("/taskruns", {"taskId": HUGE}, "taskId[0]"),
        ("/taskruns", {"statusId": "42"}, "statusId[0]: 42; allowed: 1, 100, 101, 200"),
        ("/taskruns", {"statusId": "Parked"}, "statusId[0]: Parked"),
        ("/taskruns", {"beforeId": "0"}, "beforeId: 0; allowed: a whole number >= 1"),
        ("/taskruns", {"dateFrom": "yesterday"}, "dateFrom: yesterday; allowed: an instant"),
        ("/taskruns", {"dateTo": "2026-13-01"}, "dateTo: 2026-13-01; allowed: an instant"),
        ("/taskruns", {"dateFrom": ""}, "dateFrom"),
        (
            "/taskruns",
            {"dateFrom": "2026-03-02", "dateTo": "2026-03-01"},
            "dateFrom: 2026-03-02, after dateTo (2026-03-01)",
        ),
        ("/taskruns", {"status": "1"}, "status: an unknown name; allowed: taskId, statusId"),
        ("/agents", {"isActive": "perhaps"}, "isActive: perhaps; allowed: true or false"),
        ("/agents", {"active": "true"}, "active: an unknown name; allowed: isActive"),
        ("/tasks", {"isRunnable": ""}, "isRunnable"),
        ("/orchestrator/status", {"verbose": "1"}, "verbose: an unknown name"),
    ],
)
async def test_a_query_that_does_not_fit_names_the_parameter(
    place: Place, path: str, query: dict[str, Any], named: str
) -> None:
    problem = await refused(place, "GET", path, params=query)

    assert (problem["status"], problem["code"]) == (400, "invalid_request")
    assert named in problem["detail"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"minLogLevel": "loud"}, "minLogLevel: loud; allowed: Trace, Debug, Info"),
        ({"minLogLevel": "6"}, "minLogLevel: 6; allowed"),
        ({"minLogLevel": ""}, "minLogLevel"),
        ({"count": "0"}, "count: 0; allowed: a whole number >= 1"),
        ({"count": "5001"}, "count: 5001; allowed: a whole number <= 5000"),
        ({"count": "1000000000"}, "count: 1000000000; allowed: a whole number <= 5000"),
        ({"afterId": "-1"}, "afterId: -1; allowed: a whole number >= 0"),
        ({"stepId": "first"}, "stepId: first; allowed: a whole number"),
    ],
)
async def test_a_query_of_logs_that_does_not_fit_names_the_parameter(
    place: Place, query: dict[str, str], named: str
) -> None:
    run = await place.acme.start()

    problem = await refused(place, "GET", f"/taskruns/{run}/logs", params=query)

    assert (problem["status"], problem["code"]) == (400, "invalid_request")
    assert named in problem["detail"]


@pytest.mark.parametrize("seconds", ["-1", "301", "1000000000", "nan", "inf", "soon"])
async def test_a_wait_has_its_limits(place: Place, seconds: str) -> None:
    run = await place.acme.start()

    problem = await refused(place, "GET", f"/taskruns/{run}/wait", params={"timeout": seconds})

    assert problem["status"] == 400
    assert "timeout" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "zip"),
        ({"input": {}}, "zip"),
        ({"input": []}, "zip"),
        ({"input": {"zip": 76131}}, "zip: the number 76131; allowed: text"),
        ({"input": {"zip": "1", "colour": "red"}}, "colour"),
        ({"input": "76131"}, 'input: "76131"; allowed: one object'),
        ({"input": None}, "input: null; allowed: one object"),
        ({"input": ["76131"]}, 'input[0]: "76131"; allowed: one object'),
        ({"input": [{"zip": "1"}, {"zip": "2"}]}, "input: 2 rows; allowed: one row"),
        ({"input": {"zip": "1"}, "note": 5}, "note: 5; allowed: text"),
        ({"input": {"zip": "1"}, "note": "x" * 501}, "note"),
        ({"inputs": {"zip": "1"}}, "inputs: an unknown name; allowed: input, note"),
    ],
)
async def test_a_start_that_does_not_fit_names_what_is_wrong(
    place: Place, body: dict[str, Any], named: str
) -> None:
    task = await place.acme.task()

    problem = await refused(place, "POST", f"/tasks/{task}/start", json=body)

    assert (problem["status"], problem["code"]) == (400, "invalid_request")
    assert named in problem["detail"]
    assert await place.acme.get("/taskruns") == []


@pytest.mark.parametrize("key", ["", "x" * 256, "ž"])
async def test_a_key_has_its_limits(place: Place, key: str) -> None:
    task = await place.acme.task()
    headers = {b"idempotency-key": key.encode()}

    problem = await refused(
        place, "POST", f"/tasks/{task}/start", json={"input": {"zip": "1"}}, headers=headers
    )

    assert problem["status"] == 400
    assert "Idempotency-Key" in problem["detail"]


async def test_what_the_status_does_not_allow_is_a_conflict(place: Place) -> None:
    waiting = await place.acme.start()
    running = await place.acme.start()
    await place.worker.begins(running)
    await place.acme.until(running, 100)
    ended = await place.finished()

    async def code(run: int, what: str) -> str:
        problem = await refused(place, "POST", f"/taskruns/{run}/{what}")
        assert problem["status"] == 409
        return str(problem["code"])

    for run in (waiting, running):
        assert await code(run, "restart") == "not_restartable"
        assert await code(run, "restart-as-parked") == "not_restartable"
        assert await code(run, "unpark") == "not_parked"
    assert await code(ended, "unpark") == "not_parked"
    assert await code(ended, "cancel") == "already_final"


async def test_addresses_and_methods_that_are_not_there(place: Place) -> None:
    elsewhere = await refused(place, "GET", "/nothing")
    deeper = await refused(place, "GET", "/tasks/1/start/now")
    method = await refused(place, "DELETE", "/agents")
    answer = await place.acme.http.request("PATCH", "/orchestrator/status")
    async with remote(place.server, BASE, None) as client:
        root = await client.get("")

    assert (elsewhere["status"], elsewhere["code"]) == (404, "not_found")
    assert deeper["status"] == 404
    assert (method["status"], method["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    assert root.json()["code"] == "not_found"
