"""Systems over the native API: made, allowed, locked, changed, renewed, removed."""

import pytest

from runyard.model.errors import SystemNotAllowed, Unauthenticated
from tests.dialects.native.conftest import Place


async def test_a_token_of_that_kind_is_a_system_that_waits(place: Place) -> None:
    created = (await place.acme.post("/tokens", json={"kind": "system", "name": "Finance"})).json()
    listed = (await place.acme.get("/tokens")).json()["items"]
    [shown] = [token for token in listed if token["id"] == created["id"]]

    assert shown == {name: value for name, value in created.items() if name != "secret"}
    assert (shown["kind"], shown["name"]) == ("system", "Finance")
    assert shown["last_characters"] == created["secret"][-4:]
    with pytest.raises(SystemNotAllowed):
        await place.server.engine.systems.admit(created["secret"])


async def test_a_system_is_revoked_as_a_token_and_stays_so(place: Place) -> None:
    created = (await place.acme.post("/tokens", json={"kind": "system", "name": "Finance"})).json()

    foreign = await place.globex.delete(f"/tokens/{created['id']}")
    first = await place.acme.delete(f"/tokens/{created['id']}")
    again = await place.acme.delete(f"/tokens/{created['id']}")

    assert [foreign.status_code, first.status_code, again.status_code] == [404, 204, 204]
    with pytest.raises(Unauthenticated):
        await place.server.engine.systems.admit(created["secret"])
    [token] = [
        t for t in (await place.acme.get("/tokens")).json()["items"] if t["id"] == created["id"]
    ]
    assert token["revoked_at"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"lasting": "P1D"}, "lasting"),
        ({"role": "administrator"}, "role"),
        ({"joins": True}, "joins"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_token_that_no_system_has_is_refused(
    place: Place, more: dict[str, object], field: str
) -> None:
    answer = await place.acme.post("/tokens", json={"kind": "system", "name": "Finance", **more})

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]


async def test_a_system_is_a_companys(place: Place) -> None:
    answer = await place.admin.post("/tokens", json={"kind": "system", "name": "Finance"})

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["problems"]] == ["kind"]


async def test_a_systems_uuid_does_not_open_the_native_api(place: Place) -> None:
    created = (await place.acme.post("/tokens", json={"kind": "system", "name": "Finance"})).json()

    async with place.client(created["secret"]) as client:
        answer = await client.get(f"/companies/{place.acme_slug}/runs")

    assert answer.status_code == 401


# ---------------------------------------------------------------- routes of their own


async def test_a_system_is_created_shown_and_listed_and_its_uuid_shown_once(place: Place) -> None:
    answer = await place.acme.post(
        "/systems", json={"name": "Finance", "description": "Books invoices"}
    )
    created = answer.json()
    shown = (await place.acme.get("/systems/Finance")).json()
    listed = (await place.acme.get("/systems")).json()

    assert answer.status_code == 201
    assert {**shown, "uuid": created["uuid"]} == created
    assert listed == {"items": [shown], "next": None, "total": 1, "total_is_exact": True}
    assert (shown["state"], shown["description"]) == ("request", "Books invoices")
    assert shown["last_characters"] == created["uuid"][-4:]
    assert (shown["address"], shown["last_seen_at"], shown["files_from"]) == ("", None, [])


async def test_a_system_is_allowed_and_locked(place: Place) -> None:
    created = (await place.acme.post("/systems", json={"name": "Finance"})).json()
    systems = place.server.engine.systems

    allowed = (await place.acme.post(f"/systems/{created['id']}/allow")).json()
    admitted = await systems.admit(created["uuid"], "192.0.2.1")
    locked = (await place.acme.post("/systems/Finance/lock")).json()

    assert (allowed["state"], locked["state"]) == ("allowed", "locked")
    assert locked["updated_by"].startswith("native token ...")
    assert admitted.id == created["id"]
    assert locked["address"] == "192.0.2.1"
    with pytest.raises(SystemNotAllowed):
        await systems.admit(created["uuid"])


async def test_a_system_may_be_created_allowed(place: Place) -> None:
    body = {"name": "Finance", "allowed": True}
    created = (await place.acme.post("/systems", json=body)).json()

    assert created["state"] == "allowed"
    assert (await place.server.engine.systems.admit(created["uuid"])).id == created["id"]


