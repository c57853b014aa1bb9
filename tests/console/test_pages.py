"""What people see and may do: by role, by company, and whatever somebody wrote into a name."""

import re

import msgspec
import pytest

from runyard.console.door import ROUTES
from runyard.model.ids import WorkerId
from runyard.model.tokens import Permission, Role
from runyard.model.workers import Worker, WorkerState
from runyard.web.routing import Route
from tests.console.conftest import GOOD, SAME_SITE, Place

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</textarea><svg/onload=alert(1)>",
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "&lt;b&gt;",
)

PUBLIC = {
    "GET /login",
    "POST /login",
    "GET /set-up/{secret}",
    "POST /set-up/{secret}",
}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, company: str, user: int = 999999999) -> str:
    return "/console" + route.path.format(
        company=company,
        user=user,
        secret="none",
        worker=999999999,
        system=999999999,
        callback=999999999,
    )


GUARDED = [route for route in ROUTES if route.permission is not Permission.PUBLIC]
MINE = {Permission.OWN}
WHO = {
    Permission.OWN: set(Role),
    Permission.READ: set(Role),
    Permission.OPERATE: {Role.OPERATOR, Role.DEVELOPER, Role.ADMINISTRATOR},
    Permission.ADMINISTER: {Role.ADMINISTRATOR},
    Permission.INSTALL: set(),
}
"""Roles in a company that open a route; everywhere, an administrator opens the rest too."""


def test_pages_without_login_are_an_exact_list() -> None:
    public = {name_of(route) for route in ROUTES if route.permission is Permission.PUBLIC}

    assert public == PUBLIC


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_nothing_is_answered_without_a_login(place: Place, route: Route) -> None:
    stranger = await place.stranger()

    answer = await stranger.client.request(
        route.method, path_of(route, place.company.slug), headers=SAME_SITE
    )

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/login")


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_every_page_asks_for_the_role_it_needs(place: Place, route: Route) -> None:
    """Forms go without their token: whoever is let in is refused for that, with its own words."""
    own = place.company.slug
    foreign = (await place.server.engine.companies.create(f"{own}-other")).slug
    for role in Role:
        visitor = await place.signed_in(role)
        data = {"none": "given"} if route.method == "POST" else None
        answer = await visitor.client.request(
            route.method, path_of(route, own), data=data, headers=SAME_SITE
        )
        is_let_in = "takes the role" not in answer.text and "concerns the whole" not in answer.text

        found = 404 if {"system", "callback"} & set(route.params) else 200
        assert answer.status_code == (403 if route.method == "POST" or not is_let_in else found)
        assert is_let_in == (role in WHO[route.permission]), (role, answer.text)
        if route.is_about_company:
            other = await visitor.client.request(
                route.method, path_of(route, foreign), headers=SAME_SITE
            )
            assert other.status_code == 404, role
            assert "no such company" in other.text


async def test_a_viewer_sees_no_buttons_that_are_refused(place: Place) -> None:
    path = f"/console/companies/{place.company.slug}"
    expected = {
        Role.VIEWER: (False, False),
        Role.OPERATOR: (True, False),
        Role.DEVELOPER: (True, False),
        Role.ADMINISTRATOR: (True, True),
    }
    for role, (switches, saves) in expected.items():
        page = (await (await place.signed_in(role)).get(path)).text

        assert ("Switch off" in page) == switches
        assert (">Save<" in page) == saves
        assert "Open Remote API documentation" in page
        assert "/console/users" not in page
        assert "Create new" not in (await (await place.signed_in(role)).get("/console")).text


async def test_home_shows_the_users_companies_alone(place: Place) -> None:
    other = await place.server.engine.companies.create(f"{place.company.slug}-x", name="Globex")
    visitor = await place.signed_in(Role.VIEWER)
    everywhere = await place.signed_in(Role.VIEWER, everywhere=True)
    nobody = await place.signed_in()

    page, whole, empty = [(await v.get("/console")).text for v in (visitor, everywhere, nobody)]

    assert f'href="/console/companies/{place.company.slug}"' in page
    assert "Globex" not in page
    assert f'href="/console/companies/{other.slug}"' in whole
    assert "No company is yours yet" in empty


