"""Deploys that are not to wait: `queueOnSlotsExhaustion: false`."""

import asyncio
import json
from typing import Any

import pytest

from tests.dialects.automation_anywhere.conftest import Room, refused
from tests.support.receiver import Exchange, receiving

V4, V3 = "/v4/automations/deploy", "/v3/automations/deploy"


def asked(room: Room, version: str, seconds: float, *, may_wait: Any, **more: Any) -> Any:
    given = {"botInput": {"seconds": seconds}, **more}
    told = {} if may_wait is None else {"queueOnSlotsExhaustion": may_wait}
    if version == V3:
        return {"fileId": room.ids["Sleep"], **given, **told}
    return {"botId": room.ids["Sleep"], "headlessRequest": told, **given}


async def deploy(room: Room, version: str, seconds: float, **more: Any) -> str:
    return str(
        (await room.ok("POST", version, asked(room, version, seconds, **more)))["deploymentId"]
    )


async def detail(room: Room, deployment: str) -> dict[str, Any]:
    return dict(await room.ok("GET", f"/v3/activity/execution/{deployment}"))


async def until_status(room: Room, deployment: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = await detail(room, deployment)
            if found["status"] == status:
                return found
            await asyncio.sleep(0.02)  # noqa: TID251 - polls as a caller does


@pytest.mark.parametrize("version", [V4, V3])
async def test_without_a_free_slot_a_deploy_that_may_not_wait_has_failed_when_it_is_answered(
    narrow: Room, version: str
) -> None:
    first = await deploy(narrow, version, 60, may_wait=False)
    taken = await until_status(narrow, first, "RUNNING")

    failed = await detail(narrow, await deploy(narrow, version, 0, may_wait=False))
    waiting = await detail(narrow, await deploy(narrow, version, 0, may_wait=None))
    also = await detail(narrow, await deploy(narrow, version, 0, may_wait=True))
    listed = await narrow.ok(
        "POST",
        "/v3/activity/list",
        {"filter": {"operator": "eq", "field": "status", "value": "DEPLOY_FAILED"}},
    )
    stop = {"stopExecutions": {"executionIds": [taken["id"]]}}
    await narrow.ok("POST", "/v3/activity/manage", stop)

    assert failed["status"] == "DEPLOY_FAILED"
    assert "no slot was free" in failed["message"]
    assert failed["error"]["message"] == failed["message"]
    assert (failed["progress"], failed["canManage"]) == (100, False)
    assert failed["endDateTime"] >= failed["createdOn"]
    assert failed["botOutVariables"] == {"values": {}}
    assert {waiting["status"], also["status"]} <= {"QUEUED", "PENDING_EXECUTION"}
    assert [row["id"] for row in listed["list"]] == [failed["id"]]
    assert listed["list"][0]["message"] == failed["message"]
    for row in (waiting, also):
        await until_status(narrow, row["deploymentId"], "COMPLETED")
    again = await deploy(narrow, version, 0, may_wait=False)
    assert (await until_status(narrow, again, "COMPLETED"))["message"] == ""


async def test_of_many_deploys_at_once_those_without_a_slot_fail_and_none_waits(
    narrow: Room,
) -> None:
    deployments = await asyncio.gather(*(deploy(narrow, V4, 3, may_wait=False) for _ in range(8)))

    statuses = [(await detail(narrow, each))["status"] for each in deployments]

    assert "QUEUED" not in statuses
    assert statuses.count("DEPLOY_FAILED") == 7
    [begun] = [d for d, s in zip(deployments, statuses, strict=True) if s != "DEPLOY_FAILED"]
    await until_status(narrow, begun, "COMPLETED")


async def test_the_callback_tells_of_a_deploy_that_found_no_slot(narrow: Room) -> None:
    async with receiving(_taken) as receiver:
        first = await deploy(narrow, V4, 60, may_wait=False)
        taken = await until_status(narrow, first, "RUNNING")
        callback = {"url": f"{receiver.url}/told"}
        failed = await deploy(narrow, V4, 0, may_wait=False, callbackInfo=callback)
        [told] = await receiver.has(1)
        stop = {"stopExecutions": {"executionIds": [taken["id"]]}}
        await narrow.ok("POST", "/v3/activity/manage", stop)

    body = json.loads(told.body)
    assert (body["deploymentId"], body["status"]) == (failed, "DEPLOY_FAILED")


async def _taken(exchange: Exchange) -> None:
    await exchange.answer("204 No Content")


@pytest.mark.parametrize("version", [V4, V3])
async def test_a_word_that_is_neither_true_nor_false_is_refused(room: Room, version: str) -> None:
    answer = await room.send("POST", version, asked(room, version, 0, may_wait="no"))

    assert "queueOnSlotsExhaustion" in str(refused(answer, 400, "request.invalid")["details"])
