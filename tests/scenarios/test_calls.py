"""Real-time calls of a real server with a real worker, over both databases."""

import asyncio
import json
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from runyard.model.tokens import Role
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import (
    a_bundle,
    a_secret,
    administrator_secret,
    client_of,
    running_runyard,
)

ZIP = {"content-type": "application/zip"}
CODE = """
import os
import time
from pathlib import Path

from runyard import File, log, step, task


@task("Add")
def add(a: int, b: int = 1) -> int:
    return a + b


@task("Version")
def version() -> str:
    return "VERSION"


@task("Crash")
def crash(really: bool) -> str:
    if really:
        os._exit(3)
    return "alive"


@task("Raise")
def fail() -> str:
    print("said before it failed")
    raise ValueError("no such thing")


@task("Sleep")
def sleep(seconds: float, folder: str = "") -> str:
    log.info("sleeping")
    begun = time.time()
    time.sleep(seconds)
    return f"{begun} {time.time()}"


@task("Whole")
def whole(n: int) -> dict:
    return {"text": "x" * n, "step": step("seven", lambda: 7)}


@task("Paper")
def paper(text: str) -> File:
    Path("paper.txt").write_text(text)
    return File(Path("paper.txt"))
"""


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Return once this holds; nothing tells when it begins to."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)  # noqa: TID251


