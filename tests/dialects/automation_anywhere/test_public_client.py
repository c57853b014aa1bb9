"""A public client of the API, unmodified, against a live server."""

import asyncio
import time

import pytest
from automation_anywhere.errors import AuthenticationError
from automation_anywhere.executor import Executor

from runyard.model.tokens import Role
from tests.dialects.automation_anywhere.conftest import GOOD, Room

ENDED = {"COMPLETED", "RUN_FAILED", "RUN_ABORTED", "RUN_TIMED_OUT", "DEPLOY_FAILED"}


async def test_the_client_goes_all_its_way(room: Room) -> None:
    user = await room.user(Role.DEVELOPER)
    base = f"{room.server.url}/"

    await asyncio.to_thread(_all_its_way, base, user.email)


def _all_its_way(base: str, name: str) -> None:
    client = Executor(base, name, GOOD)
    assert client.user_info["username"] == name
    assert client.validate() == (True, None)
    before = client.token
    assert client.refresh() == (True, None)
    assert client.token != before
    assert client.validate() == (True, None)

    devices, _, error = client.list_devices(run_as_user=name)
    assert error is None
    user = int(devices[0]["defaultUsers"][0]["id"])
    [task], page, error = client.list_automations(name="Zip Code API Task")
    assert error is None
    assert page["totalFilter"] == 1

    inputs = {"iStrZipCode": {"type": "STRING", "string": "76131"}}
    is_deployed, error, deployment, called = client.deploy(
        int(task["id"]), [user], bot_input=inputs
    )
    assert (is_deployed, error) == (True, None)
    assert _ended(client, deploy_id=deployment)["status"] == "COMPLETED"
    assert _ended(client, deploy_name=called)["deploymentId"] == deployment

    assert client.logout() == (True, None)
    assert client.validate() == (False, None)


def _ended(client: Executor, **which: str) -> dict:
    """The execution once it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        is_fine, error, found = client.status(**which)
        assert (is_fine, error) == (True, None)
        [row] = found["executions"]
        if row["status"] in ENDED:
            return row
        time.sleep(0.05)
    raise AssertionError("the execution did not end")


async def test_the_client_understands_refusals(room: Room) -> None:
    user = await room.user()
    base = f"{room.server.url}/"

    with pytest.raises(AuthenticationError, match="Invalid username/password"):
        await asyncio.to_thread(Executor, base, user.email, "wrong password")
    client = await asyncio.to_thread(Executor, base, user.email, GOOD)
    is_deployed, error, _, _ = await asyncio.to_thread(client.deploy, 1, [1])
    assert not is_deployed
    assert error == "Not Found"
    wrong = await asyncio.to_thread(client.deploy, room.ids["Add"], [0], bot_input={"a": "x"})
    assert wrong[1].startswith("Bad Request - ")
