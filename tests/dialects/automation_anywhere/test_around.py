"""What clients need around API Tasks: deploy, activity, the repository, devices and users."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from runyard.dialects.automation_anywhere import (
    activity,
    allocations,
    auditing,
    directory,
    repository,
)
from runyard.engine.audit import Deed
from runyard.model.tokens import Role
from tests.dialects.automation_anywhere.conftest import CODE, Room, refused
from tests.support.receiver import Exchange, receiving

ZIP = "Zip Code API Task"
INPUT = {"iStrZipCode": {"type": "STRING", "string": "76131"}}
LISTS = (
    "/orchestrator/v1/hotbot/config",
    "/v3/activity/list",
    "/v2/activity/list",
    "/v2/repository/workspaces/public/files/list",
    "/v2/repository/workspaces/private/files/list",
    "/v2/repository/file/list",
    "/v2/repository/folders/2/list",
    "/v2/devices/list",
    "/v1/devices/runasusers/list",
    "/v2/devices/pools/list",
    "/v2/usermanagement/users/list",
    "/v1/audit/messages/list",
)


_FILE_COLUMNS = dict.fromkeys(LISTS[3:7], repository.COLUMNS)
COLUMNS_OF = {
    LISTS[0]: allocations.COLUMNS,
    LISTS[1]: activity.COLUMNS,
    LISTS[2]: activity.COLUMNS,
    **_FILE_COLUMNS,
    LISTS[7]: directory.DEVICES,
    LISTS[8]: directory.RUN_AS,
    LISTS[9]: directory.POOLS,
    LISTS[10]: directory.USERS,
    LISTS[11]: auditing.COLUMNS,
}


async def deployed(room: Room, task: str, given: Any, **more: Any) -> dict[str, Any]:
    body = {"botId": room.ids[task], "botInput": given, "headlessRequest": {}, **more}
    return dict(await room.ok("POST", "/v4/automations/deploy", body, room.developer))


async def ended(room: Room, deployment: str) -> dict[str, Any]:
    """The detail of an execution once it has ended."""
    async with asyncio.timeout(60):
        while True:
            found = await room.ok("GET", f"/v3/activity/execution/{deployment}")
            if found["endDateTime"]:
                return dict(found)
            await asyncio.sleep(0.02)  # noqa: TID251 - polls as a caller does


async def rows(room: Room, path: str, **asked: Any) -> list[dict[str, Any]]:
    return list((await room.ok("POST", path, asked))["list"])


def leaf(field: str, operator: str, value: object) -> dict[str, object]:
    return {"operator": operator, "field": field, "value": value}


# ---------------------------------------------------------------- deploy and activity


async def test_a_deploy_is_followed_to_its_outputs(room: Room) -> None:
    done = await deployed(
        room, ZIP, INPUT, automationName="nightly", automationPriority="PRIORITY_HIGH"
    )

    assert done["automationName"] == "nightly"
    detail = await ended(room, done["deploymentId"])
    [row] = await rows(
        room,
        "/v3/activity/list",
        filter={"operator": "and", "operands": [leaf("deploymentId", "eq", done["deploymentId"])]},
        sort=None,
        page=None,
    )
    assert UUID(done["deploymentId"])
    assert row == {k: v for k, v in detail.items() if k not in {"botOutVariables", "error"}}
    assert detail["status"] == "COMPLETED"
    assert detail["automationName"] == "nightly"
    assert detail["automationPriority"] == "PRIORITY_HIGH"
    assert detail["fileId"] == detail["automationId"] == str(room.ids[ZIP])
    assert detail["startDateTime"].endswith("Z")
    assert (detail["progress"], detail["canManage"], detail["error"]) == (100, False, None)
    assert detail["botOutVariables"]["values"]["State"] == {"type": "STRING", "string": "Texas"}


async def test_the_older_deploy_names_the_execution(room: Room) -> None:
    user = await room.user()
    body = {
        "fileId": str(room.ids["Add"]),
        "runAsUserIds": [user.id, "0"],
        "poolIds": None,
        "callBackInfo": None,
        "botInput": {"a": 1},
        "overrideDefaultDevice": False,
        "scheduleType": None,
    }

    done = await room.ok("POST", "/v3/automations/deploy", body, room.developer)

    assert list(done) == ["deploymentId", "automationName"]
    assert done["automationName"].startswith("Add.")
    detail = await ended(room, done["deploymentId"])
    assert detail["automationName"] == done["automationName"]
    assert detail["botOutVariables"]["values"]["result"] == {"type": "NUMBER", "number": "1.5"}


async def test_a_failure_is_shown_with_its_line(room: Room) -> None:
    done = await deployed(room, ZIP, {"iStrZipCode": "bad"})

    detail = await ended(room, done["deploymentId"])

    assert detail["status"] == "RUN_FAILED"
    assert "there is no such zip code" in detail["message"]
    assert "line" in detail["message"]
    assert detail["error"]["code"] == "ValueError"
    assert detail["error"]["lineNumber"] > 0
    assert detail["botOutVariables"]["values"] == {}


async def test_a_call_is_among_the_activity(room: Room) -> None:
    await room.allocate(ZIP, 2)
    answer = await room.execute(ZIP, {"botInput": INPUT})

    detail = await room.ok("GET", f"/v3/activity/execution/{answer.headers['x-execution-id']}")

    assert (detail["activityType"], detail["initiationType"]) == ("API_TASK", "API")
    assert detail["status"] == "COMPLETED"
    listed = await rows(room, "/v3/activity/list", filter=leaf("activityType", "eq", "API_TASK"))
    assert detail["id"] in {row["id"] for row in listed}


async def test_executions_are_stopped_paused_and_resumed(room: Room) -> None:
    await room.server.engine.orchestrator.pause(room.company)
    ids = []
    for _ in range(2):
        done = await deployed(room, "Nothing", None)
        row = await room.ok("GET", f"/v3/activity/execution/{done['deploymentId']}")
        ids.append(row["id"])

    async def managed(what: str, *executions: str) -> dict[str, Any]:
        body = {what: {"executionIds": list(executions)}}
        return dict(await room.ok("POST", "/v3/activity/manage", body, room.developer))

    async def status(execution: str) -> str:
        return str((await room.ok("GET", f"/v3/activity/execution/{execution}"))["status"])

    queued = await status(ids[0])
    paused = await managed("pauseExecutions", ids[0])
    held = await status(ids[0])
    resumed = await managed("resumeExecutions", ids[0])
    stopped = await managed("stopExecutions", *ids, "nowhere")
    again = await managed("stopExecutions", ids[1])
    await room.server.engine.orchestrator.resume(room.company)

    assert (queued, held) == ("QUEUED", "RUN_PAUSED")
    assert paused["requestsSentToDevice"] == resumed["requestsSentToDevice"] == ids[:1]
    assert stopped["requestsSentToDevice"] == ids
    [unknown] = stopped["manageActionErrors"]
    assert (unknown["executionId"], unknown["errorResponse"]["code"]) == (
        "nowhere",
        "resource.not.found",
    )
    assert again["manageActionErrors"][0]["errorResponse"]["code"] == "resource.conflict"
    assert await status(ids[0]) == "RUN_ABORTED"
    both = {"stopExecutions": {"executionIds": []}, "pauseExecutions": {"executionIds": []}}
    for body in ({}, both):
        answer = await room.send("POST", "/v3/activity/manage", body)
        refused(answer, 400, "request.invalid")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"headlessRequest": None}, "none of them"),
        ({"unattendedRequest": {"runAsUserIds": []}}, "headlessRequest, unattendedRequest"),
        ({"headlessRequest": {"numberOfExecutions": 2}}, "numberOfExecutions"),
        ({"headlessRequest": {"sharedRunAsUserId": 999999}}, "runAsUserIds"),
        ({"automationPriority": "URGENT"}, "PRIORITY_HIGH"),
        ({"callbackInfo": {"url": "http://10.0.0.1/"}}, "callbackInfo.url"),
        (
            {"callbackInfo": {"url": "https://x.example/", "headers": {"Host": "b"}}},
            "callbackInfo.headers.Host",
        ),
        ({"callbackInfo": {"url": "https://x.example/", "headers": []}}, "callbackInfo.headers"),
        ({"botInput": {"zip": "1"}}, "botInput.zip"),
        ({"botInput": {}}, "botInput.iStrZipCode"),
        ({"botId": "x"}, "botId"),
        ({"automationName": "x" * 501}, "automationName"),
    ],
)
async def test_deploys_that_are_refused(room: Room, more: dict, told: str) -> None:
    body = {"botId": room.ids[ZIP], "botInput": INPUT, "headlessRequest": {}, **more}

    problem = refused(
        await room.send("POST", "/v4/automations/deploy", body), 400, "request.invalid"
    )

    assert told in str(problem)


@pytest.mark.parametrize("spelling", ["v4 callbackInfo", "v3 callbackInfo", "v3 callBackInfo"])
async def test_a_callback_brings_the_outputs_and_the_given_headers(
    room: Room, spelling: str
) -> None:
    version, name = spelling.split(" ")
    async with receiving(_taken) as receiver:
        info = {"url": f"{receiver.url}/ended", "headers": {"X-Authorization": "of-the-receiver"}}
        body = {
            "botId": room.ids[ZIP],
            "fileId": room.ids[ZIP],
            "headlessRequest": {},
            "botInput": INPUT,
            name: info,
        }
        path = f"/{version}/automations/deploy"
        done = await room.ok("POST", path, body, room.developer)
        [arrived] = await receiver.has(1)

    told = json.loads(arrived.body)
    assert arrived.target == "/ended"
    assert arrived.headers["x-authorization"] == "of-the-receiver"
    assert arrived.headers["webhook-signature"].startswith("v1,")
    assert told["deploymentId"] == done["deploymentId"]
    assert told["status"] == "COMPLETED"
    assert told["userId"].isdigit()
    assert told["deviceId"].isdigit()
    assert told["botOutput"]["Place"] == {"type": "STRING", "string": "Fort Worth 76131"}
    row = await room.ok("GET", f"/v3/activity/execution/{done['deploymentId']}")
    assert "of-the-receiver" not in str(row)


async def _taken(exchange: Exchange) -> None:
    await exchange.answer("204 No Content")


async def test_activity_is_filtered_by_what_an_execution_is(room: Room) -> None:
    done = await deployed(room, "Nothing", None)
    await ended(room, done["deploymentId"])
    path = "/v3/activity/list"

    by_task = await rows(room, path, filter=leaf("fileId", "eq", str(room.ids["Nothing"])))
    completed = await rows(room, path, filter=leaf("status", "eq", "COMPLETED"))
    everything = await room.ok("POST", path, {"filter": leaf("status", "ne", "ANY")})
    oldest = await rows(room, path, sort=[{"field": "startDateTime", "direction": "asc"}])
    unknown = await rows(room, path, filter=leaf("deploymentId", "eq", "nowhere"))

    assert {row["fileName"] for row in by_task} == {"Nothing"}
    assert {row["status"] for row in completed} == {"COMPLETED"}
    assert everything["page"]["totalFilter"] == everything["page"]["total"]
    starts = [row["startDateTime"] for row in oldest]
    assert starts == sorted(starts)
    assert unknown == []
    refused(
        await room.send("POST", path, {"filter": leaf("colour", "eq", 1)}), 400, "request.invalid"
    )
    refused(await room.send("GET", "/v3/activity/execution/none"), 404, "resource.not.found")


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_forgives_and_refuses_alike(room: Room, path: str) -> None:
    await room.allocate(ZIP, 2)
    whole = await room.ok("POST", path, {"filter": None, "sort": None, "page": None})
    bare = await room.ok("POST", path)
    empty = await room.ok("POST", path, {"filter": {}, "page": {"offset": 0, "length": 0}})
    past = await room.ok("POST", path, {"page": {"offset": 10_000, "length": 2_000}})
    one = await room.ok("POST", path, {"page": {"offset": 0, "length": 1}})

    assert set(whole) == {"list", "page"}
    assert set(whole["page"]) == {"offset", "total", "totalFilter"}
    assert whole["list"] == bare["list"] == empty["list"]
    assert past["list"] == []
    assert past["page"]["total"] == whole["page"]["total"]
    assert one["list"] == whole["list"][:1]
    for body in (
        {"filter": {"operator": "like"}},
        {"filter": leaf("colour", "eq", "1")},
        {"page": {"length": 20_000}},
        {"page": "all"},
        [],
    ):
        refused(await room.send("POST", path, body), 400, "request.invalid")


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_takes_every_operator_and_nested_groups(room: Room, path: str) -> None:
    await room.allocate(ZIP, 2)
    await deployed(room, "Nothing", None)
    key = next(key for key in ("id", "fileId") if key in COLUMNS_OF[path])
    text = next(
        key
        for key in ("name", "username", "hostName", "fileName", "userName")
        if key in COLUMNS_OF[path]
    )
    # A page as long as it may be: the module's tests leave more and more behind.
    whole = await rows(room, path, page={"length": 2_000})
    first = str(whole[0][key]) if whole else "0"

    async def found(asked: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows(room, path, filter=asked, page={"length": 2_000})

    same, other = await found(leaf(key, "eq", first)), await found(leaf(key, "ne", first))
    assert [row[key] for row in same] == ([first] if whole else [])
    assert len(same) + len(other) >= len(whole)
    assert all(row[key] != first for row in other)
    for operator in ("lt", "le", "gt", "ge", "substring", "NONE"):
        assert isinstance(await found(leaf(key, operator, first)), list)
    assert len(await found(leaf(key, "le", first))) >= len(await found(leaf(key, "lt", first)))
    assert len(await found(leaf(text, "substring", ""))) >= len(whole)
    nothing = {"operator": "and", "operands": [leaf(key, "eq", first), leaf(key, "ne", first)]}
    everything = {"operator": "not", "operands": [nothing]}
    deep = {
        "operator": "and",
        "operands": [
            everything,
            {
                "operator": "or",
                "operands": [
                    leaf(key, "eq", first),
                    {"operator": "not", "operands": [leaf(key, "eq", first)]},
                ],
            },
        ],
    }
    assert await found(nothing) == []
    assert len(await found(everything)) >= len(whole)
    assert len(await found(deep)) >= len(whole)


async def test_rows_have_ids_as_text(room: Room) -> None:
    for path in LISTS:
        for row in await rows(room, path):
            ids = [value for key, value in row.items() if key == "id" or key.endswith("Id")]
            assert all(isinstance(value, str) for value in ids), (path, row)


# ---------------------------------------------------------------- the repository


async def test_tasks_are_files(room: Room) -> None:
    path = "/v2/repository/workspaces/public/files/list"
    [item] = await rows(room, path, filter=leaf("name", "eq", ZIP))
    same = await room.ok("GET", f"/v2/repository/files/{item['id']}")
    inside = await rows(room, "/v2/repository/folders/2/list")
    [folder] = [each for each in inside if each["folder"]]
    deeper = await rows(room, f"/v2/repository/folders/{folder['id']}/list")

    assert item["id"] == str(room.ids[ZIP])
    assert item["path"] == room.path(ZIP)
    assert item["type"] == "application/vnd.aa.headlessbot"
    assert (item["workspaceType"], item["botStatus"], item["folder"]) == ("PUBLIC", "PUBLIC", False)
    assert same == item
    assert (folder["name"], folder["type"]) == ("Sums", "application/vnd.aa.directory")
    assert [each["name"] for each in deeper] == ["Add"]
    assert await rows(room, "/v2/repository/workspaces/private/files/list") == []
    for missing in (
        "/v2/repository/workspaces/secret/files/list",
        "/v2/repository/folders/77/list",
    ):
        refused(await room.send("POST", missing), 404, "resource.not.found")
    refused(await room.send("GET", "/v2/repository/files/999999999"), 404, "resource.not.found")


async def test_the_content_of_a_task_is_what_it_does_line_by_line(room: Room) -> None:
    found = await room.ok("GET", f"/v2/repository/files/{room.ids['Paper']}/content")
    again = await room.ok("GET", f"/v2/repository/files/{room.ids['Paper']}/content")

    lines = CODE.splitlines()
    calls, returned = found["commands"]
    assert set(calls) == {"command", "line"}
    assert "write_bytes" in lines[calls["line"] - 1]
    assert calls["command"] == "write_bytes"
    assert (returned["command"], lines[returned["line"] - 1].split()[0]) == ("return", "return")
    assert again == found
    missing = await room.send("GET", "/v2/repository/files/999999999/content")
    refused(missing, 404, "resource.not.found")


async def test_the_interface_of_a_task(room: Room) -> None:
    found = await room.ok("GET", f"/v1/filecontent/{room.ids['Add']}/interface")

    variables = {each["name"]: each for each in found["variables"]}
    assert (variables["a"]["input"], variables["a"]["output"]) == (True, False)
    assert (variables["a"]["type"], variables["a"]["defaultValue"]) == ("NUMBER", None)
    assert variables["b"]["defaultValue"]["number"] == "0.5"
    assert (variables["result"]["input"], variables["result"]["output"]) == (False, True)


# ---------------------------------------------------------------- devices and users


async def test_devices_execute_for_every_user(room: Room) -> None:
    user = await room.user()

    [device] = await rows(room, "/v2/devices/list", filter=leaf("status", "eq", "CONNECTED"))
    run_as = await rows(room, "/v1/devices/runasusers/list")
    [pool] = await rows(room, "/v2/devices/pools/list")

    names = {each["username"] for each in device["defaultUsers"]}
    assert {"apitaskrunner", user.email} <= names
    assert run_as[0] == {"id": "0", "username": "apitaskrunner"}
    assert {"id": str(user.id), "username": user.email} in run_as
    assert (pool["name"], pool["status"], pool["deviceCount"]) == ("All workers", "CONNECTED", "1")


async def test_users_are_listed_shown_and_made(room: Room) -> None:
    known = await room.user(Role.OPERATOR)

    [row] = await rows(
        room, "/v2/usermanagement/users/list", filter=leaf("username", "eq", known.email)
    )
    shown = await room.ok("GET", f"/v2/usermanagement/users/{known.id}")
    runner = await room.ok("GET", "/v2/usermanagement/users/0")
    forbidden = await room.send("POST", "/v2/usermanagement/users", {"username": "x@example.com"})

    assert row == shown
    assert [role["name"] for role in row["roles"]] == ["AAE_Bot Runner"]
    assert row["licenseFeatures"] == []
    assert runner["roles"][0]["name"] == "AAE_API Task Runner"
    refused(forbidden, 403, "permission.denied")
    missing = await room.send("GET", "/v2/usermanagement/users/999999999")
    refused(missing, 404, "resource.not.found")


async def test_an_administrator_of_the_installation_makes_users(room: Room) -> None:
    engine = room.server.engine
    boss = await room.user()
    await engine.users.grant(boss, None, Role.ADMINISTRATOR)
    token = await room.token(boss)
    body = {
        "username": "new@example.com",
        "firstName": "New",
        "lastName": "User",
        "password": "correct horse battery",
        "roleIds": [1, "3"],
    }

    made = await room.send("POST", "/v2/usermanagement/users", body, token)
    again = await room.send("POST", "/v2/usermanagement/users", body, token)
    wrong = await room.send("POST", "/v2/usermanagement/users", {**body, "roleIds": [9]}, token)

    assert made.status_code == 201
    assert [role["name"] for role in made.json()["roles"]] == ["AAE_Bot Developer"]
    refused(again, 409, "resource.conflict")
    assert "AAE_Admin" in str(refused(wrong, 400, "request.invalid"))
    logged_in = await room.http.post(
        "/v2/authentication",
        json={"username": "new@example.com", "password": "correct horse battery"},
    )
    assert logged_in.status_code == 200


# ---------------------------------------------------------------- audit


AUDIT = "/v1/audit/messages/list"


async def test_logins_allocations_and_deploys_are_in_the_audit_log(room: Room) -> None:
    user = await room.user(Role.ADMINISTRATOR)
    token = await room.token(user)
    await room.http.post(
        "/v2/authentication", json={"username": user.email, "password": "wrong password"}
    )
    create = "/orchestrator/v1/hotbot/config/create"
    await room.ok("PUT", create, {"fileId": room.ids["Nothing"]}, token)
    await room.send("PUT", create, {"fileId": "999999999"}, token)
    body = {"botId": room.ids["Nothing"], "headlessRequest": {}}
    await room.ok("POST", "/v4/automations/deploy", body, token)
    await room.send("POST", "/v1/authentication/logout", None, token)

    found = await rows(room, AUDIT, filter=leaf("userName", "eq", user.email))

    assert [(row["activityType"], row["status"]) for row in found] == [
        ("LOG_OUT", "Successful"),
        ("DEPLOY", "Successful"),
        ("CREATE_ALLOCATION", "Unsuccessful"),
        ("CREATE_ALLOCATION", "Successful"),
        ("LOG_IN", "Unsuccessful"),
        ("LOG_IN", "Successful"),
    ]
    assert found[3]["objectName"] == room.path("Nothing")
    assert {row["hostName"] for row in found} == {"127.0.0.1"}
    assert [row["createdBy"] for row in found] == [str(user.id)] * 4 + ["0", str(user.id)]
    assert "wrong password" not in str(found)
    assert "999999999" in found[2]["detail"]
    since = [leaf("createdOn", "ge", found[-1]["createdOn"]), leaf("status", "ne", "Successful")]
    failed = await rows(room, AUDIT, filter={"operator": "and", "operands": since})
    assert {row["status"] for row in failed} == {"Unsuccessful"}


async def test_an_audit_page_has_400_rows_at_most(room: Room) -> None:
    deed = Deed(action="example", company=room.company.id, source="", address="10.1.0.7")
    for _ in range(450):
        room.server.engine.audit.note(deed)

    first = await room.ok("POST", AUDIT, {"page": {"offset": 0, "length": 2_000}})
    second = await room.ok("POST", AUDIT, {"page": {"offset": 400, "length": 2_000}})

    assert len(first["list"]) == 400
    assert first["page"]["total"] == 400 + len(second["list"]) >= 450
    ids = [row["id"] for row in (*first["list"], *second["list"])]
    assert len(ids) == len(set(ids))


async def test_logins_of_nobody_are_in_no_companys_log(room: Room) -> None:
    body = {"username": "stranger@example.com", "password": "wrong password"}
    refused(await room.http.post("/v2/authentication", json=body), 401, "auth.credentials.invalid")

    assert await rows(room, AUDIT, filter=leaf("userName", "eq", body["username"])) == []
    whole = await room.server.engine.audit.page(None, None, 10)
    assert body["username"] in {entry.actor_name for entry in whole}