class Caller:
    """A company with warm tasks, and short words for what is asked of it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def deploy(self, code: str = CODE) -> None:
        bundle = a_bundle({"tasks.py": textwrap.dedent(code)})
        answer = await self.client.post("/bundles?name=calls", content=bundle, headers=ZIP)
        assert answer.status_code in {200, 201}, answer.text

    async def allocate(self, task: str, **how: object) -> dict:
        answer = await self.client.put(f"/tasks/{task}/allocation", json=how)
        assert answer.status_code == 200, answer.text
        await until(lambda: self._is_ready(task, how.get("limit", 1)))
        return (await self.client.get(f"/tasks/{task}/allocation")).json()

    async def _is_ready(self, task: str, children: object) -> bool:
        shown = (await self.client.get(f"/tasks/{task}/allocation")).json()
        return shown["children"] == children or shown["error"] is not None

    async def call(self, task: str, **more: object) -> httpx.Response:
        durable = more.pop("durable", False)
        body = {"input": more, "durable": durable}
        return await self.client.post(f"/tasks/{task}/call", json=body)

    async def answer(self, task: str, **more: object) -> dict:
        answer = await self.call(task, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(params=["sqlite", "postgres"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    database = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    async with a_caller(database) as caller:
        yield caller


@asynccontextmanager
async def a_caller(database: str | None = None) -> AsyncIterator[Caller]:
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with running_runyard(Path(folder), database) as server:
            async with client_of(server, administrator_secret(server)) as admin:
                await admin.post("/companies", json={"slug": "acme"})
            secret = await a_secret(server, "acme")
            async with client_of(server, secret, "/companies/acme") as client:
                caller = Caller(client)
                caller.server = server
                await caller.deploy()
                yield caller


async def test_a_call_answers_with_its_outputs_and_is_kept_as_a_run(caller: Caller) -> None:
    await caller.allocate("Add")

    answer = await caller.call("Add", a=3)

    called = answer.json()
    assert called["outputs"] == {"result": 4}
    assert (called["state"], called["cause"], called["version"]) == ("completed", "returned", 1)
    assert answer.headers["x-execution-id"] == str(called["id"])
    run = (await caller.client.get(f"/runs/{called['public_id']}")).json()
    assert run["id"] == called["id"]
    assert (run["trigger"], run["state"], run["input"]) == ("call", "completed", {"a": 3, "b": 1})
    listed = (await caller.client.get("/runs?trigger=call")).json()
    assert [each["id"] for each in listed["items"]] == [called["id"]]
    assert listed["total"] == 1


async def test_a_durable_call_is_on_disk_before_its_answer(caller: Caller) -> None:
    await caller.allocate("Add")

    called = await caller.answer("Add", a=1, durable=True)

    company = await caller.server.engine.companies.load("acme")
    store = caller.server.engine._store
    assert await store.calls.find(company.id, called["id"]) is not None


async def test_calls_and_runs_are_listed_together_page_by_page(caller: Caller) -> None:
    await caller.allocate("Add")
    ids = []
    for number in range(3):
        ids.append((await caller.answer("Add", a=number))["id"])
        started = await caller.client.post("/runs", json={"task": "Add", "input": {"a": number}})
        ids.append(started.json()["id"])

    seen: list[int] = []
    query = "?limit=2"
    while True:
        page = (await caller.client.get(f"/runs{query}")).json()
        seen += [run["id"] for run in page["items"]]
        assert page["total"] == 6
        if page["next"] is None:
            break
        query = f"?limit=2&cursor={page['next']}"

    assert seen == ids[::-1]


async def test_a_task_without_an_allocation_cannot_be_called(caller: Caller) -> None:
    answer = await caller.call("Add", a=1)

    assert answer.status_code == 404
    assert answer.json()["code"] == "allocation_not_found"
    assert (await caller.call("Nobody")).status_code == 404


async def test_an_input_that_does_not_fit_is_refused_before_it_is_executed(caller: Caller) -> None:
    await caller.allocate("Add")

    answer = await caller.call("Add", a="many", c=1)

    assert answer.status_code == 400
    fields = {problem["field"] for problem in answer.json()["problems"]}
    assert "a" in fields


async def test_beyond_its_limit_calls_are_refused_at_once(caller: Caller) -> None:
    await caller.allocate("Sleep", limit=2)
    begun = time.monotonic()

    answers = await asyncio.gather(*(caller.call("Sleep", seconds=1.0) for _ in range(5)))

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "limit_reached"
    assert refused.headers["retry-after"] == "1"
    assert time.monotonic() - begun < 30


async def test_calls_that_may_wait_never_execute_beyond_the_limit(caller: Caller) -> None:
    await caller.allocate("Sleep", limit=2, overflow="wait", wait="PT30S")

    answers = await asyncio.gather(*(caller.answer("Sleep", seconds=0.05) for _ in range(10)))

    spans = [tuple(map(float, each["outputs"]["result"].split())) for each in answers]
    edges = sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans])
    under_way = peak = 0
    for _, change in edges:
        under_way += change
        peak = max(peak, under_way)
    assert peak == 2


async def test_calls_that_waited_too_long_are_refused(caller: Caller) -> None:
    await caller.allocate("Sleep", limit=1, overflow="wait", wait="PT0.05S")

    answers = await asyncio.gather(*(caller.call("Sleep", seconds=1.0) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [200, 429]
    assert (await caller.call("Sleep", seconds=0.0)).status_code == 200


async def test_calls_that_spill_become_runs(caller: Caller) -> None:
    await caller.allocate("Sleep", limit=1, overflow="spill")

    answers = await asyncio.gather(*(caller.call("Sleep", seconds=0.5) for _ in range(2)))

    spilled = next(answer for answer in answers if answer.status_code == 202).json()
    run = (await caller.client.get(f"/runs/{spilled['id']}/wait?timeout=60")).json()
    assert (run["state"], run["trigger"]) == ("completed", "api")


async def test_a_call_that_takes_too_long_is_ended_and_the_next_one_works(caller: Caller) -> None:
    await caller.allocate("Sleep", deadline="PT0.3S")

    late = await caller.answer("Sleep", seconds=30)
    next_one = await caller.answer("Sleep", seconds=0)

    assert (late["state"], late["cause"]) == ("failed", "timed_out")
    assert next_one["state"] == "completed"


async def test_a_child_that_dies_fails_its_call_alone(caller: Caller) -> None:
    await caller.allocate("Crash")

    crashed = await caller.answer("Crash", really=True)
    after = [await caller.answer("Crash", really=False) for _ in range(3)]

    assert (crashed["state"], crashed["cause"]) == ("failed", "raised")
    assert "status 3" in crashed["error"]["message"]
    assert {each["outputs"]["result"] for each in after} == {"alive"}


async def test_what_a_failed_call_said_is_in_its_log(caller: Caller) -> None:
    await caller.allocate("Raise")

    failed = await caller.answer("Raise")

    assert failed["error"]["kind"] == "ValueError"
    log = (await caller.client.get(f"/runs/{failed['id']}/logs")).json()
    assert [line["text"] for line in log["lines"]] == ["said before it failed"]
    run = (await caller.client.get(f"/runs/{failed['id']}")).json()
    assert run["error"]["message"] == "no such thing"


async def test_large_values_files_and_steps_pass_through_calls(caller: Caller) -> None:
    await caller.allocate("Whole")
    await caller.allocate("Paper")

    whole = await caller.answer("Whole", n=300_000)
    paper = await caller.answer("Paper", text="on paper")

    result = whole["outputs"]["result"]
    assert (len(result["text"]), result["step"]) == (300_000, 7)
    file = paper["outputs"]["result"]["file"]
    content = await caller.client.get(f"/files/{file}/content")
    assert content.text == "on paper"


async def test_a_deploy_fails_no_call_and_takes_over(caller: Caller) -> None:
    await caller.allocate("Version", limit=2, overflow="wait", wait="PT30S")
    seen: list[str] = []
    is_over = asyncio.Event()

    async def keep_calling() -> None:
        while not is_over.is_set():
            answer = await caller.answer("Version")
            assert answer["state"] == "completed", answer
            seen.append(answer["outputs"]["result"])

    async with asyncio.TaskGroup() as group:
        calling = [group.create_task(keep_calling()) for _ in range(3)]  # noqa: F841
        await caller.deploy(CODE.replace("VERSION", "SECOND"))
        await until(lambda: asyncio.sleep(0, "SECOND" in seen))  # noqa: TID251 - only a value
        is_over.set()

    assert seen[0] == "VERSION"
    first = seen.index("SECOND")
    assert "VERSION" not in seen[first + 3 :], "the version before came back"


async def test_nothing_is_called_while_paused_or_not_runnable(caller: Caller) -> None:
    await caller.allocate("Add")

    await caller.client.put("/orchestrator", json={"runnable": False})
    paused = await caller.call("Add", a=1)
    await caller.client.put("/orchestrator", json={"runnable": True})
    await caller.client.put("/tasks/Add/runnable", json={"runnable": False})
    closed = await caller.call("Add", a=1)
    await caller.client.put("/tasks/Add/runnable", json={"runnable": True})

    assert (paused.status_code, paused.json()["code"]) == (503, "calls_paused")
    assert (closed.status_code, closed.json()["code"]) == (503, "calls_paused")
    assert (await caller.call("Add", a=1)).status_code == 200


async def test_a_killed_task_ends_its_calls(caller: Caller) -> None:
    await caller.allocate("Sleep")
    calling = asyncio.ensure_future(caller.answer("Sleep", seconds=60))

    async def is_under_way() -> bool:
        return (await caller.client.get("/tasks/Sleep/allocation")).json()["in_flight"] == 1

    await until(is_under_way)
    report = (await caller.client.post("/tasks/Sleep/kill")).json()
    called = await calling

    assert report["killed"] == [called["id"]]
    assert (called["state"], called["cause"]) == ("cancelled", "cancelled")
    assert (await caller.answer("Sleep", seconds=0))["state"] == "completed"


async def test_an_allocation_is_shown_listed_and_released(caller: Caller) -> None:
    await caller.allocate("Add", limit=2)
    await caller.answer("Add", a=1)

    listed = (await caller.client.get("/allocations")).json()
    [shown] = listed["items"]
    assert (shown["task"]["name"], shown["limit"], shown["children"]) == ("Add", 2, 2)
    assert shown["calls"] == 1
    assert sum(latency["count"] for latency in shown["latencies"]) == 1
    assert shown["memory"] > 0
    assert (await caller.client.delete("/tasks/Add/allocation")).status_code == 204
    assert (await caller.client.get("/allocations")).json()["items"] == []
    assert (await caller.call("Add", a=1)).status_code == 404
    assert (await caller.client.delete("/tasks/Add/allocation")).status_code == 404


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_000}, "limit"),
        ({"limit": "2"}, "limit"),
        ({"overflow": "explode"}, "overflow"),
        ({"deadline": "PT0S"}, "deadline"),
        ({"deadline": "PT3H"}, "deadline"),
        ({"wait": "PT2M"}, "wait"),
        ({"retention": "PT0S"}, "retention"),
        ({"limits": 2}, "limits"),
    ],
)
async def test_an_unfit_allocation_is_refused(how: dict, field: str) -> None:
    async with a_caller() as caller:
        answer = await caller.client.put("/tasks/Add/allocation", json=how)

        assert answer.status_code == 400
        assert answer.json()["problems"][0]["field"] == field


async def test_who_may_not_operate_may_not_call() -> None:
    async with a_caller() as caller:
        await caller.allocate("Add")
        secret = await a_secret(caller.server, "acme", Role.VIEWER)
        async with client_of(caller.server, secret, "/companies/acme") as viewer:
            body = {"input": {"a": 1}}
            assert (await viewer.post("/tasks/Add/call", json=body)).status_code == 403
            assert (await viewer.put("/tasks/Add/allocation", json={})).status_code == 403
            assert (await viewer.get("/tasks/Add/allocation")).status_code == 200
        form = await caller.client.post("/tasks/Add/call", content=json.dumps({"input": {}}))
        assert form.status_code == 415


async def test_any_server_answers_calls_and_one_keeps_the_children(
    postgres_dsn: str, tmp_path: Path
) -> None:
    """Two servers, a worker in each: the one that does not keep the task passes calls on."""
    async with (
        running_runyard(tmp_path / "one", postgres_dsn, server_name="one") as one,
        running_runyard(tmp_path / "two", postgres_dsn, server_name="two") as two,
    ):
        secret = administrator_secret(one)
        async with client_of(one, secret) as admin:
            await admin.post("/companies", json={"slug": "acme"})
        async with (
            client_of(one, secret, "/companies/acme") as here,
            client_of(two, secret, "/companies/acme") as there,
        ):
            caller = Caller(here)
            await caller.deploy()
            await caller.allocate("Add")
            other = Caller(there)
            await until(lambda: _knows(there, "one"))

            answers = [await who.call("Add", a=n) for n in range(3) for who in (caller, other)]
            refused = await other.call("Add", a="many")

            assert [answer.status_code for answer in answers] == [200] * 6
            assert len({answer.headers["x-execution-id"] for answer in answers}) == 6
            assert refused.status_code == 400
            shown = (await here.get("/tasks/Add/allocation")).json()
            assert (shown["server"], shown["calls"]) == ("one", 6)


async def _knows(client: httpx.AsyncClient, server: str) -> bool:
    return (await client.get("/tasks/Add/allocation")).json()["server"] == server


async def test_an_allocation_moves_when_its_server_leaves(
    postgres_dsn: str, tmp_path: Path
) -> None:
    """The other server keeps it within moments, and calls there are answered again."""
    async with running_runyard(tmp_path / "two", postgres_dsn, server_name="two") as two:
        async with running_runyard(
            tmp_path / "one", postgres_dsn, server_name="one", slots=0
        ) as one:
            secret = administrator_secret(two)
            async with client_of(one, secret) as admin:
                await admin.post("/companies", json={"slug": "acme"})
        async with client_of(two, secret, "/companies/acme") as client:
            caller = Caller(client)
            await caller.deploy()
            (tmp_path / "three").mkdir()
            (tmp_path / "three" / "blobs").symlink_to(tmp_path / "two" / "blobs")
            await caller.allocate("Add")
            async with running_runyard(tmp_path / "three", postgres_dsn, server_name="three"):
                await two.engine.drain()
                await until(lambda: _knows(client, "three"))

                async def answers() -> bool:
                    return (await caller.call("Add", a=1)).status_code == 200

                await until(answers)
