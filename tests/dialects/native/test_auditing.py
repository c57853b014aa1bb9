"""The audit log as the native API and the command line have it."""

from datetime import timedelta

import httpx
import pytest

from runyard.engine.audit import RETENTION
from runyard.model.tokens import Role
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret, administrator_secret, client_of


async def entries(client: httpx.AsyncClient) -> list[dict]:
    answer = await client.get("/audit")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_changes_are_recorded_with_who_what_and_from_where(place: Place) -> None:
    made = await place.acme.post("/systems", json={"name": "Finance"})
    await place.acme.post("/systems/Finance/allow")
    refused = await place.acme.post("/systems", json={"name": "Finance"})
    await place.acme.get("/systems")

    log = await entries(place.acme)

    assert (made.status_code, refused.status_code) == (201, 409)
    failed, allowed, created = log[:3]
    assert [e["action"] for e in log[:3]] == ["create_system", "allow_system", "create_system"]
    assert [e["succeeded"] for e in log[:3]] == [False, True, True]
    assert failed["detail"].startswith("name_taken")
    assert allowed["subject"] == "Finance"
    assert allowed["source"].startswith("POST /runyard/v1/companies/acme")
    assert allowed["source"].endswith("/systems/Finance/allow")
    assert allowed["address"] == "127.0.0.1"
    assert "token ..." in created["actor"]
    assert "Finance" not in str([e["source"] for e in (created, failed)])


async def test_starts_and_reads_are_not_in_it(place: Place) -> None:
    before = await entries(place.acme)

    await place.start()
    await place.acme.get("/runs")

    assert await entries(place.acme) == before


async def test_what_was_sent_is_not_told_again(place: Place) -> None:
    secret = "hunter2-hunter2-hunter2"
    await place.acme.post("/systems", json={"name": "x" * 500, "description": 7, "key": secret})

    [entry, *_] = await entries(place.acme)

    assert entry["detail"].startswith("input_refused: ")
    assert secret not in str(entry)
    assert "xxxx" not in str(entry)


async def test_the_log_is_read_page_by_page(place: Place) -> None:
    for number in range(5):
        await place.acme.post("/systems", json={"name": f"System {number}"})

    seen: list[int] = []
    cursor = ""
    while True:
        page = (await place.acme.get(f"/audit?limit=2{cursor}")).json()
        seen += [entry["id"] for entry in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert len(seen) == len(set(seen)) == page["total"] >= 5
    wrong = await place.acme.get("/audit?cursor=abc")
    assert wrong.status_code == 400


async def test_the_installation_has_a_log_of_its_own(place: Place) -> None:
    server = place.server
    slug = "audited"
    async with client_of(server, administrator_secret(server)) as admin:
        await admin.post("/companies", json={"slug": slug})
        whole = await entries(admin)
    secret = await a_secret(server, slug, Role.ADMINISTRATOR)
    async with client_of(server, secret) as theirs:
        forbidden = await theirs.get("/audit")

    assert whole[0]["action"] == "create_company"
    assert forbidden.status_code == 403


@pytest.mark.parametrize("age", [RETENTION - timedelta(days=1), RETENTION + timedelta(days=1)])
async def test_old_entries_go(
    place: Place, age: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.acme.post("/systems", json={"name": "Finance"})
    before = len(await entries(place.acme))
    engine = place.server.engine
    now = engine.clock.now() + age
    monkeypatch.setattr(engine.clock, "now", lambda: now)

    await engine.audit.prune()

    assert len(await entries(place.acme)) == (before if age < RETENTION else 0)


async def test_the_chain_of_the_log_is_verified(place: Place) -> None:
    await place.acme.post("/systems", json={"name": "Chained"})

    first = (await place.admin.get("/audit/verification")).json()
    await place.acme.post("/systems/Chained/allow")
    second = (await place.admin.get(f"/audit/verification?noted={first['end']}")).json()
    other = first["end"][:-1] + ("0" if first["end"][-1] != "0" else "1")
    unlike = (await place.admin.get(f"/audit/verification?noted={other}")).json()

    assert (first["ok"], first["broken"]) == (True, None)
    assert (second["ok"], second["entries"]) == (True, first["entries"] + 1)
    assert unlike["ok"] is False
    assert unlike["broken"]["place"] == int(first["end"].split(":")[0])
    assert "noted" in unlike["broken"]["detail"]


@pytest.mark.parametrize("noted", ["", "abc", "12", "12:xyz", "-1:" + "0" * 64, "9" * 40 + ":"])
async def test_an_end_that_is_none_is_refused(place: Place, noted: str) -> None:
    answer = await place.admin.get("/audit/verification", params={"noted": noted})

    assert answer.status_code == 400
    assert "noted" in answer.text


async def test_only_the_installations_administrators_verify_it(place: Place) -> None:
    secret = await a_secret(place.server, place.acme_slug, Role.ADMINISTRATOR)
    async with client_of(place.server, secret) as theirs:
        answer = await theirs.get("/audit/verification")

    assert answer.status_code == 403
