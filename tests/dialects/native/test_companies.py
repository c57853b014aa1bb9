"""Companies, tokens and the orchestrator over the native API."""

import pytest

from runyard.model.tokens import Role, TokenKind
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret


async def test_a_company_is_created_shown_and_changed(place: Place) -> None:
    created = await place.admin.post(
        "/companies", json={"slug": "initech", "name": "Initech", "retention": "P7D", "weight": 3}
    )
    changed = await place.admin.patch("/companies/initech", json={"retention": "PT12H"})
    shown = await place.admin.get("/companies/initech")

    assert created.status_code == 201
    assert created.json()["retention"] == "P7D"
    assert changed.json()["retention"] == "PT43200S"
    assert shown.json() == changed.json()
    assert shown.json()["weight"] == 3
    assert shown.json()["name"] == "Initech"


async def test_a_slug_is_taken_once(place: Place) -> None:
    refused = await place.admin.post("/companies", json={"slug": place.acme_slug})

    assert refused.status_code == 409
    assert refused.json()["code"] == "name_taken"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "slug"),
        ({"slug": "Acme!"}, "slug"),
        ({"slug": "tasks"}, "slug"),
        ({"slug": "ok", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"slug": "ok", "default_priority": 0}, "default_priority"),
        ({"slug": "ok", "retention": "-P1D"}, "retention"),
        ({"slug": "ok", "retention": 5}, "retention"),
        ({"slug": "ok", "queue_cap": 0}, "queue_cap"),
        ({"slug": "ok", "weight": 10_000}, "weight"),
        ({"slug": "ok", "name": "\u0000"}, "name"),
        ({"slug": "ok", "colour": "red"}, "colour"),
    ],
)
async def test_a_company_that_does_not_fit_names_the_field(
    place: Place, body: object, field: str
) -> None:
    refused = await place.admin.post("/companies", json=body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["problems"][0]["field"] == field


async def test_companies_are_listed_in_pages_and_each_sees_only_itself(place: Place) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = (await place.admin.get(f"/companies?limit=1{cursor}")).json()
        seen += [item["slug"] for item in page["items"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    async with place.client(await a_secret(place.server, place.acme_slug)) as acme:
        own = (await acme.get("/companies")).json()
    wrong = await place.admin.get("/companies?cursor=zzzz")

    assert seen == sorted(seen)
    assert {place.acme_slug, place.globex_slug} <= set(seen)
    assert len(seen) == page["total"]
    assert [item["slug"] for item in own["items"]] == [place.acme_slug]
    assert own["total"] == 1
    assert wrong.status_code == 400


async def test_a_token_shows_its_secret_once_and_works_until_it_is_revoked(place: Place) -> None:
    created = await place.acme.post(
        "/tokens", json={"role": "viewer", "name": "eyes", "lasting": "P1D"}
    )
    listed = await place.acme.get("/tokens")

    secret = created.json()["secret"]
    assert created.status_code == 201
    assert created.json()["company"] == place.acme_slug
    assert secret not in listed.text
    assert secret.endswith(created.json()["last_characters"])
    async with place.client(secret) as viewer:
        own = f"/companies/{place.acme_slug}"
        assert (await viewer.get(own)).status_code == 200
        path = f"/tokens/{created.json()['id']}"
        assert (await place.acme.delete(path)).status_code == 204
        refused = await viewer.get(own)
    assert refused.status_code == 401
    assert "revoked" in refused.json()["detail"]


async def test_a_token_made_without_a_body_is_an_operators(place: Place) -> None:
    created = await place.acme.post("/tokens")

    assert created.status_code == 201
    assert created.json()["role"] == "operator"
    assert created.json()["expires_at"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "owner"}, "role"),
        ({"kind": "cookie"}, "kind"),
        ({"lasting": "PT0S"}, "lasting"),
        ({"lasting": "P99999D"}, "lasting"),
        ({"name": "x" * 201}, "name"),
    ],
)
async def test_a_token_that_does_not_fit_names_the_field(
    place: Place, body: object, field: str
) -> None:
    refused = await place.acme.post("/tokens", json=body)

    assert refused.status_code == 400
    assert refused.json()["problems"][0]["field"] == field


async def test_unknown_and_foreign_tokens_cannot_be_revoked(place: Place) -> None:
    foreign = (await place.globex.post("/tokens")).json()["id"]

    answers = [
        await place.acme.delete(f"/tokens/{token}") for token in (foreign, 999_999, "x", "9" * 30)
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.json()["code"] for answer in answers} == {"token_not_found"}


async def test_an_expired_token_is_refused(place: Place) -> None:
    created = await place.acme.post("/tokens", json={"lasting": "PT0.05S"})

    async with place.client(created.json()["secret"]) as late:
        answer = await late.get("/companies")
        while answer.status_code == 200:
            answer = await late.get("/companies")

    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer ryd_native_guess",
        "Bearer ryd_native_" + "A" * 49,
        "Bearer \xff",
    ],
)
async def test_without_a_valid_token_nothing_is_answered(place: Place, header: str | None) -> None:
    place.acme.headers.pop("authorization")
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]

    refused = await place.acme.get("/tasks", headers=headers)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["code"] == "unauthenticated"


async def test_a_workers_token_does_not_open_this_door(place: Place) -> None:
    secret = await a_secret(
        place.server, place.acme_slug, Role.ADMINISTRATOR, kind=TokenKind.WORKER
    )

    async with place.client(secret) as worker:
        refused = await worker.get("/companies")

    assert refused.status_code == 401


async def test_tokens_of_the_installation_are_made_listed_and_revoked(place: Place) -> None:
    created = await place.admin.post("/tokens", json={"role": "viewer"})
    listed = (await place.admin.get("/tokens")).json()
    revoked = await place.admin.delete(f"/tokens/{created.json()['id']}")
    unknown = await place.admin.delete("/tokens/999999")

    assert created.json()["company"] is None
    assert created.json()["id"] in {token["id"] for token in listed["items"]}
    assert revoked.status_code == 204
    assert unknown.status_code == 404


async def test_a_paused_company_starts_nothing_until_it_is_resumed(place: Place) -> None:
    paused = await place.acme.put("/orchestrator", json={"runnable": False})
    run = await place.start()
    status = (await place.acme.get("/orchestrator")).json()

    assert paused.json()["runnable"] is False
    assert status["queued"] == 1
    resumed = await place.acme.put("/orchestrator", json={"runnable": True})
    assert resumed.json()["runnable"] is True
    await place.worker.ends(run)


@pytest.mark.parametrize("body", [{}, {"runnable": "yes"}, {"runnable": None}])
async def test_the_switch_must_be_true_or_false(place: Place, body: object) -> None:
    refused = await place.acme.put("/orchestrator", json=body)

    assert refused.status_code == 400
    assert refused.json()["problems"][0]["field"] == "runnable"
