"""Workers, health, and methods that come for free."""

from runyard.model.tokens import Role
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret


async def test_workers_are_listed_with_what_they_are_doing(place: Place) -> None:
    run = await place.start()
    await place.worker.begins(run)

    [worker] = (await place.admin.get("/workers")).json()["items"]

    assert worker["name"] == "hand"
    assert worker["online"] is True
    assert worker["busy"] >= 1
    assert worker["company"] is None
    await place.worker.ends(run)


async def test_a_companys_token_sees_the_workers_that_serve_it(place: Place) -> None:
    async with place.client(await a_secret(place.server, place.acme_slug, Role.VIEWER)) as viewer:
        listed = (await viewer.get("/workers")).json()

    assert [worker["name"] for worker in listed["items"]] == ["hand"]


async def test_the_doctor_finds_the_promises_kept(place: Place) -> None:
    await place.finished()

    diagnosis = (await place.admin.get("/doctor")).json()

    assert diagnosis["ok"] is True
    assert {"store", "promises", "workers"} <= {check["name"] for check in diagnosis["checks"]}


async def test_an_address_tells_its_methods(place: Place) -> None:
    told = await place.acme.options("/runs")
    refused = await place.acme.put("/runs", json={})

    assert (told.status_code, told.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == told.headers["allow"]


async def test_head_answers_as_get_without_a_body(place: Place) -> None:
    got = await place.acme.get("/runs")
    head = await place.acme.head("/runs")

    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
