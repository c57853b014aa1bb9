"""Allocations, access details and execute: the documented steps, and every way to be refused."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from runyard.engine.allocations import AllocationOptions
from runyard.model.allocations import Overflow
from runyard.model.tokens import Role
from tests.dialects.automation_anywhere.conftest import CONFIG, Room, furnished, refused
from tests.support.server import running_runyard

ZIP = "Zip Code API Task"
INPUT = {"botInput": {"iStrZipCode": {"type": "STRING", "string": "76131"}}}
OUTPUT = {
    "hotBotResult": {
        "botOutput": {
            "State": {"type": "STRING", "string": "Texas"},
            "Place": {"type": "STRING", "string": "Fort Worth 76131"},
        }
    }
}


async def test_the_documented_steps_key_by_key(room: Room) -> None:
    file_id = str(room.ids[ZIP])

    created = await room.ok(
        "PUT", f"{CONFIG}/create", {"fileId": file_id, "runAsUserOrNone": 0, "concurrencyLimit": 2}
    )
    listed = await room.ok("POST", CONFIG, {"page": {"offset": 0, "length": 100}})
    path = f"Automation Anywhere\\Bots\\{ZIP}"
    access = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": [path]}, room.developer
    )
    details = access["accessDetails"][path]
    answer = await room.http.post(details["url"], headers=details["headers"], json=INPUT)

    assert created == {"fileId": file_id, "runAsUserOrNone": 0, "concurrencyLimit": 2}
    [row] = [row for row in listed["list"] if row["fileId"] == file_id]
    assert row == {
        "fileId": file_id,
        "filePath": path,
        "fileName": ZIP,
        "runAsUserOrNone": "0",
        "concurrencyLimit": 2,
    }
    assert set(listed["page"]) == {"offset", "total", "totalFilter"}
    assert access["errors"] == {}
    assert details["url"].endswith("/execute")
    assert list(details["headers"]) == ["X-Authorization"]
    assert answer.status_code == 200
    assert answer.json() == OUTPUT
    assert answer.headers["x-execution-id"].isdigit()


async def test_an_allocation_is_shown_changed_replaced_and_deleted(room: Room) -> None:
    file_id = await room.allocate("Crash", 2)
    user = await room.user()
    path = f"{CONFIG}/{file_id}"

    changed = await room.ok("PUT", path, {"runAsUserOrNone": str(user.id), "concurrencyLimit": 1})
    shown = await room.ok("GET", path)
    replaced = await room.ok("PUT", f"{CONFIG}/create", {"fileId": file_id})
    deleted = await room.send("DELETE", path)

    assert changed == {
        "fileId": str(file_id),
        "runAsUserOrNone": user.id,
        "concurrencyLimit": 1,
    }
    assert (shown["runAsUserOrNone"], shown["concurrencyLimit"]) == (str(user.id), 1)
    assert (replaced["runAsUserOrNone"], replaced["concurrencyLimit"]) == (0, 1)
    assert deleted.status_code == 204
    for method in ("GET", "DELETE"):
        refused(await room.send(method, path), 404, "resource.not.found")


@pytest.mark.parametrize(
    ("body", "status", "code", "told"),
    [
        ({}, 400, "request.invalid", "fileId"),
        ({"fileId": "x"}, 400, "request.invalid", "fileId"),
        ({"fileId": "999999999"}, 404, "resource.not.found", ""),
        ({"fileId": None}, 400, "request.invalid", "fileId"),
        ({"fileId": "9" * 40}, 400, "request.invalid", "18 digits"),
        ({"fileId": "ZIP", "concurrencyLimit": 0}, 400, "request.invalid", "concurrencyLimit"),
        ({"fileId": "ZIP", "concurrencyLimit": 257}, 400, "request.invalid", "concurrencyLimit"),
        ({"fileId": "ZIP", "concurrencyLimit": "two"}, 400, "request.invalid", "concurrencyLimit"),
        ({"fileId": "ZIP", "runAsUserOrNone": 1}, 400, "request.invalid", "allowed: 0, "),
    ],
)
async def test_allocations_that_are_refused(
    room: Room, body: dict, status: int, code: str, told: str
) -> None:
    if body.get("fileId") == "ZIP":
        body = {**body, "fileId": room.ids["Cold"]}

    problem = refused(await room.send("PUT", f"{CONFIG}/create", body), status, code)

    assert told in str(problem)


async def test_access_details_of_some_paths(room: Room) -> None:
    await room.allocate(ZIP, 2)
    await room.allocate("Add")
    paths = [
        "automation anywhere\\bots\\ZIP CODE API TASK",
        "Bots/Sums/Add",
        "Automation Anywhere\\Bots\\Cold",
        "Automation Anywhere\\Bots\\Nowhere",
    ]

    found = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": paths}, room.developer
    )
    alone = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": paths[1]}, room.developer
    )
    none = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": paths[3:]}, room.developer
    )

    assert list(found["accessDetails"]) == paths[:2]
    assert list(found["errors"]) == paths[2:]
    assert "not allocated" in found["errors"][paths[2]]
    assert list(alone["accessDetails"]) == [paths[1]]
    assert none["accessDetails"] == {}
    for body in ({}, {"botRepositoryPath": []}, {"botRepositoryPath": 5}):
        answer = await room.send("POST", f"{CONFIG}/accessdetails", body, room.developer)
        refused(answer, 400, "request.invalid")


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "body",
    [
        {"BotInput": INPUT["botInput"]},
        {"botInput": INPUT["botInput"], "BotInput": {"wrong": 1}},
        {"botInput": {"iStrZipCode": "76131"}},
        {"botInput": {"iStrZipCode": 76131}},
        {"botInput": {"iStrZipCode": {"string": "76131"}}, "more": None},
        {
            "botInput": {
                "iStrZipCode": {"type": "STRING", "string": "76131", "number": "", "boolean": ""}
            }
        },
    ],
)
async def test_inputs_that_are_forgiven(room: Room, body: dict) -> None:
    await room.allocate(ZIP, 2)

    answer = await room.execute(ZIP, body)

    assert answer.json() == OUTPUT


async def test_no_input_and_no_output(room: Room) -> None:
    await room.allocate("Nothing")
    url, token = await room.access("Nothing")

    bare = await room.send("POST", url, token=token)
    empty = await room.send("POST", url, {"botInput": None}, token)

    assert bare.json() == empty.json() == {"hotBotResult": {"botOutput": {}}}


async def test_numbers_travel_as_text(room: Room) -> None:
    await room.allocate("Add")

    text = await room.execute(
        "Add", {"botInput": {"a": {"type": "NUMBER", "number": "12"}, "b": "0.25"}}
    )
    bare = await room.execute("Add", {"botInput": {"a": 12, "b": None}})

    assert text.json()["hotBotResult"]["botOutput"] == {
        "result": {"type": "NUMBER", "number": "12.25"}
    }
    assert bare.json()["hotBotResult"]["botOutput"]["result"]["number"] == "12.5"


async def test_the_token_of_a_login_executes_too(room: Room) -> None:
    await room.allocate(ZIP, 2)
    url, _ = await room.access(ZIP)

    answer = await room.send("POST", url, INPUT, room.developer)
    bearer = await room.http.post(
        url, headers={"authorization": f"Bearer {room.developer}"}, json=INPUT
    )

    assert answer.json() == bearer.json() == OUTPUT


async def test_files_go_in_and_come_out(room: Room) -> None:
    await room.allocate("Paper")
    scan = "data:text/plain;name=scan.txt;base64,aGVsbG8g"

    answer = await room.execute(
        "Paper", {"botInput": {"scan": {"type": "FILE", "file": scan}, "text": "world"}}
    )

    returned = answer.json()["hotBotResult"]["botOutput"]["result"]
    assert returned["type"] == "FILE"
    address = returned["file"]["string"]
    number = int(address.split("/")[-2])
    file = await room.server.engine.files.load(room.company.id, number)
    content = b"".join([part async for part in room.server.engine.files.read(file)])
    assert content == b"hello world"
    again = await room.execute("Paper", {"botInput": {"scan": returned, "text": "!"}})
    assert again.status_code == 200
    unknown = await room.execute("Paper", {"botInput": {"scan": "999999"}})
    assert "botInput.scan" in refused(unknown, 400, "hotbot.input.invalid")["details"][0]


# ---------------------------------------------------------------- what is refused


async def test_tokens_of_an_execution(room: Room) -> None:
    await room.allocate(ZIP, 2)
    await room.allocate("Add")
    url, token = await room.access(ZIP)
    _, foreign = await room.access("Add")

    refused(await room.send("POST", url, INPUT, ""), 401, "UM1117")
    refused(await room.send("POST", url, INPUT, "x.y.z"), 401, "auth.token.invalid")
    refused(await room.send("POST", url, INPUT, foreign), 403, "hotbot.token.mismatch")
    both = {"x-authorization": token, "authorization": f"Bearer {token}"}
    refused(await room.http.post(url, headers=both, json=INPUT), 400, "auth.headers.conflict")
    bearer = {"x-authorization": f"Bearer {token}"}
    refused(await room.http.post(url, headers=bearer, json=INPUT), 401, "auth.token.invalid")
    other = url.replace(str(room.company.uuid), "0198c1f0-5b8e-7d1a-9a39-6f0c2d4be7a1")
    refused(await room.send("POST", other, INPUT, token), 403, "hotbot.token.mismatch")
    viewer = room.secrets[Role.VIEWER]
    refused(await room.send("POST", url, INPUT, viewer), 403, "permission.denied")
    refused(await room.send("POST", CONFIG, None, token), 403, "permission.denied")
    nowhere = url.replace(f"/{room.ids[ZIP]}/", "/999999999/")
    refused(await room.send("POST", nowhere, INPUT, room.developer), 404, "resource.not.found")
    word = url.replace(f"/{room.ids[ZIP]}/", "/word/")
    refused(await room.send("POST", word, INPUT, room.developer), 404, "resource.not.found")
    refused(await room.send("GET", url, None, token), 405, "method.not.allowed")


async def test_a_disabled_users_token_executes_nothing(room: Room) -> None:
    await room.allocate(ZIP, 2)
    user = await room.user()
    path = room.path(ZIP)
    access = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": [path]}, await room.token(user)
    )
    details = access["accessDetails"][path]
    before = await room.http.post(details["url"], headers=details["headers"], json=INPUT)

    await room.server.engine.users.disable(user)

    assert before.status_code == 200
    after = await room.http.post(details["url"], headers=details["headers"], json=INPUT)
    refused(after, 401, "auth.token.invalid")


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        (ZIP, {"zip": "1", "iStrZipCode": "1"}, "botInput.zip: an unknown variable"),
        (ZIP, {"State": "1", "iStrZipCode": "1"}, "not marked as input"),
        (ZIP, {}, "botInput.iStrZipCode"),
        (ZIP, {"iStrZipCode": {"type": "LIST", "list": []}}, "LIST"),
        (ZIP, {"iStrZipCode": {"type": "WINDOW", "window": {}}}, "WINDOW"),
        (ZIP, {"iStrZipCode": {"type": "STRING"}}, "without 'string'"),
        (ZIP, {"iStrZipCode": {"expression": "$a$"}}, "an expression"),
        ("Add", {"a": {"type": "NUMBER", "number": "twelve"}}, "botInput.a"),
        ("Add", {"a": "1.5"}, "a whole number"),
        ("Add", {"a": True}, "botInput.a"),
        ("Add", {"a": "9" * 500}, "botInput.a"),
        ("Add", {"a": 1, "b": "NaN"}, "botInput.b"),
    ],
)
async def test_inputs_that_are_refused(room: Room, task: str, given: dict, told: str) -> None:
    await room.allocate(task)

    problem = refused(await room.execute(task, {"botInput": given}), 400, "hotbot.input.invalid")

    assert told in str(problem["details"])


async def test_all_that_is_wrong_is_told_at_once(room: Room) -> None:
    await room.allocate("Add")

    answer = await room.execute("Add", {"botInput": {"a": "x", "b": "y", "c": 1}})

    assert len(refused(answer, 400, "hotbot.input.invalid")["details"]) == 3


async def test_bodies_that_are_refused(room: Room) -> None:
    await room.allocate(ZIP, 2)
    url, token = await room.access(ZIP)
    headers = {"x-authorization": token, "content-type": "application/json"}

    async def said(content: bytes, **more: str) -> object:
        return await room.http.post(url, content=content, headers={**headers, **more})

    refused(await said(b"{"), 400, "request.invalid")
    refused(await said(b'{"botInput": []}'), 400, "request.invalid")
    refused(await said(b"[]"), 400, "request.invalid")
    refused(await said(b"{}", **{"content-type": "text/plain"}), 415, "request.media.type")
    large = json.dumps({"botInput": {"iStrZipCode": "x" * (5 * 1024 * 1024)}}).encode()
    refused(await said(large), 413, "request.too.large")


async def test_a_task_that_raises_or_dies(room: Room) -> None:
    await room.allocate(ZIP, 2)
    await room.allocate("Crash")

    raised = await room.execute(ZIP, {"botInput": {"iStrZipCode": "bad"}})
    died = await room.execute("Crash", {"botInput": {"really": True}})
    alive = await room.execute("Crash", {"botInput": {"really": "false"}})

    problem = refused(raised, 500, "hotbot.run.failed")
    assert "there is no such zip code" in problem["message"]
    assert "line" in str(problem["details"])
    assert raised.headers["x-execution-id"].isdigit()
    refused(died, 500, "hotbot.run.failed")
    assert alive.status_code == 200


async def test_the_call_beyond_the_limit_is_refused_at_once(room: Room) -> None:
    await room.allocate("Sleep", 2)
    url, token = await room.access("Sleep")
    body = {"botInput": {"seconds": 1.5}}
    calls = [asyncio.ensure_future(room.send("POST", url, body, token)) for _ in range(2)]
    await room.in_flight("Sleep", 2)

    begun = time.monotonic()
    third = await room.send("POST", url, body, token)
    took = time.monotonic() - begun

    refused(third, 429, "hotbot.concurrency.exceeded")
    assert third.headers["retry-after"] == "1"
    assert took < 1
    assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]


async def test_of_one_call_too_many_exactly_one_is_refused(room: Room) -> None:
    """All are sent at once: whichever comes last is refused at once, the others finish."""
    limit = 3
    await room.allocate("Sleep", limit)
    url, token = await room.access("Sleep")

    async def called() -> tuple[httpx.Response, float]:
        begun = time.monotonic()
        answer = await room.send("POST", url, {"botInput": {"seconds": 2}}, token)
        return answer, time.monotonic() - begun

    answers = await asyncio.gather(*(called() for _ in range(limit + 1)))

    statuses = sorted(answer.status_code for answer, _ in answers)
    assert statuses == [200] * limit + [429]
    [(refusal, took)] = [each for each in answers if each[0].status_code == 429]
    refused(refusal, 429, "hotbot.concurrency.exceeded")
    assert took < 1.5, "it waited for nobody"


async def test_a_refusal_beyond_the_limit_takes_less_than_a_tenth_of_a_second(room: Room) -> None:
    await room.allocate("Sleep")
    url, token = await room.access("Sleep")
    long = asyncio.ensure_future(room.send("POST", url, {"botInput": {"seconds": 3}}, token))
    await room.in_flight("Sleep", 1)

    took = []
    while len(took) < 10:
        begun = time.monotonic()
        answer = await room.send("POST", url, {"botInput": {"seconds": 0}}, token)
        took.append(time.monotonic() - begun)
        refused(answer, 429, "hotbot.concurrency.exceeded")

    assert min(took) < 0.1
    assert (await long).status_code == 200


async def test_a_call_of_more_than_a_minute_is_ended_its_child_replaced_its_row_kept(
    room: Room,
) -> None:
    """The deadline is shortened, so that nobody waits for a minute."""
    await room.allocate("Sleep", 1)
    await _with(room, "Sleep", deadline=timedelta(seconds=1))
    before = await room.execute("Sleep", {"botInput": {"seconds": 0}})

    late = await room.execute("Sleep", {"botInput": {"seconds": 61}})
    after = await room.execute("Sleep", {"botInput": {"seconds": 0}})

    refused(late, 500, "hotbot.timed.out")
    row = await room.ok("GET", f"/v3/activity/execution/{late.headers['x-execution-id']}")
    assert (row["status"], row["activityType"]) == ("RUN_TIMED_OUT", "API_TASK")
    pids = [
        answer.json()["hotBotResult"]["botOutput"]["result"]["string"] for answer in (before, after)
    ]
    assert pids[0] != pids[1]
    await _with(room, "Sleep")


async def test_what_takes_too_long_is_ended_and_replaced(room: Room) -> None:
    await room.allocate("Sleep", 1)
    await _with(room, "Sleep", deadline=timedelta(seconds=1))

    late = await room.execute("Sleep", {"botInput": {"seconds": 30}})
    fine = await room.execute("Sleep", {"botInput": {"seconds": 0}})

    refused(late, 500, "hotbot.timed.out")
    assert fine.status_code == 200
    run = await room.server.engine.runs.load(room.company, late.headers["x-execution-id"])
    assert run.cause == "timed_out"


async def test_an_allocation_that_spills_is_refused_here(room: Room) -> None:
    await room.allocate("Sleep", 1)
    await _with(room, "Sleep", overflow=Overflow.SPILL)
    url, token = await room.access("Sleep")
    first = asyncio.ensure_future(room.send("POST", url, {"botInput": {"seconds": 0.5}}, token))
    await room.in_flight("Sleep", 1)

    second = await room.send("POST", url, {"botInput": {"seconds": 0}}, token)

    refused(second, 429, "hotbot.concurrency.exceeded")
    assert (await first).status_code == 200
    await _with(room, "Sleep", overflow=Overflow.REJECT)


async def _with(room: Room, task: str, **options: object) -> None:
    """Change an allocation as this dialect cannot."""
    allocations = room.server.engine.allocations
    await allocations.put(room.company, task, AllocationOptions(**options))  # type: ignore[arg-type]
    await allocations.until_ready(
        await room.server.engine.directory.task(room.company.id, task), timedelta(seconds=30)
    )


async def test_what_is_not_ready_says_when_to_try_again(room: Room) -> None:
    await room.allocate(ZIP, 2)
    url, token = await room.access(ZIP)
    await room.server.engine.tasks.set_runnable(room.company, ZIP, runnable=False)

    closed = await room.send("POST", url, INPUT, token)

    await room.server.engine.tasks.set_runnable(room.company, ZIP, runnable=True)
    refused(closed, 503, "hotbot.not.ready")
    assert int(closed.headers["retry-after"]) >= 1


async def test_an_allocation_that_was_removed(room: Room) -> None:
    await room.allocate("Nothing")
    url, token = await room.access("Nothing")
    await room.send("DELETE", f"{CONFIG}/{room.ids['Nothing']}")

    refused(await room.send("POST", url, {}, token), 404, "hotbot.not.allocated")


async def test_any_server_executes_what_one_of_them_keeps(
    postgres_dsn: str, tmp_path: Path
) -> None:
    async with (
        running_runyard(tmp_path / "one", postgres_dsn, server_name="one") as one,
        running_runyard(
            tmp_path / "two",
            postgres_dsn,
            server_name="two",
            master_key=tmp_path / "one/master.key",
        ) as two,
        furnished(one) as room,
    ):
        await room.allocate(ZIP)
        url, token = await room.access(ZIP)
        there = two.url + httpx.URL(url).path
        async with asyncio.timeout(30):
            while (await two.engine.allocations.show(room.company, ZIP)).server != "one":  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # noqa: TID251 - nothing tells when a server heard of it

        answers = [await room.send("POST", there, INPUT, token) for _ in range(3)]
        wrong = await room.send("POST", there, {"botInput": {"zipper": "76131"}}, token)
        forged = await room.send("POST", there, INPUT, token + "x")

        assert [(answer.status_code, answer.json()) for answer in answers] == [(200, OUTPUT)] * 3
        refused(wrong, 400, "hotbot.input.invalid")
        assert forged.status_code == 401
        assert (await one.engine.allocations.show(room.company, ZIP)).calls == 3


ALONE = """
from runyard import task


@task("Alone")
def alone({name}: str) -> str:
    return {name}
"""


async def test_servers_of_one_process_do_not_share_what_they_know_of_versions(
    memory_path: Path,
) -> None:
    """The ids of versions are the same in several databases: the one server read the input of its task as
    the other's.
    """
    results = []
    for name in ("first", "second"):
        async with (
            running_runyard(memory_path / name) as server,
            furnished(server, ALONE.format(name=name)) as room,
        ):
            await room.allocate("Alone")
            results.append(await room.execute("Alone", {"botInput": {name: "good"}}))

    assert [answer.status_code for answer in results] == [200, 200], results[1].text


async def test_no_call_ends_before_it_has_begun(room: Room) -> None:
    """A child was through before its worker looked at the clock for its beginning."""
    await room.allocate("Nothing")
    url, token = await room.access("Nothing")
    for _ in range(50):
        await room.send("POST", url, {}, token)

    only = {"operator": "eq", "field": "fileId", "value": str(room.ids["Nothing"])}
    rows = (await room.ok("POST", "/v3/activity/list", {"filter": only}))["list"]

    assert len(rows) >= 50
    assert [row["id"] for row in rows if row["endDateTime"] < row["startDateTime"]] == []