async def test_a_renewed_system_has_another_uuid(place: Place) -> None:
    body = {"name": "Finance", "allowed": True}
    created = (await place.acme.post("/systems", json=body)).json()

    renewed = (await place.acme.post("/systems/Finance/renew")).json()

    assert renewed["id"] == created["id"]
    assert (await place.server.engine.systems.admit(renewed["uuid"])).id == created["id"]
    with pytest.raises(Unauthenticated):
        await place.server.engine.systems.admit(created["uuid"])


async def test_a_removed_system_is_gone(place: Place) -> None:
    created = (await place.acme.post("/systems", json={"name": "Finance", "allowed": True})).json()

    first = await place.acme.delete("/systems/Finance")
    again = await place.acme.delete("/systems/Finance")

    assert (first.status_code, again.status_code) == (204, 404)
    assert again.json()["code"] == "system_not_found"
    assert (await place.acme.get("/systems")).json()["items"] == []
    with pytest.raises(Unauthenticated):
        await place.server.engine.systems.admit(created["uuid"])


async def test_a_system_is_changed_and_what_is_left_out_stays(place: Place) -> None:
    body = {"name": "Finance", "description": "Books invoices"}
    await place.acme.post("/systems", json=body)

    described = (await place.acme.patch("/systems/Finance", json={"description": "x"})).json()
    renamed = (await place.acme.patch("/systems/Finance", json={"name": "Accounts"})).json()

    assert (described["name"], described["description"]) == ("Finance", "x")
    assert (renamed["name"], renamed["description"]) == ("Accounts", "x")
    assert (await place.acme.get("/systems/Finance")).status_code == 404


async def test_systems_are_listed_by_state_by_text_and_in_pages(place: Place) -> None:
    for name, allowed in (("One", True), ("Two", False), ("Three", True)):
        body = {"name": name, "description": f"the {name}ness", "allowed": allowed}
        await place.acme.post("/systems", json=body)

    async def names(query: str) -> list[str]:
        page = (await place.acme.get(f"/systems?{query}")).json()
        return [system["name"] for system in page["items"]]

    assert await names("state=allowed") == ["Three", "One"]
    assert await names("state=locked") == []
    assert await names("search=TWONESS") == ["Two"]
    assert await names("search=o&state=allowed") == ["One"]
    first = (await place.acme.get("/systems?limit=2")).json()
    rest = (await place.acme.get(f"/systems?limit=2&cursor={first['next']}")).json()
    assert [s["name"] for s in (*first["items"], *rest["items"])] == ["Three", "Two", "One"]
    assert (first["total"], rest["next"]) == (3, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": 3}, "name"),
        ({"name": ""}, "name"),
        ({"name": "717"}, "name"),
        ({"name": "Finance", "description": 3}, "description"),
        ({"name": "Finance", "description": "x" * 2001}, "description"),
        ({"name": "Finance", "files_from": "host"}, "files_from"),
        ({"name": "Finance", "files_from": ["host", "http://host"]}, "files_from[1]"),
        ({"name": "Finance", "allowed": "yes"}, "allowed"),
        ({"name": "Finance", "uuid": "x"}, "uuid"),
    ],
)
async def test_a_system_that_does_not_fit_names_the_field(
    place: Place, body: object, field: str
) -> None:
    answer = await place.admin.post(f"/companies/{place.acme_slug}/systems", json=body)

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]


async def test_a_name_is_taken_once(place: Place) -> None:
    for name in ("Finance", "Sales"):
        await place.acme.post("/systems", json={"name": name})

    twice = await place.acme.post("/systems", json={"name": "Finance"})
    renamed = await place.acme.patch("/systems/Sales", json={"name": "Finance"})

    assert (twice.status_code, renamed.status_code) == (409, 409)
    assert twice.json()["code"] == "name_taken"


async def test_only_administrators_of_the_installation_open_hosts(place: Place) -> None:
    body = {"name": "Finance", "files_from": ["10.1.0.0/16", "bpm.example.org"]}
    whole = f"/companies/{place.acme_slug}/systems"

    refused = await place.acme.post("/systems", json=body)
    created = await place.admin.post(whole, json=body)
    more = await place.acme.patch("/systems/Finance", json={"files_from": ["10.0.0.0/8"]})
    fewer = await place.acme.patch("/systems/Finance", json={"files_from": ["10.1.0.0/16"]})
    none = await place.acme.patch("/systems/Finance", json={"files_from": []})

    assert (refused.status_code, more.status_code) == (403, 403)
    assert "10.0.0.0/8 is opened by administrators of the whole" in more.json()["detail"]
    assert created.json()["files_from"] == body["files_from"]
    assert (fewer.json()["files_from"], none.json()["files_from"]) == (["10.1.0.0/16"], [])
