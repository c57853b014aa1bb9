"""Logging in, refreshing, validating and logging out; who is let in afterwards."""

import httpx
import pytest

from runyard.model.tokens import Role
from tests.dialects.automation_anywhere.conftest import CONFIG, GOOD, Room, refused

BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@BOTH
async def test_a_login_answers_a_token_and_the_user(room: Room, version: str) -> None:
    user = await room.user(Role.ADMINISTRATOR)

    answer = await room.http.post(
        f"/{version}/authentication",
        json={"username": user.email, "password": GOOD, "multiLogin": False, "x": None},
        headers={"x-authorization": "nonsense", "authorization": "Bearer nonsense"},
    )

    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["token", "user"]
    assert body["token"].count(".") == 2
    assert body["user"]["id"] == user.id
    assert body["user"]["username"] == body["user"]["email"] == user.email
    assert [role["name"] for role in body["user"]["roles"]] == ["AAE_Admin"]
    assert body["user"]["tenantUuid"] == str(room.company.uuid)
    assert body["user"]["licenseFeatures"] == []
    assert {each["resourceType"] for each in body["user"]["permissions"]} >= {"activity"}


@BOTH
async def test_a_session_is_validated_refreshed_and_logged_out(room: Room, version: str) -> None:
    base = f"/{version}/authentication"
    token = await room.token(await room.user())

    by_query = await room.http.get(f"{base}/token", params={"token": token})
    by_header = await room.send("GET", f"{base}/token", token=token)
    by_body = await room.http.post(f"{base}/token", json={"token": token})
    old = await room.http.get(f"{base}/token", params={"token": token})
    by_header_alone = await room.send("POST", f"{base}/token", token=by_body.json()["token"])
    newest = by_header_alone.json()["token"]
    out = await room.send("POST", f"{base}/logout", token=newest)
    after = await room.http.get(f"{base}/token", params={"token": newest})

    assert by_query.json() == by_header.json() == {"valid": True}
    assert by_body.status_code == by_header_alone.status_code == 200
    assert old.json() == {"valid": False}
    assert (out.status_code, out.content) == (204, b"")
    assert (after.status_code, after.json()) == (200, {"valid": False})


async def test_a_logout_by_body(room: Room) -> None:
    token = await room.token(await room.user())

    out = await room.http.post("/v1/authentication/logout", json={"token": token})

    assert out.status_code == 204
    refused(await room.send("POST", CONFIG, token=token), 401, "auth.token.invalid")


async def test_an_api_key_logs_in_beside_others(room: Room) -> None:
    user = await room.user()
    plain = await room.token(user)
    key = (await room.server.engine.api_keys.create(user)).secret

    answer = await room.http.post(
        "/v2/authentication", json={"username": user.email, "apiKey": key}
    )

    assert answer.status_code == 200
    valid = await room.http.get("/v1/authentication/token", params={"token": plain})
    assert valid.json() == {"valid": True}


async def test_a_second_plain_login_ends_the_first_and_says_why(room: Room) -> None:
    user = await room.user()
    first = await room.token(user)
    await room.token(user)

    body = refused(await room.send("POST", CONFIG, token=first), 401, "auth.token.invalid")

    assert "multipleLogin" in body["message"]


