"""Rows of activity: outputs in the older list, and names that only one database would hold."""

import asyncio
from typing import Any

import pytest

from runyard.dialects.automation_anywhere import activity
from tests.dialects.automation_anywhere.conftest import GOOD, Room, refused

ZIP = "Zip Code API Task"
V2, V3 = "/v2/activity/list", "/v3/activity/list"
TEXAS = {
    "State": {"type": "STRING", "string": "Texas"},
    "Place": {"type": "STRING", "string": "Fort Worth 76131"},
}


async def deployed(room: Room, task: str, given: dict[str, Any]) -> str:
    body = {"botId": room.ids[task], "botInput": given, "headlessRequest": {}}
    done = await room.ok("POST", "/v4/automations/deploy", body)
    async with asyncio.timeout(60):
        while True:
            found = await room.ok("GET", f"/v3/activity/execution/{done['deploymentId']}")
            if found["endDateTime"]:
                return str(found["id"])
            await asyncio.sleep(0.02)  # noqa: TID251 - polls as a caller does


async def rows(room: Room, path: str, **asked: Any) -> list[dict[str, Any]]:
    return list((await room.ok("POST", path, asked))["list"])


async def test_rows_of_the_older_list_have_outputs_and_those_of_the_newer_have_none(
    narrow: Room,
) -> None:
    await narrow.allocate("Add")
    called = (await narrow.execute("Add", {"botInput": {"a": 2}})).headers["x-execution-id"]
    good = await deployed(narrow, ZIP, {"iStrZipCode": "76131"})
    bad = await deployed(narrow, ZIP, {"iStrZipCode": "bad"})
    nothing = await deployed(narrow, "Nothing", {})

    older, newer = await rows(narrow, V2), await rows(narrow, V3)

    outputs = {row["id"]: row["botOutVariables"]["values"] for row in older}
    [call] = [each for each in outputs if each.endswith(f"_{int(called):016x}")]
    assert outputs == {
        good: TEXAS,
        bad: {},
        nothing: {},
        call: {"result": {"type": "NUMBER", "number": "2.5"}},
    }
    assert newer == [{k: v for k, v in row.items() if k != "botOutVariables"} for row in older]


async def test_outputs_are_there_where_fields_name_them(room: Room) -> None:
    good = await deployed(room, ZIP, {"iStrZipCode": "76131"})
    only = {"operator": "eq", "field": "id", "value": good}

    [named] = await rows(room, V2, filter=only, fields=["id", "botOutVariables"])
    [without] = await rows(room, V2, filter=only, fields=["id"])
    newer = await room.send("POST", V3, {"filter": only, "fields": ["botOutVariables"]})

    assert named == {"id": good, "botOutVariables": {"values": TEXAS}}
    assert without == {"id": good}
    assert "botOutVariables" in str(refused(newer, 400, "request.invalid")["details"])


async def test_one_answer_brings_so_much_of_outputs(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: pages of rows with outputs of megabytes would not fit into memory."""
    monkeypatch.setattr(activity, "MOST_OUTPUT", 10)
    monkeypatch.setattr(activity, "_OUTPUTS_AT_ONCE", 1)
    await deployed(room, ZIP, {"iStrZipCode": "76131"})
    await deployed(room, ZIP, {"iStrZipCode": "bad"})
    await deployed(room, ZIP, {"iStrZipCode": "76131"})

    newest, failed, before = await rows(room, V2, page={"length": 3})
    [alone] = await rows(room, V2, page={"offset": 2, "length": 1})

    assert newest["botOutVariables"] == {"values": TEXAS}
    assert failed["botOutVariables"] == {"values": {}}
    assert before["botOutVariables"] is None
    assert alone["botOutVariables"] == {"values": TEXAS}


async def test_a_name_that_no_database_holds_is_kept_without_it(narrow: Room) -> None:
    """U+0000 in a name was answered 500 over PostgreSQL."""
    body = {"botId": narrow.ids["Nothing"], "automationName": "night\0ly", "headlessRequest": {}}
    done = await narrow.ok("POST", "/v4/automations/deploy", body)

    [row] = await rows(narrow, V3)

    assert row["deploymentId"] == done["deploymentId"]
    assert row["automationName"] == "night\ufffdly"


async def test_nobody_is_found_by_the_beginning_of_a_name(narrow: Room) -> None:
    user = await narrow.user()
    for name in (f"{user.email}\0", f"{user.email}\0x", f"acme\\{user.email}\0"):
        body = {"username": name, "password": GOOD}
        refused(
            await narrow.http.post("/v2/authentication", json=body), 401, "auth.credentials.invalid"
        )
        assert await narrow.server.engine._store.users.find_by_email(name) is None
