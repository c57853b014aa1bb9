"""A server with two companies, a task in each, and a worker that the test moves by hand.

The server serves a whole module, whose tests share its event loop; companies are each test's own.
"""

import asyncio
import itertools
import re
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
from tests.support.server import (
    API,
    HandWorker,
    a_secret,
    administrator_secret,
    client_of,
    running_server,
)

ZIP = {"content-type": "application/zip"}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@dataclass(frozen=True)
class Place:
    """What most tests need."""

    server: Server
    worker: HandWorker
    admin: httpx.AsyncClient
    """With the administrator's token of the installation, at the root of the API."""
    acme: httpx.AsyncClient
    """With an administrator's token of a company of the test's own, at that company's address."""
    globex: httpx.AsyncClient
    """The same of another company."""
    acme_slug: str
    globex_slug: str

    async def start(self, zip_code: str = "76131", **more: object) -> int:
        """The id of a new run of acme."""
        body = {"task": "Zip code", "input": {"zip": zip_code}, **more}
        answer = await self.acme.post("/runs", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def finished(self, **how: str) -> int:
        """The id of a run of acme that has ended."""
        run = await self.start()
        await self.worker.ends(run, **how)
        await self.acme.get(f"/runs/{run}/wait")
        return run

    def client(self, secret: str, path: str = "") -> httpx.AsyncClient:
        """A further client, with this token; the caller closes it."""
        return client_of(self.server, secret, path)


_PART = 65536


async def answer_to_announcement(
    place: Place, path: str, content_type: str, size: int, *, sent: int = 0
) -> bytes:
    """What acme is answered when it announces a body of so many bytes and sends only these many,
    all of them before it reads.
    """
    host, _, port = place.server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = (
        f"POST {API}/companies/{place.acme_slug}{path} HTTP/1.1",
        "host: runyard",
        f"authorization: {place.acme.headers['authorization']}",
        f"content-type: {content_type}",
        f"content-length: {size}",
    )
    writer.write("\r\n".join((*lines, "", "")).encode())
    for _ in range(sent // _PART):
        writer.write(b" " * _PART)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = re.findall(rb"content-length: (\d+)", head)
    answer = head + await reader.readexactly(int(length))
    writer.close()
    return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[tuple[Server, HandWorker]]:
    """A server and its worker."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with running_server(Path(folder), allow_outbound="127.0.0.1") as server:
            worker = HandWorker(server.engine)
            await worker.connect(slots=100)
            yield server, worker


_numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="module")
async def place(house: tuple[Server, HandWorker]) -> AsyncIterator[Place]:
    """The module's server with two fresh companies."""
    async with AsyncExitStack() as opened:
        yield await furnish(*house, opened)


async def furnish(server: Server, worker: HandWorker, opened: AsyncExitStack) -> Place:
    """The server with two fresh companies, each with a task."""
    worker.forget()
    admin = await opened.enter_async_context(client_of(server, administrator_secret(server)))
    number = next(_numbers)
    clients, slugs = [], (f"acme-{number}", f"globex-{number}")
    for slug in slugs:
        created = await admin.post("/companies", json={"slug": slug})
        assert created.status_code == 201, created.text
        secret = await a_secret(server, slug)
        clients.append(
            await opened.enter_async_context(client_of(server, secret, f"/companies/{slug}"))
        )
        deployed = await clients[-1].post("/bundles?name=examples", content=b"zip", headers=ZIP)
        assert deployed.status_code == 201, deployed.text
    return Place(server, worker, admin, *clients, *slugs)
