"""API keys and signing keys over the native API."""

from tests.dialects.native.conftest import Place
from tests.dialects.native.test_users import a_user


async def test_an_api_key_is_made_listed_and_revoked(place: Place) -> None:
    user = await a_user(place)
    path = f"/users/{user['id']}/api-keys"

    made = await place.admin.post(path, json={"name": "tickets", "lasting": "P90D"})
    bare = await place.admin.post(path)
    listed = await place.admin.get(path)
    gone = await place.admin.delete(f"{path}/{made.json()['id']}")
    unknown = await place.admin.delete(f"{path}/x")
    foreign = await place.admin.delete(
        f"/users/{(await a_user(place))['id']}/api-keys/{made.json()['id']}"
    )

    assert (made.status_code, bare.status_code, gone.status_code) == (201, 201, 204)
    assert made.json()["secret"].startswith("ryd_apikey_")
    assert made.json()["expires_at"] is not None
    assert [key["name"] for key in listed.json()["items"]] == ["", "tickets"]
    assert made.json()["secret"] not in listed.text
    for answer in (unknown, foreign):
        assert (answer.status_code, answer.json()["code"]) == (404, "api_key_not_found")
    after = await place.admin.get(path)
    assert [key["revoked_at"] is None for key in after.json()["items"]] == [True, False]


async def test_signing_keys_are_rotated(place: Place) -> None:
    first = await place.admin.post("/signing-keys/rotate")
    second = await place.admin.post("/signing-keys/rotate", json={"discard": False})
    listed = await place.admin.get("/signing-keys")
    third = await place.admin.post("/signing-keys/rotate", json={"discard": True})
    left = await place.admin.get("/signing-keys")

    assert first.status_code == 201
    ids = [key["id"] for key in listed.json()["items"]]
    assert {first.json()["id"], second.json()["id"]} <= set(ids)
    retired = {key["id"]: key["retired_at"] for key in listed.json()["items"]}
    assert retired[second.json()["id"]] is None
    assert retired[first.json()["id"]] is not None
    assert [key["id"] for key in left.json()["items"]] == [third.json()["id"]]
    assert "sealed" not in listed.text
