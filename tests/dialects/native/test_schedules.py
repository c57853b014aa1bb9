"""Schedules over the native API."""

import pytest

from tests.dialects.native.conftest import Place

SCHEDULES = "/schedules"
MORNING = {
    "name": "every morning",
    "task": "Zip code",
    "cron": "0 8 * * *",
    "time_zone": "Europe/Prague",
    "input": {"zip": "76131"},
}


async def test_a_cron_schedule_shows_its_next_fire_times(place: Place) -> None:
    created = await place.acme.post(SCHEDULES, json=MORNING)
    by_name = await place.acme.get(f"{SCHEDULES}/every%20morning")
    by_id = await place.acme.get(f"{SCHEDULES}/{created.json()['id']}")

    assert created.status_code == 201
    assert created.json()["kind"] == "cron"
    assert len(created.json()["upcoming"]) == 5
    assert created.json()["upcoming"][0] == created.json()["next_fire_at"]
    assert created.json()["input"] == {"zip": "76131"}
    assert by_name.json() == by_id.json() == created.json()


@pytest.mark.parametrize(
    ("rule", "kind"),
    [({"interval": "PT15M"}, "interval"), ({"at": "2099-01-01T08:00:00+01:00"}, "once")],
)
async def test_a_schedule_by_interval_or_instant(
    place: Place, rule: dict[str, str], kind: str
) -> None:
    body = {"name": "n", "task": "Zip code", "input": {"zip": "1"}, **rule}

    created = await place.acme.post(SCHEDULES, json=body)

    assert created.status_code == 201
    assert created.json()["kind"] == kind


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"cron": "61 * * * *"}, 400, "cron"),
        ({"cron": None}, 400, "one of cron, interval, at"),
        ({"interval": "PT1S"}, 400, "one of cron, interval, at"),
        ({"cron": None, "interval": "PT0.1S"}, 400, "interval"),
        ({"cron": None, "at": "2099-01-01T08:00:00"}, 400, "at"),
        ({"time_zone": "Mars/Olympus"}, 400, "time_zone"),
        ({"input": {"zip": 5}}, 400, "zip"),
        ({"task": "unknown"}, 404, "task_not_found"),
        ({"priority": 0}, 400, "priority"),
        ({"name": ""}, 400, "name"),
    ],
)
async def test_a_schedule_that_does_not_fit_is_refused(
    place: Place, change: dict[str, object], status: int, words: str
) -> None:
    refused = await place.acme.post(SCHEDULES, json={**MORNING, **change})

    assert refused.status_code == status, refused.text
    assert words in refused.text


async def test_a_name_is_taken_once(place: Place) -> None:
    await place.acme.post(SCHEDULES, json=MORNING)

    refused = await place.acme.post(SCHEDULES, json=MORNING)

    assert refused.status_code == 409


async def test_a_schedule_is_listed_switched_and_deleted(place: Place) -> None:
    created = (await place.acme.post(SCHEDULES, json=MORNING)).json()
    path = f"{SCHEDULES}/{created['id']}"

    listed = (await place.acme.get(f"{SCHEDULES}?task=Zip%20code")).json()
    off = (await place.acme.patch(path, json={"enabled": False})).json()
    on = (await place.acme.patch(path, json={"enabled": True})).json()
    deleted = await place.acme.delete(path)
    gone = await place.acme.get(path)

    assert [schedule["name"] for schedule in listed["items"]] == ["every morning"]
    assert (off["enabled"], off["upcoming"]) == (False, [])
    assert on["enabled"] is True
    assert deleted.status_code == 204
    assert gone.status_code == 404


async def test_schedules_of_another_company_do_not_exist(place: Place) -> None:
    created = (await place.acme.post(SCHEDULES, json=MORNING)).json()
    path = f"/schedules/{created['id']}"

    answers = [
        await place.globex.get(path),
        await place.globex.patch(path, json={"enabled": False}),
        await place.globex.delete(path),
        await place.globex.get("/schedules?task=unknown"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