async def test_several_sessions_live_side_by_side_five_at_most(room: Room) -> None:
    user = await room.user()
    tokens = [await room.token(user, multipleLogin=True) for _ in range(6)]

    valid = [
        (await room.http.get("/v1/authentication/token", params={"token": token})).json()["valid"]
        for token in tokens
    ]

    assert valid == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    "body",
    [
        {"username": "nobody@example.com", "password": GOOD},
        {"username": "nobody@example.com", "apiKey": "x"},
        {"username": "", "password": ""},
        {"username": "nowhere\\nobody@example.com", "password": GOOD},
    ],
)
async def test_wrong_credentials_answer_alike(room: Room, body: dict) -> None:
    known = await room.user()

    wrong = await room.http.post("/v2/authentication", json=body)
    guess = await room.http.post(
        "/v2/authentication", json={"username": known.email, "password": "wrong password"}
    )

    assert refused(wrong, 401, "auth.credentials.invalid") == refused(
        guess, 401, "auth.credentials.invalid"
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"username": "a"}, "neither"),
        ({"username": "a", "password": "b", "apiKey": "c"}, "both"),
        ({"password": "b"}, "username"),
        ({"username": 1, "password": "b"}, "username"),
        ([], "object"),
    ],
)
async def test_an_unclear_login_is_told_what_is_wrong(room: Room, body: object, told: str) -> None:
    answer = await room.http.post("/v2/authentication", json=body)

    problem = refused(answer, 400, "request.invalid")
    assert told in str(problem)
    assert problem["details"]


async def test_a_login_that_is_not_json(room: Room) -> None:
    broken = await room.http.post(
        "/v2/authentication", content=b"{", headers={"content-type": "application/json"}
    )
    form = await room.http.post("/v2/authentication", data={"username": "a"})

    refused(broken, 400, "request.invalid")
    refused(form, 415, "request.media.type")


async def test_guessing_is_slowed_down(room: Room) -> None:
    user = await room.user()
    body = {"username": user.email, "password": "wrong password"}

    for _ in range(5):
        refused(
            await room.http.post("/v2/authentication", json=body), 401, "auth.credentials.invalid"
        )
    locked = await room.http.post("/v2/authentication", json={**body, "password": GOOD})

    refused(locked, 429, "auth.locked")
    assert int(locked.headers["retry-after"]) >= 1


async def test_tokens_in_headers(room: Room) -> None:
    token = room.admin

    async def said(headers: dict[str, str]) -> httpx.Response:
        return await room.http.post(CONFIG, headers=headers)

    assert (await said({"x-authorization": token})).status_code == 200
    assert (await said({"authorization": f"Bearer {token}"})).status_code == 200
    refused(await said({}), 401, "UM1117")
    refused(
        await said({"x-authorization": token, "authorization": f"Bearer {token}"}),
        400,
        "auth.headers.conflict",
    )
    refused(await said({"x-authorization": f"Bearer {token}"}), 401, "auth.token.invalid")
    refused(await said({"authorization": token}), 401, "auth.token.invalid")
    for wrong in ("", "x", f"{token}x", token[:-4], "a.b.c", "ä"):
        answer = await room.http.post(CONFIG, headers={b"x-authorization": wrong.encode()})
        refused(answer, 401, "auth.token.invalid")


async def test_a_token_is_needed_to_refresh_validate_and_log_out(room: Room) -> None:
    refused(await room.http.post("/v2/authentication/token"), 401, "UM1117")
    refused(await room.http.post("/v2/authentication/logout"), 401, "UM1117")
    refused(await room.http.get("/v2/authentication/token"), 401, "UM1117")
    refused(
        await room.http.post("/v2/authentication/token", json={"token": "x.y.z"}),
        401,
        "auth.token.invalid",
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/nothing/here", 404, "resource.not.found"),
        ("POST", "/v3/nothing", 404, "resource.not.found"),
        ("POST", "/v4/nothing", 404, "resource.not.found"),
        ("GET", "/orchestrator/v1/nothing", 404, "resource.not.found"),
        ("GET", "/hotbot/1", 404, "resource.not.found"),
        ("GET", "/v1/filecontent/1/nothing", 404, "resource.not.found"),
        ("GET", "/v1/devices", 404, "resource.not.found"),
        ("GET", "/v1/audit", 404, "resource.not.found"),
        ("DELETE", "/v2/authentication", 405, "method.not.allowed"),
        ("GET", CONFIG, 405, "method.not.allowed"),
    ],
)
async def test_unknown_addresses_answer_in_the_dialects_form(
    room: Room, method: str, path: str, status: int, code: str
) -> None:
    refused(await room.send(method, path), status, code)
