"""Calls over the native API with a head that came before: answered as they are when it is read anew."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio

from runyard.engine.allocations import AllocationOptions
from runyard.model.allocations import Overflow
from tests.scenarios.test_calls import Caller, a_caller
from tests.support.server import a_secret
from tests.support.wires import Answer, Wire, a_wire

ANEW = b"\r\n"
OWN = ("id", "public_id", "duration", "trace")
"""What any two answers differ in."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    database = None
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_server").create_database()
    async with a_caller(database) as caller:
        yield caller


def head(secret: str, task: str, size: int) -> bytes:
    return (
        f"POST /runyard/v1/companies/acme/tasks/{task}/call HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {secret}\r\ncontent-type: application/json\r\n"
        f"content-length: {size}\r\n\r\n"
    ).encode()


def told(answer: Answer) -> tuple[int, dict[str, str], object]:
    status, headers, _ = answer.told
    found = json.loads(answer.body)
    return status, headers, {name: found[name] for name in found if name not in OWN}


class Program:
    """Calls a task again and again with one token."""

    def __init__(self, caller: Caller, wire: Wire, secret: str, task: str) -> None:
        self.house = caller.server.house
        self.wire = wire
        self.secret = secret
        self.task = task

    async def ask(self, body: bytes, *, anew: bool = False) -> Answer:
        before = ANEW if anew else b""
        return await self.wire.post(head(self.secret, self.task, len(body)), body, before=before)

    async def know(self, good: bytes, size: int) -> None:
        """Let the server learn the head for bodies of this size."""
        answer = await self.ask(good.ljust(size))
        assert answer.status == 200, answer

    async def compare(self, good: bytes, body: bytes) -> tuple[Answer, bool]:
        """The answer to this body, which is the same both ways; whether the short one was there."""
        ordinary = await self.ask(body, anew=True)
        await self.know(good, len(body))
        before = self.house.shortened["call_task"]
        short = await self.ask(body)
        assert told(short) == told(ordinary), body
        return short, self.house.shortened["call_task"] > before

    async def is_refused(self, body: bytes, status: int) -> None:
        """Both ways alike, and not on the short one."""
        before = self.house.shortened["call_task"]
        again = await self.ask(body)
        assert self.house.shortened["call_task"] == before
        anew = await self.ask(body, anew=True)
        assert told(again) == told(anew)
        assert again.status == status, again

    async def is_known(self, good: bytes) -> None:
        """Call until the short way was taken."""
        for _ in range(5):
            before = self.house.shortened["call_task"]
            assert (await self.ask(good)).status == 200
            if self.house.shortened["call_task"] > before:
                return
        pytest.fail("the short way is never taken")


ADD = b'{"input":{"a":3}}'


@pytest.mark.parametrize(
    "seldom", [b'{"input":{"a":3},"durable":true}', b'{"input": {"a": 3, "b": 4}}']
)
async def test_calls_are_answered_alike(caller: Caller, seldom: bytes) -> None:
    await caller.allocate("Add")
    secret = await a_secret(caller.server, "acme")
    async with a_wire(caller.server) as wire:
        program = Program(caller, wire, secret, "Add")
        found = []
        for _ in range(3):  # what was found out may be too old just now, on PostgreSQL
            answer, is_short = await program.compare(ADD, seldom)
            found.append(is_short)
            assert answer.status == 200
            kept = (await caller.client.get(f"/runs/{answer.headers['x-execution-id']}")).json()
            if b"durable" in seldom:
                assert kept["id"] == int(answer.headers["x-execution-id"])

    assert any(found)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":{"a":"x"}, "durable": false}',
        b'{"input":{"a":3},"input":{"a":4}}',
        b'{"input":{"a":3,"a":4}}     ',
        b'{"input":{"c":3}}           ',
        b'{"input":[]}                ',
        b'{"input":null}              ',
        b'{"unknown":1, "input":{"a":3}}',
        b'{"input":{"a":3}            ',
        b'{"input":{"a":1e400}}       ',
        b'{"input":{"a":"\xff"}}           ',
        b"                                 ",
    ],
)
async def test_what_is_refused_is_refused_alike(caller: Caller, body: bytes) -> None:
    await caller.allocate("Add")
    secret = await a_secret(caller.server, "acme")
    async with a_wire(caller.server) as wire:
        answer, is_short = await Program(caller, wire, secret, "Add").compare(ADD, body)

    assert answer.status in {400, 422}
    assert not is_short


async def test_ends_of_all_kinds_are_told_alike(caller: Caller) -> None:
    secret = await a_secret(caller.server, "acme")
    for task, good, body, state in (
        ("Crash", b'{"input":{"really":false}}', b'{"input":{"really":true}} ', "failed"),
        ("Whole", b'{"input":{"n":1}}', b'{"input":{"n":2000000}}', "completed"),
        ("Sleep", b'{"input":{"seconds":0}}', b'{"input":{"seconds":60}}', "failed"),
    ):
        await caller.allocate(task, deadline="PT1S")
        async with a_wire(caller.server) as wire:
            program = Program(caller, wire, secret, task)
            for _ in range(3):
                answer, is_short = await program.compare(good, body)
                if is_short:
                    break
        assert is_short, task
        assert answer.status == 200
        assert json.loads(answer.body)["state"] == state


@asynccontextmanager
async def known(caller: Caller) -> AsyncIterator[Program]:
    """A program that has called a task on the short way just now."""
    await caller.allocate("Add")
    secret = await a_secret(caller.server, "acme")
    async with a_wire(caller.server) as wire:
        program = Program(caller, wire, secret, "Add")
        await program.is_known(ADD)
        yield program


async def test_what_is_called_may_change_between_two_calls(caller: Caller) -> None:
    engine = caller.server.engine
    company = await engine.companies.load("acme")
    async with known(caller) as program:
        await engine.tasks.set_runnable(company, "Add", runnable=False)
        await program.is_refused(ADD, 503)
        await engine.tasks.set_runnable(company, "Add", runnable=True)
        await program.is_known(ADD)
        await engine.allocations.delete(company, "Add")
        await program.is_refused(ADD, 404)
        await caller.allocate("Add")
        await program.is_known(ADD)


async def test_a_token_that_was_revoked_calls_nothing(caller: Caller) -> None:
    engine = caller.server.engine
    company = await engine.companies.load("acme")
    async with known(caller) as program:
        newest = (await engine.tokens.list(company))[0]

        await engine.tokens.revoke(company.id, newest.id)

        await program.is_refused(ADD, 401)


async def test_calls_beyond_the_limit_are_refused_spilled_or_wait(caller: Caller) -> None:
    engine = caller.server.engine
    company = await engine.companies.load("acme")
    task = await engine.tasks.load(company, "Add")
    async with known(caller) as program:
        everything = engine.allocations.all_kept
        [kept] = [kept for kept in everything if kept.allocation.task_id == task.id]
        kept.take()

        await program.is_refused(ADD, 429)
        spilling = AllocationOptions(overflow=Overflow.SPILL)
        await engine.allocations.put(company, "Add", spilling)
        spilled = [await program.ask(ADD, anew=anew) for anew in (False, True)]
        waiting = AllocationOptions(overflow=Overflow.WAIT, wait=timedelta(milliseconds=20))
        await engine.allocations.put(company, "Add", waiting)
        waited = [await program.ask(ADD, anew=anew) for anew in (False, True)]
        kept.leave()

        assert [answer.status for answer in spilled] == [202, 202]
        assert told(waited[0]) == told(waited[1])
        assert waited[0].status == 429
        await program.is_known(ADD)
