"""A server with systems that may call, and a worker that the test moves by hand.

The server serves a whole module, once on each database; companies and systems are each test's own.
"""

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from runyard.model.companies import Company
from runyard.model.ids import RunId
from runyard.model.systems import System
from runyard.model.tasks import Declaration, Policies, Task
from runyard.model.types import (
    Boolean,
    DateTime,
    Field,
    FileValue,
    Integer,
    ListOf,
    Nullable,
    Number,
    Text,
    ValueType,
)
from runyard.server.app import Server
from tests.support.postgres import PostgresServer
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import HandWorker, a_declaration, running_server

HERE = Path(__file__).parent
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        has_own_loop = getattr(item.module, "OWN_LOOPS", False)
        is_async = HERE in item.path.parents and item.get_closest_marker("asyncio")
        if is_async and not has_own_loop:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


def optional(name: str, kind: ValueType) -> Field:
    return Field(name=name, parameter=name, type=Nullable(kind), required=False)


INPUTS = (
    Field(name="StringParam_in", parameter="text", type=Text()),
    optional("FileParam_in", FileValue()),
    optional("DateTimeParam_in", DateTime()),
    optional("BoolParam_in", Boolean()),
    optional("DoubleParam_in", Number()),
    optional("IntParam_in", Integer()),
    optional("ArrayParam_in", ListOf(FileValue())),
)
"""The seven inputs of the vendor's page."""
OUTPUTS = (
    optional("StringValue_out", Text()),
    optional("FileValue_out", FileValue()),
    optional("DateTimeValue_out", DateTime()),
    optional("BoolValue_out", Boolean()),
    optional("DoubleValue_out", Number()),
    optional("IntValue_out", Integer()),
)
"""Its six outputs."""


def an_intake(
    policies: Policies | None = None,
    *,
    name: str = "Order intake",
    fingerprint: str = "1",
    inputs: Sequence[Field] = INPUTS,
    outputs: Sequence[Field] = OUTPUTS,
) -> Declaration:
    """The vendor's process as a task."""
    return a_declaration(
        name,
        inputs=inputs,
        outputs=outputs,
        policies=policies,
        fingerprint=fingerprint,
    )


async def a_bundle_of_bytes(content: bytes = b"zip") -> AsyncIterator[bytes]:
    yield content


@dataclass(frozen=True)
class Caller:
    """A system, and its way of calling."""

    server: Server
    company: Company
    system: System
    uuid: str
    http: httpx.AsyncClient

    async def call(self, path: str, **members: Any) -> httpx.Response:
        """The answer to a call, whatever it is."""
        return await self.http.post(path, json={"auth_tkn": self.uuid, **members})

    async def done(self, path: str, **members: Any) -> Any:
        """The JSON of a call that succeeds."""
        answer = await self.call(path, **members)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, number: int, path: str, **members: Any) -> str:
        """Why a call is refused, with this number in the body and as HTTP status."""
        answer = await self.call(path, **members)
        found = answer.json()
        assert (answer.status_code, found["status"]) == (number, number), answer.text
        assert set(found) == {"status", "ErrorMessage"}
        return str(found["ErrorMessage"])

    async def task(self, name: str = "Order intake") -> Task:
        """A task of the company."""
        return await self.server.engine.tasks.load(self.company, name)

    async def asked(self, ctx: object = None, **members: Any) -> dict[str, Any]:
        """A task as create takes it: what `ctx` says over a complete input."""
        if ctx is None:
            ctx = {"StringParam_in": "Ada"}
        text = ctx if isinstance(ctx, str) else json.dumps(ctx)
        process = str((await self.task()).uuid)
        return {"process": process, "version": 0, "ctx": text, **members}

    async def create(self, ctx: object = None, **members: Any) -> int:
        """The id of a new task."""
        answer = await self.done("/orchestra/task/create", task=await self.asked(ctx, **members))
        assert answer["status"] == 201
        return int(answer["task"]["id"])

    async def not_created(self, number: int, ctx: object = None, **members: Any) -> str:
        """Why a task is not created."""
        task = await self.asked(ctx, **members)
        return await self.refused(number, "/orchestra/task/create", task=task)

    async def status(self, task: int) -> dict[str, Any]:
        """A task as it stands."""
        answer = await self.done("/orchestra/task/status", id=task)
        is_over = answer["task"]["status"] in {"DONE", "ERROR"}
        assert answer["status"] == (200 if is_over else 201)
        return dict(answer["task"])

    async def until(self, task: int, *statuses: str) -> dict[str, Any]:
        """A task once it has one of these statuses."""
        async with asyncio.timeout(60):
            while True:
                found = await self.status(task)
                if found["status"] in statuses:
                    return found
                await asyncio.sleep(0.02)  # noqa: TID251 - polls as a caller does

    async def cancel(self, task: int) -> dict[str, Any]:
        """A task that was cancelled."""
        answer = await self.done("/orchestra/task/cancel", id=task)
        assert answer["status"] == 200
        return dict(answer["task"])


