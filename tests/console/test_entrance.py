"""Set-up links, signing in and out: what is let in, what is refused, and what is told."""

import re

import pytest

from runyard.model.tokens import Role
from tests.console.conftest import GOOD, SAME_SITE, Place, Visitor

OTHER = "staple the battery"


async def try_to_sign_in(visitor: Visitor, email: str, password: str, after: str = ""):
    return await visitor.post(
        "/console/login", page="/console/login", email=email, password=password, after=after
    )


async def test_nobody_is_shown_anything_before_signing_in(place: Place) -> None:
    stranger = await place.stranger()
    paths = ("/console", "/console/account", f"/console/companies/{place.company.slug}")

    for path in paths:
        answer = await stranger.get(path)

        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/login")
        assert "Acme" not in answer.text


async def test_the_bare_address_leads_to_the_console(place: Place) -> None:
    stranger = await place.stranger()

    answers = [await stranger.get(path) for path in ("/", "/x")]

    assert answers[0].headers["location"] == "/console"
    assert [answer.status_code for answer in answers] == [303, 404]


async def test_one_signs_in_and_is_led_to_where_one_wanted(place: Place) -> None:
    user = await place.a_user(Role.VIEWER)
    visitor = await place.stranger()
    path = f"/console/companies/{place.company.slug}"
    refused = await visitor.get(path)
    page = await visitor.get(refused.headers["location"])
    after = re.findall(r'name="after" value="([^"]*)"', page.text)[0]

    answer = await try_to_sign_in(visitor, user.email, GOOD, after)

    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert (await visitor.get(path)).status_code == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(place: Place) -> None:
    user = await place.a_user()
    visitor = await place.stranger()

    answer = await try_to_sign_in(visitor, user.email, GOOD)

    [cookie] = answer.headers.get_list("set-cookie")
    assert cookie.startswith("runyard-login-")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_wrong_and_unknown_look_the_same(place: Place) -> None:
    user = await place.a_user()
    pages = set()

    for email, password in ((user.email, OTHER), ("nobody@example.com", GOOD)):
        visitor = await place.stranger()
        answer = await try_to_sign_in(visitor, email, password)
        assert answer.status_code == 401
        pages.add(re.sub(r'value="[^"]*"', "", answer.text))

    assert len(pages) == 1
    assert "Email or password is wrong." in pages.pop()


async def test_guessing_is_slowed_down_with_a_clear_page(place: Place) -> None:
    user = await place.a_user()
    visitor = await place.stranger()
    for _ in range(5):
        await try_to_sign_in(visitor, user.email, OTHER)

    answer = await try_to_sign_in(visitor, user.email, GOOD)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 30
    assert "There were too many tries to sign in" in answer.text


async def test_signing_in_again_gives_another_secret_and_ends_the_first(place: Place) -> None:
    user = await place.a_user()
    visitor = await place.stranger()
    await try_to_sign_in(visitor, user.email, GOOD)
    first = dict(visitor.client.cookies)

    await visitor.post("/console/login", email=user.email, password=GOOD, after="")

    assert dict(visitor.client.cookies) != first
    assert len(await place.server.engine.logins.list(user.id)) == 1
    thief = await place.stranger()
    thief.client.cookies.update(first)
    assert (await thief.get("/console")).status_code == 303


async def test_signing_out_ends_the_login_itself(place: Place) -> None:
    visitor = await place.signed_in()
    stolen = dict(visitor.client.cookies)

    answer = await visitor.post("/console/logout")

    assert answer.headers["location"] == "/console/login?said=signed-out"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    thief = await place.stranger()
    thief.client.cookies.update(stolen)
    assert (await thief.get("/console")).status_code == 303
    assert "You are signed out." in (await visitor.get(answer.headers["location"])).text


