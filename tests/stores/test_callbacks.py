"""The outbox of callbacks: what makes them due, who may send them, what becomes of them."""

import asyncio
from typing import Any

import msgspec
import pytest

from runyard.model.callbacks import Callback, CallbackSecret, CallbackState
from runyard.model.ids import CallbackId, RunId
from runyard.model.states import Cause, RunState
from runyard.stores.contract.callbacks import CallbackEnd, CallbackHold, NewCallback
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, NOW, KnownTask, World, a_finish, a_move, later
from tests.stores.test_starting import a_key

HOLDER = 7
CANCELLED: dict[str, Any] = {"cause": Cause.CANCELLED}


def a_callback(world: World, host: str = "https://a.example") -> NewCallback:
    number = world.next_id()
    return NewCallback(
        id=CallbackId(number),
        public_id=number.to_bytes(16, "big"),
        dialect="native",
        url=f"{host}/ended",
        host=host,
    )


async def a_run(task: KnownTask, world: World, *hosts: str) -> RunId:
    callbacks = tuple(a_callback(world, host) for host in hosts or ("https://a.example",))
    return await task.start(callbacks=callbacks)


async def an_ended_run(task: KnownTask, world: World, *hosts: str) -> RunId:
    """A run that was executed, its callbacks due since `later(2)`."""
    run = await a_run(task, world, *hosts)
    [claimed] = await world.claim(task)
    await world.store.runs.finish([a_finish(claimed)])
    await world.store.callbacks.ripen([run], later(2))
    return run


async def only(store: Store, run: RunId) -> Callback:
    [callback] = await store.callbacks.of_run(ACME, run)
    return callback


async def held(store: Store, run: RunId, at: float = 3, holder: int = HOLDER) -> list[CallbackId]:
    callbacks = await store.callbacks.of_run(ACME, run)
    holds = [
        CallbackHold(run_id=run, callback_id=c.id, holder=holder, until=later(at + 60))
        for c in callbacks
    ]
    return sorted(set(await store.callbacks.hold(holds, later(at))))


def an_end(callback: Callback, **changes: Any) -> CallbackEnd:
    end = CallbackEnd(
        run_id=callback.run_id,
        callback_id=callback.id,
        holder=HOLDER,
        tries=callback.tries,
        state=CallbackState.DELIVERED,
        ended_at=later(4),
        answered=204,
    )
    return msgspec.structs.replace(end, **changes)


async def test_a_callback_waits_for_its_run(world: World) -> None:
    task = await world.add_task()
    run = await a_run(task, world)

    callback = await only(world.store, run)

    assert callback.state is CallbackState.WAITING
    assert (callback.tries, callback.due_at, callback.answered) == (0, None, None)
    assert await world.store.callbacks.awaited(10) == [run]
    pending = await world.store.callbacks.pending()
    assert (pending.has_ended, pending.next_due_at) == (False, None)


async def test_runs_without_callbacks_are_in_no_way_concerned(world: World) -> None:
    task = await world.add_task()

    await task.ended()

    assert not (await world.store.callbacks.pending()).has_ended
    assert await world.store.callbacks.awaited(10) == []


@pytest.mark.parametrize("way", ["finished", "cancelled", "cleaned"])
async def test_whatever_ends_a_run_makes_its_callbacks_due(world: World, way: str) -> None:
    task = await world.add_task()
    run = await a_run(task, world)
    match way:
        case "finished":
            [claimed] = await world.claim(task)
            await world.store.runs.finish([a_finish(claimed)])
        case "cancelled":
            await world.store.runs.move(
                [a_move(run, [RunState.QUEUED], RunState.CANCELLED, **CANCELLED)]
            )
        case _:
            assert await world.store.runs.clean(ACME, task.gate, later(1), 10) == [run]

    assert (await world.store.callbacks.pending()).has_ended
    assert await world.store.callbacks.ended_runs(10) == [run]
    await world.store.callbacks.ripen([run], later(2))

    callback = await only(world.store, run)
    assert (callback.state, callback.due_at) == (CallbackState.DUE, later(2))
    pending = await world.store.callbacks.pending()
    assert (pending.has_ended, pending.next_due_at) == (False, later(2))
    assert await world.store.callbacks.awaited(10) == []


