"""Whatever is wrong with a call is answered in the dialect's form, with a number and a reason."""

import json
from datetime import timedelta
from typing import Any

import pytest

from runyard.model.tasks import Policies, RetryPolicy
from runyard.model.types import Field, Integer, Text
from tests.dialects.elma.conftest import UNKNOWN, Place, an_intake, lines_of
from tests.dialects.elma.test_conformance import CALLS

CREATE, STATUS, CANCEL = (f"/orchestra/task/{word}" for word in ("create", "status", "cancel"))
DOWNLOAD, ACTUAL, HISTORY = (
    f"/repository/{word}" for word in ("task/download", "actual", "history")
)


async def raw(place: Place, path: str, body: bytes, **headers: str) -> tuple[int, str]:
    """Number and reason of the refusal of a body."""
    answer = await place.bpm.http.post(path, content=body, headers=headers)
    found = answer.json()
    assert set(found) == {"status", "ErrorMessage"}
    assert answer.status_code == found["status"]
    return answer.status_code, found["ErrorMessage"]


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty; send a JSON object"),
        (b"{", "the JSON ends too early"),
        (b'{"auth_tkn": 1,}', "at line 1, column 16"),
        (b"[]", "body: []; allowed: an object"),
        (b"null", "body: null; allowed: an object"),
        (b'{"auth_tkn":"a","auth_tkn":"b"}', "has the name 'auth_tkn' twice"),
        ('{\n\u200b"auth_tkn":"a"}'.encode(), "line 2, column 1: an invisible U+200B"),
        (b'{"auth_tkn":"\xff"}', ""),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_its_place(
    place: Place, path: str, body: bytes, told: str
) -> None:
    number, reason = await raw(place, path, body)

    assert number == 400
    assert told in reason


async def test_the_content_type_does_not_matter(place: Place) -> None:
    task = await place.bpm.asked()
    body = json.dumps({"auth_tkn": place.bpm.uuid, "task": task})

    for content_type in ("application/x-www-form-urlencoded", "text/plain", "nonsense", ""):
        answer = await place.bpm.http.post(
            CREATE, content=body, headers={"content-type": content_type}
        )
        assert answer.json()["status"] == 201, content_type


async def test_large_bodies_are_looked_at_closely_only_for_systems_that_may_call(
    place: Place,
) -> None:
    filler = " " * 100_000
    twice = f'{{"auth_tkn":"%s","a":1,"a":2{filler}}}'

    number, _ = await raw(place, STATUS, (twice % UNKNOWN).encode())
    assert number == 401
    number, reason = await raw(place, STATUS, (twice % place.bpm.uuid).encode())
    assert (number, reason) == (400, "an object has the name 'a' twice")
    number, reason = await raw(place, STATUS, f"{{{filler}".encode())
    assert (number, reason[:23]) == (400, "the JSON ends too early")
    number, reason = await raw(place, STATUS, f"{{\u00a0{filler}}}".encode())
    assert "an invisible U+00A0 NO-BREAK SPACE" in reason


async def test_a_body_beyond_the_limit_is_too_large(place: Place) -> None:
    number, reason = await raw(place, STATUS, b" " * (1024 * 1024 + 1))

    assert (number, reason) == (413, "the body may have at most 1,048,576 bytes")


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_taken(place: Place, path: str, method: str) -> None:
    answer = await place.bpm.http.request(method, path)

    assert answer.status_code == answer.json()["status"] == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["ErrorMessage"]


@pytest.mark.parametrize(
    "path",
    [
        "/orchestra",
        "/orchestra/task",
        "/orchestra/task/create/",
        "/orchestra/Task/create",
        "/orchestra/task/restart",
        "/repository",
        "/repository/upload",
    ],
)
async def test_what_is_not_there_is_answered_in_the_dialects_form(place: Place, path: str) -> None:
    number, reason = await raw(place, path, b"{}")

    assert (number, reason) == (404, "There is nothing at this address.")


# ---------------------------------------------------------------- create


