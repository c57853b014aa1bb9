"""A server with a company, and people at their browsers: some real, some made of HTTP alone."""

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

from runyard.engine.logins import Origin
from runyard.engine.passwords import Passwords
from runyard.model.companies import Company
from runyard.model.tokens import Role
from runyard.model.users import Grant, User
from runyard.server.app import Server
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import running_server

HERE = Path(__file__).parent
GOOD = "correct horse battery"
SAME_SITE = {"sec-fetch-site": "same-origin"}
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        uses = getattr(item, "fixturenames", ())
        if HERE in item.path.parents and "place" in uses:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


_hashes: list[str] = []


async def hash_of_good() -> str:
    """What is stored of the password: hashed once, for hashing takes its time on purpose."""
    if not _hashes:
        _hashes.append(await Passwords().hash(GOOD))
    return _hashes[0]


@dataclass
class Visitor:
    """Somebody at a browser."""

    client: httpx.AsyncClient
    user: User | None = None

    async def get(self, path: str, **more) -> httpx.Response:
        return await self.client.get(path, **more)

    async def form_token(self, path: str = "/console/account") -> str:
        """What the forms of a page carry."""
        page = (await self.get(path)).text
        return re.findall(r'name="form_token" value="([^"]*)"', page)[0]

    async def post(self, path: str, /, page: str = "/console/account", **fields) -> httpx.Response:
        """Send a form as its page would."""
        data = {"form_token": await self.form_token(page), **fields}
        return await self.client.post(path, data=data, headers=SAME_SITE)


@dataclass
class Place:
    """A server with a company of the test's own."""

    server: Server
    company: Company
    opened: AsyncExitStack

    async def stranger(self, **headers: str) -> Visitor:
        """Somebody who has never been here."""
        client = httpx.AsyncClient(
            base_url=self.server.url,
            headers={"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0", **headers},
            timeout=httpx.Timeout(30),
            trust_env=False,
            verify=False,
        )
        return Visitor(await self.opened.enter_async_context(client))

    async def a_user(self, role: Role | None = None, *, everywhere: bool = False) -> User:
        """A user with a password, and a role in the company or everywhere."""
        where = None if everywhere else self.company.id
        grants = () if role is None else (Grant(company_id=where, role=role),)
        email = f"user{next(_numbers)}@example.com"
        engine = self.server.engine
        user = await engine.users.create(email, grants=grants)
        await engine._store.users.set_password(user.id, await hash_of_good(), engine.clock.now())
        return await engine.users.load(email)

    async def signed_in(self, role: Role | None = None, *, everywhere: bool = False) -> Visitor:
        """Such a user, signed in."""
        return await self.browser_of(await self.a_user(role, everywhere=everywhere))

    async def browser_of(self, user: User) -> Visitor:
        """A browser in which this user is signed in."""
        visitor = await self.stranger()
        origin = Origin(address="127.0.0.1", browser="Firefox/140.0")
        new = await self.server.engine.logins.open(user, origin)
        port = self.server.url.rpartition(":")[2]
        visitor.client.cookies.set(f"runyard-login-{port}", new.secret, domain="127.0.0.1")
        visitor.user = user
        return visitor


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A server over each database."""
    database = None
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_server").create_database()
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with running_server(Path(folder), database) as server:
            yield server


@pytest_asyncio.fixture(loop_scope="module")
async def place(house: Server) -> AsyncIterator[Place]:
    """The module's server with a fresh company."""
    company = await house.engine.companies.create(f"acme-{next(_numbers)}", name="Acme Ltd")
    async with AsyncExitStack() as opened:
        yield Place(house, company, opened)
