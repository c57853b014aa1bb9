"""Allocations, where they are kept, and the records of calls."""

from datetime import timedelta

import msgspec
import pytest

from runyard.model.allocations import Allocation, Overflow, Recording
from runyard.model.ids import AllocationId, RunId, SessionId, TaskId, VersionId, WorkerId
from runyard.model.runs import RunError
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.contract.calls import CallCount, CallRecord
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.store import Store
from runyard.stores.tables import calls as calls_table
from runyard.stores.tables.values import INLINE_LIMIT
from tests.stores.builders import ACME, GLOBEX, NOW, World, a_session, later

TASK = TaskId(12)


def an_allocation(number: int = 1, task: TaskId = TASK, **changes: object) -> Allocation:
    allocation = Allocation(
        id=AllocationId(number),
        company_id=ACME,
        task_id=task,
        limit=2,
        overflow=Overflow.REJECT,
        wait=timedelta(seconds=1),
        deadline=timedelta(seconds=60),
        recording=Recording.ALL,
        retention=timedelta(hours=24),
        run_as=None,
        created_at=NOW,
    )
    return msgspec.structs.replace(allocation, **changes)


def a_call(number: int = 1, **changes: object) -> CallRecord:
    call = CallRecord(
        id=RunId(number),
        public_id=int((later(number)).timestamp() * 1000).to_bytes(6) + bytes([number] * 10),
        company_id=ACME,
        task_id=TASK,
        version_id=VersionId(3),
        allocation_id=AllocationId(1),
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        created_at=later(number),
        started_at=later(number),
        finished_at=later(number + 1),
        worker_id=WorkerId(5),
        logged_errors=0,
        input=b'{"zip":"76131"}',
        output=b'{"place":"Fort Worth"}',
        error=None,
    )
    return msgspec.structs.replace(call, **changes)


async def test_a_task_has_one_allocation_which_can_be_changed(store: Store) -> None:
    first = await store.allocations.put(an_allocation(1))
    changed = await store.allocations.put(
        an_allocation(2, limit=8, overflow=Overflow.WAIT, created_at=later(9))
    )

    assert first == an_allocation(1)
    assert changed == an_allocation(1, limit=8, overflow=Overflow.WAIT)
    assert await store.allocations.list() == [changed]
    assert await store.allocations.find(GLOBEX, TASK) is None


async def test_a_deleted_allocation_is_gone(store: Store) -> None:
    await store.allocations.put(an_allocation(1))

    assert not await store.allocations.delete(GLOBEX, TASK)
    assert await store.allocations.delete(ACME, TASK)
    assert not await store.allocations.delete(ACME, TASK)
    assert await store.allocations.list(ACME) == []


async def test_an_allocation_is_kept_by_one_live_session_alone(world: World) -> None:
    store = world.store
    await store.allocations.put(an_allocation(1))
    other = SessionId(world.next_id())
    await store.workers.open_session(a_session(other, world.worker, server="two"), NOW)

    assert await store.allocations.place(AllocationId(1), world.session, "one", NOW)
    assert not await store.allocations.place(AllocationId(1), other, "two", NOW)
    [placement] = await store.allocations.placements(NOW)
    assert (placement.session_id, placement.server) == (world.session, "one")

    await store.workers.close_session(world.session, later(1))
    assert await store.allocations.placements(later(1)) == []
    assert await store.allocations.place(AllocationId(1), other, "two", later(1))


async def test_an_allocation_that_was_given_up_can_be_kept_by_others(world: World) -> None:
    store = world.store
    await store.allocations.put(an_allocation(1))
    other = SessionId(world.next_id())
    await store.workers.open_session(a_session(other, world.worker, server="two"), NOW)
    await store.allocations.place(AllocationId(1), world.session, "one", NOW)

    await store.allocations.displace(AllocationId(1), other)
    assert not await store.allocations.place(AllocationId(1), other, "two", NOW)
    await store.allocations.displace(AllocationId(1), world.session)
    assert await store.allocations.place(AllocationId(1), other, "two", NOW)


async def test_an_allocation_moves_from_a_live_session_to_another_in_one_step(world: World) -> None:
    store = world.store
    await store.allocations.put(an_allocation(1))
    other, third = SessionId(world.next_id()), SessionId(world.next_id())
    for session in (other, third):
        await store.workers.open_session(a_session(session, world.worker), NOW)
    await store.allocations.place(AllocationId(1), world.session, "one", NOW)

    place = store.allocations.place
    assert await place(AllocationId(1), other, "one", NOW, instead_of=world.session)
    assert not await place(AllocationId(1), third, "one", NOW, instead_of=world.session)

    [placement] = await store.allocations.placements(NOW)
    assert placement.session_id == other


async def test_calls_are_found_through_their_company(store: Store) -> None:
    first = a_call(1)
    failed = a_call(
        2,
        state=RunState.FAILED,
        cause=Cause.RAISED,
        output=None,
        started_at=None,
        error=RunError(kind="ValueError", message="no such zip code"),
    )
    await store.calls.record([first, failed])

    assert await store.calls.find(ACME, RunId(1)) == first
    assert await store.calls.find(ACME, RunId(2)) == failed
    assert await store.calls.find(GLOBEX, RunId(1)) is None
    assert await store.calls.find_by_public_id(ACME, first.public_id) == first
    assert await store.calls.find_by_public_id(GLOBEX, first.public_id) is None
    assert await store.calls.find_by_public_id(ACME, bytes(16)) is None