async def test_a_run_that_has_not_ended_does_not_ripen(world: World) -> None:
    task = await world.add_task()
    run = await a_run(task, world)

    await world.store.callbacks.ripen([run], later(2))

    assert (await only(world.store, run)).state is CallbackState.WAITING


async def test_a_repeated_start_inserts_no_callback(world: World) -> None:
    task = await world.add_task()
    first, second = (task.new_run(callbacks=(a_callback(world),)) for _ in range(2))
    await world.store.runs.start([first], a_key(task, first.id))

    outcome = await world.store.runs.start([second], a_key(task, second.id))

    assert not outcome.inserted
    assert await world.store.callbacks.awaited(10) == [first.id]


async def test_several_runs_of_one_start_have_their_own(world: World) -> None:
    task = await world.add_task()
    plain = task.new_run()
    told = [
        task.new_run(callbacks=(a_callback(world, "https://b.example"), a_callback(world)))
        for _ in range(3)
    ]

    await world.store.runs.start([*told, plain])

    for run in told:
        found = await world.store.callbacks.of_run(ACME, run.id)
        assert [callback.id for callback in found] == [callback.id for callback in run.callbacks]
    assert await world.store.callbacks.of_run(ACME, plain.id) == []


async def test_hosts_are_found_one_by_one_and_each_has_its_own_queue(world: World) -> None:
    task = await world.add_task()
    for host in ("https://b.example", "https://a.example", "https://c.example"):
        for _ in range(3):
            await an_ended_run(task, world, host)
    late = await an_ended_run(task, world, "https://d.example")
    [callback] = await world.store.callbacks.of_run(ACME, late)
    await held(world.store, late)
    await world.store.callbacks.settle(
        [
            an_end(
                msgspec.structs.replace(callback, tries=1),
                state=CallbackState.DUE,
                due_at=later(99),
                ended_at=None,
            )
        ]
    )

    hosts = await world.store.callbacks.due_hosts(later(5), 10)
    due = await world.store.callbacks.due("https://b.example", later(5), 2)

    assert hosts == ["https://a.example", "https://b.example", "https://c.example"]
    assert await world.store.callbacks.due_hosts(later(5), 2) == hosts[:2]
    assert [c.host for c in due] == ["https://b.example"] * 2
    assert due[0].id < due[1].id
    assert await world.store.callbacks.due_hosts(later(100), 10) == [*hosts, "https://d.example"]


async def test_only_one_holder_gets_a_callback(world: World) -> None:
    task = await world.add_task()
    run = await an_ended_run(task, world)

    first, second = await asyncio.gather(
        held(world.store, run, holder=1), held(world.store, run, holder=2)
    )

    assert len(first) + len(second) == 1
    callback = await only(world.store, run)
    assert (callback.state, callback.tries) == (CallbackState.SENDING, 1)
    assert callback.due_at == later(63)
    assert await world.store.callbacks.due_hosts(later(62), 10) == []


async def test_what_a_dead_server_held_becomes_due_by_itself(world: World) -> None:
    task = await world.add_task()
    run = await an_ended_run(task, world)
    await held(world.store, run, holder=1)

    assert await held(world.store, run, at=62, holder=2) == []
    assert await held(world.store, run, at=63, holder=2) != []

    callback = await only(world.store, run)
    await world.store.callbacks.settle([an_end(callback, holder=1, tries=1)])
    assert (await only(world.store, run)).state is CallbackState.SENDING, "too late"
    await world.store.callbacks.settle([an_end(callback, holder=2)])
    assert (await only(world.store, run)).state is CallbackState.DELIVERED


async def test_all_that_was_held_is_released_at_once_where_there_is_one_server(
    world: World,
) -> None:
    task = await world.add_task()
    run = await an_ended_run(task, world)
    await held(world.store, run)

    await world.store.callbacks.release(later(4))

    callback = await only(world.store, run)
    assert (callback.state, callback.due_at) == (CallbackState.DUE, later(4))


