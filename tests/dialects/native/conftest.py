"""A server with two companies, a task in each, and a worker that the test moves by hand."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from runyard.server.app import Server
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import HandWorker, a_secret, client_of, running_server

ZIP = {"content-type": "application/zip"}


@dataclass(frozen=True)
class Place:
    """What most tests need."""

    server: Server
    worker: HandWorker
    admin: httpx.AsyncClient
    """With the administrator's token of the installation."""
    acme: httpx.AsyncClient
    """With an administrator's token of company acme."""
    globex: httpx.AsyncClient
    """With an administrator's token of company globex."""

    async def start(self, zip_code: str = "76131", **more: object) -> int:
        """The id of a new run of acme."""
        body = {"task": "Zip code", "input": {"zip": zip_code}, **more}
        answer = await self.acme.post("/companies/acme/runs", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def finished(self, output: bytes | None = b'{"place":"Fort Worth"}', **more: str) -> int:
        """The id of a run that has ended."""
        run = await self.start()
        await self.worker.ends(run, output, **more)
        await self.acme.get(f"/companies/acme/runs/{run}/wait")
        return run


@pytest.fixture
async def place(memory_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(running_server(memory_path))
        yield await furnish(server, opened)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def steady() -> AsyncIterator[Place]:
    """The same, shared by tests of a module that change nothing; they run in the module's loop."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with AsyncExitStack() as opened:
            server = await opened.enter_async_context(running_server(Path(folder)))
            yield await furnish(server, opened)


async def furnish(server: Server, opened: AsyncExitStack) -> Place:
    """The server with its companies, tasks, worker and clients."""
    admin = await opened.enter_async_context(client_of(server))
    worker = HandWorker(server.engine)
    await worker.connect(slots=4)
    clients = []
    for slug in ("acme", "globex"):
        assert (await admin.post("/companies", json={"slug": slug})).status_code == 201
        secret = await a_secret(server, slug)
        clients.append(await opened.enter_async_context(client_of(server, secret)))
        answer = await admin.post(
            f"/companies/{slug}/bundles?name=examples", content=b"zip", headers=ZIP
        )
        assert answer.status_code == 201, answer.text
    return Place(server, worker, admin, *clients)
