"""Workers over HTTP: seen, allowed, locked, drained and removed by those who may."""

from runyard.model.ids import WorkerId
from runyard.model.workers import Worker, WorkerState
from tests.dialects.native.conftest import Place


async def a_known_worker(place: Place, name: str, company: str | None) -> Worker:
    """A worker that was there once."""
    engine = place.server.engine
    owner = None if company is None else (await engine.companies.load(company)).id
    worker = Worker(
        id=WorkerId(await engine._parts.ids.take()),
        company_id=owner,
        name=name,
        state=WorkerState.REQUEST,
        version="0.1.0",
        host="host-17",
        os="Linux",
        address="10.1.2.3",
        slots=4,
        labels=("gpu",),
        created_at=engine.clock.now(),
        last_seen_at=None,
        draining=False,
        isolation="confined",
    )
    return await engine._store.workers.register(worker)


async def test_a_companys_administrator_decides_about_its_workers(place: Place) -> None:
    worker = await a_known_worker(place, "host 17/a", place.acme_slug)
    path = "/workers/host%2017%2Fa"

    shown = (await place.acme.get(path)).json()
    allowed = (await place.acme.post(f"{path}/allow")).json()
    drained = (await place.acme.post(f"/workers/{worker.id}/drain")).json()
    again = (await place.acme.post(f"{path}/allow")).json()
    locked = (await place.acme.post(f"{path}/lock")).json()
    removed = await place.acme.delete(path)

    assert (shown["id"], shown["state"], shown["online"]) == (worker.id, "request", False)
    assert (shown["host"], shown["address"], shown["isolation"]) == (
        "host-17",
        "10.1.2.3",
        "confined",
    )
    assert (allowed["state"], allowed["draining"]) == ("allowed", False)
    assert (drained["state"], drained["draining"]) == ("allowed", True)
    assert again["draining"] is False
    assert locked["state"] == "locked"
    assert removed.status_code == 204
    gone = await place.acme.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "worker_not_found")


async def test_a_worker_that_serves_all_is_the_installations(place: Place) -> None:
    worker = await a_known_worker(place, f"shared-{place.acme_slug}", None)
    path = f"/workers/{worker.name}"

    refused = await place.acme.post(f"{path}/allow")
    seen = (await place.acme.get(path)).json()
    allowed = (await place.admin.post(f"{path}/allow")).json()

    assert refused.status_code == 403
    assert "installation's administrators" in refused.json()["detail"]
    # Where it stands is no company's business.
    assert (seen["company"], seen["host"], seen["address"]) == (None, "", "")
    assert (allowed["state"], allowed["host"]) == ("allowed", "host-17")
    assert (await place.admin.delete(path)).status_code == 204


async def test_another_companys_worker_does_not_exist(place: Place) -> None:
    worker = await a_known_worker(place, "theirs", place.globex_slug)

    for ref in ("theirs", str(worker.id)):
        for answer in (
            await place.acme.get(f"/workers/{ref}"),
            await place.acme.post(f"/workers/{ref}/allow"),
            await place.acme.delete(f"/workers/{ref}"),
        ):
            assert answer.status_code == 404, ref
    listed = (await place.acme.get("/workers?limit=500")).json()["items"]
    assert worker.id not in {shown["id"] for shown in listed}


async def test_the_installation_decides_about_any_worker_by_its_id(place: Place) -> None:
    worker = await a_known_worker(place, "of acme", place.acme_slug)

    by_name = await place.admin.get("/workers/of%20acme")
    allowed = await place.admin.post(f"/workers/{worker.id}/allow")

    assert by_name.status_code == 404
    assert allowed.json()["company"] == place.acme_slug


async def test_the_worker_inside_a_server_cannot_be_locked(place: Place) -> None:
    [inside] = [w for w in (await place.admin.get("/workers")).json()["items"] if w["online"]]

    refused = await place.admin.post(f"/workers/{inside['id']}/lock")

    assert (refused.status_code, refused.json()["code"]) == (409, "worker_built_in")
    assert "--slots 0" in refused.json()["detail"]


async def test_only_a_workers_token_joins(place: Place) -> None:
    made = await place.acme.post("/tokens", json={"kind": "worker", "joins": True})
    refused = await place.acme.post("/tokens", json={"kind": "native", "joins": True})

    assert made.json()["joins"] is True
    assert refused.status_code == 400
    assert refused.json()["problems"][0]["field"] == "joins"


async def test_a_companys_worker_asked_for_without_its_company_says_how_it_is_found(
    place: Place,
) -> None:
    worker = await a_known_worker(place, "theirs alone", place.acme_slug)

    by_name = await place.admin.post("/workers/theirs%20alone/allow")
    by_id = await place.admin.post(f"/workers/{worker.id}/allow")

    assert by_name.status_code == 404
    assert "by its id, or by its name when the company is named" in by_name.json()["detail"]
    assert by_id.json()["state"] == "allowed"
