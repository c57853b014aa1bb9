"""Users over the native API."""

import itertools

import pytest

from tests.dialects.native.conftest import Place

GOOD = "correct horse battery"
_numbers = itertools.count(1)


async def a_user(place: Place, **more: object) -> dict:
    body = {"email": f"user{next(_numbers)}@example.com", "password": GOOD, **more}
    answer = await place.admin.post("/users", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_user_is_created_shown_and_listed(place: Place) -> None:
    user = await a_user(place, name="Ann", role="operator", company=place.acme_slug)

    shown = await place.admin.get(f"/users/{user['id']}")
    by_email = await place.admin.get(f"/users/{user['email'].upper()}")
    listed = await place.admin.get("/users?limit=500")

    assert user["setup_link"] is None
    assert shown.json() == {key: value for key, value in user.items() if key != "setup_link"}
    assert by_email.json() == shown.json()
    assert shown.json() in listed.json()["items"]
    assert user["roles"] == [{"company": place.acme_slug, "role": "operator"}]
    assert user["home_company"] == place.acme_slug
    assert user["has_password"] is True
    assert "correct" not in listed.text


async def test_a_user_without_password_comes_with_a_link(place: Place) -> None:
    user = await a_user(place, password=None)

    again = await place.admin.post(f"/users/{user['id']}/setup-link")

    assert user["has_password"] is False
    assert user["setup_link"]["url"].startswith(f"{place.server.url}/console/set-up/")
    assert again.status_code == 201
    assert again.json()["url"] != user["setup_link"]["url"]
    secret = again.json()["url"].rpartition("/")[2]
    chosen = await place.server.engine.users.choose_password(secret, GOOD)
    assert chosen.email == user["email"]


async def test_roles_are_given_and_taken(place: Place) -> None:
    user = await a_user(place)
    path = f"/users/{user['id']}/role"

    everywhere = await place.admin.put(path, json={"role": "viewer"})
    there = await place.admin.put(path, json={"company": place.acme_slug, "role": "developer"})
    gone = await place.admin.put(path, json={"role": None})
    nothing = await place.admin.put(path, json={"role": None})
    unknown = await place.admin.put(path, json={"company": "nowhere", "role": "viewer"})

    assert everywhere.json()["roles"] == [{"company": None, "role": "viewer"}]
    assert len(there.json()["roles"]) == 2
    assert gone.json()["roles"] == [{"company": place.acme_slug, "role": "developer"}]
    assert (nothing.status_code, nothing.json()["code"]) == (404, "grant_not_found")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "company_not_found")


async def test_a_user_is_changed_disabled_and_enabled(place: Place) -> None:
    user = await a_user(place, role="viewer")
    path = f"/users/{user['id']}"

    changed = await place.admin.patch(
        path, json={"name": "Bob", "home_company": place.globex_slug, "disabled": True}
    )
    enabled = await place.admin.patch(path, json={"disabled": False})

    assert changed.json()["name"] == "Bob"
    assert changed.json()["home_company"] == place.globex_slug
    assert changed.json()["disabled_at"] is not None
    assert enabled.json()["disabled_at"] is None
    assert enabled.json()["email"] == user["email"]


async def test_a_user_is_removed(place: Place) -> None:
    user = await a_user(place, role="viewer")
    path = f"/users/{user['id']}"

    gone = await place.admin.delete(path)
    again = await place.admin.delete(path)
    anew = await place.admin.post("/users", json={"email": user["email"]})

    assert (gone.status_code, gone.content) == (204, b"")
    assert (again.status_code, again.json()["code"]) == (404, "user_not_found")
    assert anew.status_code == 201


async def test_a_new_password_and_signing_out_answer_nothing(place: Place) -> None:
    user = await a_user(place)

    password = await place.admin.put(
        f"/users/{user['id']}/password", json={"password": "staple the battery"}
    )
    out = await place.admin.delete(f"/users/{user['id']}/logins")

    assert (password.status_code, out.status_code) == (204, 204)


async def test_no_first_link_once_somebody_administers(place: Place) -> None:
    await a_user(place, role="administrator")

    refused = await place.admin.post("/setup-link")

    assert (refused.status_code, refused.json()["code"]) == (409, "set_up_already")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "a@example.com", "name": "\u202e"}, "name"),
        ({"email": "a@example.com", "password": "short"}, "password"),
        ({"email": "a@example.com", "password": "aaaaaaaaaaaaaaaa"}, "password"),
        ({"email": "a@example.com", "role": "king"}, "role"),
        ({"email": "a@example.com", "admin": True}, "admin"),
    ],
)
async def test_a_user_that_does_not_fit_names_the_field(
    place: Place, body: dict, field: str
) -> None:
    refused = await place.admin.post("/users", json=body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["problems"][0]["field"] == field


async def test_a_company_needs_a_role(place: Place) -> None:
    refused = await place.admin.post(
        "/users", json={"email": "c@example.com", "company": place.acme_slug}
    )

    assert refused.json()["problems"][0]["field"] == "role"


async def test_an_email_is_taken_once(place: Place) -> None:
    user = await a_user(place)

    refused = await place.admin.post("/users", json={"email": user["email"].upper()})

    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")


@pytest.mark.parametrize("ref", ["0", "999999999", "nobody@example.com", "x", "%00"])
async def test_an_unknown_user_is_not_found(place: Place, ref: str) -> None:
    assert (await place.admin.get(f"/users/{ref}")).status_code == 404