@pytest.mark.parametrize(
    "after",
    [
        "https://evil.example",
        "//evil.example",
        "/console//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/runyard/v1/users",
        "/console\r\nset-cookie: x=y",
        "/consolé",
        "",
    ],
)
async def test_one_is_never_led_to_another_site(place: Place, after: str) -> None:
    user = await place.a_user()
    visitor = await place.stranger()

    answer = await try_to_sign_in(visitor, user.email, GOOD, after)

    assert answer.headers["location"] == "/console"
    assert (await visitor.get("/console/login", params={"after": after})).status_code == 303


async def test_a_user_chooses_a_password_by_link(place: Place) -> None:
    engine = place.server.engine
    user = await engine.users.create("link@example.com")
    secret = (await engine.users.setup_link(user)).secret
    path = f"/console/set-up/{secret}"
    visitor = await place.stranger()

    weak = await visitor.post(path, page=path, password="short", again="short")
    different = await visitor.post(path, page=path, password=GOOD, again=OTHER)
    done = await visitor.post(path, page=path, password=GOOD, again=GOOD)
    used = await visitor.get(path)

    assert (weak.status_code, different.status_code) == (400, 400)
    assert "12 to 256 characters" in weak.text
    assert "the same password again" in different.text
    assert (done.status_code, done.headers["location"]) == (303, "/console")
    assert (await visitor.get("/console")).status_code == 200
    assert used.status_code == 404
    assert "not valid" in used.text
    assert GOOD not in weak.text + different.text + done.text
    await engine.users.disable(user)


async def test_a_guessed_link_leads_nowhere(place: Place) -> None:
    visitor = await place.stranger()

    answer = await visitor.get("/console/set-up/guessed")

    assert answer.status_code == 404
    assert "<h1>This set-up link is not valid" in answer.text


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        (SAME_SITE, True, 303),
        ({}, True, 303),
        ({"origin": "{url}"}, True, 303),
        (SAME_SITE, False, 403),
        ({"sec-fetch-site": "cross-site"}, True, 403),
        ({"sec-fetch-site": "same-site"}, True, 403),
        ({"sec-fetch-site": "none"}, True, 403),
        ({"origin": "https://evil.example"}, True, 403),
        ({"origin": "null"}, True, 403),
    ],
)
async def test_a_form_counts_only_from_its_own_page(
    place: Place,
    headers: dict[str, str],
    token: bool,  # noqa: FBT001 - whether the form carries it
    status: int,
) -> None:
    visitor = await place.signed_in()
    data = {"form_token": await visitor.form_token() if token else "x" * 64}

    answer = await visitor.client.post(
        "/console/logout",
        data=data,
        headers={name: value.format(url=place.server.url) for name, value in headers.items()},
    )

    assert answer.status_code == status
    assert (await visitor.get("/console")).status_code == (303 if status == 303 else 200)


async def test_the_token_of_another_browser_does_not_count(place: Place) -> None:
    visitor, other = await place.signed_in(), await place.signed_in()

    answer = await visitor.client.post(
        "/console/logout", data={"form_token": await other.form_token()}, headers=SAME_SITE
    )

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=" % n for n in range(200)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"", "application/x-www-form-urlencoded", 403),
    ],
)
async def test_what_is_no_form_is_refused(
    place: Place, content: bytes, content_type: str, status: int
) -> None:
    visitor = await place.stranger()

    answer = await visitor.client.post(
        "/console/login", content=content, headers={**SAME_SITE, "content-type": content_type}
    )

    assert answer.status_code == status
    assert "<h1>" in answer.text


async def test_behind_tls_the_cookie_belongs_to_this_host_alone(place: Place) -> None:
    """Here a proxy adds it, and the public address says so; see the walk-through for our own."""
    from runyard.console.cookies import login_cookie
    from runyard.web.house import House
    from runyard.web.requests import Request

    house = House(engine=place.server.engine, public_url="https://runyard.example", life="x")
    scope = {"scheme": "http", "headers": [], "method": "GET", "query_string": b""}
    request = Request(house, {}, scope, None)

    [(_, cookie)] = login_cookie(request, "s" * 43, place.server.engine.logins.lasting)

    assert cookie.startswith(b"__Host-runyard-login=")
    assert b"; Secure" in cookie
    assert b"Path=/;" in cookie
