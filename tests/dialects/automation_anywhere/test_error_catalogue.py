"""Every row of the dialect's error catalogue, provoked on a live server and named.

`ROWS` is the catalogue: how each refusal comes about, its status, its code, and what it says. The page
in `docs/` is held against it, so that no code is documented that nobody has seen, or the other way round.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

from runyard.engine.allocations import AllocationOptions
from runyard.model.tokens import Role
from tests.dialects.automation_anywhere.conftest import (
    CONFIG,
    GOOD,
    Room,
    furnished,
    refused,
    uploaded,
)
from tests.support.server import a_bundle, running_runyard

PAGE = Path(__file__).parents[3] / "docs/automation-anywhere.md"
ZIP = "Zip Code API Task"
INPUT = {"botInput": {"iStrZipCode": {"type": "STRING", "string": "76131"}}}
LOGIN = "/v2/authentication"
JSON = {"content-type": "application/json"}
SLOW = """
import time

from runyard import task

time.sleep(1.5)


@task("Slow to load")
def slow() -> None:
    pass
"""

Provoke = Callable[[Room], Awaitable[httpx.Response]]


class Row(msgspec.Struct):
    """A row of the catalogue."""

    provoke: Provoke
    status: int
    code: str
    told: str
    """Part of the message or of the details."""
    headers: dict[str, str] = {}


ROWS: dict[str, Row] = {}


def row(
    name: str, status: int, code: str, told: str = "", **headers: str
) -> Callable[[Provoke], Provoke]:
    """Add a row, provoked by the function that follows. Values of headers are patterns."""

    def add(provoke: Provoke) -> Provoke:
        ROWS[name] = Row(provoke, status, code, told, headers)
        return provoke

    return add


# ---------------------------------------------------------------- tokens


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, as callers read it: the second of its three parts."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def a_second_ago(room: Room) -> int:
    return int(room.server.engine.clock.now().timestamp()) - 1


async def with_token(room: Room, token: str) -> httpx.Response:
    """A request with this token, where any valid one would do."""
    return await room.send("POST", "/v2/devices/list", None, token)


@row("no token", 401, "UM1117", "X-Authorization")
async def no_token(room: Room) -> httpx.Response:
    return await with_token(room, "")


@row("expired token", 401, "auth.token.invalid", "expired")
async def expired(room: Room) -> httpx.Response:
    claims = claims_of(room.developer) | {"exp": a_second_ago(room)}
    return await with_token(room, await room.server.engine.signing.sign(claims))


@row("expired token of an execution", 401, "auth.token.invalid", "expired")
async def expired_execution(room: Room) -> httpx.Response:
    await room.allocate(ZIP, 2)
    url, token = await room.access(ZIP)
    claims = claims_of(token) | {"exp": a_second_ago(room)}
    return await room.send("POST", url, INPUT, await room.server.engine.signing.sign(claims))


@row("foreign token", 401, "auth.token.invalid", "")
async def foreign(room: Room) -> httpx.Response:
    """The same claims and the same name of a key, signed by somebody else's."""
    own = room.developer.split(".")[0]
    header = json.loads(base64.urlsafe_b64decode(own + "=" * (-len(own) % 4)))
    key = generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    claims = claims_of(room.developer)
    signed = jwt.encode(header, claims, RSAKey.import_key(pem), algorithms=["RS512"])
    return await with_token(room, signed)


@row("token that names another user", 401, "auth.token.invalid")
async def forged(room: Room) -> httpx.Response:
    head, _, signature = room.developer.split(".")
    claims = claims_of(room.developer) | {"sub": claims_of(room.admin)["sub"]}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return await with_token(room, f"{head}.{body}.{signature}")


@row("unsigned token", 401, "auth.token.invalid")
async def unsigned(room: Room) -> httpx.Response:
    _, body, _ = room.developer.split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return await with_token(room, f"{head}.{body}.")


@row("malformed token", 401, "auth.token.invalid", "malformed")
async def malformed(room: Room) -> httpx.Response:
    return await with_token(room, "x.y.z")


@row("logged-out token", 401, "auth.token.invalid", "logged out")
async def logged_out(room: Room) -> httpx.Response:
    token = await room.token(await room.user())
    await room.send("POST", f"{LOGIN}/logout", None, token)
    return await with_token(room, token)


@row("refreshed token", 401, "auth.token.invalid", "refreshed")
async def refreshed(room: Room) -> httpx.Response:
    token = await room.token(await room.user())
    await room.ok("POST", f"{LOGIN}/token", {"token": token}, "")
    return await with_token(room, token)


