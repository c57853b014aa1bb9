"""Who may use the Remote API: the company's remote control token, and nobody else."""

import pytest

from runyard.dialects.integray.dialect import Dialect, Options
from runyard.dialects.integray.routes import RemoteApi, usual_routes
from runyard.model.tokens import Permission, Role, TokenKind
from runyard.web.routing import Route
from tests.dialects.integray.conftest import BASE, Place, remote
from tests.support.server import a_secret, administrator_secret

ROUTES = usual_routes(Dialect(Options()))
READ, OPERATE = Permission.READ, Permission.OPERATE
EXPECTED = {
    "getAgents": READ,
    "setOrchestratorStatus": OPERATE,
    "getOrchestratorStatus": READ,
    "getTasks": READ,
    "startTask": OPERATE,
    "killTask": OPERATE,
    "cleanTask": OPERATE,
    "setTaskRunnability": OPERATE,
    "getTaskRunLogs": READ,
    "restartTaskRun": OPERATE,
    "restartTaskRunAsParked": OPERATE,
    "getTaskRunLevel": READ,
    "getTaskRun": READ,
    "getTaskRuns": READ,
    "getTaskRunStatuses": READ,
    "unparkTaskRun": OPERATE,
    "cancelTaskRun": OPERATE,
    "waitForTaskRun": READ,
    "getMetrics": READ,
}
NOWHERE = "999999999"


def name_of(route: Route) -> str:
    return route.operation


def path_of(route: Route, slug: str) -> str:
    return route.path.format(CompanySlug=slug, taskId=NOWHERE, taskRunId=NOWHERE)


async def answer_to(place: Place, route: Route, secret: str | None, slug: str) -> tuple[int, str]:
    """Status and code; nothing that the request names exists."""
    body = {"isRunnable": True} if route.method == "PUT" else None
    async with remote(place.server, BASE, secret) as client:
        answer = await client.request(route.method, path_of(route, slug), json=body)
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else ""


def test_every_operation_has_the_permission_that_is_written_down() -> None:
    assert {route.operation: route.permission for route in ROUTES} == EXPECTED


def test_only_the_document_is_public() -> None:
    public = {
        route.operation
        for route in RemoteApi(Options()).routes
        if route.permission is Permission.PUBLIC
    }

    assert public == {"getRemoteApiDocument"}


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_the_matrix_of_companies(place: Place, route: Route) -> None:
    own = await answer_to(place, route, place.acme.secret, place.acme.slug)
    bearer = await answer_to(place, route, f"Bearer {place.acme.secret}", place.acme.slug)
    foreign = await answer_to(place, route, place.globex.secret, place.acme.slug)
    unknown = await answer_to(place, route, place.acme.secret, "nobody")
    nobody = await answer_to(place, route, None, place.acme.slug)

    assert own[0] in {200, 404}, own
    assert own == bearer
    assert {foreign, unknown, nobody} == {(401, "unauthorized")}


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_a_token_that_may_only_read(place: Place, route: Route) -> None:
    created = await place.server.engine.remote_control.allow(place.acme.company, role=Role.VIEWER)

    status, code = await answer_to(place, route, created.secret, place.acme.slug)

    assert (status == 403) == (route.permission is OPERATE), (status, code)


async def test_tokens_of_other_kinds_do_not_open(place: Place) -> None:
    slug = place.acme.slug
    others = [administrator_secret(place.server), await a_secret(place.server, slug)]
    others.append(await a_secret(place.server, slug, kind=TokenKind.WORKER))

    answers = [await answer_to(place, ROUTES[0], secret, slug) for secret in others]

    assert set(answers) == {(401, "unauthorized")}


@pytest.mark.parametrize(
    "secret", ["", "Bearer", "Basic YWNtZTphY21l", "ryd_remote-control_none", "\xff\xfe"]
)
async def test_what_is_no_token_is_refused(place: Place, secret: str) -> None:
    async with remote(place.server, place.acme.http.base_url.path, None) as client:
        answer = await client.get("/agents", headers={b"authorization": secret.encode("latin-1")})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_mistaken_company_looks_like_a_wrong_token(place: Place) -> None:
    async def problem(secret: str, slug: str) -> dict[str, str]:
        async with remote(place.server, f"{BASE}/{slug}", secret) as client:
            return dict((await client.get("/agents")).json())

    foreign = await problem(place.acme.secret, place.globex.slug)
    unknown = await problem(place.acme.secret, "no-such-company")

    assert {**foreign, "traceId": ""} == {**unknown, "traceId": ""}