async def test_a_name_is_only_ever_text(place: Place) -> None:
    """Whatever somebody writes into a name stays what it is."""
    engine = place.server.engine
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    assert admin.user is not None
    for text in HOSTILE:
        company = await engine.companies.update(place.company.slug, name=text)
        admin.user = await engine.users.update(admin.user, name=text)
        pages = (
            "/console",
            f"/console/companies/{company.slug}",
            "/console/account",
            "/console/users",
            f"/console/users/{admin.user.id}",
            "/console/workers",
        )
        for path in pages:
            assert_harmless((await admin.get(path)).text, text)
        again = await admin.post(
            "/console/new-company", slug=text, name=text, time_zone=text, page="/console/account"
        )
        assert again.status_code == 400
        assert_harmless(again.text, text)


def assert_harmless(page: str, text: str) -> None:
    """No part of a page comes from a name."""
    assert not re.search(r"<script(?! src=)", page)
    assert "<img src=x" not in page
    assert "<svg/onload" not in page
    assert ">49<" not in page
    assert text not in page or not re.search("[<>&\"']", text)


async def test_pages_are_kept_by_nobody_and_framed_by_nobody(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)

    for path in ("/console", "/console/account", "/console/login", "/console/nowhere"):
        headers = (await visitor.get(path)).headers
        security = headers.get("content-security-policy", "frame-ancestors 'none'")

        assert "unsafe" not in security
        assert "frame-ancestors 'none'" in security
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