@pytest.mark.parametrize(
    ("members", "number", "told"),
    [
        ({"process": "x"}, 400, "task.process: x; allowed: a GUID such as"),
        ({"process": ""}, 400, 'task.process: ""; allowed: a GUID such as'),
        ({"process": None}, 400, "task.process: null; allowed: text"),
        ({"process": "{c39f99de-cb8f-4661-a206-b282a4830cbf}"}, 400, "task.process"),
        ({"process": UNKNOWN}, 404, f"no process with token {UNKNOWN}"),
        ({"version": 2}, 404, "task 'Order intake' has no version 2"),
        ({"version": -1}, 404, "task 'Order intake' has no version -1"),
        ({"version": 10**30}, 404, "has no version 1000000"),
        ({"version": "1"}, 400, "task.version"),
        ({"version": 1.5}, 400, "task.version"),
        ({"priority": "URGENT"}, 400, "task.priority"),
        ({"priority": 1}, 400, "task.priority"),
        ({"ctx": "{"}, 400, "ctx: the JSON ends too early"),
        ({"ctx": "[1]"}, 400, "ctx: [1]; allowed: a text that holds a JSON object"),
        ({"ctx": '"x"'}, 400, "ctx: "),
        ({"ctx": '{"StringParam_in":5}'}, 400, "ctx.StringParam_in: the number 5; allowed: text"),
        ({"ctx": "{}"}, 400, "ctx.StringParam_in: nothing; allowed: "),
        ({"ctx": '{"StringParam_in":null}'}, 400, "ctx.StringParam_in: nothing; allowed: "),
        ({"ctx": '{"StringParam_in":"x","BoolParam_in":1}'}, 400, "ctx.BoolParam_in: the number 1"),
        ({"ctx": '{"StringParam_in":"x","BoolParam_in":"true"}'}, 400, "ctx.BoolParam_in"),
        (
            {"ctx": '{"StringParam_in":"x","IntParam_in":1.5}'},
            400,
            "ctx.IntParam_in: the number 1.5",
        ),
        ({"ctx": '{"StringParam_in":"x","IntParam_in":"76"}'}, 400, "ctx.IntParam_in"),
        ({"ctx": '{"StringParam_in":"x","IntParam_in":9223372036854775808}'}, 400, "64 bits"),
        ({"ctx": '{"StringParam_in":"x","DoubleParam_in":"1"}'}, 400, "ctx.DoubleParam_in"),
        ({"ctx": '{"StringParam_in":"x","DateTimeParam_in":"soon"}'}, 400, "an instant such as"),
        ({"ctx": '{"StringParam_in":"x","FileParam_in":7}'}, 400, "the address of a file"),
        ({"ctx": '{"StringParam_in":"x","FileParam_in":"a.pdf"}'}, 400, "ctx.FileParam_in: a.pdf"),
        ({"ctx": '{"StringParam_in":"x","ArrayParam_in":"http://h/a"}'}, 400, "ctx.ArrayParam_in"),
        ({"ctx": '{"StringParam_in":"x","ArrayParam_in":[5]}'}, 400, "ctx.ArrayParam_in[0]: 5"),
        ({"callback": 5}, 400, "task.callback"),
        ({"callback": "ftp://h/x"}, 400, "task.callback: ftp://h/x; allowed: "),
        ({"callback": "not an address"}, 400, "task.callback: not an address"),
        ({"callback": "http://10.0.0.1/hook"}, 400, "rule: private"),
        ({"callback": "http://169.254.169.254/"}, 400, "rule: cloud metadata"),
    ],
)
async def test_a_task_that_cannot_be_is_refused_and_not_made(
    place: Place, members: dict[str, Any], number: int, told: str
) -> None:
    reason = await place.bpm.not_created(number, **members)

    assert told in reason
    counts = await place.server.engine.tasks.loads(place.bpm.company)
    assert all(load.queued + load.preparing == 0 for load in counts)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("http://10.0.0.1/x", "private"),
        ("http://169.254.169.254/latest/meta-data", "cloud metadata"),
        ("http://[::1]:9/x", "loopback"),
        ("http://2130706433/", "four decimal numbers"),
        ("https://user:pw@example.com/", "password"),
        ("file:///etc/passwd", "http:// or https://"),
    ],
)
async def test_a_file_address_that_is_wrong_as_it_stands_is_refused(
    place: Place, address: str, rule: str
) -> None:
    ctx = {"StringParam_in": "x", "FileParam_in": address}

    assert rule in await place.bpm.not_created(400, ctx)


async def test_a_context_that_is_no_text_is_refused(place: Place) -> None:
    task = {**await place.bpm.asked(), "ctx": {"StringParam_in": "x"}}

    assert "task.ctx" in await place.bpm.refused(400, CREATE, task=task)


