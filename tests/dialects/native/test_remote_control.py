"""Remote control over the native API: allowed with a token that is shown once, replaced, forbidden."""

import pytest

from runyard.model.tokens import TokenKind
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret


async def test_control_is_allowed_and_the_secret_shown_once(place: Place) -> None:
    before = (await place.acme.get("/remote-control")).json()
    allowed = (await place.acme.put("/remote-control", json={"allow": "token"})).json()
    after = (await place.acme.get("/remote-control")).json()

    assert before == {
        "allowed": False,
        "token": None,
        "url": f"{place.server.url}/api/remote/{place.acme_slug}",
    }
    assert allowed["secret"].startswith("ryd_remote-control_")
    assert after["allowed"]
    assert "secret" not in after
    assert after["token"]["last_characters"] == allowed["secret"][-4:]
    assert (after["token"]["kind"], after["token"]["company"]) == (
        "remote-control",
        place.acme_slug,
    )


async def test_the_token_before_ends_when_another_is_made_or_none(place: Place) -> None:
    first = (await place.acme.put("/remote-control", json={"allow": "token"})).json()
    second = (await place.acme.put("/remote-control", json={"allow": "token"})).json()
    none = (await place.acme.put("/remote-control", json={"allow": "none"})).json()
    tokens = {token["id"]: token for token in (await place.acme.get("/tokens")).json()["items"]}

    assert first["secret"] != second["secret"]
    assert (none["allowed"], none["token"]) == (False, None)
    assert tokens[first["token"]["id"]]["revoked_at"] <= tokens[second["token"]["id"]]["revoked_at"]


async def test_a_token_of_that_kind_is_the_same_as_allowing_control(place: Place) -> None:
    body = {"kind": "remote-control", "name": "night jobs", "role": "viewer"}
    created = (await place.acme.post("/tokens", json=body)).json()
    shown = (await place.acme.get("/remote-control")).json()

    assert shown["token"]["id"] == created["id"]
    assert (shown["token"]["name"], shown["token"]["role"]) == ("night jobs", "viewer")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "allow"),
        ({"allow": "everybody"}, "allow"),
        ({"allow": None}, "allow"),
        ({"allow": "token", "role": "king"}, "role"),
        ({"allow": "token", "for": "1d"}, "for"),
    ],
)
async def test_a_choice_that_there_is_not_is_refused(
    place: Place, body: object, field: str
) -> None:
    refused = await place.acme.put("/remote-control", json=body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["problems"][0]["field"] == field


async def test_such_a_token_is_a_companys_and_does_not_run_out(place: Place) -> None:
    lasting = await place.acme.post("/tokens", json={"kind": "remote-control", "lasting": "P1D"})
    nobodys = await place.admin.post("/tokens", json={"kind": "remote-control"})

    assert lasting.json()["problems"][0]["field"] == "lasting"
    assert nobodys.json()["problems"][0]["field"] == "kind"


async def test_a_remote_control_token_does_not_open_the_native_api(place: Place) -> None:
    secret = await a_secret(place.server, place.acme_slug, kind=TokenKind.REMOTE_CONTROL)

    async with place.client(secret, f"/companies/{place.acme_slug}") as client:
        refused = await client.get("/tasks")

    assert refused.status_code == 401