async def test_an_administrator_creates_a_company(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    slug = f"{place.company.slug}-new"

    wrong = await admin.post("/console/new-company", slug="Not a slug", time_zone="Mars/Base")
    taken = await admin.post("/console/new-company", slug=place.company.slug)
    done = await admin.post(
        "/console/new-company", slug=slug, name="New", time_zone="Europe/Prague"
    )

    assert wrong.status_code == 400
    assert "inner hyphens" in wrong.text
    assert "IANA name" in wrong.text
    assert 'value="Not a slug"' in wrong.text
    assert taken.status_code == 409
    assert done.headers["location"] == f"/console/companies/{slug}?said=created"
    company = await place.server.engine.companies.load(slug)
    assert (company.name, company.time_zone) == ("New", "Europe/Prague")


async def test_company_details_are_changed_and_refused_by_field(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    path = f"/console/companies/{place.company.slug}"

    wrong = await admin.post(path, name="Acme", time_zone="UTC", default_priority="100")
    none = await admin.post(path, name="Acme", time_zone="UTC", default_priority="high")
    done = await admin.post(path, name="Acme!", time_zone="Asia/Tokyo", default_priority="7")

    assert (wrong.status_code, none.status_code) == (400, 400)
    assert "1 to 99" in wrong.text
    assert 'id="default_priority-complaint"' in none.text
    assert done.headers["location"] == f"{path}?said=saved"
    assert "Saved." in (await admin.get(f"{path}?said=saved")).text
    company = await place.server.engine.companies.load(place.company.slug)
    assert (company.name, company.time_zone, company.default_priority) == ("Acme!", "Asia/Tokyo", 7)


async def test_nothing_but_our_own_words_is_said(place: Place) -> None:
    visitor = await place.signed_in()

    page = (await visitor.get("/console/account?said=<b>You+won</b>&said=x")).text

    assert "You won" not in page
    assert 'class="notice good"' not in page


async def test_the_orchestrator_is_switched(place: Place) -> None:
    operator = await place.signed_in(Role.OPERATOR)
    path = f"/console/companies/{place.company.slug}"

    await operator.post(f"{path}/orchestrator", runnable="false")
    off = (await operator.get(path)).text
    await operator.post(f"{path}/orchestrator", runnable="true")
    on = (await operator.get(path)).text

    assert "Switch on" in off
    assert "Switch off" in on


async def test_the_remote_control_token_is_shown_once(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    viewer = await place.signed_in(Role.VIEWER)
    path = f"/console/companies/{place.company.slug}"
    before = (await admin.get(path)).text

    made = await admin.post(f"{path}/remote-control", control="token", present="")
    [secret] = re.findall(r'value="(ryd_remote-control_[^"]+)"', made.text)
    after = (await admin.get(path)).text

    assert "ends in" not in before
    assert secret not in after
    assert f"ends in {secret[-4:]}" in after
    assert secret not in (await viewer.get(path)).text
    token = await place.server.engine.remote_control.authenticate(secret)
    assert token.company_id == place.company.id


async def test_a_page_loaded_again_makes_no_second_token(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    path = f"/console/companies/{place.company.slug}/remote-control"
    made = await admin.post(path, control="token", present="")
    [secret] = re.findall(r'value="(ryd_remote-control_[^"]+)"', made.text)

    again = await admin.post(path, control="token", present="")

    assert again.status_code == 303
    assert (await place.server.engine.remote_control.authenticate(secret)).revoked_at is None


async def test_a_token_is_regenerated_and_forbidden(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    control = place.server.engine.remote_control
    path = f"/console/companies/{place.company.slug}/remote-control"
    first = await control.allow(place.company)

    kept = await admin.post(path, control="token", present=str(first.token.id))
    anew = await admin.post(path, control="token", present=str(first.token.id), regenerate="yes")
    [secret] = re.findall(r'value="(ryd_remote-control_[^"]+)"', anew.text)
    second = (await control.view(place.company)).token
    assert second is not None
    off = await admin.post(path, control="none", present=str(second.id))

    assert kept.headers["location"].endswith("?said=saved")
    assert secret != first.secret
    assert off.headers["location"].endswith("?said=forbidden")
    assert not (await control.view(place.company)).allowed


async def test_the_account_is_the_users_own(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    assert visitor.user is not None
    path = "/console/account"

    refused = await visitor.post(path, name="Ann", email=f"new-{visitor.user.email}")
    renamed = await visitor.post(path, name="Ann", email=visitor.user.email)
    moved = await visitor.post(path, name="Ann", email=f"new-{visitor.user.email}", present=GOOD)
    shown = await visitor.post(
        f"{path}/display", date_style="month-first", clock_style="12", time_zone="Asia/Tokyo"
    )
    nonsense = await visitor.post(f"{path}/display", date_style="x", clock_style="12")

    assert refused.status_code == 400
    assert "your present password" in refused.text
    assert renamed.status_code == moved.status_code == shown.status_code == 303
    assert nonsense.status_code == 400
    user = await place.server.engine.users.load(str(visitor.user.id))
    assert (user.name, user.email) == ("Ann", f"new-{visitor.user.email}")
    page = (await visitor.get(path)).text
    assert re.search(r"<time [^>]*>\d\d/\d\d/\d{4} \d{1,2}:\d\d:\d\d [AP]M</time>", page)
    assert "JST" in page


async def test_another_password_signs_out_everywhere_else(place: Place) -> None:
    here = await place.signed_in()
    assert here.user is not None
    there = await place.browser_of(here.user)
    stolen = dict(here.client.cookies)
    path = "/console/account/password"

    wrong = await here.post(path, present="wrong", password="staple the battery", again="x")
    done = await here.post(
        path, present=GOOD, password="staple the battery", again="staple the battery"
    )

    assert wrong.status_code == 400
    assert done.headers["location"] == "/console/account?said=password"
    assert (await here.get("/console")).status_code == 200
    assert (await there.get("/console")).status_code == 303
    thief = await place.stranger()
    thief.client.cookies.update(stolen)
    assert (await thief.get("/console")).status_code == 303


async def test_signing_out_everywhere(place: Place) -> None:
    here = await place.signed_in()
    assert here.user is not None
    there = await place.browser_of(here.user)

    done = await here.post("/console/account/sign-out-everywhere")

    assert done.headers["location"] == "/console/login?said=signed-out-everywhere"
    assert (await here.get("/console")).status_code == 303
    assert (await there.get("/console")).status_code == 303


async def test_another_browser_is_signed_out_alone(place: Place) -> None:
    here = await place.signed_in()
    assert here.user is not None
    there, stays = await place.browser_of(here.user), await place.browser_of(here.user)
    other = await place.signed_in()
    logins = place.server.engine.logins
    [_, second, _] = sorted(await logins.list(here.user.id), key=lambda login: login.id)

    stranger = await other.post("/console/account/end-login", login=str(second.id))
    untouched = (await there.get("/console")).status_code
    done = await here.post("/console/account/end-login", login=str(second.id))
    nonsense = await here.post("/console/account/end-login", login="all")

    assert (stranger.status_code, untouched) == (303, 200)
    assert done.headers["location"] == "/console/account?said=login-ended"
    assert nonsense.status_code == 400
    assert [(await v.get("/console")).status_code for v in (here, there, stays)] == [200, 303, 200]


async def test_a_refused_user_is_not_typed_in_again(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)

    page = await admin.post(
        "/console/users", email="nobody", name="Bob", role="developer", company=""
    )

    assert page.status_code == 400
    assert 'value="nobody"' in page.text
    assert '<option value="developer" selected>' in page.text
    assert '<option value="" selected>' in page.text


async def test_an_administrator_looks_after_users(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    email = f"bob-{place.company.slug}@example.com"

    made = await admin.post(
        "/console/users", email=email, name="Bob", role="viewer", company=place.company.slug
    )
    taken = await admin.post("/console/users", email=email, role="viewer", company="")
    bob = await place.server.engine.users.load(email)
    path = f"/console/users/{bob.id}"
    await admin.post(f"{path}/role", role="developer", company="")
    await admin.post(f"{path}/no-role", company=place.company.slug)
    off = await admin.post(f"{path}/disable")
    shown = (await admin.get(path)).text
    await admin.post(f"{path}/enable")
    bob = await place.server.engine.users.load(email)
    removed = await admin.post(f"{path}/remove")
    after = await admin.get(removed.headers["location"])

    assert made.status_code == 200
    [link] = re.findall(r'value="(http[^"]+/console/set-up/[^"]+)"', made.text)
    assert link.startswith(place.server.url)
    assert link not in shown
    assert taken.status_code == 409
    assert off.headers["location"].endswith("?said=user-disabled")
    assert "disabled" in shown
    assert (bob.role_in(None), bob.disabled_at) == (Role.DEVELOPER, None)
    assert len(bob.grants) == 1
    assert "The user is removed." in after.text
    assert email not in after.text


async def test_a_refreshing_page_is_told_that_it_is_signed_out(place: Place) -> None:
    stranger = await place.stranger()

    answer = await stranger.get("/console/overview", headers={"hx-request": "true"})

    assert answer.status_code == 401
    assert "You are signed out" in answer.text
    assert "<html" not in answer.text


async def test_a_refreshing_page_does_not_keep_a_login_alive(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    logins = place.server.engine.logins
    await visitor.get("/console")
    before = dict(logins._uses)

    await visitor.get("/console/overview", headers={"hx-request": "true"})

    assert logins._uses == before


async def test_workers_are_listed_for_those_whom_they_serve(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)

    page = await visitor.get("/console/workers")

    assert page.status_code == 200
    assert "<h1>Workers</h1>" in page.text


# ---------------------------------------------------------------- workers


async def a_worker(place: Place, name: str, *, own: bool, **changes: object) -> Worker:
    """The row of a worker on another machine."""
    engine = place.server.engine
    number = await place.server.engine._store.reserve_ids(1)
    worker = Worker(
        id=WorkerId(number),
        company_id=place.company.id if own else None,
        name=name,
        state=WorkerState.REQUEST,
        version="1",
        host="secret-host",
        os="Linux",
        address="192.0.2.9",
        slots=4,
        labels=("gpu",),
        created_at=engine.clock.now(),
        last_seen_at=None,
        draining=False,
    )
    return await engine._store.workers.register(msgspec.structs.replace(worker, **changes))


async def state_of(place: Place, worker: Worker) -> WorkerState | None:
    views = await place.server.engine.workers.list()
    return next((view.worker.state for view in views if view.worker.id == worker.id), None)


async def test_an_administrator_decides_about_the_own_workers(place: Place) -> None:
    worker = await a_worker(place, f"own of {place.company.slug}", own=True)
    admin = await place.signed_in(Role.ADMINISTRATOR)
    path = f"/console/companies/{place.company.slug}/workers/{worker.id}"

    page = (await admin.get("/console/workers")).text
    allowed = await admin.post(f"{path}/allow")
    state = await state_of(place, worker)
    await admin.post(f"{path}/drain")
    draining = (await admin.get("/console/workers")).text
    await admin.post(f"{path}/lock")
    locked = await state_of(place, worker)
    removed = await admin.post(f"{path}/remove")

    assert f'action="{path}/allow"' in page
    assert f'action="{path}/lock"' in page
    assert "secret-host" in page
    assert allowed.headers["location"] == "/console/workers?said=worker-allowed"
    assert (state, locked) == (WorkerState.ALLOWED, WorkerState.LOCKED)
    assert "Draining" in draining
    assert "Resume" in draining
    assert removed.headers["location"] == "/console/workers?said=worker-removed"
    assert await state_of(place, worker) is None


async def test_nobody_decides_about_the_workers_of_others(place: Place) -> None:
    other = await place.server.engine.companies.create(f"{place.company.slug}-w")
    shared = await a_worker(place, f"shared of {place.company.slug}", own=False)
    foreign = await a_worker(
        place, f"foreign of {place.company.slug}", own=True, company_id=other.id
    )
    admin = await place.signed_in(Role.ADMINISTRATOR)
    page = (await admin.get("/console/workers")).text
    own_path = f"/console/companies/{place.company.slug}/workers"

    assert shared.name in page
    assert foreign.name not in page
    assert f"{shared.id}/allow" not in page
    for path, status in (
        (f"{own_path}/{shared.id}/allow", 404),
        (f"{own_path}/{foreign.id}/allow", 404),
        (f"/console/companies/{other.slug}/workers/{foreign.id}/allow", 404),
        (f"/console/workers/{shared.id}/allow", 403),
    ):
        assert (await admin.post(path)).status_code == status, path
    assert await state_of(place, shared) is WorkerState.REQUEST
    assert await state_of(place, foreign) is WorkerState.REQUEST


async def test_the_host_of_a_shared_worker_is_the_installations_business(place: Place) -> None:
    shared = await a_worker(place, f"host of {place.company.slug}", own=False, host="the-host")
    viewer, everywhere = (
        await place.signed_in(Role.VIEWER),
        await place.signed_in(Role.VIEWER, everywhere=True),
    )

    pages = [(await visitor.get("/console/workers")).text for visitor in (viewer, everywhere)]

    assert [shared.name in page for page in pages] == [True, True]
    assert ["the-host" in page for page in pages] == [False, True]


async def test_a_worker_named_like_the_id_of_another_is_not_taken_for_it(place: Place) -> None:
    wanted = await a_worker(place, f"wanted of {place.company.slug}", own=False)
    posing = await a_worker(place, str(wanted.id), own=False)
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)

    await admin.post(f"/console/workers/{wanted.id}/allow")

    assert await state_of(place, wanted) is WorkerState.ALLOWED
    assert await state_of(place, posing) is WorkerState.REQUEST
