"""Waiting for runs and following what happens (R12)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.watch import CLIENT_QUEUE, Follower, Resync, StateChanged
from runyard.model.errors import RunNotFound
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.states import RunState
from tests.support.yard import Yard


async def all_now(follower: Follower, count: int) -> list[object]:
    async with asyncio.timeout(10):
        return [await follower.next() for _ in range(count)]


async def test_a_wait_ends_with_the_run(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()

    waiting = asyncio.ensure_future(
        yard.engine.runs.wait(yard.company, str(run.id), timedelta(seconds=9))
    )
    await yard.executed(worker)

    assert (await asyncio.wait_for(waiting, 10)).state is RunState.COMPLETED


async def test_a_wait_ends_with_the_time_that_was_given(yard: Yard) -> None:
    await yard.a_task()
    run = await yard.a_run()

    waiting = asyncio.ensure_future(
        yard.engine.runs.wait(yard.company, str(run.id), timedelta(seconds=9))
    )
    async with asyncio.timeout(10):
        while not waiting.done():
            yard.later(timedelta(seconds=1))
            await asyncio.sleep(0.001)  # noqa: TID251 - lets the waiter take its turn

    assert waiting.result().state is RunState.QUEUED


async def test_nobody_waits_for_a_run_of_another_company(yard: Yard) -> None:
    """R7 of security: what is not yours is not there."""
    await yard.a_task()
    other = await yard.engine.companies.create("other")
    run = await yard.a_run()

    with pytest.raises(RunNotFound):
        await yard.engine.runs.wait(other, str(run.id), timedelta(seconds=9))


async def test_a_follower_sees_the_states_of_its_run_in_order(yard: Yard) -> None:
    await yard.a_task()
    worker = await yard.a_worker()

    with yard.engine.watch.following(yard.company.id) as follower:
        run = await yard.a_run(parked=True)
        await yard.engine.runs.release(yard.company, str(run.id))
        await yard.executed(worker)
        events = await all_now(follower, 3)

    states = [event.run.state for event in events if isinstance(event, StateChanged)]
    assert states[0] is RunState.PARKED
    assert states[-1] is RunState.COMPLETED
    sequences = [event.sequence for event in events]  # type: ignore[attr-defined]
    assert sequences == sorted(set(sequences))


async def test_a_follower_of_one_run_hears_of_no_other(yard: Yard) -> None:
    await yard.a_task()
    mine, other = await yard.a_run(parked=True), await yard.a_run(parked=True)

    with yard.engine.watch.following(yard.company.id, mine.id) as follower:
        await yard.engine.runs.cancel(yard.company, str(other.id))
        await yard.engine.runs.cancel(yard.company, str(mine.id))
        [event] = await all_now(follower, 1)

    assert isinstance(event, StateChanged)
    assert event.run.id == mine.id


async def test_a_company_hears_nothing_of_another(yard: Yard) -> None:
    await yard.a_task()
    other = await yard.engine.companies.create("other")

    with yard.engine.watch.following(other.id) as follower:
        await yard.a_run()

        assert follower._events.empty()


async def test_a_follower_resumes_after_the_last_event_it_saw(yard: Yard) -> None:
    await yard.a_task()

    with yard.engine.watch.following(yard.company.id) as follower:
        runs = [await yard.a_run(parked=True) for _ in range(3)]
        [first] = await all_now(follower, 1)
        assert isinstance(first, StateChanged)
        with yard.engine.watch.following(yard.company.id, after=first.sequence) as again:
            resumed = await all_now(again, 2)

    assert [event.run.id for event in resumed if isinstance(event, StateChanged)] == [
        run.id for run in runs[1:]
    ]


async def test_whoever_comes_too_late_to_resume_is_told_so(yard: Yard) -> None:
    await yard.a_task()
    with yard.engine.watch.following(yard.company.id) as follower:
        await yard.a_run(parked=True)
        [seen] = await all_now(follower, 1)
    await yard.a_run(parked=True)

    with yard.engine.watch.following(yard.company.id, after=seen.sequence) as again:  # type: ignore[attr-defined]
        [event] = await all_now(again, 1)

    assert isinstance(event, Resync)


async def test_a_client_that_never_reads_costs_no_memory(yard: Yard) -> None:
    """R12"""
    await yard.a_task()
    run = await yard.a_run(parked=True)

    with yard.engine.watch.following(yard.company.id) as follower:
        for _ in range(CLIENT_QUEUE * 2):
            yard.engine.watch.progressed(yard.company.id, run.id, 1.0, None)
        events = await all_now(follower, CLIENT_QUEUE + 1)

    assert isinstance(events[-1], Resync)
    assert follower._events.empty()


async def test_the_last_follower_may_leave_while_an_event_is_being_made(yard: Yard) -> None:
    """The engine stopped: an event was published to followers that had gone meanwhile."""
    await yard.a_task()
    run = await yard.a_run(parked=True)
    read = yard.store.runs.find_many
    following = yard.engine.watch.following(yard.company.id)
    following.__enter__()

    async def read_while_the_follower_leaves(*given: object) -> object:
        found = await read(*given)  # type: ignore[arg-type]
        following.__exit__(None, None, None)
        return found

    yard.store.runs.find_many = read_while_the_follower_leaves  # type: ignore[method-assign,assignment]
    await yard.engine.watch.changed(yard.company.id, [run.id])

    assert not yard.engine.watch.is_followed(yard.company.id)
    assert yard.engine.watch._rings == {}


async def test_long_lines_take_a_bounded_place_among_the_events_to_resume_from(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: ten thousand events were kept however large each of them was."""
    monkeypatch.setattr("runyard.engine.watch.RING_WEIGHT", 1_000)
    watch, company, run = yard.engine.watch, yard.company.id, RunId(1)
    with watch.following(company) as follower:
        for number in range(1, 11):
            line = LogLine(number, yard.clock.now(), LogLevel.INFO, "x" * 300, attempt=1)
            watch.logged(company, run, (line,))
        events = await all_now(follower, 10)

        with watch.following(company, after=events[-3].sequence) as recent:
            assert await all_now(recent, 2) == events[-2:]
        with watch.following(company, after=events[1].sequence) as late:
            assert isinstance(await late.next(), Resync)
