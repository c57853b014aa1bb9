"""The conformance tests of the dialect, by number, on both databases."""

import hashlib
import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from runyard.dialects.elma import shapes
from runyard.model.ids import ActorId, RunId
from runyard.model.tasks import Policies
from runyard.model.tokens import Role, TokenKind
from tests.dialects.elma.conftest import (
    INPUTS,
    UNKNOWN,
    Place,
    a_bundle_of_bytes,
    a_caller,
    an_intake,
    lines_of,
)

ZERO = "0001-01-01T00:00:00Z"
CALLS: dict[str, dict[str, Any]] = {
    "/orchestra/task/create": {"task": {"process": UNKNOWN, "version": 0, "ctx": ""}},
    "/orchestra/task/status": {"id": 1},
    "/orchestra/task/cancel": {"id": 1},
    "/repository/task/download": {"taskid": 1, "filename": "a.txt"},
    "/repository/actual": {"page": 0, "limit": 0},
    "/repository/history": {"page": 0, "limit": 0, "token": UNKNOWN},
}
"""All six, with what they need."""


class StrictTask(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A task as a caller reads it that trusts nothing: enumerations closed, no member more or less."""

    id: int
    process: str
    ctx: str = ""
    system: str
    priority: shapes.PriorityWord
    groups: list[str] = []
    status: shapes.StatusWord
    bot: str = ""
    output_ctx: str = msgspec.field(default="", name="outputCtx")
    log: str = ""
    metrics: dict[str, str]
    created: str
    updated: str


# ---------------------------------------------------------------- 1


async def test_a_strict_caller_sends_whole_tasks_and_accepts_nothing_but_200(
    place: Place,
) -> None:
    await place.deploy(an_intake(inputs=INPUTS[1:], fingerprint="2"))  # all of them may be missing
    whole = {
        "id": 0,
        "process": str((await place.bpm.task()).uuid),
        "version": None,
        "callback": "",
        "ctx": "",
        "system": None,
        "priority": "EMPTY_P",
        "groups": None,
        "status": "EMPTY_ST",
        "bot": None,
        "outputCtx": None,
        "log": "",
        "metrics": {"startTime": ZERO, "endTime": "0001-01-01T00:00:00"},
        "created": ZERO,
        "updated": "0001-01-01T00:00:00+04:00",
    }
    answer = await place.bpm.call("/orchestra/task/create", task=whole)
    assert answer.status_code == 200
    created = msgspec.convert(answer.json()["task"], StrictTask)
    await place.worker.ends(created.id, b'{"StringValue_out":"x","IntValue_out":7}')
    await place.bpm.until(created.id, "DONE")

    answer = await place.bpm.call("/orchestra/task/status", id=created.id)

    assert answer.status_code == 200
    task = msgspec.convert(answer.json()["task"], StrictTask)
    assert json.loads(task.output_ctx)["stringvalue_out"] == "x"
    assert list(json.loads(task.output_ctx)) == [
        "stringvalue_out",
        "filevalue_out",
        "datetimevalue_out",
        "boolvalue_out",
        "doublevalue_out",
        "intvalue_out",
    ]
    assert json.loads(task.output_ctx)["filevalue_out"] is None


# ---------------------------------------------------------------- 2, 3


async def test_the_answer_to_create_has_exactly_eight_members(place: Place) -> None:
    task = await place.bpm.asked()
    answer = await place.bpm.done("/orchestra/task/create", task=task)

    assert answer["status"] == 201
    created = answer["task"]
    assert list(created) == [
        "id",
        "process",
        "system",
        "priority",
        "status",
        "metrics",
        "created",
        "updated",
    ]
    assert (created["process"], created["system"]) == (task["process"], place.bpm.uuid)
    assert (created["priority"], created["status"]) == ("MEDIUM", "PREPARE")
    assert created["metrics"] == {}
    assert created["created"].endswith("Z")
    assert (await place.bpm.status(created["id"]))["created"] == created["created"]


async def test_the_number_in_the_body_releases_a_caller_at_the_end_only(place: Place) -> None:
    task = await place.bpm.create()  # 201
    queued = await place.bpm.status(task)  # each answer's number is looked at there
    await place.worker.begins(task)
    executing = await place.bpm.until(task, "EXECUTING")
    await place.worker.ends(task, b"{}")
    done = await place.bpm.until(task, "DONE")

    assert queued["status"] == "QUEUE"
    assert "bot" not in queued
    assert queued["metrics"] == {}
    assert executing["bot"] == done["bot"]
    assert executing["metrics"]["startTime"] != ZERO
    assert executing["metrics"]["endTime"] == ZERO
    assert ZERO not in done["metrics"].values()
    assert executing["ctx"] == done["ctx"] == queued["ctx"]


async def test_a_task_that_failed_says_why_in_the_last_line_of_its_log(place: Place) -> None:
    task = await place.over(error="there is no such customer")

    assert task["status"] == "ERROR"
    assert "outputCtx" not in task
    assert lines_of(task)[-1].endswith("| [Worker.Run] | ValueError: there is no such customer")
    assert lines_of(task)[-1].startswith("[ERR] ")


async def test_a_task_names_the_groups_of_its_process_once_it_is_queued(place: Place) -> None:
    await place.deploy(an_intake(Policies(labels=("gpu", "office")), fingerprint="2"))
    [process] = (await place.bpm.done("/repository/actual"))["process"]

    task = await place.bpm.status(await place.bpm.create())

    assert len(process["groups"]) == 2
    assert task["groups"] == process["groups"]
    assert task["status"] == "QUEUE"


# ---------------------------------------------------------------- 4


async def test_all_three_priorities_are_honoured(place: Place) -> None:
    await place.deploy(an_intake(Policies(concurrency=1), fingerprint="2"))
    first = await place.bpm.create()
    await place.worker.begins(first)
    tasks = {word: await place.bpm.create(priority=word) for word in ("LOW", "MEDIUM", "HIGH")}
    for word, task in tasks.items():
        assert (await place.bpm.status(task))["priority"] == word

    order = []
    await place.worker.ends(first, b"{}")
    for _ in tasks:
        taken = await place.taken(tasks.values())
        order.append(taken)
        await place.worker.ends(taken, b"{}")

    assert order == [tasks["HIGH"], tasks["MEDIUM"], tasks["LOW"]]


# ---------------------------------------------------------------- 5


async def test_a_task_cancelled_in_the_queue_is_an_error_that_says_by_whom(place: Place) -> None:
    task = await place.bpm.create()

    cancelled = await place.bpm.cancel(task)
    again = await place.bpm.cancel(task)

    assert cancelled["status"] == "ERROR"
    assert lines_of(cancelled)[-1].endswith("| [Server.Queue] | Cancelled by system Finance BPM")
    assert lines_of(cancelled)[-1].startswith("[WRN] ")
    assert cancelled["metrics"] == {}
    assert again == cancelled
    assert RunId(task) not in place.worker.assigned


async def test_another_system_changes_nothing_and_learns_nothing(place: Place) -> None:
    task = await place.bpm.create()
    before = await place.bpm.status(task)

    for stranger in (place.erp, place.foreign):
        for path in ("/orchestra/task/status", "/orchestra/task/cancel"):
            told = await stranger.refused(404, path, id=task)
            unknown = await stranger.refused(404, path, id=10**12)
            assert told.replace(str(task), "") == unknown.replace(str(10**12), "")
        await stranger.refused(404, "/repository/task/download", taskid=task, filename="a.txt")

    assert await place.bpm.status(task) == before


# ---------------------------------------------------------------- 6


async def test_version_0_is_the_current_one_when_the_task_is_created(place: Place) -> None:
    await place.deploy(an_intake(Policies(concurrency=1), fingerprint="2"))
    busy = await place.bpm.create()
    await place.worker.begins(busy)
    waiting = await place.bpm.create()
    await place.deploy(an_intake(Policies(concurrency=1), fingerprint="3"))
    newest = await place.bpm.create()
    fixed = await place.bpm.create(version=1)

    for task, version in ((waiting, 2), (newest, 3), (fixed, 1)):
        run = await place.server.engine.runs.load(place.bpm.company, str(task))
        found = await place.server.engine.directory.version(run.version_id)
        assert found.number == version


# ---------------------------------------------------------------- 7


@pytest.mark.parametrize("path", CALLS)
async def test_systems_that_may_not_call_are_refused_on_all_six_calls(
    place: Place, path: str
) -> None:
    engine, members = place.server.engine, CALLS[path]
    waiting = await a_caller(place.server, place.bpm.company, place.bpm.http, "New", allowed=False)
    told = await waiting.refused(403, path, **members)
    assert told == "the system 'New' waits to be allowed: an administrator has to allow it"
    await engine.systems.allow(waiting.system)
    assert (await waiting.call(path, **members)).json()["status"] != 403
    await engine.systems.keep_out(waiting.system)
    assert "is locked" in await waiting.refused(403, path, **members)
    for uuid in (UNKNOWN, "no-uuid", "", None):
        answer = await place.bpm.http.post(path, json={"auth_tkn": uuid, **members})
        assert answer.status_code == answer.json()["status"] == 401
        assert "www-authenticate" not in answer.headers
    answer = await place.bpm.http.post(path, json=members)
    assert answer.json()["status"] == 401


async def test_whoever_is_not_let_in_does_not_learn_what_else_is_wrong(place: Place) -> None:
    for path in CALLS:
        answer = await place.bpm.http.post(path, json={"auth_tkn": UNKNOWN, "id": "x", "task": 5})
        assert answer.status_code == 401


# ---------------------------------------------------------------- 10


async def test_a_file_with_a_unicode_name_is_downloaded(place: Place) -> None:
    name = "счёт № 7 final.pdf"
    task = await place.bpm.create()
    file = await place.file(task, name, b"%PDF-1")
    await place.worker.ends(task, msgspec.json.encode({"FileValue_out": file}))
    done = await place.bpm.until(task, "DONE")

    shown = json.loads(done["outputCtx"])["filevalue_out"]
    answer = await place.bpm.call("/repository/task/download", taskid=task, filename=shown)

    assert shown == name
    assert (answer.status_code, answer.content) == (200, b"%PDF-1")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == "6"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert "filename*=UTF-8''%D1%81%D1%87%D1%91%D1%82%20%E2%84%96%207" in disposition


# ---------------------------------------------------------------- 11


async def test_page_0_with_limit_0_lists_everything(place: Place) -> None:
    await place.deploy(
        an_intake(Policies(labels=("gpu",)), fingerprint="2"),
        an_intake(name="Another"),
        content=b"another zip",
    )
    actual = await place.bpm.done("/repository/actual", page=0, limit=0)
    token = str((await place.bpm.task()).uuid)
    history = await place.bpm.done("/repository/history", page=0, limit=0, token=token)

    assert actual["status"] == history["status"] == 200
    assert [p["name"] for p in actual["process"]] == ["Another", "Order intake"]
    assert (actual["total"], history["total"]) == (2, 2)
    [newest, oldest] = history["process"]
    assert newest == actual["process"][1]
    assert (newest["version"], oldest["version"]) == (2, 1)
    assert newest["token"] == oldest["token"] == token
    assert newest["uuid"] != oldest["uuid"]
    assert newest["hash"] == hashlib.sha1(b"another zip").hexdigest()
    assert oldest["hash"] == hashlib.sha1(b"zip").hexdigest()
    assert "groups" not in oldest
    assert len(newest["groups"]) == 1
    assert newest["active"] is True


async def test_a_version_says_who_has_deployed_it(place: Place) -> None:
    engine, company = place.server.engine, place.bpm.company
    made = await engine.tokens.create(TokenKind.NATIVE, company, role=Role.DEVELOPER, name="ci")
    place.worker.finds = [an_intake(fingerprint="2")]
    await engine.deploys.deploy(company, "examples", a_bundle_of_bytes(), by=ActorId(made.token.id))

    token = str((await place.bpm.task()).uuid)
    [newer, older] = (await place.bpm.done("/repository/history", token=token))["process"]

    assert newer["fullname"] == f"native token ...{made.token.last_characters} (ci)"
    assert UUID(newer["useruuid"]).version == 5
    assert "useruuid" not in older
    assert "fullname" not in older


# ---------------------------------------------------------------- 12


async def test_the_vendors_own_text_with_its_no_break_spaces_is_taken(place: Place) -> None:
    process = (await place.bpm.task()).uuid
    ctx = '"{\\"StringParam_in\\":\\"String\u00a0value\\",\\"IntParam_in\\":76}"'
    text = (
        f'{{\n"auth_tkn":"{place.bpm.uuid}",\n"task":\n\u00a0\u00a0\u00a0\u00a0{{\n'
        f'\u00a0\u00a0\u00a0 "process":"{process}",\n\u00a0\u00a0"version":0,\n'
        f'\u00a0\u00a0"ctx": {ctx}\n\u00a0\u00a0\u00a0\u00a0}}\n}}'
    )
    answer = await place.bpm.http.post("/orchestra/task/create", content=text.encode())

    assert answer.json()["status"] == 201, answer.text
    task = answer.json()["task"]["id"]
    values = await place.server.engine.runs.values(place.bpm.company, task)
    assert json.loads(values.input)["StringParam_in"] == "String\u00a0value"