async def test_all_wrong_values_are_told_at_once(place: Place) -> None:
    ctx = {"DateTimeParam_in": "soon", "FileParam_in": 7, "IntParam_in": 2**70}

    reason = await place.bpm.not_created(400, ctx)

    for name in ctx:
        assert f"ctx.{name}: " in reason


async def test_unknown_names_are_warned_of_in_the_log_and_the_task_goes_on(place: Place) -> None:
    task = await place.bpm.create({"stringparam_IN": "Ada", "Colour": "red", "Old": [1, {"a": 2}]})
    await place.worker.ends(task, b"{}")
    done = await place.bpm.until(task, "DONE")

    [first, *_] = lines_of(done)
    assert first.startswith("[WRN] ")
    assert first.endswith("| [Server.Queue] | No such variable, passed over: 'Colour', 'Old'")
    values = await place.server.engine.runs.values(place.bpm.company, task)
    assert json.loads(values.input)["StringParam_in"] == "Ada"


@pytest.mark.parametrize(
    "zero", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+04:00", ""]
)
async def test_null_zero_and_empty_members_are_no_input(place: Place, zero: str) -> None:
    task = await place.bpm.create(
        {
            "StringParam_in": "",
            "DateTimeParam_in": zero,
            "FileParam_in": "",
            "BoolParam_in": False,
            "IntParam_in": 0,
            "DoubleParam_in": 0,
            "ArrayParam_in": None,
        }
    )
    values = json.loads((await place.server.engine.runs.values(place.bpm.company, task)).input)

    assert values["DateTimeParam_in"] is None
    assert values["FileParam_in"] is None
    assert values["ArrayParam_in"] is None
    assert (values["StringParam_in"], values["BoolParam_in"]) == ("", False)
    assert (values["IntParam_in"], values["DoubleParam_in"]) == (0, 0)


async def test_a_process_that_is_not_active_takes_no_task(place: Place) -> None:
    engine = place.server.engine
    await engine.tasks.set_runnable(place.bpm.company, "Order intake", runnable=False)
    shown = await place.bpm.done(ACTUAL)

    assert "set not runnable" in await place.bpm.not_created(409)
    assert [process["active"] for process in shown["process"]] == [False]


async def test_a_process_that_is_gone_takes_no_task(place: Place) -> None:
    asked = await place.bpm.asked()
    await place.deploy(an_intake(name="Another"))

    reason = await place.bpm.refused(409, CREATE, task=asked)
    history = await place.bpm.done(HISTORY, token=asked["process"])

    assert "withdrawn" in reason
    assert [process["active"] for process in history["process"]] == [False]
    assert [p["name"] for p in (await place.bpm.done(ACTUAL))["process"]] == ["Another"]


async def test_a_full_queue_says_when_to_come_again(place: Place) -> None:
    engine = place.server.engine
    await engine.companies.update(place.bpm.company.slug, queue_cap=1)
    await engine.orchestrator.pause(place.bpm.company)
    await place.bpm.create()

    answer = await place.bpm.call(CREATE, task=await place.bpm.asked())

    assert (answer.status_code, answer.json()["status"]) == (429, 429)
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_context_beyond_the_limit_is_too_large(place: Place) -> None:
    reason = await place.bpm.not_created(413, {"StringParam_in": "x" * (4 * 1024 * 1024)})

    assert "allowed: 4194304" in reason


# ---------------------------------------------------------------- reading and cancelling


@pytest.mark.parametrize("path", [STATUS, CANCEL])
@pytest.mark.parametrize(
    ("number", "id_"),
    [(404, 10**12), (404, 0), (404, -5), (404, 2**63), (404, 10**400), (400, "x"), (400, None)],
)
async def test_an_id_of_no_task_is_refused(
    place: Place, path: str, number: int, id_: object
) -> None:
    reason = await place.bpm.refused(number, path, id=id_)

    assert ("there is no task" in reason) == (number == 404)


async def test_a_call_without_its_id_is_refused(place: Place) -> None:
    assert "id: nothing" in await place.bpm.refused(400, STATUS)
    assert "taskid: nothing" in await place.bpm.refused(400, DOWNLOAD, filename="x")
    assert "filename: nothing" in await place.bpm.refused(400, DOWNLOAD, taskid=1)
    assert "task: nothing" in await place.bpm.refused(400, CREATE)
    assert "task: null" in await place.bpm.refused(400, CREATE, task=None)
    assert "token: nothing" in await place.bpm.refused(400, HISTORY)


