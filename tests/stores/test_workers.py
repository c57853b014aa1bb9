"""Workers and their sessions."""

from runyard.model.workers import WorkerState
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, NOW, World, a_finish, a_session, a_worker, later


async def test_a_worker_is_registered_as_it_is(store: Store) -> None:
    worker = a_worker(1, state=WorkerState.REQUEST, company_id=ACME, last_seen_at=NOW)

    assert await store.workers.register(worker) == worker
    assert await store.workers.list() == [worker]


async def test_a_worker_that_comes_again_keeps_its_id_and_what_was_decided(store: Store) -> None:
    await store.workers.register(a_worker(1, state=WorkerState.LOCKED, last_seen_at=NOW))
    assert await store.workers.set_draining(1, draining=True)

    again = await store.workers.register(
        a_worker(
            2,
            state=WorkerState.ALLOWED,
            slots=8,
            version="0.2.0",
            labels=(),
            isolation="confined",
            created_at=later(9),
        )
    )

    assert (again.id, again.state, again.created_at) == (1, WorkerState.LOCKED, NOW)
    assert (again.slots, again.version, again.labels) == (8, "0.2.0", ())
    assert (again.draining, again.last_seen_at, again.isolation) == (True, NOW, "confined")
    assert await store.workers.list() == [again]
    assert await store.workers.find(1) == await store.workers.find_by_name(None, "alice") == again


async def test_a_worker_in_request_may_come_allowed(store: Store) -> None:
    await store.workers.register(a_worker(1, state=WorkerState.REQUEST))

    assert (await store.workers.register(a_worker(2))).state is WorkerState.ALLOWED
    assert (await store.workers.register(a_worker(3, state=WorkerState.REQUEST))).state is (
        WorkerState.ALLOWED
    )


async def test_a_removed_worker_is_forgotten(store: Store) -> None:
    await store.workers.register(a_worker(1, company_id=ACME))

    assert await store.workers.find_by_name(None, "alice") is None
    assert await store.workers.remove(1)
    assert not await store.workers.remove(1)
    assert not await store.workers.set_draining(1, draining=True)

    assert await store.workers.list() == []
    assert await store.workers.find(1) is None


async def test_what_was_noted_of_workers_is_shown(store: Store) -> None:
    await store.workers.register(a_worker(1))

    await store.workers.note([(1, later(70), 5)])

    [worker] = await store.workers.list()
    assert (worker.last_seen_at, worker.busy) == (later(70), 5)


async def test_a_name_is_a_companys_own(store: Store) -> None:
    for number, company in ((1, None), (2, ACME), (3, GLOBEX)):
        assert (await store.workers.register(a_worker(number, company_id=company))).id == number

    assert [worker.id for worker in await store.workers.list(ACME)] == [1, 2]
    assert [worker.id for worker in await store.workers.list()] == [1, 2, 3]


async def test_a_worker_is_allowed_and_locked(store: Store) -> None:
    await store.workers.register(a_worker(1))

    assert await store.workers.set_state(1, WorkerState.LOCKED)
    assert not await store.workers.set_state(2, WorkerState.LOCKED)

    [worker] = await store.workers.list()
    assert worker.state is WorkerState.LOCKED


async def test_a_session_shows_when_its_worker_was_seen(store: Store) -> None:
    await store.workers.register(a_worker(1))

    await store.workers.open_session(a_session(7), later(3))

    [worker] = await store.workers.list()
    assert worker.last_seen_at == later(3)


async def test_sessions_expire_with_their_lease(store: Store) -> None:
    for session, lease in ((7, 10), (8, 20), (9, 30)):
        await store.workers.open_session(a_session(session, lease_expires_at=later(lease)), NOW)

    assert await store.workers.expire_sessions(later(9)) == []
    assert await store.workers.expire_sessions(later(10)) == [7]
    assert sorted(await store.workers.expire_sessions(later(40))) == [8, 9]
    assert await store.workers.expire_sessions(later(50)) == []


async def test_a_renewed_session_lives_longer(store: Store) -> None:
    for session in (7, 8):
        await store.workers.open_session(a_session(session), NOW)

    await store.workers.renew([7], later(20))

    assert await store.workers.expire_sessions(later(15)) == [8]
    assert await store.workers.expire_sessions(later(20)) == [7]


