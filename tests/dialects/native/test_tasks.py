"""Tasks, versions and bundles over the native API."""

import json

import pytest

from runyard.model.errors import CodeRefused
from tests.dialects.native.conftest import ZIP, Place
from tests.support.server import a_declaration

TASKS = "/tasks"
BUNDLES = "/bundles"


async def test_a_task_is_found_by_id_uuid_public_id_and_name(place: Place) -> None:
    [listed] = (await place.acme.get(TASKS)).json()["items"]

    found = [
        (await place.acme.get(f"{TASKS}/{ref}")).json()
        for ref in (listed["id"], listed["uuid"], listed["public_id"], "Zip%20code")
    ]

    assert all(task == listed for task in found)
    assert listed["inputs"] == [
        {"name": "zip", "title": "zip", "help": "", "type": {"type": "text"}, "required": True}
    ]
    assert listed["version"] == 1
    assert listed["withdrawn"] is False


@pytest.mark.parametrize(
    "ref", ["unknown", "999999", "Zip", "zip code", "%ff", "%00", "Zip%20code%2f", "9" * 40]
)
async def test_an_unknown_task_is_not_found(place: Place, ref: str) -> None:
    refused = await place.acme.get(f"{TASKS}/{ref}")

    assert refused.status_code == 404


async def test_a_name_with_a_slash_is_one_segment(place: Place) -> None:
    place.worker.finds = [a_declaration("Bots/Zip code")]
    await place.acme.post(f"{BUNDLES}?name=slashes", content=b"zip", headers=ZIP)

    found = await place.acme.get(f"{TASKS}/Bots%2FZip%20code")

    assert found.json()["name"] == "Bots/Zip code"


async def test_a_deploy_says_what_changed(place: Place) -> None:
    place.worker.finds = [
        a_declaration(fingerprint="2"),
        a_declaration("Report", fingerprint="1"),
    ]
    changed = await place.acme.post(f"{BUNDLES}?name=examples", content=b"zip2", headers=ZIP)
    place.worker.finds = [a_declaration("Report", fingerprint="1")]
    withdrawn = await place.acme.post(f"{BUNDLES}?name=examples", content=b"zip3", headers=ZIP)
    versions = (await place.acme.get(f"{TASKS}/Zip%20code/versions")).json()
    listed = (await place.acme.get(TASKS)).json()
    everything = (await place.acme.get(f"{TASKS}?withdrawn=true")).json()

    assert changed.status_code == 201
    assert {t["task"]["name"]: t["change"] for t in changed.json()["tasks"]} == {
        "Zip code": "changed",
        "Report": "new",
    }
    assert {t["task"]["name"]: t["change"] for t in withdrawn.json()["tasks"]} == {
        "Report": "unchanged",
        "Zip code": "withdrawn",
    }
    assert [version["number"] for version in versions["items"]] == [2, 1]
    assert all(v["deployed_by"].startswith("native token ...") for v in versions["items"])
    assert [task["name"] for task in listed["items"]] == ["Report"]
    assert {task["name"] for task in everything["items"]} == {"Report", "Zip code"}


async def test_a_deploy_tells_its_progress_and_then_its_report(place: Place) -> None:
    place.worker.lines = ["building the environment", "looking into tasks.py"]

    answer = await place.acme.post(
        f"{BUNDLES}?name=examples",
        content=b"zip",
        headers={**ZIP, "accept": "text/event-stream"},
    )

    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    assert [event[0] for event in events] == ["event: line", "event: line", "event: report"]
    report = json.loads(events[-1][1].removeprefix("data: "))
    assert report["tasks"][0]["change"] == "unchanged"


async def test_broken_code_is_refused_with_file_line_and_reason_and_changes_nothing(
    place: Place,
) -> None:
    place.worker.refusal = CodeRefused("unexpected indent", file="tasks.py", line=7)

    refused = await place.acme.post(f"{BUNDLES}?name=examples", content=b"zip", headers=ZIP)
    streamed = await place.acme.post(
        f"{BUNDLES}?name=examples",
        content=b"zip",
        headers={**ZIP, "accept": "text/event-stream"},
    )

    assert refused.status_code == 400
    assert refused.json()["code"] == "code_refused"
    assert (refused.json()["file"], refused.json()["line"]) == ("tasks.py", 7)
    assert streamed.text.startswith("event: problem\n")
    assert '"line":7' in streamed.text
    assert (await place.acme.get(f"{TASKS}/Zip%20code")).json()["version"] == 1


async def test_a_task_of_another_bundle_is_taken_over_only_when_asked(place: Place) -> None:
    refused = await place.acme.post(f"{BUNDLES}?name=other", content=b"zip", headers=ZIP)
    taken = await place.acme.post(
        f"{BUNDLES}?name=other&take_over=true", content=b"zip", headers=ZIP
    )

    assert refused.status_code == 409
    assert refused.json()["code"] == "task_owned_elsewhere"
    assert taken.status_code == 201
    assert (await place.acme.get(f"{TASKS}/Zip%20code")).json()["bundle"] == "other"


@pytest.mark.parametrize(
    ("query", "headers", "status", "words"),
    [
        ("", ZIP, 400, "name"),
        ("?name=", ZIP, 400, "name"),
        ("?name=../x", ZIP, 400, "name"),
        ("?name=x&take_over=perhaps", ZIP, 400, "take_over"),
        ("?name=x", {"content-type": "application/json"}, 415, "application/zip"),
    ],
)
async def test_a_deploy_that_does_not_fit_is_refused(
    place: Place, query: str, headers: dict[str, str], status: int, words: str
) -> None:
    refused = await place.acme.post(f"{BUNDLES}{query}", content=b"zip", headers=headers)

    assert refused.status_code == status
    assert words in refused.text


async def test_runs_of_a_task_that_is_not_runnable_are_refused(place: Place) -> None:
    closed = await place.acme.put(f"{TASKS}/Zip%20code/runnable", json={"runnable": False})
    refused = await place.acme.post("/runs", json={"task": "Zip code", "input": {"zip": "1"}})
    opened = await place.acme.put(f"{TASKS}/Zip%20code/runnable", json={"runnable": True})

    assert closed.json()["runnable"] is False
    assert refused.status_code == 409
    assert refused.json()["code"] == "task_not_runnable"
    assert opened.json()["runnable"] is True
    assert await place.start()


async def test_killing_a_task_ends_what_runs_and_cleaning_what_waits(place: Place) -> None:
    running = await place.start()
    await place.worker.begins(running)
    later = await place.start(due_at="2099-01-01T00:00:00Z")

    killed = (await place.acme.post(f"{TASKS}/Zip%20code/kill")).json()
    cleaned = (await place.acme.post(f"{TASKS}/Zip%20code/clean")).json()

    assert killed == {"killed": [running], "unconfirmed": [], "confirmed": True}
    assert cleaned == {"cancelled": 1}
    shown = (await place.acme.get(f"/runs/{later}")).json()
    assert shown["state"] == "cancelled"