@row("token of a session that another login ended", 401, "auth.token.invalid", "logged in again")
async def thrown_out(room: Room) -> httpx.Response:
    user = await room.user()
    token = await room.token(user)
    await room.token(user)
    return await with_token(room, token)


@row("both token headers", 400, "auth.headers.conflict", "never both")
async def both_headers(room: Room) -> httpx.Response:
    token = room.developer
    headers = {"x-authorization": token, "authorization": f"Bearer {token}"}
    return await room.http.post("/v2/devices/list", headers=headers)


@row("the word Bearer in X-Authorization", 401, "auth.token.invalid", "Bearer")
async def bearer(room: Room) -> httpx.Response:
    return await with_token(room, f"Bearer {room.developer}")


# ---------------------------------------------------------------- logging in


async def log_in(room: Room, **body: object) -> httpx.Response:
    return await room.http.post(LOGIN, json=body)


@row("wrong password", 401, "auth.credentials.invalid")
async def wrong_password(room: Room) -> httpx.Response:
    return await log_in(room, username=(await room.user()).email, password="wrong password")


@row("unknown user", 401, "auth.credentials.invalid")
async def unknown_user(room: Room) -> httpx.Response:
    return await log_in(room, username="nobody@example.com", password=GOOD)


@row("wrong API key", 401, "auth.credentials.invalid")
async def wrong_key(room: Room) -> httpx.Response:
    return await log_in(room, username=(await room.user()).email, apiKey="x" * 40)


@row("password and API key", 400, "request.invalid", "both")
async def both_ways(room: Room) -> httpx.Response:
    return await log_in(room, username="ann@example.com", password=GOOD, apiKey="x")


@row("neither password nor API key", 400, "request.invalid", "neither")
async def no_way(room: Room) -> httpx.Response:
    return await log_in(room, username="ann@example.com")


@row("too many failed logins", 429, "auth.locked", "too many", retry_after=r"[1-9]\d*")
async def locked(room: Room) -> httpx.Response:
    user = await room.user()
    for _ in range(5):
        await log_in(room, username=user.email, password="wrong password")
    return await log_in(room, username=user.email, password=GOOD)


@row("too many logins of a user who does not exist", 429, "auth.locked", "too many")
async def locked_nobody(room: Room) -> httpx.Response:
    for _ in range(5):
        await log_in(room, username="never@example.com", password=GOOD)
    return await log_in(room, username="never@example.com", password=GOOD)


# ---------------------------------------------------------------- requests


@row("a role that lacks the right", 403, "permission.denied")
async def lacks_right(room: Room) -> httpx.Response:
    return await room.send("POST", CONFIG, None, room.developer)


@row("token of an execution elsewhere", 403, "permission.denied", "executes one task")
async def execution_token_elsewhere(room: Room) -> httpx.Response:
    await room.allocate(ZIP, 2)
    return await with_token(room, (await room.access(ZIP))[1])


@row("unknown file", 404, "resource.not.found")
async def unknown_file(room: Room) -> httpx.Response:
    return await room.send("GET", "/v2/repository/files/999999999")


@row("unknown execution", 404, "resource.not.found")
async def unknown_execution(room: Room) -> httpx.Response:
    return await room.send("GET", "/v3/activity/execution/0199a7f2-3c1e-7b52-8d4a-2f6f1e0c9b11")


@row("unknown address", 404, "resource.not.found")
async def unknown_address(room: Room) -> httpx.Response:
    return await room.send("POST", "/orchestrator/v1/hotbot/nothing")


@row("wrong method", 405, "method.not.allowed")
async def wrong_method(room: Room) -> httpx.Response:
    return await room.send("DELETE", "/v3/activity/list")


@row("conflict with the present state", 409, "resource.conflict")
async def conflict(room: Room) -> httpx.Response:
    engine = room.server.engine
    boss = await room.user()
    await engine.users.grant(boss, None, Role.ADMINISTRATOR)
    body = {"username": boss.email, "roleIds": [1], "password": GOOD}
    path = "/v2/usermanagement/users"
    return await room.send("POST", path, body, await room.token(boss))


@row("not JSON", 400, "request.invalid", "line 1")
async def not_json(room: Room) -> httpx.Response:
    return await room.http.post(LOGIN, content=b"{'username'", headers=JSON)


@row("wrong type of a field", 400, "request.invalid", "username")
async def wrong_field(room: Room) -> httpx.Response:
    return await log_in(room, username=7, password=GOOD)


@row("another media type", 415, "request.media.type", "application/json")
async def media_type(room: Room) -> httpx.Response:
    return await room.http.post(LOGIN, data={"username": "ann@example.com"})