def lines_of(task: dict[str, Any]) -> list[str]:
    """The log of a task, line by line."""
    log = task.get("log", "")
    assert not log or log.endswith("\n")
    return str(log).splitlines()


@dataclass(frozen=True)
class Place:
    """Two companies with a task each, the first with two systems, and the worker of both."""

    server: Server
    worker: HandWorker
    bpm: Caller
    """The system that most tests call as."""
    erp: Caller
    """Another one of the same company."""
    foreign: Caller
    """One of another company."""

    async def deploy(self, *found: Declaration, content: bytes = b"zip") -> None:
        """New versions of what the bundle has now."""
        self.worker.finds = list(found)
        engine = self.server.engine
        await engine.deploys.deploy(self.bpm.company, "examples", a_bundle_of_bytes(content))

    async def over(self, output: bytes | None = None, *, error: str = "") -> dict[str, Any]:
        """A task that is over."""
        task = await self.bpm.create()
        await self.worker.ends(task, output or b"{}", error=error)
        return await self.bpm.until(task, "ERROR" if error else "DONE")

    async def taken(self, tasks: Iterable[int]) -> int:
        """The one of these tasks that the worker has been given."""
        async with asyncio.timeout(60):
            while True:
                if found := [task for task in tasks if RunId(task) in self.worker.assigned]:
                    [task] = found
                    return task
                await asyncio.sleep(0.01)  # noqa: TID251 - looks into the worker's own queue

    async def file(self, task: int, name: str, content: bytes) -> dict[str, Any]:
        """A file that a task returns, as its output refers to it."""
        kept = await self.server.engine.files.keep(
            self.bpm.company.id,
            name,
            "application/pdf",
            a_bundle_of_bytes(content),
            limit=1024,
            run=RunId(task),
        )
        return dict(msgspec.to_builtins(kept.reference()))


def client_at(server: Server) -> httpx.AsyncClient:
    """A client of the dialect."""
    return httpx.AsyncClient(
        base_url=f"{server.url}/v1", timeout=httpx.Timeout(60), trust_env=False
    )


async def a_caller(
    server: Server,
    company: Company,
    http: httpx.AsyncClient,
    name: str,
    *,
    allowed: bool = True,
    files_from: Sequence[str] = (),
) -> Caller:
    """A new system of a company."""
    created = await server.engine.systems.create(
        company, name, allowed=allowed, files_from=files_from
    )
    return Caller(server, company, created.system, created.uuid, http)


_numbers = itertools.count(1)


@asynccontextmanager
async def a_place(server: Server, worker: HandWorker) -> AsyncIterator[Place]:
    """Fresh companies at this server."""
    number = next(_numbers)
    engine = server.engine
    worker.forget()
    worker.finds = [an_intake()]
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(client_at(server))
        acme = await engine.companies.create(f"acme-{number}")
        globex = await engine.companies.create(f"globex-{number}")
        for company in (acme, globex):
            await engine.deploys.deploy(company, "examples", a_bundle_of_bytes())
        yield Place(
            server,
            worker,
            await a_caller(server, acme, http, "Finance BPM", files_from=["127.0.0.1"]),
            await a_caller(server, acme, http, "ERP"),
            await a_caller(server, globex, http, "Finance BPM"),
        )


@asynccontextmanager
async def a_house(
    database: str | None = None, **given: object
) -> AsyncIterator[tuple[Server, HandWorker]]:
    """A server with these settings, and its worker."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with running_server(Path(folder), database, **given) as server:
            worker = HandWorker(server.engine)
            await worker.connect(slots=100)
            yield server, worker


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, HandWorker]]:
    """A server and its worker, on either database; settings as the module has them in SETTINGS."""
    given = getattr(request.module, "SETTINGS", {})
    if request.param == "sqlite":
        async with a_house(**given) as found:
            yield found
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    dsn = postgres.create_database()
    async with a_house(dsn, **given) as found:
        yield found
    postgres.drop_database(dsn)


@pytest_asyncio.fixture(loop_scope="module")
async def place(house: tuple[Server, HandWorker]) -> AsyncIterator[Place]:
    """The module's server with fresh companies."""
    async with a_place(*house) as found:
        yield found
