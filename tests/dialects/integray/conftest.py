"""A server with companies under remote control, and a worker that the test moves by hand.

The server serves a whole module, whose tests share its event loop; companies are each test's own.
"""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from runyard.model.companies import Company
from runyard.server.app import Server
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import HandWorker, running_server

HERE = Path(__file__).parent
BASE = "/api/remote"


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        has_own_loop = getattr(item.module, "OWN_LOOPS", False)
        is_async = HERE in item.path.parents and item.get_closest_marker("asyncio")
        if is_async and not has_own_loop:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@dataclass(frozen=True)
class Control:
    """A company under remote control."""

    server: Server
    company: Company
    secret: str
    http: httpx.AsyncClient
    """At the company's address, with its token."""

    @property
    def slug(self) -> str:
        return self.company.slug

    async def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON; it must succeed."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, status: int = 200) -> Any:
        """The same of a POST."""
        answer = await self.http.post(path, json=body) if body else await self.http.post(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def put(self, path: str, body: object) -> Any:
        """The same of a PUT."""
        answer = await self.http.put(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def task(self, name: str = "Zip code") -> int:
        """The id of a task."""
        [task] = [task for task in await self.get("/tasks") if task["name"] == name]
        return int(task["taskId"])

    async def start(self, task: str = "Zip code", body: object = None) -> int:
        """The id of a new task run."""
        if body is None and task == "Zip code":
            body = {"input": {"zip": "76131"}}
        created = await self.post(f"/tasks/{await self.task(task)}/start", body, status=201)
        return int(created["taskRunId"])

    async def status(self, run: int) -> int:
        """The status of a task run."""
        return int((await self.get(f"/taskruns/{run}"))["statusId"])

    async def until(self, run: int, *statuses: int) -> dict[str, Any]:
        """The detail of a task run once it has one of these statuses."""
        async with asyncio.timeout(60):
            while True:
                found = await self.get(f"/taskruns/{run}")
                if found["statusId"] in statuses:
                    return dict(found)
                await asyncio.sleep(0.02)  # noqa: TID251 - polls as a caller does

    async def ended(self, run: int) -> dict[str, Any]:
        """The detail of a task run once it has ended."""
        async with asyncio.timeout(60):
            while (await self.get(f"/taskruns/{run}/wait", timeout=20))["finished"] is None:
                pass
        return dict(await self.get(f"/taskruns/{run}"))


async def controlled(server: Server, slug: str, opened: AsyncExitStack) -> Control:
    """A new company under remote control."""
    company = await server.engine.companies.create(slug)
    secret = (await server.engine.remote_control.allow(company)).secret
    http = await opened.enter_async_context(remote(server, f"{BASE}/{slug}", secret))
    return Control(server, company, secret, http)


def remote(server: Server, path: str, secret: str | None) -> httpx.AsyncClient:
    """A client with this token, bare as the vendor shows it."""
    return httpx.AsyncClient(
        base_url=f"{server.url}{path}",
        headers={} if secret is None else {"authorization": secret},
        timeout=httpx.Timeout(60),
        trust_env=False,
    )


async def a_bundle_of_bytes() -> AsyncIterator[bytes]:
    yield b"zip"


@dataclass(frozen=True)
class Place:
    """Two companies with a task each, and the worker of both."""

    server: Server
    worker: HandWorker
    acme: Control
    globex: Control

    async def finished(self, company: Control | None = None, **how: Any) -> int:
        """The id of a task run that has ended."""
        company = company or self.acme
        run = await company.start()
        await self.worker.ends(run, **how)
        await company.ended(run)
        return run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[tuple[Server, HandWorker]]:
    """A server and its worker."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with running_server(Path(folder)) as server:
            worker = HandWorker(server.engine)
            await worker.connect(slots=100)
            yield server, worker


_numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="module")
async def place(house: tuple[Server, HandWorker]) -> AsyncIterator[Place]:
    """The module's server with two fresh companies."""
    server, worker = house
    worker.forget()
    number = next(_numbers)
    async with AsyncExitStack() as opened:
        acme = await controlled(server, f"acme-{number}", opened)
        globex = await controlled(server, f"globex-{number}", opened)
        for control in (acme, globex):
            await server.engine.deploys.deploy(control.company, "examples", a_bundle_of_bytes())
        yield Place(server, worker, acme, globex)
