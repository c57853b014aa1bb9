"""Who of the workers may execute: asked, allowed, locked, drained, removed, and under which name."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from runyard.model.errors import WorkerBuiltIn, WorkerNotFound
from runyard.model.states import RunState
from runyard.model.tokens import Role, Token, TokenKind
from runyard.model.workers import WorkerState
from runyard.protocol import frames
from tests.gateway.conftest import Doorway, Line, hello


async def a_token(door: Doorway, *, joins: bool = False, lasting: timedelta | None = None) -> Token:
    created = await door.yard.engine.tokens.create(
        TokenKind.WORKER, door.yard.company, role=Role.OPERATOR, joins=joins, lasting=lasting
    )
    return created.token


async def an_applicant(door: Doorway, token: Token | None = None) -> Line:
    line = door.line(token or await a_token(door))
    line.say(hello())
    await line.hears(frames.Pending)
    return line


async def a_member(door: Doorway, token: Token | None = None, capacity: int = 2) -> Line:
    line = door.line(token or await a_token(door, joins=True))
    line.say(hello())
    await line.hears(frames.Welcome)
    line.say(frames.Capacity(capacity))
    return line


async def the_worker(door: Doorway):
    return await door.yard.engine.workers.load(door.yard.company.id, "wire")


async def test_a_new_worker_waits_until_it_is_allowed_and_then_works(door: Doorway) -> None:
    await door.yard.a_task()
    line = await an_applicant(door)
    run = await door.yard.a_run()
    await door.yard.turned()
    worker = await the_worker(door)
    assert (worker.state, worker.address) == (WorkerState.REQUEST, "10.0.0.7")
    line.say(frames.Heartbeat(0, 1))
    assert (await line.hears(frames.Renewed)).number == 1

    await door.yard.engine.workers.allow(worker)

    await line.hears(frames.Welcome)
    line.say(frames.Capacity(1))
    assert (await line.hears(frames.Assignments)).runs[0].run_id == run.id


async def test_what_an_applicant_may_not_say_ends_its_conversation(door: Doorway) -> None:
    line = await an_applicant(door)

    line.say(frames.Capacity(5))

    assert "protocol violation" in await line.is_closed()


async def test_an_applicant_that_leaves_is_forgotten(door: Doorway) -> None:
    line = await an_applicant(door)

    line.say(frames.Goodbye("changed my mind"))
    await line.is_closed()
    await door.yard.engine.workers.allow(await the_worker(door))

    assert [view.online for view in await door.yard.engine.workers.list()] == [False]


async def test_a_token_that_joins_lets_a_worker_in_at_once(door: Doorway) -> None:
    await a_member(door)

    assert (await the_worker(door)).state is WorkerState.ALLOWED


async def test_a_locked_worker_is_sent_away_and_kept_out(door: Doorway) -> None:
    """Even with a token that joins. What it executed is dead first, and executed elsewhere then."""
    await door.yard.a_task()
    token = await a_token(door, joins=True)
    line = await a_member(door, token, capacity=1)
    run = await door.yard.a_run()
    [assigned] = (await line.hears(frames.Assignments)).runs
    line.say(frames.Begun((frames.Start(assigned.run_id, assigned.token, door.yard.clock.now()),)))

    locking = asyncio.ensure_future(door.yard.engine.workers.keep_out(await the_worker(door)))
    kill = await line.hears(frames.Kill)
    assert [lease.run_id for lease in kill.runs] == [run.id]
    line.say(frames.Killed(kill.request, kill.runs))
    assert (await asyncio.wait_for(locking, 10)).state is WorkerState.LOCKED
    refusal = await line.hears(frames.Refusal)
    await line.is_closed()
    again = door.line(token)
    again.say(hello())

    assert refusal.code == (await again.hears(frames.Refusal)).code == "locked"
    await door.yard.engine.attempts.settled()
    assert (await door.yard.run(run)).state is not RunState.FAILED
    assert not any(view.online for view in await door.yard.engine.workers.list())


async def test_a_locked_worker_that_is_allowed_again_is_let_in(door: Doorway) -> None:
    line = await a_member(door)
    await door.yard.engine.workers.keep_out(await the_worker(door))
    await line.is_closed()

    await door.yard.engine.workers.allow(await the_worker(door))

    await a_member(door)


async def test_a_draining_worker_gives_back_what_has_not_begun_and_gets_nothing_more(
    door: Doorway,
) -> None:
    await door.yard.a_task()
    line = await a_member(door, capacity=2)
    begun, unbegun = await door.yard.a_run(), await door.yard.a_run()
    first = (await line.hears(frames.Assignments)).runs[0]
    await line.hears(frames.Assignments)
    line.say(frames.Begun((frames.Start(first.run_id, first.token, door.yard.clock.now()),)))
    await door.yard.turned()

    draining = asyncio.ensure_future(door.yard.engine.workers.drain(await the_worker(door)))
    recall = await line.hears(frames.Recall)
    line.say(frames.Recalled(recall.request, recall.runs))
    assert (await asyncio.wait_for(draining, 10)).draining
    await door.yard.turned()

    assert [lease.run_id for lease in recall.runs] == [unbegun.id]
    assert (await door.yard.run(unbegun)).state is RunState.QUEUED
    assert (await door.yard.run(begun)).state is RunState.RUNNING
    await door.yard.engine.workers.allow(await the_worker(door))
    assert (await line.hears(frames.Assignments)).runs[0].run_id == unbegun.id


async def test_a_worker_that_drains_still_does_so_when_it_comes_again(door: Doorway) -> None:
    await door.yard.a_task()
    line = await a_member(door)
    await door.yard.engine.workers.drain(await the_worker(door))
    line.say(frames.Goodbye())
    await line.is_closed()
    await door.yard.turned()

    await a_member(door)
    run = await door.yard.a_run()
    await door.yard.turned()

    assert (await door.yard.run(run)).state is RunState.QUEUED


async def test_a_removed_worker_has_to_be_allowed_anew(door: Doorway) -> None:
    token = await a_token(door)
    line = await an_applicant(door, token)
    await door.yard.engine.workers.allow(await the_worker(door))
    await line.hears(frames.Welcome)

    await door.yard.engine.workers.remove(await the_worker(door))

    assert (await line.hears(frames.Refusal)).code == "removed"
    with pytest.raises(WorkerNotFound):
        await the_worker(door)
    await an_applicant(door, token)


async def test_the_worker_inside_a_server_is_drained_but_not_locked(door: Doorway) -> None:
    line = door.line()
    line.say(hello())
    await line.hears(frames.Welcome)
    # Nothing tells where it connects from: it is part of the server.
    worker = await door.yard.engine.workers.load(None, "wire")
    built_in = msgspec.structs.replace(worker, address="")

    with pytest.raises(WorkerBuiltIn):
        await door.yard.engine.workers.keep_out(built_in)
    with pytest.raises(WorkerBuiltIn):
        await door.yard.engine.workers.remove(built_in)

    assert (await door.yard.engine.workers.drain(built_in)).draining


@pytest.mark.parametrize("how", ["revoked", "expired"])
@pytest.mark.parametrize("state", ["waits", "works"])
async def test_a_token_that_is_over_sends_its_worker_away(
    door: Doorway, how: str, state: str
) -> None:
    token = await a_token(door, joins=state == "works", lasting=timedelta(seconds=30))
    line = await (a_member if state == "works" else an_applicant)(door, token)

    if how == "revoked":
        await door.yard.engine.tokens.revoke(door.yard.company.id, token.id)
    else:
        for number in range(1, 20):
            door.yard.clock.advance(timedelta(seconds=4))
            line.say(frames.Heartbeat(0, number))
            await door.yard.turned()
            if line.closed is not None:
                break

    assert (await line.hears(frames.Refusal)).code == "token"
    await line.is_closed()


async def test_a_name_in_use_is_refused_and_free_again_afterwards(door: Doorway) -> None:
    token = await a_token(door, joins=True)
    first = await a_member(door, token)

    second = door.line(token)
    second.say(hello())
    refusal = await second.hears(frames.Refusal)

    assert refusal.code == "name_taken"
    assert "wire" in refusal.detail
    assert "10.0.0.7" in refusal.detail
    first.say(frames.Goodbye())
    await first.is_closed()
    await door.yard.turned()
    await a_member(door, token)


@pytest.mark.parametrize("name", ["", "7", "a\nb", "x" * 501])
async def test_a_name_that_none_may_have_is_refused_for_good(door: Doorway, name: str) -> None:
    """Digits alone would be taken for the id of another worker."""
    line = door.line(await a_token(door, joins=True))
    line.say(hello(name=name))

    refusal = await line.hears(frames.Refusal)

    assert refusal.code == "unfit"
    assert "not digits alone" in refusal.detail
    await line.is_closed()


async def test_names_are_each_companys_own(door: Doorway) -> None:
    await a_member(door)
    other = await door.yard.engine.companies.create("globex")
    created = await door.yard.engine.tokens.create(
        TokenKind.WORKER, other, role=Role.OPERATOR, joins=True
    )

    await a_member(door, created.token)

    assert len(await door.yard.engine.workers.list()) == 2
