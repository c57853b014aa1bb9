"""What changes between two executions with the same head: the second is answered as any other way.

Each test sends the same bytes over the same connection before and after something changes, and once
more so that they are read anew. A short way that went by what it had found would be told by the first.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
import pytest_asyncio

from runyard.engine.allocations import Kept
from runyard.model.allocations import Overflow
from runyard.model.tokens import Role
from runyard.model.users import User
from tests.dialects.automation_anywhere.conftest import CONFIG, GOOD, Room, uploaded
from tests.dialects.automation_anywhere.short_ways import (
    ANEW,
    CODE,
    Both,
    a_room,
    allocated,
    both_of,
)
from tests.dialects.automation_anywhere.test_two_servers import two
from tests.support.server import a_bundle
from tests.support.wires import Answer, Wire, a_wire

TASK = "Deed"
BODY = json.dumps({"botInput": {"what": {"type": "STRING", "string": "well"}}}).encode()
OUTPUT = b'"string":"well 0"'


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """A server on either database."""
    is_shared = request.param == "postgres"
    postgres = request.getfixturevalue("postgres_server") if is_shared else None
    async with a_room(postgres) as room:
        yield room


class Known:
    """A user whose program has executed a task with this head just now, on the short way."""

    def __init__(self, both: Both, wire: Wire, user: User) -> None:
        self.both = both
        self.wire = wire
        self.user = user

    @property
    def room(self) -> Room:
        return self.both.room

    async def execute(self, *, anew: bool = False) -> Answer:
        return await self.wire.post(self.both.head(len(BODY)), BODY, before=ANEW if anew else b"")

    async def is_known(self) -> None:
        """Execute until the short way was taken."""
        for _ in range(5):  # what was found out may be too old just now, on PostgreSQL
            before = self.both.shortened
            answer = await self.execute()
            assert answer.status == 200, answer
            assert OUTPUT in answer.body
            if self.both.shortened > before:
                return
        pytest.fail("the short way is never taken")

    async def is_answered_like_any_other(self) -> Answer:
        """Neither the way that was there before nor another one is taken; the answer to both."""
        before = self.both.shortened
        again = await self.execute()
        assert self.both.shortened == before
        anew = await self.execute(anew=True)
        assert again.told == anew.told
        return again


async def a_known(room: Room, wire: Wire, *, logs_in: bool = False, shares: bool = True) -> Known:
    """`logs_in`: the token is that of a login. `shares`: which lets the user log in again."""
    await room.allocate(TASK)
    await allocated(room, TASK)
    user = await room.user()
    token = await room.token(user, multipleLogin=shares)
    path = room.path(TASK)
    found = await room.ok("POST", f"{CONFIG}/accessdetails", {"botRepositoryPath": [path]}, token)
    details = found["accessDetails"][path]
    chosen = token if logs_in else details["headers"]["X-Authorization"]
    known = Known(Both(room, details["url"], chosen), wire, user)
    await known.is_known()
    return known


Deed = Callable[[Known], Awaitable[object]]


async def deploy(room: Room, code: str) -> None:
    bundle = a_bundle({"tasks.py": code})
    async with asyncio.timeout(60):
        await room.server.engine.deploys.deploy(room.company, "tasks", uploaded(bundle))


# ---------------------------------------------------------------- who calls


USERS: dict[str, tuple[int, Deed]] = {
    "disabled": (401, lambda k: k.room.server.engine.users.disable(k.user)),
    "removed": (401, lambda k: k.room.server.engine.users.remove(k.user)),
    "no role": (401, lambda k: k.room.server.engine.users.withdraw(k.user, k.room.company)),
    "viewer": (
        403,
        lambda k: k.room.server.engine.users.grant(k.user, k.room.company, Role.VIEWER),
    ),
}


@pytest.mark.parametrize("token", ["of a call", "of a login"])
@pytest.mark.parametrize("what", USERS)
async def test_a_user_who_may_no_more_is_refused_at_once(
    place: Room, what: str, token: str
) -> None:
    status, change = USERS[what]
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire, logs_in=token == "of a login")

        await change(known)

        assert (await known.is_answered_like_any_other()).status == status


LOGINS: dict[str, tuple[str, Deed]] = {
    "logged out": ("logged out", lambda k: k.room.server.engine.tickets.log_out(k.both.token)),
    "refreshed": ("refreshed", lambda k: k.room.server.engine.tickets.refresh(k.both.token)),
    "again": ("logged in again", lambda k: k.room.token(k.user)),
    "password": (
        "revoked",
        lambda k: k.room.server.engine.users.set_password(k.user, GOOD + " indeed"),
    ),
}


@pytest.mark.parametrize("what", LOGINS)
async def test_a_login_that_has_ended_opens_nothing(place: Room, what: str) -> None:
    told, change = LOGINS[what]
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire, logs_in=True, shares=False)

        await change(known)

        answer = await known.is_answered_like_any_other()
        assert answer.status == 401
        assert told in answer.body.decode()


async def test_a_token_opens_nothing_once_it_has_expired(place: Room) -> None:
    tickets = place.server.engine.tickets
    before = tickets._settings
    tickets._settings = msgspec.structs.replace(before, call_life=timedelta(seconds=3))
    try:
        async with a_wire(place.server) as wire:
            known = await a_known(place, wire)
            deadline = time.monotonic() + 30
            while (answer := await known.execute()).status == 200:
                assert time.monotonic() < deadline

            assert answer.status == 401
            assert b"expired" in answer.body
            await known.is_answered_like_any_other()
    finally:
        tickets._settings = before


async def test_a_key_that_was_discarded_signs_for_nobody() -> None:
    async with a_room(None) as room, a_wire(room.server) as wire:
        known = await a_known(room, wire)

        await room.server.engine.signing.rotate(discard=True)

        for anew in (False, True):
            answer = await known.execute(anew=anew)
            assert answer.status == 401
            assert b"key" in answer.body


# ---------------------------------------------------------------- what is called


async def pause_company(known: Known) -> None:
    await known.room.server.engine.orchestrator.pause(known.room.company)


async def resume_company(known: Known) -> None:
    await known.room.server.engine.orchestrator.resume(known.room.company)


async def pause_task(known: Known) -> None:
    tasks = known.room.server.engine.tasks
    await tasks.set_runnable(known.room.company, TASK, runnable=False)


async def resume_task(known: Known) -> None:
    tasks = known.room.server.engine.tasks
    await tasks.set_runnable(known.room.company, TASK, runnable=True)


async def withdraw_task(known: Known) -> None:
    await deploy(known.room, CODE.replace('@task("Deed", path="Bots/Deed")\n', ""))


async def deploy_again(known: Known) -> None:
    await deploy(known.room, CODE)


async def end_allocation(known: Known) -> None:
    await known.room.server.engine.allocations.delete(known.room.company, TASK)


async def allocate_again(known: Known) -> None:
    await known.room.allocate(TASK)


async def drain_workers(known: Known) -> None:
    engine = known.room.server.engine
    for view in await engine.workers.list():
        await engine.workers.drain(view.worker)
    await engine.allocations.review()


async def allow_workers(known: Known) -> None:
    engine = known.room.server.engine
    for view in await engine.workers.list():
        await engine.workers.allow(view.worker)


async def fill_limit(known: Known) -> None:
    kept_of(known).take()


async def clear_limit(known: Known) -> None:
    kept_of(known).leave()


async def fill_pool(known: Known) -> None:
    kept = kept_of(known)
    kept.places.taken += kept.places.most


async def clear_pool(known: Known) -> None:
    kept = kept_of(known)
    kept.places.taken -= kept.places.most


def kept_of(known: Known) -> Kept:
    """How this server keeps the task warm."""
    task = known.room.ids[TASK]
    allocations = known.room.server.engine.allocations.all_kept
    return next(kept for kept in allocations if kept.allocation.task_id == task)


CHANGES: dict[str, tuple[int, Deed, Deed]] = {
    "company paused": (503, pause_company, resume_company),
    "task paused": (503, pause_task, resume_task),
    "task withdrawn": (503, withdraw_task, deploy_again),
    "allocation deleted": (404, end_allocation, allocate_again),
    "workers drain": (503, drain_workers, allow_workers),
    "limit reached": (429, fill_limit, clear_limit),
    "pool full": (429, fill_pool, clear_pool),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_task_that_cannot_be_called_now_is_not(place: Room, what: str) -> None:
    status, change, back = CHANGES[what]
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire)

        await change(known)
        try:
            answer = await known.is_answered_like_any_other()
        finally:
            await back(known)
            await allocated(place, TASK)

        assert answer.status == status, answer
        await known.is_known()


async def test_calls_that_wait_for_a_place_wait_on_either_way(place: Room) -> None:
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire)
        wait = timedelta(milliseconds=50)
        await allocated(place, TASK, overflow=Overflow.WAIT, wait=wait)
        kept = kept_of(known)
        kept.take()
        before = known.both.shortened
        short = await known.execute()
        ordinary = await known.execute(anew=True)
        assert known.both.shortened == before + 1
        kept.leave()

        assert short.told == ordinary.told
        assert short.status == 429
        await known.is_known()


async def test_a_new_version_answers_as_soon_as_it_serves(place: Room) -> None:
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire)

        await deploy(place, CODE.replace('f"{what} {number}"', 'f"anew: {what}"'))
        try:
            async with asyncio.timeout(60):
                while OUTPUT in (answer := await known.execute()).body:
                    assert answer.status == 200
            anew = await known.execute(anew=True)
        finally:
            await deploy(place, CODE)
        async with asyncio.timeout(60):
            while OUTPUT not in (await known.execute()).body:
                pass

    assert b'"string":"anew: well"' in answer.body
    assert answer.told == anew.told


async def test_records_that_pile_up_and_gates_unseen_are_seen_to_first(
    place: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_wire(place.server) as wire:
        known = await a_known(place, wire)
        with monkeypatch.context() as patched:
            patched.setattr("runyard.engine.call_records.MOST_PENDING", 0)
            assert (await known.is_answered_like_any_other()).status == 200
        await known.is_known()
        directory = place.server.engine._parts.directory
        if place.server.engine._parts.store.is_shared:
            directory._fresh_until = 0.0
            assert (await known.is_answered_like_any_other()).status == 200
            assert directory.is_fresh


async def test_a_server_that_stops_takes_nothing_new() -> None:
    async with a_room(None) as room, a_wire(room.server) as wire:
        known = await a_known(room, wire)

        room.server.house.streams.end()

        assert (await known.is_answered_like_any_other()).status == 503


@pytest.mark.parametrize("before", [b"", ANEW], ids=["short", "anew"])
async def test_a_server_that_stops_answers_what_executes(before: bytes) -> None:
    async with AsyncExitStack() as opened:
        async with a_room(None) as room:
            wire = await opened.enter_async_context(a_wire(room.server))
            both = await both_of(room, "Sleep")
            body = b'{"botInput":{"seconds":{"type":"NUMBER","number":"1.5"}}}'
            await both.know(wire, len(body))
            was = both.shortened
            asked = asyncio.ensure_future(wire.post(both.head(len(body)), body, before=before))
            await room.in_flight("Sleep", 1)
            assert (both.shortened > was) is (before == b"")

            await room.server.stop()

        assert (await asked).status == 200


async def test_an_execution_goes_on_whose_caller_has_left(place: Room) -> None:
    both = await both_of(place, "Sleep")
    body = b'{"botInput":{"seconds":{"type":"NUMBER","number":"0.5"}}}'
    for _ in range(5):
        async with a_wire(place.server) as wire:
            await both.know(wire, len(body))
            was = both.shortened
            asked = asyncio.ensure_future(wire.post(both.head(len(body)), body))
            await place.in_flight("Sleep", 1)
            is_short = both.shortened > was
            asked.cancel()
        async with asyncio.timeout(30):
            view = await place.server.engine.allocations.show(place.company, "Sleep")
            while view.in_flight:
                await asyncio.sleep(0.01)  # noqa: TID251 - nothing tells
                view = await place.server.engine.allocations.show(place.company, "Sleep")
        if is_short:
            break

    assert is_short
    async with a_wire(place.server) as wire:
        await both.know(wire, len(body))


# ---------------------------------------------------------------- at another server


@asynccontextmanager
async def known_there(dsn: str, folder) -> AsyncIterator[tuple[Known, object]]:
    """At the first of two servers."""
    async with two(dsn, folder) as (room, other):
        await deploy(room, CODE)
        room.ids |= {t.name: t.id for t in await room.server.engine.tasks.list(room.company)}
        async with a_wire(room.server) as wire:
            yield await a_known(room, wire), other


async def test_a_user_disabled_at_another_server_is_refused_soon(
    postgres_dsn: str, memory_path
) -> None:
    async with known_there(postgres_dsn, memory_path) as (known, other):
        user = await other.engine.users.load(known.user.email)

        await other.engine.users.disable(user)

        deadline = time.monotonic() + 10
        while (answer := await known.execute()).status == 200:
            assert time.monotonic() < deadline, "the token still opens"
        assert answer.status == 401
        await known.is_answered_like_any_other()


@pytest.mark.parametrize("what", ["task", "company"])
async def test_a_pause_at_another_server_holds_once_it_is_acknowledged(
    postgres_dsn: str, memory_path, what: str
) -> None:
    async with known_there(postgres_dsn, memory_path) as (known, other):
        if what == "task":
            await other.engine.tasks.set_runnable(known.room.company, TASK, runnable=False)
        else:
            await other.engine.orchestrator.pause(known.room.company)

        assert (await known.execute()).status == 503
        await known.is_answered_like_any_other()


async def test_an_allocation_that_another_server_ends_is_gone_soon(
    postgres_dsn: str, memory_path
) -> None:
    async with known_there(postgres_dsn, memory_path) as (known, other):
        await other.engine.allocations.delete(known.room.company, TASK)

        deadline = time.monotonic() + 10
        while (answer := await known.execute()).status == 200:
            assert time.monotonic() < deadline, "it is executed still"
        assert answer.status == 404
        await known.is_answered_like_any_other()