async def test_a_cancel_that_comes_too_late_changes_nothing(place: Place) -> None:
    task = await place.bpm.create()
    await place.worker.begins(task)

    early = await place.bpm.refused(409, CANCEL, id=task)
    await place.worker.ends(task, b"{}")
    done = await place.bpm.until(task, "DONE")
    late = await place.bpm.refused(409, CANCEL, id=task)

    assert early == f"task {task} executes: it is not in the queue"
    assert late == f"task {task} is over (DONE): it is not in the queue"
    assert await place.bpm.status(task) == done


async def test_what_was_cancelled_elsewhere_is_cancelled(place: Place) -> None:
    task = await place.bpm.create()
    await place.server.engine.runs.cancel(place.bpm.company, str(task))

    cancelled = await place.bpm.cancel(task)

    assert cancelled["status"] == "ERROR"
    assert lines_of(cancelled)[-1].endswith("| Cancelled")


async def test_a_task_between_two_attempts_is_in_the_queue_and_can_be_cancelled(
    place: Place,
) -> None:
    patient = Policies(retry=RetryPolicy(retries=1, delay=timedelta(hours=1)))
    await place.deploy(an_intake(patient, fingerprint="2"))
    task = await place.bpm.create()
    await place.worker.ends(task, error="not now")
    queued = await place.bpm.until(task, "QUEUE")
    while not any("ended" in line for line in lines_of(queued)):
        queued = await place.bpm.status(task)

    cancelled = await place.bpm.cancel(task)

    assert "bot" not in queued
    assert queued["metrics"] == {}
    assert "Attempt 1 ended: ValueError: not now; another one follows" in lines_of(queued)[-1]
    assert cancelled["status"] == "ERROR"
    assert "Cancelled by system" in lines_of(cancelled)[-1]


# ---------------------------------------------------------------- files and lists


async def test_a_file_that_is_not_there_is_not_found(place: Place) -> None:
    task = await place.bpm.create()
    early = await place.bpm.refused(409, DOWNLOAD, taskid=task, filename="a.pdf")
    await place.worker.ends(task, b"{}")
    await place.bpm.until(task, "DONE")

    assert early == f"task {task} is not over yet, so it has no files"
    reason = await place.bpm.refused(404, DOWNLOAD, taskid=task, filename="../../etc/passwd")
    assert reason == f"task {task} has no file '../../etc/passwd'"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"page": -1}, "page"),
        ({"limit": -1}, "limit"),
        ({"limit": 501}, "limit"),
        ({"page": "0"}, "page"),
        ({"page": 1.5}, "page"),
    ],
)
async def test_a_part_of_a_list_that_cannot_be_is_refused(
    place: Place, members: dict[str, Any], told: str
) -> None:
    assert told in await place.bpm.refused(400, ACTUAL, **members)


async def test_lists_come_in_pages(place: Place) -> None:
    names = [f"Task {letter}" for letter in "ABCDE"]
    await place.deploy(*(an_intake(name=name) for name in names))

    async def shown(page: int | None, limit: int | None) -> list[str]:
        answer = await place.bpm.done(ACTUAL, page=page, limit=limit)
        assert answer["total"] == 5
        return [process["name"] for process in answer["process"]]

    assert await shown(0, 2) == names[:2]
    assert await shown(2, 2) == names[4:]
    assert await shown(3, 2) == []
    assert await shown(None, None) == await shown(0, 500) == names
    assert await shown(1, 0) == []


async def test_another_companys_process_is_not_there(place: Place) -> None:
    token = str((await place.foreign.task()).uuid)

    assert await place.bpm.refused(404, HISTORY, token=token) == f"no process with token {token}"
    assert await place.bpm.not_created(404, process=token) == f"no process with token {token}"


async def test_a_fixed_version_is_judged_by_its_own_variables(place: Place) -> None:
    newer = (Field(name="Count", parameter="count", type=Integer()),)
    await place.deploy(an_intake(fingerprint="2", inputs=newer))

    await place.bpm.create({"Count": 5})
    await place.bpm.create({"StringParam_in": "x"}, version=1)
    assert "ctx.Count: nothing" in await place.bpm.not_created(400, {"StringParam_in": "x"})


async def test_a_task_named_like_a_guid_is_not_taken_for_a_token(place: Place) -> None:
    await place.deploy(
        an_intake(name=UNKNOWN, inputs=(Field(name="a", parameter="a", type=Text()),))
    )

    answer = await place.bpm.call(CREATE, task={"process": UNKNOWN, "ctx": '{"a":"x"}'})
    assert answer.status_code == 404
