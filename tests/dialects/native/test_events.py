"""Server-sent events of the native API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest

from runyard.model.tokens import Role
from tests.dialects.native.conftest import Place
from tests.support.server import a_secret

RUNS = "/runs"


async def events_of(
    client: httpx.AsyncClient, path: str, last: str | None = None
) -> AsyncIterator[tuple[str, str | None, dict[str, object]]]:
    """Name, id and value of each event."""
    headers = {} if last is None else {"last-event-id": last}
    async with client.stream("GET", path, headers=headers) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        async for line in stream.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                yield event["event"], event.get("id"), json.loads(event["data"])
                event = {}


async def test_a_run_is_followed_from_its_queue_to_its_end(place: Place) -> None:
    run = await place.start()
    seen = []

    async for name, _, value in events_of(place.acme, f"{RUNS}/{run}/events"):
        seen.append((name, value))
        if len(seen) == 1:
            await place.worker.begins(run)
            await place.worker.logs(run, "one", "two")
        if name == "lines":
            await place.worker.ends(run)

    names = [name for name, _ in seen]
    assert names[0] == "state"
    assert "lines" in names
    assert names[-1] == "state"
    assert seen[-1][1]["state"] == "completed"
    texts = [line["text"] for name, value in seen if name == "lines" for line in value["lines"]]
    assert texts == ["one", "two"]


async def test_the_stream_of_an_ended_run_tells_its_lines_and_its_end(place: Place) -> None:
    run = await place.start()
    await place.worker.logs(run, "one", "two")
    await place.worker.ends(run)
    await place.acme.get(f"{RUNS}/{run}/wait")

    seen = [event async for event in events_of(place.acme, f"{RUNS}/{run}/events")]

    assert [name for name, _, _ in seen] == ["lines", "state"]
    assert seen[0][1] == "2"


async def test_a_stream_goes_on_after_the_last_line_that_arrived(place: Place) -> None:
    run = await place.start()
    await place.worker.logs(run, "one", "two", "three")
    await place.worker.ends(run)
    await place.acme.get(f"{RUNS}/{run}/wait")

    seen = [event async for event in events_of(place.acme, f"{RUNS}/{run}/events", last="2")]

    [lines] = [value for name, _, value in seen if name == "lines"]
    assert [line["number"] for line in lines["lines"]] == [3]


async def test_a_company_is_followed_and_goes_on_from_an_event(place: Place) -> None:
    ids: list[str | None] = []
    async with aclosing(events_of(place.acme, "/events")) as events:
        upcoming = asyncio.ensure_future(anext(events))
        run = await _until_followed(place)
        name, place_id, value = await upcoming
        ids.append(place_id)
        assert (name, value["id"], value["state"]) == ("state", run, "parked")

        await place.acme.post(f"{RUNS}/{run}/cancel")
        async with aclosing(events_of(place.acme, "/events", last=ids[0])) as resumed:
            name, _, value = await anext(resumed)

    assert (name, value["id"], value["state"]) == ("state", run, "cancelled")


async def _until_followed(place: Place) -> int:
    company = await place.server.engine.companies.load(place.acme_slug)
    while not place.server.engine.watch.is_followed(company.id):
        await place.acme.get("/tasks")
    return await place.start(parked=True)


@pytest.mark.parametrize("last", ["otherlife-3", "nonsense"])
async def test_a_place_of_another_life_leads_to_resync(place: Place, last: str) -> None:
    seen = [event async for event in events_of(place.acme, "/events", last=last)]

    assert [name for name, _, _ in seen] == ["resync"]


async def test_a_company_hears_nothing_of_another(place: Place) -> None:
    async with aclosing(events_of(place.globex, "/events")) as events:
        upcoming = asyncio.ensure_future(anext(events))
        globex = await place.server.engine.companies.load(place.globex_slug)
        while not place.server.engine.watch.is_followed(globex.id):
            await place.acme.get("/tasks")
        await place.start(parked=True)
        own = await place.globex.post(
            "/runs",
            json={"task": "Zip code", "input": {"zip": "1"}, "parked": True},
        )
        _, _, value = await upcoming

    assert value["id"] == own.json()["id"]


async def test_what_is_unknown_or_foreign_is_refused_before_the_stream(place: Place) -> None:
    run = await place.start(parked=True)

    unknown = await place.acme.get("/runs/999999/events")
    foreign = await place.globex.get(f"/runs/{run}/events")

    assert [unknown.status_code, foreign.status_code] == [404, 404]


async def test_a_stream_ends_with_the_right_to_read_it(place: Place) -> None:
    run = await place.start(parked=True)
    secret = await a_secret(place.server, place.acme_slug, Role.VIEWER)

    async with place.client(secret, f"/companies/{place.acme_slug}") as viewer:
        async for _ in events_of(viewer, f"{RUNS}/{run}/events"):
            [token] = [
                token
                for token in (await place.acme.get("/tokens")).json()["items"]
                if token["role"] == "viewer"
            ]
            await place.acme.delete(f"/tokens/{token['id']}")