@row("body too large", 413, "request.too.large")
async def too_large(room: Room) -> httpx.Response:
    body = json.dumps({"username": "x" * 2 * 1024 * 1024}).encode()
    return await room.http.post(LOGIN, content=body, headers=JSON)


@row("body of an execution too large", 413, "request.too.large")
async def input_too_large(room: Room) -> httpx.Response:
    await room.allocate(ZIP, 2)
    return await room.execute(ZIP, {"botInput": {"iStrZipCode": "x" * 5 * 1024 * 1024}})


# ---------------------------------------------------------------- execute


@row("token for another task", 403, "hotbot.token.mismatch", "another task")
async def another_task(room: Room) -> httpx.Response:
    await room.allocate(ZIP, 2)
    await room.allocate("Add")
    url, _ = await room.access(ZIP)
    return await room.send("POST", url, INPUT, (await room.access("Add"))[1])


@row("allocation removed since", 404, "hotbot.not.allocated")
async def removed(room: Room) -> httpx.Response:
    await room.allocate("Nothing")
    url, token = await room.access("Nothing")
    await room.send("DELETE", f"{CONFIG}/{room.ids['Nothing']}")
    return await room.send("POST", url, {}, token)


async def executed(room: Room, task: str, given: object) -> httpx.Response:
    await room.allocate(task, 2)
    return await room.execute(task, {"botInput": given})


@row("unknown variable", 400, "hotbot.input.invalid", "botInput.zip: an unknown variable")
async def unknown_variable(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {"iStrZipCode": "1", "zip": "1"})


@row("variable that is no input", 400, "hotbot.input.invalid", "not marked as input")
async def no_input(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {"iStrZipCode": "1", "State": "1"})


@row("missing variable", 400, "hotbot.input.invalid", "botInput.iStrZipCode")
async def missing_variable(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {})


@row("wrong type", 400, "hotbot.input.invalid", "LIST")
async def wrong_type(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {"iStrZipCode": {"type": "LIST", "list": []}})


@row("number text that is none", 400, "hotbot.input.invalid", "botInput.a: NUMBER 'twelve'")
async def no_number(room: Room) -> httpx.Response:
    return await executed(room, "Add", {"a": {"type": "NUMBER", "number": "twelve"}})


@row("type that no task declares", 400, "hotbot.input.invalid", "WINDOW")
async def unsupported(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {"iStrZipCode": {"type": "WINDOW", "window": {}}})


@row("over the limit", 429, "hotbot.concurrency.exceeded", "1 calls", retry_after="1")
async def over_the_limit(room: Room) -> httpx.Response:
    await room.allocate("Sleep")
    url, token = await room.access("Sleep")
    first = asyncio.ensure_future(room.send("POST", url, {"botInput": {"seconds": 1}}, token))
    await room.in_flight("Sleep", 1)
    second = await room.send("POST", url, {"botInput": {"seconds": 0}}, token)
    assert (await first).status_code == 200
    return second


@row(
    "allowance used up",
    429,
    "hotbot.quota.exceeded",
    "realtime_monthly_limit",
    retry_after=r"[1-9]\d*",
)
async def monthly_limit(room: Room) -> httpx.Response:
    months = room.server.engine.calls.months
    months.most = 1
    try:
        assert (await executed(room, ZIP, INPUT["botInput"])).status_code == 200
        return await room.execute(ZIP, INPUT)
    finally:
        months.most = 0


@row("timeout", 500, "hotbot.timed.out", "longer", x_execution_id=r"\d+")
async def timeout(room: Room) -> httpx.Response:
    engine = room.server.engine
    await room.allocate("Sleep")
    short = AllocationOptions(limit=1, deadline=timedelta(seconds=1))
    await engine.allocations.put(room.company, "Sleep", short)
    task = await engine.directory.task(room.company.id, "Sleep")
    await engine.allocations.until_ready(task, timedelta(seconds=30))
    answer = await room.execute("Sleep", {"botInput": {"seconds": 61}})
    await engine.allocations.put(room.company, "Sleep", AllocationOptions())
    return answer


@row("task raised", 500, "hotbot.run.failed", "line", x_execution_id=r"\d+")
async def raised(room: Room) -> httpx.Response:
    return await executed(room, ZIP, {"iStrZipCode": "bad"})


@row("task died", 500, "hotbot.run.failed", x_execution_id=r"\d+")
async def died(room: Room) -> httpx.Response:
    return await executed(room, "Crash", {"really": True})