async def test_an_end_is_kept_with_what_was_answered(world: World) -> None:
    task = await world.add_task()
    run = await an_ended_run(task, world, "https://a.example", "https://b.example")
    await held(world.store, run)
    first, second = await world.store.callbacks.of_run(ACME, run)

    await world.store.callbacks.settle(
        [
            an_end(first),
            an_end(
                second,
                state=CallbackState.DUE,
                due_at=later(9),
                ended_at=None,
                answered=500,
                detail="its receiver answered 500",
            ),
        ]
    )

    first, second = await world.store.callbacks.of_run(ACME, run)
    assert (first.state, first.answered, first.due_at) == (CallbackState.DELIVERED, 204, None)
    assert first.ended_at == later(4)
    assert (second.state, second.answered, second.due_at) == (CallbackState.DUE, 500, later(9))
    assert second.detail == "its receiver answered 500"


async def test_dead_ones_are_listed_and_sent_again(world: World) -> None:
    task = await world.add_task()
    runs = [await an_ended_run(task, world) for _ in range(3)]
    for run in runs[:2]:
        await held(world.store, run)
        callback = await only(world.store, run)
        await world.store.callbacks.settle(
            [an_end(callback, state=CallbackState.DEAD, answered=None, detail="no")]
        )

    callbacks = world.store.callbacks
    dead = await callbacks.page(ACME, CallbackState.DEAD, None, 10)
    assert [callback.run_id for callback in dead] == [runs[1], runs[0]]
    assert await callbacks.count(ACME, CallbackState.DEAD) == 2
    assert await callbacks.count(ACME, None) == 3
    assert await callbacks.page(ACME, CallbackState.DEAD, dead[0].id, 10) == dead[1:]
    assert [c.run_id for c in await callbacks.page(ACME, None, None, 10)] == runs[::-1]

    assert await callbacks.resend(GLOBEX, dead, later(10)) == 0
    assert await callbacks.resend(ACME, dead, later(10)) == 2

    again = await only(world.store, runs[0])
    assert (again.state, again.tries, again.due_at) == (CallbackState.DUE, 0, later(10))


async def test_what_waits_or_is_being_sent_is_not_sent_again(world: World) -> None:
    task = await world.add_task()
    sending = await an_ended_run(task, world)
    await held(world.store, sending)
    waiting = await a_run(task, world)
    callbacks = [await only(world.store, run) for run in (sending, waiting)]

    assert await world.store.callbacks.resend(ACME, callbacks, later(10)) == 0


async def test_a_callback_belongs_to_its_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    run = await a_run(task, world)
    callback = await only(world.store, run)

    callbacks = world.store.callbacks
    assert await callbacks.find(ACME, callback.id) == callback
    assert await callbacks.find_by_public_id(ACME, callback.public_id) == callback
    assert await callbacks.find(GLOBEX, callback.id) is None
    assert await callbacks.find_by_public_id(GLOBEX, callback.public_id) is None
    assert await callbacks.of_run(GLOBEX, run) == []
    assert await callbacks.page(GLOBEX, None, None, 10) == []


async def test_callbacks_go_with_their_run(world: World) -> None:
    task = await world.add_task()
    run = await an_ended_run(task, world)

    assert await world.store.runs.prune(ACME, task.id, later(10), 10) == 1

    assert await world.store.callbacks.of_run(ACME, run) == []
    assert (await world.store.callbacks.pending()).next_due_at is None


async def test_a_secret_is_rotated_once_however_many_ask(world: World) -> None:
    callbacks = world.store.callbacks
    assert await callbacks.secret(ACME) == CallbackSecret()

    rotated = await asyncio.gather(*(callbacks.rotate_secret(ACME, 1, NOW) for _ in range(3)))

    assert sorted(rotated) == [False, False, True]
    assert await callbacks.secret(ACME) == CallbackSecret(number=2, previous_until=NOW)
    assert await callbacks.rotate_secret(ACME, 2, later(5))
    assert await callbacks.secret(ACME) == CallbackSecret(number=3, previous_until=later(5))
    assert await callbacks.secret(GLOBEX) == CallbackSecret()


async def test_the_mark_of_the_first_master_key_stays(store: Store) -> None:
    assert await store.keep_key_mark(b"first") == b"first"
    assert await store.keep_key_mark(b"second") == b"first"
