"""The native API from end to end: real code, a real worker, both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from runyard.server.app import Server
from tests.support.server import a_bundle, a_secret, client_of, running_runyard

ZIP = {"content-type": "application/zip"}
CODE = """
    import time
    from dataclasses import dataclass

    from runyard import File, log, task


    @dataclass
    class Figures:
        lines: int
        report: File


    @task("Count lines")
    def count_lines(text: File) -> Figures:
        \"\"\"How many lines a file has.\"\"\"
        lines = text.read_text().splitlines()
        log.info(f"read {len(lines)} lines")
        return Figures(len(lines), File.write("report.txt", f"{len(lines)} lines"))


    @task("Fail")
    def fail(reason: str) -> None:
        raise ValueError(reason)


    @task("Loop")
    def loop() -> None:
        while True:
            time.sleep(0.01)


    @task("Nothing", concurrency=1)
    def nothing() -> None:
        pass
"""


@pytest.fixture(params=["sqlite", "postgres"])
async def server(request: pytest.FixtureRequest, memory_path: Path) -> AsyncIterator[Server]:
    database = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    async with running_runyard(memory_path, database) as found:
        yield found


@pytest.fixture
async def acme(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a company with the tasks above."""
    await server.engine.companies.create("acme")
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(
            client_of(server, await a_secret(server, "acme"), "/companies/acme")
        )
        deployed = await client.post(
            "/bundles?name=tasks", content=a_bundle({"tasks.py": CODE}), headers=ZIP
        )
        assert deployed.status_code == 201, deployed.text
        yield client


async def ended(client: httpx.AsyncClient, task: str, **values: object) -> dict[str, object]:
    """A run of this task once it has ended."""
    started = await client.post("/runs", json={"task": task, "input": values})
    assert started.status_code == 201, started.text
    return (await client.get(f"/runs/{started.json()['id']}/wait?timeout=60")).json()


async def test_a_file_goes_in_and_a_file_comes_out(acme: httpx.AsyncClient) -> None:
    upload = await acme.post(
        "/files", files={"file": ("a.txt", b"one\ntwo\nthree\n", "text/plain")}
    )

    run = await ended(acme, "Count lines", text=upload.json()["id"])

    assert run["state"] == "completed", run["error"]
    assert run["outputs"]["lines"] == 3
    [listed] = (await acme.get(f"/runs/{run['id']}/files")).json()["items"]
    assert listed["id"] == run["outputs"]["report"]["file"]
    content = await acme.get(f"/files/{listed['id']}/content")
    assert content.content == b"3 lines"
    logs = (await acme.get(f"/runs/{run['id']}/logs")).json()
    assert [line["text"] for line in logs["lines"]] == ["read 3 lines"]


async def test_a_task_that_raises_tells_why_and_everything_else_goes_on(
    acme: httpx.AsyncClient,
) -> None:
    failed = await ended(acme, "Fail", reason="out of paper")
    after = await ended(acme, "Nothing")

    assert (failed["state"], failed["cause"]) == ("failed", "raised")
    assert failed["error"]["kind"] == "ValueError"
    assert failed["error"]["message"] == "out of paper"
    assert (after["state"], after["cause"]) == ("completed", "returned_nothing")


async def test_a_run_that_never_ends_is_killed(acme: httpx.AsyncClient) -> None:
    run = (await acme.post("/runs", json={"task": "Loop"})).json()["id"]
    while (await acme.get(f"/runs/{run}")).json()["attempt"] == 0:
        await asyncio.wait([asyncio.ensure_future(acme.get(f"/runs/{run}/wait?timeout=0.05"))])

    killed = await acme.post(f"/runs/{run}/kill")

    assert killed.status_code == 200
    assert killed.json()["confirmed"] is True
    assert killed.json()["run"]["cause"] == "cancelled"


async def test_broken_code_is_refused_with_its_place_and_changes_nothing(
    acme: httpx.AsyncClient,
) -> None:
    before = (await acme.get("/tasks")).json()

    refused = await acme.post(
        "/bundles?name=tasks",
        content=a_bundle({"tasks.py": "from runyard import task\n\ndef broken(:\n"}),
        headers=ZIP,
    )

    assert refused.status_code == 400
    assert refused.json()["code"] == "code_refused"
    assert (refused.json()["file"], refused.json()["line"]) == ("tasks.py", 3)
    assert (await acme.get("/tasks")).json() == before


async def test_many_runs_of_one_request_all_complete(acme: httpx.AsyncClient) -> None:
    started = await acme.post("/runs", json={"runs": [{"task": "Nothing"}] * 100})

    ids = [run["id"] for run in started.json()["runs"]]
    for run in ids:
        assert (await acme.get(f"/runs/{run}/wait?timeout=60")).json()["state"] == "completed"
    total = (await acme.get("/runs?state=completed&limit=1")).json()["total"]
    assert total == len(ids) == 100


async def test_a_run_is_followed_live_from_start_to_end(acme: httpx.AsyncClient) -> None:
    upload = await acme.post("/files", files={"file": ("a.txt", b"one\n", "text/plain")})
    parked = {"task": "Count lines", "input": {"text": upload.json()["id"]}, "parked": True}
    run = (await acme.post("/runs", json=parked)).json()["id"]
    names: list[str] = []

    async with acme.stream("GET", f"/runs/{run}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
                if len(names) == 1:
                    await acme.post(f"/runs/{run}/release")

    assert names[0] == names[-1] == "state"
    assert "lines" in names