async def test_none_switches_the_token_off_and_says_so_to_it_alone(place: Place) -> None:
    control = place.server.engine.remote_control
    old = place.acme.secret
    new = (await control.allow(place.acme.company)).secret
    regenerated = await answer_to(place, ROUTES[0], old, place.acme.slug)
    await control.forbid(place.acme.company)

    switched_off = await answer_to(place, ROUTES[0], new, place.acme.slug)
    replaced = await answer_to(place, ROUTES[0], old, place.acme.slug)

    assert regenerated == replaced == (401, "unauthorized")
    assert switched_off == (403, "remote_control_disabled")


async def test_the_company_may_stand_in_a_header_or_the_query(place: Place) -> None:
    slug = place.acme.slug
    async with remote(place.server, BASE, place.acme.secret) as client:
        header = await client.get("/orchestrator/status", headers={"CompanySlug": slug})
        query = await client.get("/taskruns", params={"CompanySlug": slug, "count": 5})
        start = await client.post(
            f"/tasks/{await place.acme.task()}/start?CompanySlug={slug}",
            json={"input": {"zip": "76131"}},
        )
        missing = await client.get("/orchestrator/status")
        foreign = await client.get(
            "/orchestrator/status", headers={"CompanySlug": place.globex.slug}
        )
        client.headers["authorization"] = "nonsense"
        stranger = await client.get("/orchestrator/status")

    assert header.json()["companySlug"] == slug
    assert (query.status_code, start.status_code) == (200, 201)
    assert (missing.status_code, missing.json()["code"]) == (400, "company_slug_missing")
    assert (foreign.status_code, stranger.status_code) == (401, 401)


async def test_a_company_that_is_said_twice_must_be_the_same(place: Place) -> None:
    """Callers may send the required parameter everywhere; what contradicts is never overlooked."""
    ours, other = place.acme.slug, place.globex.slug
    address = f"/{ours}/orchestrator/status"
    async with remote(place.server, BASE, place.acme.secret) as client:
        repeated = await client.get(
            address, params={"CompanySlug": ours}, headers={"CompanySlug": ours}
        )
        by_header = await client.get(address, headers={"CompanySlug": other})
        by_query = await client.get(address, params={"CompanySlug": other})
        twice = await client.get("/orchestrator/status", params={"CompanySlug": [ours, other]})

    assert repeated.json()["companySlug"] == ours
    for refused in (by_header, by_query, twice):
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        assert f"CompanySlug: {other}; allowed: {ours}" in refused.json()["detail"]


async def test_what_belongs_to_another_company_is_not_there(place: Place) -> None:
    run = await place.finished()
    task = await place.acme.task()

    for method, path in (
        ("POST", f"/tasks/{task}/start"),
        ("POST", f"/tasks/{task}/kill"),
        ("POST", f"/tasks/{task}/clean"),
        ("PUT", f"/tasks/{task}/runnability"),
        ("GET", f"/taskruns/{run}"),
        ("GET", f"/taskruns/{run}/logs"),
        ("GET", f"/taskruns/{run}/level"),
        ("GET", f"/taskruns/{run}/wait"),
        ("POST", f"/taskruns/{run}/restart"),
        ("POST", f"/taskruns/{run}/restart-as-parked"),
        ("POST", f"/taskruns/{run}/unpark"),
        ("POST", f"/taskruns/{run}/cancel"),
    ):
        body = {"isRunnable": False} if method == "PUT" else None
        answer = await place.globex.http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["code"] in {"task_not_found", "task_run_not_found"}
    assert await place.globex.get("/taskruns", taskId=task) == []
    assert (await place.acme.get("/tasks"))[0]["isRunnable"]


async def test_reserved_words_are_no_companies(place: Place) -> None:
    async with remote(place.server, BASE, place.acme.secret) as client:
        for word in ("agents", "orchestrator", "tasks", "taskruns", "metrics", "statuses"):
            answer = await client.get(f"/{word}/agents")
            assert answer.status_code in {400, 401, 404}, word
