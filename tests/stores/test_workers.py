"""Workers and their sessions."""

from runyard.model.workers import WorkerState
from runyard.stores.base import Store
from tests.stores.builders import ACME, GLOBEX, NOW, World, a_worker, later


async def test_a_worker_is_registered_as_it_is(store: Store) -> None:
    worker = a_worker(1, state=WorkerState.REQUEST, company_id=ACME, last_seen_at=NOW)

    assert await store.workers.register(worker) == worker
    assert await store.workers.list() == [worker]


async def test_a_worker_that_comes_again_keeps_its_id_and_state(store: Store) -> None:
    await store.workers.register(a_worker(1, state=WorkerState.REQUEST, last_seen_at=NOW))

    again = await store.workers.register(
        a_worker(
            2,
            state=WorkerState.ALLOWED,
            slots=8,
            version="0.2.0",
            labels=(),
            created_at=later(9),
            draining=True,
        )
    )

    assert (again.id, again.state, again.created_at) == (1, WorkerState.REQUEST, NOW)
    assert (again.slots, again.version, again.labels) == (8, "0.2.0", ())
    assert (again.draining, again.last_seen_at) == (True, NOW)
    assert await store.workers.list() == [again]


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

    await store.workers.open_session(7, 1, "here", later(10), later(3))

    [worker] = await store.workers.list()
    assert worker.last_seen_at == later(3)


async def test_sessions_expire_with_their_lease(store: Store) -> None:
    for session, lease in ((7, 10), (8, 20), (9, 30)):
        await store.workers.open_session(session, 1, "here", later(lease), NOW)

    assert await store.workers.expire_sessions(later(9)) == []
    assert await store.workers.expire_sessions(later(10)) == [7]
    assert sorted(await store.workers.expire_sessions(later(40))) == [8, 9]
    assert await store.workers.expire_sessions(later(50)) == []


async def test_a_renewed_session_lives_longer(store: Store) -> None:
    for session in (7, 8):
        await store.workers.open_session(session, 1, "here", later(10), NOW)

    await store.workers.renew([7], later(20))

    assert await store.workers.expire_sessions(later(15)) == [8]
    assert await store.workers.expire_sessions(later(20)) == [7]


async def test_a_closed_session_stays_closed(world: World) -> None:
    task = await world.add_task()
    claimed = await task.running()

    await world.store.workers.close_session(world.session, later(1))
    await world.store.workers.renew([world.session], later(100))

    assert await world.store.workers.expire_sessions(later(200)) == []
    [abandoned] = await world.store.runs.abandoned(later(2), 10)
    assert abandoned.run_id == claimed.run_id


async def test_a_server_that_starts_again_closes_its_old_sessions(store: Store) -> None:
    await store.workers.open_session(7, 1, "here", later(10), NOW)
    await store.workers.open_session(8, 1, "there", later(10), NOW)

    assert await store.workers.expire_sessions(later(1), "here") == [7]
    assert await store.workers.expire_sessions(later(1), "here") == []
