"""Who may do what: every route, with every role, for the own, a foreign and no company.

The matrix is generated from the table of routes. What is expected is written down here a second
time, by permission, so that a route whose declaration is wrong is found by whoever reads this.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from runyard.dialects.native.examples import EXAMPLES
from runyard.dialects.native.routes import ROUTES
from runyard.model.tokens import Permission, Role
from runyard.server.probes import ROUTES as PROBES
from runyard.web.routing import Route
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret

OF_A_COMPANY = {
    Permission.READ: set(Role),
    Permission.OPERATE: {Role.OPERATOR, Role.DEVELOPER, Role.ADMINISTRATOR},
    Permission.DEPLOY: {Role.DEVELOPER, Role.ADMINISTRATOR},
    Permission.ADMINISTER: {Role.ADMINISTRATOR},
    Permission.MONITOR: set(),
    Permission.INSTALL: set(),
}
OF_THE_INSTALLATION = {
    **OF_A_COMPANY,
    Permission.MONITOR: set(Role),
    Permission.INSTALL: {Role.ADMINISTRATOR},
}
"""Tokens of no company may do in every company what their role allows."""

EXPECTED = {
    "GET /companies": Permission.READ,
    "POST /companies": Permission.INSTALL,
    "GET /companies/{company}": Permission.READ,
    "PATCH /companies/{company}": Permission.ADMINISTER,
    "GET /companies/{company}/tokens": Permission.ADMINISTER,
    "POST /companies/{company}/tokens": Permission.ADMINISTER,
    "DELETE /companies/{company}/tokens/{token}": Permission.ADMINISTER,
    "GET /tokens": Permission.INSTALL,
    "POST /tokens": Permission.INSTALL,
    "DELETE /tokens/{token}": Permission.INSTALL,
    "GET /companies/{company}/remote-control": Permission.ADMINISTER,
    "PUT /companies/{company}/remote-control": Permission.ADMINISTER,
    "GET /users": Permission.INSTALL,
    "POST /users": Permission.INSTALL,
    "GET /users/{user}": Permission.INSTALL,
    "DELETE /users/{user}": Permission.INSTALL,
    "PATCH /users/{user}": Permission.INSTALL,
    "PUT /users/{user}/role": Permission.INSTALL,
    "PUT /users/{user}/password": Permission.INSTALL,
    "POST /users/{user}/setup-link": Permission.INSTALL,
    "DELETE /users/{user}/logins": Permission.INSTALL,
    "POST /setup-link": Permission.INSTALL,
    "GET /users/{user}/api-keys": Permission.INSTALL,
    "POST /users/{user}/api-keys": Permission.INSTALL,
    "DELETE /users/{user}/api-keys/{key}": Permission.INSTALL,
    "GET /signing-keys": Permission.INSTALL,
    "POST /signing-keys/rotate": Permission.INSTALL,
    "GET /companies/{company}/orchestrator": Permission.READ,
    "PUT /companies/{company}/orchestrator": Permission.OPERATE,
    "GET /companies/{company}/tasks": Permission.READ,
    "GET /companies/{company}/tasks/{task}": Permission.READ,
    "GET /companies/{company}/tasks/{task}/versions": Permission.READ,
    "PUT /companies/{company}/tasks/{task}/runnable": Permission.OPERATE,
    "POST /companies/{company}/tasks/{task}/kill": Permission.OPERATE,
    "POST /companies/{company}/tasks/{task}/clean": Permission.OPERATE,
    "POST /companies/{company}/bundles": Permission.DEPLOY,
    "POST /companies/{company}/runs": Permission.OPERATE,
    "GET /companies/{company}/runs": Permission.READ,
    "GET /companies/{company}/runs/{run}": Permission.READ,
    "GET /companies/{company}/runs/{run}/wait": Permission.READ,
    "POST /companies/{company}/runs/{run}/cancel": Permission.OPERATE,
    "POST /companies/{company}/runs/{run}/kill": Permission.OPERATE,
    "POST /companies/{company}/runs/{run}/park": Permission.OPERATE,
    "POST /companies/{company}/runs/{run}/release": Permission.OPERATE,
    "POST /companies/{company}/runs/{run}/restart": Permission.OPERATE,
    "GET /companies/{company}/runs/{run}/logs": Permission.READ,
    "GET /companies/{company}/runs/{run}/history": Permission.READ,
    "GET /companies/{company}/runs/{run}/explain": Permission.READ,
    "GET /companies/{company}/runs/{run}/files": Permission.READ,
    "GET /companies/{company}/runs/{run}/events": Permission.READ,
    "GET /companies/{company}/events": Permission.READ,
    "POST /companies/{company}/files": Permission.OPERATE,
    "GET /companies/{company}/files": Permission.READ,
    "GET /companies/{company}/files/{file}": Permission.READ,
    "GET /companies/{company}/files/{file}/content": Permission.READ,
    "GET /companies/{company}/allocations": Permission.READ,
    "GET /companies/{company}/tasks/{task}/allocation": Permission.READ,
    "PUT /companies/{company}/tasks/{task}/allocation": Permission.DEPLOY,
    "DELETE /companies/{company}/tasks/{task}/allocation": Permission.DEPLOY,
    "POST /companies/{company}/tasks/{task}/call": Permission.OPERATE,
    "GET /companies/{company}/schedules": Permission.READ,
    "POST /companies/{company}/schedules": Permission.OPERATE,
    "GET /companies/{company}/schedules/{schedule}": Permission.READ,
    "PATCH /companies/{company}/schedules/{schedule}": Permission.OPERATE,
    "DELETE /companies/{company}/schedules/{schedule}": Permission.OPERATE,
    "GET /companies/{company}/callbacks": Permission.READ,
    "POST /companies/{company}/callbacks/resend-dead": Permission.OPERATE,
    "GET /companies/{company}/callbacks/{callback}": Permission.READ,
    "POST /companies/{company}/callbacks/{callback}/resend": Permission.OPERATE,
    "GET /companies/{company}/callback-secret": Permission.ADMINISTER,
    "POST /companies/{company}/callback-secret/rotate": Permission.ADMINISTER,
    "GET /companies/{company}/systems": Permission.READ,
    "POST /companies/{company}/systems": Permission.ADMINISTER,
    "GET /companies/{company}/systems/{system}": Permission.READ,
    "PATCH /companies/{company}/systems/{system}": Permission.ADMINISTER,
    "POST /companies/{company}/systems/{system}/allow": Permission.ADMINISTER,
    "POST /companies/{company}/systems/{system}/lock": Permission.ADMINISTER,
    "POST /companies/{company}/systems/{system}/renew": Permission.ADMINISTER,
    "DELETE /companies/{company}/systems/{system}": Permission.ADMINISTER,
    "GET /companies/{company}/audit": Permission.ADMINISTER,
    "GET /audit": Permission.INSTALL,
    "GET /audit/verification": Permission.INSTALL,
    "GET /workers": Permission.READ,
    "GET /workers/{worker}": Permission.MONITOR,
    "POST /workers/{worker}/allow": Permission.INSTALL,
    "POST /workers/{worker}/lock": Permission.INSTALL,
    "POST /workers/{worker}/drain": Permission.INSTALL,
    "DELETE /workers/{worker}": Permission.INSTALL,
    "GET /companies/{company}/workers": Permission.READ,
    "GET /companies/{company}/workers/{worker}": Permission.READ,
    "POST /companies/{company}/workers/{worker}/allow": Permission.ADMINISTER,
    "POST /companies/{company}/workers/{worker}/lock": Permission.ADMINISTER,
    "POST /companies/{company}/workers/{worker}/drain": Permission.ADMINISTER,
    "DELETE /companies/{company}/workers/{worker}": Permission.ADMINISTER,
    "GET /doctor": Permission.MONITOR,
    "GET /openapi.json": Permission.PUBLIC,
}

NONE = "999999999"
GUARDED = [route for route in ROUTES if route.permission is not Permission.PUBLIC]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_every_route_has_the_permission_that_is_written_down() -> None:
    assert {name_of(route): route.permission for route in ROUTES} == EXPECTED


def test_route_names_are_unique() -> None:
    names = Counter(route.name for route in (*ROUTES, *PROBES))

    assert [name for name, count in names.items() if count > 1] == []


def test_public_addresses_are_an_exact_list() -> None:
    public = {
        name_of(route) for route in (*ROUTES, *PROBES) if route.permission is Permission.PUBLIC
    }

    assert public == {"GET /openapi.json", "GET /healthz", "GET /readyz"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secrets(house) -> AsyncIterator[dict[str | None, dict[Role, str]]]:
    """A secret for each role, of two companies and of the installation."""
    server, _ = house
    for slug in ("own", "foreign"):
        await server.engine.companies.create(slug)
    yield {
        owner: {role: await a_secret(server, owner, role) for role in Role}
        for owner in ("own", "foreign", None)
    }


async def status_of(place: Place, route: Route, secret: str, company: str) -> int:
    """What the route answers; nothing that it names exists, so what is let in ends in 400 or 404."""
    path = route.path.format(
        company=company,
        task="none",
        run=NONE,
        token=NONE,
        file=NONE,
        schedule="none",
        worker="none",
        callback=NONE,
        system="none",
        user=NONE,
        key=NONE,
    )
    async with place.client(secret) as client:
        if route.answer_media == "text/event-stream" and route.path.endswith("company}/events"):
            async with client.stream(route.method, path) as stream:
                return stream.status_code
        answer = await client.request(route.method, path)
        if answer.status_code == 404 and company in path:
            return 404 if answer.json()["code"] == "company_not_found" else 400
        return answer.status_code


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_the_matrix_of_roles_and_companies(
    place: Place, secrets: dict[str | None, dict[Role, str]], route: Route
) -> None:
    for role in Role:
        own = await status_of(place, route, secrets["own"][role], "own")
        foreign = await status_of(place, route, secrets["foreign"][role], "own")
        every = await status_of(place, route, secrets[None][role], "own")

        assert own not in {401, 404}
        assert (own != 403) == (role in OF_A_COMPANY[route.permission]), (role, own)
        assert (every != 403) == (role in OF_THE_INSTALLATION[route.permission]), (role, every)
        if route.is_about_company:
            assert foreign == 404, (role, foreign)


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_nothing_is_answered_without_a_token(place: Place, route: Route) -> None:
    path = route.path.format(
        company=place.acme_slug,
        task="none",
        run=NONE,
        token=NONE,
        file=NONE,
        schedule="none",
        user=NONE,
        key=NONE,
        worker="none",
        callback=NONE,
        system="none",
    )

    async with place.client("ryd_native_none") as stranger:
        wrong = await stranger.request(route.method, path)
        del stranger.headers["authorization"]
        none = await stranger.request(route.method, path)

    assert (wrong.status_code, none.status_code) == (401, 401)


async def test_every_id_of_another_company_is_unknown(place: Place) -> None:
    """Two companies, every kind of id swapped."""
    run = await place.finished()
    task = (await place.acme.get("/tasks")).json()["items"][0]
    schedule = await place.acme.post(
        "/schedules",
        json={"name": "s", "task": "Zip code", "interval": "PT1H", "input": {"zip": "1"}},
    )
    file = await place.acme.post(
        "/files?name=f", content=b"x", headers={"content-type": "text/csv"}
    )
    token = await place.acme.post("/tokens")
    system = await place.acme.post("/systems", json={"name": "Finance"})
    values = {
        "run": [str(run), (await place.acme.get(f"/runs/{run}")).json()["public_id"]],
        "task": [str(task["id"]), task["uuid"], task["public_id"]],
        "schedule": [str(schedule.json()["id"])],
        "file": [str(file.json()["id"])],
        "token": [str(token.json()["id"]), str(system.json()["id"])],
        "system": [str(system.json()["id"]), "Finance"],
    }
    tried = 0

    for route in ROUTES:
        for param in set(route.params) & set(values):
            if not route.is_about_company:
                continue
            for value in values[param]:
                path = route.path.removeprefix("/companies/{company}").format(**{param: value})
                body = None if route.body is None else EXAMPLES[route.body]
                answer = await place.globex.request(route.method, path, json=body)
                assert answer.status_code == 404, (name_of(route), answer.text)
                tried += 1

    assert tried >= 30
    assert (await place.acme.get(f"/runs/{run}")).status_code == 200
    for key, value in (("task", str(task["id"])), ("task", task["uuid"])):
        foreign = await place.globex.post("/runs", json={key: value, "input": {"zip": "1"}})
        assert foreign.status_code == 404
    listed = await place.globex.get(f"/runs?task={task['id']}")
    assert listed.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/runyard/v1/companies/healthz",
        "/runyard/v1/companies/x/openapi.json",
        "/runyard/v1/openapi.json/",
        "/runyard/v1/openapi.json;x",
        "/runyard/v1/OpenAPI.json",
        "/runyard/v1/openapi%2ejson",
        "/runyard/v1//openapi.json",
        "//runyard/v1/openapi.json",
        "/runyard%2Fv1/openapi.json",
        "/Runyard/v1/openapi.json",
        "/runyard/v1/../v1/openapi.json",
        "/healthz/",
        "/healthz/x",
        "/Healthz",
        "/health%7a",
        "/healthz;x",
        "/metrics",
        "/metrics/",
        "/runyard/v1/healthz",
        "/runyard/v1/workers/healthz",
        "/runyard/v1/workers?x=/healthz",
        "/readyz/../metrics",
        "/x/../healthz",
    ],
)
async def test_an_address_like_a_public_one_is_not_public(place: Place, path: str) -> None:
    host, _, port = place.server.url.removeprefix("http://").partition(":")

    status = await raw_status(host, int(port), path)

    assert status in {401, 404}


async def raw_status(host: str, port: int, path: str) -> int:
    """The status of a GET whose path nobody has tidied up."""
    import asyncio

    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])
