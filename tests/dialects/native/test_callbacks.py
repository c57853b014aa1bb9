"""Callbacks as the native API has them."""

import asyncio
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.dialects.native.conftest import Place
from tests.support.receiver import Exchange, receiving


async def thanks(exchange: Exchange) -> None:
    await exchange.answer("204 No Content")


async def broken(exchange: Exchange) -> None:
    await exchange.answer("410 Gone")


async def callback_in(client: httpx.AsyncClient, run: int, state: str) -> dict[str, Any]:
    """The run's only callback once it is in this state."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.get(f"/callbacks?run={run}")
            [callback] = answer.json()["items"]
            if callback["state"] == state:
                return dict(callback)


async def test_an_ended_run_is_told_and_the_signature_holds(place: Place) -> None:
    async with receiving(thanks) as receiver:
        url = f"{receiver.url}/hook?token=secret"
        run = await place.start(callbacks=[{"url": url}])
        await place.worker.ends(run)
        [arrived] = await receiver.has(1)
        callback = await callback_in(place.acme, run, "delivered")

    secret = (await place.acme.get("/callback-secret")).json()["secret"]
    told = Webhook(secret).verify(arrived.body, arrived.headers)
    assert told["type"] == "run.completed"
    assert told["data"]["id"] == run
    assert told["data"]["outputs"] == {"place": "Fort Worth"}
    assert told["data"]["task"]["name"] == "Zip code"
    assert told["timestamp"] == told["data"]["finished_at"]
    assert told["outputs_left_out"] is False
    assert "input" not in told["data"]
    assert arrived.target == "/hook?token=secret"
    assert callback["url"] == f"{receiver.url}/hook?...", "what receivers keep secret is not shown"
    assert callback["public_id"] == arrived.headers["webhook-id"]
    assert (callback["tries"], callback["answered"]) == (1, 204)


async def test_headers_of_the_receivers_own_are_sent_and_never_shown(place: Place) -> None:
    async with receiving(thanks) as receiver:
        headers = {"Authorization": "Bearer of-the-shop"}
        run = await place.start(callbacks=[{"url": receiver.url, "headers": headers}])
        await place.worker.ends(run)
        [arrived] = await receiver.has(1)
        callback = await callback_in(place.acme, run, "delivered")

    assert arrived.headers["authorization"] == "Bearer of-the-shop"
    assert "of-the-shop" not in str(callback)


async def test_a_failed_run_is_told_with_its_error(place: Place) -> None:
    async with receiving(thanks) as receiver:
        run = await place.start(callbacks=[{"url": receiver.url}])
        await place.worker.ends(run, error="on purpose")
        [arrived] = await receiver.has(1)

    secret = (await place.acme.get("/callback-secret")).json()["secret"]
    told = Webhook(secret).verify(arrived.body, arrived.headers)
    assert told["type"] == "run.failed"
    assert told["data"]["error"]["message"] == "on purpose"
    assert told["data"]["outputs"] is None


async def test_outputs_that_are_too_large_are_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.dialects.native.callbacks.LARGEST_OUTPUTS", 10)
    async with receiving(thanks) as receiver:
        run = await place.start(callbacks=[{"url": receiver.url}])
        await place.worker.ends(run)
        [arrived] = await receiver.has(1)

    assert b'"outputs_left_out":true' in arrived.body
    assert b"Fort Worth" not in arrived.body


async def test_several_runs_of_one_start_name_their_own(place: Place) -> None:
    async with receiving(thanks) as receiver:
        runs = [
            {
                "task": "Zip code",
                "input": {"zip": "1"},
                "callbacks": [{"url": f"{receiver.url}/{n}"}],
            }
            for n in range(3)
        ]
        answer = await place.acme.post("/runs", json={"runs": runs})
        for run in answer.json()["runs"]:
            await place.worker.ends(run["id"])
        arrived = await receiver.has(3)

    assert sorted(exchange.target for exchange in arrived) == ["/0", "/1", "/2"]


async def test_a_dead_callback_is_listed_shown_and_sent_again(place: Place) -> None:
    answering = [broken, broken, thanks]

    async def next_answer(exchange: Exchange) -> None:
        await answering.pop(0)(exchange)

    async with receiving(next_answer) as receiver:
        run = await place.start(callbacks=[{"url": receiver.url}])
        await place.worker.ends(run)
        dead = await callback_in(place.acme, run, "dead")

        listed = (await place.acme.get("/callbacks?state=dead")).json()
        assert [item["id"] for item in listed["items"]] == [dead["id"]]
        assert listed["total"] == 1
        shown = await place.acme.get(f"/callbacks/{dead['public_id']}")
        assert shown.json() == dead
        assert "410" in dead["detail"]

        again = await place.acme.post(f"/callbacks/{dead['id']}/resend")
        assert again.status_code == 200, again.text
        await receiver.has(2)
        await callback_in(place.acme, run, "dead")
        resent = await place.acme.post("/callbacks/resend-dead")
        assert resent.json() == {"resent": 1}
        await callback_in(place.acme, run, "delivered")


async def test_callbacks_are_paged_newest_first(place: Place) -> None:
    for _ in range(5):
        await place.start(callbacks=[{"url": "https://example.com/"}], parked=True)

    seen: list[int] = []
    path = "/callbacks?limit=2"
    while True:
        page = (await place.acme.get(path)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        path = f"/callbacks?limit=2&cursor={page['next']}"

    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert (await place.acme.get("/callbacks?cursor=eA")).status_code == 400


@pytest.mark.parametrize(
    ("callbacks", "field"),
    [
        ([{"url": "http://10.0.0.1/"}], "callbacks[0].url"),
        ([{"url": "mailto:a@b.example"}], "callbacks[0].url"),
        ([{"url": ""}], "callbacks[0].url"),
        ([{"address": "https://example.com/"}], "callbacks[0]"),
        ([{}], "callbacks[0]"),
        ("https://example.com/", "callbacks"),
        ([{"url": "https://example.com/"}] * 11, "callbacks"),
    ],
)
async def test_what_is_no_callback_is_refused(place: Place, callbacks: object, field: str) -> None:
    body = {"task": "Zip code", "input": {"zip": "1"}, "callbacks": callbacks}

    answer = await place.acme.post("/runs", json=body)

    assert answer.status_code == 400
    assert answer.json()["problems"][0]["field"].startswith(field)


async def test_a_callback_that_waits_is_not_sent_again(place: Place) -> None:
    run = await place.start(callbacks=[{"url": "https://example.com/"}], parked=True)
    callback = await callback_in(place.acme, run, "waiting")

    answer = await place.acme.post(f"/callbacks/{callback['id']}/resend")

    assert (answer.status_code, answer.json()["code"]) == (409, "callback_not_ready")


async def test_a_foreign_callback_is_unknown(place: Place) -> None:
    run = await place.start(callbacks=[{"url": "https://example.com/"}], parked=True)
    callback = await callback_in(place.acme, run, "waiting")

    for ref in (callback["id"], callback["public_id"]):
        assert (await place.globex.get(f"/callbacks/{ref}")).status_code == 404
        assert (await place.globex.post(f"/callbacks/{ref}/resend")).status_code == 404
    assert (await place.globex.get(f"/callbacks?run={run}")).status_code == 404


async def test_a_secret_is_rotated_and_the_one_before_holds_for_a_day(place: Place) -> None:
    before = (await place.acme.get("/callback-secret")).json()

    after = (await place.acme.post("/callback-secret/rotate")).json()

    assert before["secret"].startswith("whsec_")
    assert after["secret"] != before["secret"]
    assert after["previous"] == before["secret"]
    assert after["previous_until"] is not None
    async with receiving(thanks) as receiver:
        run = await place.start(callbacks=[{"url": receiver.url}])
        await place.worker.ends(run)
        [arrived] = await receiver.has(1)
    for secret in (before["secret"], after["secret"]):
        Webhook(secret).verify(arrived.body, arrived.headers)