@row("pool warming", 503, "hotbot.not.ready", "made ready", retry_after=r"[1-9]\d*")
async def warming(room: Room) -> httpx.Response:
    engine = room.server.engine
    await engine.deploys.deploy(room.company, "slow", uploaded(a_bundle({"slow.py": SLOW})))
    task = await engine.directory.task(room.company.id, "Slow to load")
    await engine.allocations.put(room.company, "Slow to load", AllocationOptions())
    path = f"/hotbot/{task.id}/{room.company.uuid}/execute"
    answer = await room.send("POST", path, {}, room.developer)
    await engine.allocations.until_ready(task, timedelta(seconds=60))
    assert (await room.send("POST", path, {}, room.developer)).status_code == 200
    return answer


@row("company paused", 503, "hotbot.not.ready", "paused", retry_after=r"[1-9]\d*")
async def paused(room: Room) -> httpx.Response:
    await room.allocate(ZIP, 2)
    await room.server.engine.orchestrator.pause(room.company)
    try:
        return await room.execute(ZIP, INPUT)
    finally:
        await room.server.engine.orchestrator.resume(room.company)


@row("task not runnable", 503, "hotbot.not.ready", "not runnable", retry_after=r"[1-9]\d*")
async def not_runnable(room: Room) -> httpx.Response:
    tasks = room.server.engine.tasks
    await room.allocate(ZIP, 2)
    await tasks.set_runnable(room.company, ZIP, runnable=False)
    try:
        return await room.execute(ZIP, INPUT)
    finally:
        await tasks.set_runnable(room.company, ZIP, runnable=True)


@row("server fault", 500, "generic.server.exception", "log has it")
async def fault(room: Room) -> httpx.Response:
    async def broken(*_: object) -> None:
        raise RuntimeError("on purpose")

    tasks = room.server.engine.tasks
    tasks.list = broken  # type: ignore[method-assign,assignment]
    try:
        return await room.send("POST", "/v2/repository/file/list")
    finally:
        del tasks.list


@pytest.mark.parametrize("name", ROWS)
async def test_the_row(room: Room, name: str) -> None:
    wanted = ROWS[name]

    answer = await wanted.provoke(room)

    problem = refused(answer, wanted.status, wanted.code)
    assert wanted.told in problem["message"] + str(problem["details"])
    for header, pattern in wanted.headers.items():
        assert re.fullmatch(pattern, answer.headers[header.replace("_", "-")])


# ---------------------------------------------------------------- beside the table


async def test_access_details_of_what_is_not_there_are_told_by_path(room: Room) -> None:
    unknown, cold = room.path("Nowhere"), room.path("Cold")

    found = await room.ok(
        "POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": [unknown, cold]}, room.developer
    )

    assert found["accessDetails"] == {}
    assert list(found["errors"]) == [unknown, cold]
    assert all(isinstance(each, str) and each for each in found["errors"].values())


async def test_a_pool_that_is_shutting_down_answers_503_and_finishes_what_it_has(
    memory_path: Path,
) -> None:
    async with running_runyard(memory_path, drain="60s") as server, furnished(server) as room:
        await room.allocate("Sleep", 2)
        url, token = await room.access("Sleep")
        long, short = {"botInput": {"seconds": 3}}, {"botInput": {"seconds": 0}}
        under_way = asyncio.ensure_future(room.send("POST", url, long, token))
        await room.in_flight("Sleep", 1)

        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)  # noqa: TID251 - lets it begin
        refusal = await room.send("POST", url, short, token)

        problem = refused(refusal, 503, "hotbot.not.ready")
        assert "stop" in problem["message"]
        assert int(refusal.headers["retry-after"]) >= 1
        assert (await under_way).status_code == 200
        assert await stopping


def test_the_page_has_every_code_and_no_other() -> None:
    section = PAGE.read_text().partition("## Errors")[2].partition("\n## ")[0]
    documented = set()
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1][:1].isdigit():
            documented |= set(re.findall(r"`([\w.]+)`", cells[2]))

    assert documented == {row.code for row in ROWS.values()}


async def test_answers_do_not_tell_whether_a_user_exists(room: Room) -> None:
    """Neither in what they say nor in how long they take."""
    known = (await room.user()).email

    async def tried(name: str) -> tuple[dict[str, Any], float]:
        begun = time.monotonic()
        answer = await log_in(room, username=name, password="wrong password")
        return refused(answer, 401, "auth.credentials.invalid"), time.monotonic() - begun

    pairs = [
        (await tried(known), await tried(f"nobody{number}@example.com")) for number in range(4)
    ]

    assert all(one[0] == other[0] for one, other in pairs)
    fastest_known = min(one[1] for one, _ in pairs)
    fastest_unknown = min(other[1] for _, other in pairs)
    assert 0.5 < fastest_known / fastest_unknown < 2
