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
