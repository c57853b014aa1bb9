"""R6 for calls, across servers: what is stopped at one server is not called at another."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.engine.allocations import AllocationOptions
from runyard.engine.directory import FRESH
from runyard.engine.elsewhere import MARGIN
from runyard.model.allocations import Overflow
from runyard.model.errors import CallsPaused, Unconfirmed
from runyard.model.states import RunState
from tests.engine.test_calls import Warmed, a_call_executes, a_call_waits, a_warmed, end
from tests.engine.test_steering_elsewhere import freeze, stop_standing_still
from tests.support.pair import Pair, opened_pair
from tests.support.yard import Yard

LONG = timedelta(minutes=5)
"""More than anybody is waited for."""
OPTIONS = AllocationOptions(limit=2, overflow=Overflow.WAIT, wait=timedelta(seconds=30))


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


@pytest.fixture
async def worker(pair: Pair) -> Warmed:
    """A worker of the other server, which keeps a task warm."""
    await pair.here.a_task()
    worker = await a_warmed(pair.there, "far")
    await pair.there.engine.allocations.put(pair.there.company, "Work", OPTIONS)
    assert worker.ordered == [2]
    return worker


async def pause(pair: Pair, what: str) -> None:
    if what == "company":
        await pair.here.engine.orchestrator.pause(pair.here.company)
    else:
        await pair.here.engine.tasks.set_runnable(pair.here.company, "Work", runnable=False)


async def refused(yard: Yard, message: str = "paused|not runnable") -> None:
    """A call is answered at once, and reaches no worker."""
    with pytest.raises(CallsPaused, match=message):
        async with asyncio.timeout(10):
            await yard.engine.calls.call(yard.company, "Work", b"{}")


@pytest.mark.parametrize("what", ["company", "task"])
async def test_after_a_pause_at_one_server_nothing_is_called_at_another(
    pair: Pair, worker: Warmed, what: str
) -> None:
    """R6: the other server heard of it by news, or saw it up to five seconds later."""
    there = pair.there
    pair.cut_off(there)  # news get lost; what is asked stands in the database

    await stop_standing_still(pair, pause(pair, what), timedelta(seconds=5))

    await refused(there)
    assert worker.called == []


async def test_a_call_that_waits_elsewhere_is_not_executed_after_a_pause(
    pair: Pair, worker: Warmed
) -> None:
    under_way = [await a_call_executes(pair.there, worker) for _ in range(2)]
    waiting = await a_call_waits(pair.there)

    await pause(pair, "task")
    for run in worker.called[:]:
        end(pair.there, worker, run)

    assert [(await call).state for call in under_way] == [RunState.COMPLETED] * 2
    with pytest.raises(CallsPaused):
        await waiting
    assert len(worker.called) == 2


async def test_a_server_that_stands_still_is_waited_for_until_it_calls_nothing(
    pair: Pair, worker: Warmed
) -> None:
    """R6: what it knew when it stood still it believes for no longer than it was waited for."""
    there = pair.there
    await freeze(there)
    began_at = pair.clock.monotonic()

    pausing = asyncio.ensure_future(pause(pair, "company"))
    await stop_standing_still(pair, pausing, LONG)

    assert pair.clock.monotonic() - began_at >= FRESH + MARGIN
    await refused(there, "was paused")
    assert worker.called == []


async def test_an_allocation_is_taken_by_a_server_that_knows_of_the_pause(
    pair: Pair, worker: Warmed
) -> None:
    """R6: what takes the allocation after the pause may not have heard of the pause."""
    here = pair.here
    await freeze(here)
    await pair.there.engine.orchestrator.pause(pair.there.company)
    mine = await a_warmed(here, "near")
    await pair.there.engine.disconnect(worker.session, "gone")

    await here.engine.allocations.review()
    await mine.until(lambda: mine.ordered == [2])

    await refused(here, "was paused")


async def test_a_kill_ends_the_calls_of_other_servers(pair: Pair, worker: Warmed) -> None:
    """They went on to their ends; only those of the server that was asked were killed."""
    call = await a_call_executes(pair.there, worker)

    report = await pair.here.engine.tasks.kill(pair.here.company, "Work")

    assert report.killed == tuple(worker.called) == tuple(worker.killed)
    assert report.unconfirmed == ()
    assert (await call).state is RunState.CANCELLED


async def test_a_kill_says_which_calls_a_worker_has_not_confirmed(
    pair: Pair, worker: Warmed
) -> None:
    call = await a_call_executes(pair.there, worker)
    worker.is_deaf = True

    report = await pair.here.engine.tasks.kill(pair.here.company, "Work")

    assert (report.killed, report.unconfirmed) == ((), tuple(worker.called))
    end(pair.there, worker, worker.called[0])
    await call


async def test_a_kill_is_unconfirmed_when_the_other_server_stands_still(
    pair: Pair, worker: Warmed
) -> None:
    call = await a_call_executes(pair.there, worker)
    await freeze(pair.there)

    killing = pair.here.engine.tasks.kill(pair.here.company, "Work")
    with pytest.raises(Unconfirmed, match="ask again"):
        await stop_standing_still(pair, killing, LONG)

    end(pair.there, worker, worker.called[0])
    await call


async def test_a_pause_asks_nobody_when_nothing_is_kept_warm_elsewhere(pair: Pair) -> None:
    """A server that has died is not waited for by companies that it kept nothing for."""
    await pair.here.a_task()
    await a_warmed(pair.there, "far")
    await freeze(pair.there)

    async with asyncio.timeout(10):
        await pause(pair, "task")