async def test_large_values_of_calls_stand_in_blobs_that_are_kept(store: Store) -> None:
    large = b'{"zip":"' + b"7" * INLINE_LIMIT + b'"}'
    call = a_call(1, input=large, output=large[:-1] + b" }")
    await store.calls.record([call])

    await store.blobs.prune(later(2**33), in_use=set())

    assert await store.calls.find(ACME, RunId(1)) == call


async def test_recording_a_call_again_changes_nothing(store: Store) -> None:
    await store.calls.record([a_call(1)])
    await store.calls.record([a_call(1, state=RunState.FAILED, cause=Cause.RAISED), a_call(2)])

    assert await store.calls.find(ACME, RunId(1)) == a_call(1)
    assert await store.calls.find(ACME, RunId(2)) == a_call(2)


async def test_calls_are_listed_newest_first_under_the_filters_of_runs(store: Store) -> None:
    failed = a_call(3, state=RunState.FAILED, cause=Cause.RAISED)
    calls = [a_call(1), a_call(2, task_id=TaskId(77), worker_id=WorkerId(6)), failed, a_call(4)]
    await store.calls.record([*calls, a_call(5, company_id=GLOBEX)])

    async def ids(limit: int = 10, after: Position | None = None, **fields: object) -> list[int]:
        page = await store.calls.page(ACME, RunFilter(**fields), after, limit)
        assert page.next is None
        return [call.id for call in page.records]

    assert await ids() == [4, 3, 2, 1]
    assert await ids(2) == [4, 3]
    assert await ids(2, Position(calls[2].created_at, RunId(3))) == [2, 1]
    assert await ids(task_id=TASK) == [4, 3, 1]
    assert await ids(states=(RunState.FAILED,)) == [3]
    assert await ids(causes=(Cause.RETURNED,)) == [4, 2, 1]
    assert await ids(worker_id=WorkerId(6)) == [2]
    assert await ids(created_from=later(2), created_before=later(4)) == [3, 2]
    assert await ids(finished_before=later(3)) == [1]
    assert await ids(trigger=Trigger.CALL) == [4, 3, 2, 1]
    assert await ids(trigger=Trigger.API) == []
    assert await ids(restarted_from=RunId(1)) == []
    assert await ids(states=(RunState.QUEUED,), finished_from=later(0)) == []
    assert await ids(finished_from=later(3), task_id=TASK) == [4, 3]
    assert await store.calls.count(ACME, RunFilter(task_id=TASK)) == CallCount(3, is_exact=True)
    none = await store.calls.count(ACME, RunFilter(trigger=Trigger.SCHEDULE))
    assert none == CallCount(0, is_exact=True)


async def test_a_page_of_calls_looks_at_so_many_and_says_where_to_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_table, "MOST_LOOKED_AT", 4)
    monkeypatch.setattr(calls_table, "TOTAL_LIMIT", 4)
    await store.calls.record([a_call(n, task_id=TaskId(77)) for n in range(2, 10)])
    await store.calls.record([a_call(1)])
    for wanted in (RunFilter(task_id=TASK), RunFilter(task_id=TASK, finished_from=later(0))):
        found: list[int] = []
        after: Position | None = None
        places = []
        while True:
            page = await store.calls.page(ACME, wanted, after, 2)
            found += [call.id for call in page.records]
            if page.next is None:
                break
            after = page.next
            places.append(after.run_id)

        assert found == [1]
        assert places == [6, 2]
        assert not (await store.calls.count(ACME, wanted)).is_exact
    newest = await store.calls.count(ACME, RunFilter(task_id=TASK, created_before=later(4)))
    assert newest == CallCount(1, is_exact=True)


async def test_calls_are_counted_by_company_and_month(store: Store) -> None:
    counted = [
        await store.calls.count_up(company, month, calls)
        for company, month, calls in (
            (ACME, 202603, 0),
            (ACME, 202603, 5),
            (ACME, 202603, -1),
            (GLOBEX, 202603, 7),
            (ACME, 202604, 1),
            (ACME, 202603, 0),
        )
    ]

    assert counted == [0, 5, 4, 7, 1, 4]


async def test_old_calls_of_a_task_are_pruned_oldest_first(store: Store) -> None:
    await store.calls.record([a_call(n) for n in range(1, 6)])
    await store.calls.record([a_call(6, task_id=TaskId(77), created_at=later(1))])

    assert await store.calls.prune(ACME, TASK, later(4), 2) == 2
    assert await store.calls.prune(ACME, TASK, later(4), 2) == 1
    assert await store.calls.prune(ACME, TASK, later(4), 2) == 0

    left = await store.calls.page(ACME, RunFilter(), None, 10)
    assert [call.id for call in left.records] == [5, 4, 6]
