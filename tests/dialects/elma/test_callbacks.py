"""The callback: the status answer, sent when a task is over, either way."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from runyard.engine import couriers
from runyard.model.callbacks import CallbackState
from runyard.model.ids import RunId
from tests.dialects.elma.conftest import Caller, Place, lines_of
from tests.support.receiver import Exchange, Receiver, receiving

SETTINGS = {"allow_outbound": ["127.0.0.1"]}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other soon."""
    monkeypatch.setattr(couriers, "FIRST_PAUSES", (timedelta(milliseconds=20),) * 4)


async def well(exchange: Exchange) -> None:
    await exchange.answer("204 No Content")


class Answers:
    """These answers, one after the other; then all is well."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.answer(self.answers.pop(0) if self.answers else "200 OK")


async def told_of(place: Place, task: int, state: CallbackState) -> str:
    """Why the callback of a task is in this state, once it is."""
    engine, company = place.server.engine, place.bpm.company
    run = await engine.runs.load(company, str(task))
    async with asyncio.timeout(60):
        while True:
            [callback] = await engine.callbacks.of_run(company, run)
            if callback.state is state:
                return callback.detail
            await asyncio.sleep(0.02)  # noqa: TID251 - polls as an operator does


async def ended(place: Place, caller: Caller, receiver: Receiver, error: str = "") -> int:
    """A task with a callback that is over."""
    task = await caller.create(callback=f"{receiver.url}/hooks/rpa?key=7")
    await place.worker.ends(task, b'{"IntValue_out":7}', error=error)
    return task


@pytest.mark.parametrize("error", ["", "there is no such customer"])
async def test_the_end_of_a_task_is_told_with_the_status_answer(place: Place, error: str) -> None:
    async with receiving(well) as receiver:
        task = await ended(place, place.bpm, receiver, error)
        [arrived] = await receiver.has(1)
        await told_of(place, task, CallbackState.DELIVERED)

    assert (arrived.method, arrived.target) == ("POST", "/hooks/rpa?key=7")
    assert arrived.headers["content-type"] == "application/json"
    answer = await place.bpm.done("/orchestra/task/status", id=task)
    assert json.loads(arrived.body) == answer
    assert answer["task"]["status"] == ("ERROR" if error else "DONE")
    assert answer["task"]["system"] == place.bpm.uuid
    assert len(receiver.arrived) == 1


async def test_a_cancelled_task_is_told_too(place: Place) -> None:
    async with receiving(well) as receiver:
        task = await place.bpm.create(callback=receiver.url)
        cancelled = await place.bpm.cancel(task)
        [arrived] = await receiver.has(1)

    assert json.loads(arrived.body) == {"status": 200, "task": cancelled}


async def test_a_receiver_that_fails_is_told_again(place: Place) -> None:
    async with receiving(Answers("500 Internal Server Error", "302 Found")) as receiver:
        task = await ended(place, place.bpm, receiver)
        arrived = await receiver.has(3)
        await told_of(place, task, CallbackState.DELIVERED)

    assert len({exchange.body for exchange in arrived}) == 1
    assert len({exchange.headers["webhook-id"] for exchange in arrived}) == 1


async def test_a_receiver_that_never_answers_is_given_up_after_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "MOST_TRIES", 2)
    short = timedelta(milliseconds=300)
    limits = msgspec.structs.replace(couriers.LIMITS, pause=short, total=short)
    monkeypatch.setattr(couriers, "LIMITS", limits)

    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with receiving(silent) as receiver:
        task = await ended(place, place.bpm, receiver)
        detail = await told_of(place, task, CallbackState.DEAD)

    assert len(receiver.arrived) == 2
    assert "0.3 s" in detail
    assert (await place.bpm.status(task))["status"] == "DONE"


async def test_a_receiver_at_a_private_address_makes_no_task(place: Place) -> None:
    for address, rule in (
        ("http://10.0.0.1/hook", "rule: private"),
        ("http://[::1]/hook", "rule: loopback"),
        ("ftp://bpm.example.org/hook", "http:// or https://"),
        ("javascript:alert(1)", "http:// or https://"),
    ):
        reason = await place.bpm.not_created(400, callback=address)
        assert reason.startswith(f"task.callback: {address}; allowed: ")
        assert rule in reason


async def test_the_signature_is_there_for_whoever_verifies_it(place: Place) -> None:
    async with receiving(well) as receiver:
        await ended(place, place.bpm, receiver)
        [arrived] = await receiver.has(1)

    secrets = await place.server.engine.callbacks.secrets(place.bpm.company)
    told: Any = Webhook(secrets.current).verify(arrived.body.decode(), arrived.headers)
    assert told["status"] == 200


async def test_a_restart_tells_the_same_system_of_the_new_task(place: Place) -> None:
    async with receiving(well) as receiver:
        first = await ended(place, place.bpm, receiver)
        await receiver.has(1)
        engine = place.server.engine
        again = await engine.runs.restart(place.bpm.company, str(first))
        await place.worker.ends(again.id, b"{}")
        arrived = await receiver.has(2)

    told = json.loads(arrived[1].body)["task"]
    assert (told["id"], told["system"], told["status"]) == (again.id, place.bpm.uuid, "DONE")
    assert (await place.bpm.status(again.id))["id"] == again.id
    assert (await place.bpm.status(first))["status"] == "DONE"
    await place.erp.refused(404, "/orchestra/task/status", id=again.id)


async def test_a_system_that_is_gone_is_still_told(place: Place) -> None:
    async with receiving(well) as receiver:
        task = await place.bpm.create(callback=receiver.url)
        await place.server.engine.systems.remove(place.bpm.system)
        await place.worker.ends(task, b"{}")
        [arrived] = await receiver.has(1)

    assert json.loads(arrived.body)["task"]["system"] == place.bpm.uuid
    run = await place.server.engine.runs.load(place.bpm.company, str(task))
    assert run.id == RunId(task)
    await place.bpm.refused(401, "/orchestra/task/status", id=task)


async def test_no_callback_is_no_callback(place: Place) -> None:
    for none in (None, ""):
        task = await place.bpm.create(callback=none)
        run = await place.server.engine.runs.load(place.bpm.company, str(task))
        assert await place.server.engine.callbacks.of_run(place.bpm.company, run) == ()
        assert lines_of(await place.bpm.status(task)) == []