async def test_a_closed_session_stays_closed(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    await world.store.workers.close_session(world.session, later(1))
    await world.store.workers.renew([world.session], later(100))

    assert await world.store.workers.expire_sessions(later(200)) == []
    [abandoned] = await world.store.leases.abandoned(later(2), 10)
    assert abandoned.run_id == claimed.run_id


async def test_a_server_that_starts_again_closes_its_old_sessions(store: Store) -> None:
    await store.workers.open_session(a_session(7), NOW)
    await store.workers.open_session(a_session(8, server="there"), NOW)

    assert await store.workers.expire_sessions(later(1), "here") == [7]
    assert await store.workers.expire_sessions(later(1), "here") == []


KEY = b"k" * 32


async def test_whoever_has_the_key_takes_a_session_over_with_its_leases(world: World) -> None:
    """R11"""
    old = await world.connect("bob", resume_digest=KEY)
    claimed = await (await world.add_task()).running()
    new = a_session(91, world.worker, server="there", lease_expires_at=later(20), resume_digest=KEY)

    assert await world.store.workers.succeed_session(old, new, KEY, later(9))

    [leased] = await world.store.leases.held_by([new.id], 10)
    assert (leased.run_id, leased.token) == (claimed.run_id, claimed.token)
    assert await world.store.leases.held_by([old], 10) == []
    assert await world.store.leases.abandoned(later(15), 10) == []
    assert not await world.store.workers.close_session(old, later(9))
    [end] = [a_finish(claimed)]
    assert await world.store.runs.finish([end]) == [claimed.run_id]


async def test_taking_over_again_is_the_same_only_for_the_same_successor(world: World) -> None:
    """The answer to the first may have got lost; a second server is too late."""
    old = await world.connect("bob", resume_digest=KEY)
    succeed = world.store.workers.succeed_session
    new = a_session(91, world.worker, resume_digest=KEY)

    assert await succeed(old, new, KEY, later(1))
    assert await succeed(old, new, KEY, later(2))
    assert not await succeed(old, a_session(92, world.worker), KEY, later(2))

    assert old not in {s.id for s in await world.store.workers.open_sessions()}


async def test_neither_a_wrong_key_nor_a_lapsed_lease_takes_a_session_over(world: World) -> None:
    keyed = await world.connect("bob", resume_digest=KEY)
    keyless = await world.connect("carol")
    lapsed = await world.connect("dave", resume_digest=KEY, lease_expires_at=later(5))
    closed = await world.connect("eve", resume_digest=KEY)
    assert await world.store.workers.close_session(closed, later(1))
    new = a_session(99, world.worker)

    for session, key in ((keyed, b"x" * 32), (keyless, KEY), (lapsed, KEY), (closed, KEY)):
        assert not await world.store.workers.succeed_session(session, new, key, later(5))

    assert new.id not in {s.id for s in await world.store.workers.open_sessions()}


async def test_a_server_that_starts_again_leaves_its_workers_until_their_leases_end(
    store: Store,
) -> None:
    """R11: they may resume."""
    await store.workers.open_session(a_session(7, resume_digest=KEY), NOW)
    await store.workers.open_session(a_session(8), NOW)

    assert await store.workers.expire_sessions(later(1), "here") == [8]
    await store.workers.shorten_sessions("here", later(5))
    await store.workers.shorten_sessions("here", later(50))

    [left] = await store.workers.open_sessions()
    assert (left.id, left.lease_expires_at) == (7, later(5))


async def test_sessions_that_were_closed_long_ago_are_forgotten(store: Store) -> None:
    for session, closed in ((7, 1), (8, 5), (9, None)):
        await store.workers.open_session(a_session(session), NOW)
        if closed is not None:
            await store.workers.close_session(session, later(closed))

    await store.workers.forget_sessions(later(5))

    assert await store.workers.expire_sessions(later(99), "here") == [9]
    assert not await store.workers.close_session(7, later(6))
    await store.workers.open_session(a_session(7), NOW)  # its number is free again
    assert [s.id for s in await store.workers.open_sessions()] == [7]
