"""A server with a real worker, a company with API Tasks, and users of every role.

The server serves a whole module, whose tests share its event loop; users are each test's own.
"""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from runyard.model.companies import Company
from runyard.model.tokens import Role
from runyard.model.users import Grant, User
from runyard.server.app import Server
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import a_bundle, running_runyard

HERE = Path(__file__).parent
GOOD = "correct horse battery"
CONFIG = "/orchestrator/v1/hotbot/config"

CODE = """
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from runyard import File, Input, Output, task


@dataclass
class Where:
    state: Annotated[str, Output(name="State")]
    place: Annotated[str, Output(name="Place")]


@task("Zip Code API Task", path="Bots/Zip Code API Task")
def zip_code(zip: Annotated[str, Input(name="iStrZipCode")]) -> Where:
    if zip == "bad":
        raise ValueError("there is no such zip code")
    return Where(state="Texas", place=f"Fort Worth {zip}")


@task("Add", path="Bots/Sums/Add")
def add(a: int, b: float = 0.5) -> float:
    return a + b


@task("Nothing")
def nothing() -> None:
    pass


@task("Crash")
def crash(really: bool) -> str:
    if really:
        os._exit(3)
    return "alive"


@task("Sleep")
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return str(os.getpid())


@task("Paper")
def paper(scan: File, text: str = "") -> File:
    Path("paper.txt").write_bytes(scan.read_bytes() + text.encode())
    return File(Path("paper.txt"))


@task("Cold")
def cold() -> str:
    return "never allocated"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


async def uploaded(content: bytes) -> AsyncIterator[bytes]:
    yield content


_numbers = itertools.count(1)


@dataclass
class Room:
    """The company with its tasks, seen through the dialect."""

    server: Server
    company: Company
    http: httpx.AsyncClient
    """Without any token."""
    admin: str = ""
    """An administrator's token, for several sessions."""
    developer: str = ""
    ids: dict[str, int] = field(default_factory=dict)
    """Tasks by name."""
    secrets: dict[Role, str] = field(default_factory=dict)
    """A token for each role."""

    async def user(self, role: Role = Role.DEVELOPER) -> User:
        """A new user of the company."""
        grants = (Grant(company_id=self.company.id, role=role),)
        email = f"user{next(_numbers)}-{self.company.slug}@example.com"
        return await self.server.engine.users.create(email, grants=grants, password=GOOD)

    async def log_in(self, user: User, **more: Any) -> dict[str, Any]:
        """What a login with the password is answered."""
        body = {"username": user.email, "password": GOOD, **more}
        answer = await self.http.post("/v2/authentication", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def token(self, user: User, **more: Any) -> str:
        """The token of a login."""
        return str((await self.log_in(user, **more))["token"])

    async def send(
        self, method: str, path: str, body: object = None, token: str | None = None
    ) -> httpx.Response:
        """One request with a token, the administrator's unless given; none for the empty one."""
        token = self.admin if token is None else token
        headers = {"x-authorization": token} if token else {}
        if body is None:
            return await self.http.request(method, path, headers=headers)
        return await self.http.request(method, path, headers=headers, json=body)

    async def ok(
        self, method: str, path: str, body: object = None, token: str | None = None
    ) -> Any:
        """The JSON of an answer 200."""
        answer = await self.send(method, path, body, token)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def allocate(self, task: str, limit: int = 1) -> int:
        """Keep a task warm; its id."""
        body = {"fileId": str(self.ids[task]), "concurrencyLimit": limit}
        await self.ok("PUT", f"{CONFIG}/create", body)
        return self.ids[task]

    def path(self, task: str) -> str:
        """The repository path of a task."""
        folder = "Bots\\Sums" if task == "Add" else "Bots"
        return f"Automation Anywhere\\{folder}\\{task}"

    async def access(self, task: str) -> tuple[str, str]:
        """The address and token with which a task is executed."""
        path = self.path(task)
        body = {"botRepositoryPath": [path]}
        found = await self.ok("POST", f"{CONFIG}/accessdetails", body, self.developer)
        assert found["errors"] == {}
        details = found["accessDetails"][path]
        return details["url"], details["headers"]["X-Authorization"]

    async def in_flight(self, task: str, count: int) -> None:
        """Return once so many calls of a task execute; nothing tells when they do."""
        async with asyncio.timeout(30):
            allocations = self.server.engine.allocations
            while (await allocations.show(self.company, task)).in_flight < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # noqa: TID251 - see above

    async def execute(self, task: str, body: object = None) -> httpx.Response:
        """Execute an allocated task by its access details."""
        url, token = await self.access(task)
        return await self.send("POST", url, {} if body is None else body, token)


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, which must be the dialect's envelope."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"code", "details", "message"}
    assert body["code"] == code, body
    assert isinstance(body["message"], str)
    assert body["message"]
    assert body["details"] is None or all(isinstance(each, str) for each in body["details"])
    return body


@asynccontextmanager
async def furnished(server: Server, code: str = CODE) -> AsyncIterator[Room]:
    """The company acme with the tasks of this code on a server, and a session for each role."""
    engine = server.engine
    company = await engine.companies.create("acme")
    bundle = a_bundle({"tasks.py": code})
    async with asyncio.timeout(100):
        await engine.deploys.deploy(company, "tasks", uploaded(bundle))
    timeout = httpx.Timeout(60)
    async with httpx.AsyncClient(base_url=server.url, timeout=timeout, trust_env=False) as http:
        room = Room(server, company, http)
        room.ids = {task.name: task.id for task in await engine.tasks.list(company)}
        for role in Role:
            room.secrets[role] = await room.token(await room.user(role), multipleLogin=True)
        room.admin = room.secrets[Role.ADMINISTRATOR]
        room.developer = room.secrets[Role.DEVELOPER]
        yield room


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room() -> AsyncIterator[Room]:
    """A server of the module's own with the company acme and its tasks."""
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with (
            running_runyard(Path(folder), slots=2, allow_outbound=("127.0.0.1",)) as server,
            furnished(server) as room,
        ):
            yield room


@pytest_asyncio.fixture(loop_scope="module", params=["sqlite", "postgres"])
async def narrow(request: pytest.FixtureRequest, memory_path: Path) -> AsyncIterator[Room]:
    """A server of the test's own on either database, whose only worker has one slot."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    async with (
        running_runyard(memory_path, dsn, slots=1, allow_outbound=("127.0.0.1",)) as server,
        furnished(server) as room,
    ):
        yield room
