"""A canary in everything that a task says: nobody finds it, over both databases."""

from collections.abc import AsyncIterator

import pytest

from runyard.engine.logins import Origin
from runyard.engine.tokens import new_secret, sealed_secret
from runyard.model.tokens import Role, TokenKind
from runyard.model.users import Grant
from tests.scenarios.test_calls import Caller, a_caller

CODE = """
import sys

from runyard import log, task


@task("Tell")
def tell(backwards: str) -> str:
    secret = backwards[::-1]
    print(f"printed {secret} here")
    print(f"complained {secret}", file=sys.stderr)
    log.warning(f"logged {secret}")
    raise RuntimeError(f"raised {secret}")
"""
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", "postgres"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    database = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    async with a_caller(database) as caller:
        await caller.deploy(CODE)
        yield caller


async def a_ticket(caller: Caller) -> str:
    """What a login in the Automation Anywhere dialect is answered."""
    engine = caller.server.engine
    company = await engine.companies.load("acme")
    grants = (Grant(company_id=company.id, role=Role.DEVELOPER),)
    await engine.users.create("ann@example.com", grants=grants, password=PASSWORD)
    new = await engine.tickets.log_in(
        "ann@example.com", PASSWORD, Origin(address="192.0.2.1"), is_multiple=False
    )
    return new.token


@pytest.mark.parametrize("what", ["token", "login", "ticket"])
async def test_no_token_that_a_task_tells_is_kept(caller: Caller, what: str) -> None:
    secrets = {
        "token": lambda: new_secret(TokenKind.NATIVE),
        "login": lambda: sealed_secret("login"),
    }
    secret = await a_ticket(caller) if what == "ticket" else secrets[what]()
    started = await caller.client.post(
        "/runs", json={"task": "Tell", "input": {"backwards": secret[::-1]}}
    )
    run = started.json()["public_id"]
    ended = await caller.client.get(f"/runs/{run}/wait?timeout=30")
    await caller.allocate("Tell")
    called = await caller.call("Tell", backwards=secret[::-1])

    texts = [
        ended.text,
        (await caller.client.get(f"/runs/{run}/logs")).text,
        called.text,
        (await caller.client.get(f"/runs/{called.json()['public_id']}")).text,
        (await caller.client.get(f"/runs/{called.json()['public_id']}/logs")).text,
    ]

    for ended_with, logged in ((texts[0], texts[1]), (texts[2] + texts[3], texts[4])):
        assert "raised" in ended_with
        assert "***" in ended_with
        assert all(said in logged for said in ("printed", "complained", "logged"))
    assert secret not in "".join(texts)
    assert not _is_on_disk(caller, secret)


def _is_on_disk(caller: Caller, secret: str) -> bool:
    folder = caller.server.settings.data
    return any(secret.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
