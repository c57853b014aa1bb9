"""Any commands in any order, against a small model of what must be true afterwards (R2-R9).

The model knows of each run only what a caller knows. After every step the database must agree with
it, hold no breach, exceed no limit, leave nothing behind that could start, and explain what waits.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runyard.engine.sessions import AssignedRun
from runyard.model.ids import RunId
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Policies, RetryPolicy
from runyard.stores.contract.store import Store
from runyard.stores.postgres.store import open_postgres
from runyard.stores.sqlite.store import open_sqlite
from tests.support.postgres import PostgresServer
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.turned_clock import TurnedClock
from tests.support.yard import HandWorker, Yard, opened_yard

LIMITS = {"One": 1, "Two": 2, "Free": None}
DELAY = timedelta(seconds=10)
RETRY = RetryPolicy(retries=1, delay=DELAY, factor=1.0, jitter=0.0)
MOMENT = timedelta(milliseconds=20)
PATIENCE = 5.0
WAITING, BEGUN = "waiting", "begun"

Opener = Callable[[Path], Awaitable[Store]]


@dataclass
class Expected:
    """What a caller knows of a run."""

    task: str
    priority: int
    state: str
    """A final state, parked, scheduled, `waiting` for its turn, or `begun`."""
    cause: Cause | None = None
    due_at: datetime | None = None
    attempts: int = 0
    level: int = 0


class WatchedWorker(HandWorker):
    """Notes runs that arrive although nothing may start."""

    def __init__(self, machine: "Machine") -> None:
        super().__init__()
        self.machine = machine

    def assign(self, runs: Sequence[AssignedRun]) -> None:
        for run in runs:
            expected = self.machine.runs.get(run.claimed.run_id)
            if expected is not None and not self.machine.may_start(expected.task):
                self.machine.wrong.append(f"run {run.claimed.run_id} started against orders")
        super().assign(runs)


class Machine(RuleBasedStateMachine):
    """Drives an engine over a store of its own."""

    def __init__(self, opener: Opener, after: Callable[[], None]) -> None:
        super().__init__()
        self.opener = opener
        self.after = after
        self.folder = Path(tempfile.mkdtemp(prefix="runyard-test-", dir=shared_memory_folder()))
        self.loop = asyncio.new_event_loop()
        self.clock = TurnedClock()
        self.runs: dict[RunId, Expected] = {}
        self.wrong: list[str] = []
        self.closed: set[str] = set()
        self.is_paused = False
        self.capacity = 2
        self.parts = AsyncExitStack()

    def do(self, work: Awaitable[object]) -> None:
        """Do this, then look whether everything is as it must be."""

        async def done() -> None:
            await work
            await self.agrees()

        self.loop.run_until_complete(done())

    def may_start(self, task: str) -> bool:
        return not self.is_paused and task not in self.closed

    # ------------------------------------------------------------ the world

    @initialize()
    def begins(self) -> None:
        async def begin() -> None:
            await self.open()
            for task, limit in LIMITS.items():
                await self.yard.a_task(task, policies=Policies(concurrency=limit, retry=RETRY))
            await self.connect()

        self.do(begin())

    async def open(self) -> None:
        store = await self.opener(self.folder)
        self.parts.push_async_callback(store.close)
        self.yard: Yard = await self.parts.enter_async_context(opened_yard(store, self.clock))

    async def connect(self) -> None:
        worker = WatchedWorker(self)
        hand = await self.yard.a_worker(capacity=0)
        assert hand.session is not None
        worker.session, hand.session.port = hand.session, worker
        self.worker = worker
        self.yard.engine.set_capacity(worker.session, self.capacity)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.parts.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.after()

    # ------------------------------------------------------------ rules

    def some(self, data: st.DataObject, *states: str) -> RunId:
        return data.draw(st.sampled_from([r for r, e in self.runs.items() if e.state in states]))

    def any_in(*states: str) -> Callable[["Machine"], bool]:
        return lambda self: any(run.state in states for run in self.runs.values())

    @rule(
        task=st.sampled_from(sorted(LIMITS)),
        count=st.integers(1, 3),
        priority=st.sampled_from([1, 50, 99]),
        how=st.sampled_from(["now", "now", "now", "parked", "later"]),
    )
    def start(self, task: str, count: int, priority: int, how: str) -> None:
        if task in self.closed:
            return
        due_at = self.clock.now() + DELAY if how == "later" else None
        state = {"now": WAITING, "parked": "parked", "later": "scheduled"}[how]

        async def start() -> None:
            for _ in range(count):
                run = await self.yard.a_run(
                    task, priority=priority, parked=how == "parked", due_at=due_at
                )
                self.runs[run.id] = Expected(task, priority, state, due_at=due_at)

        self.do(start())

    @precondition(any_in(WAITING, BEGUN, "parked", "scheduled"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run = self.some(data, WAITING, BEGUN, "parked", "scheduled")
        self.ended(run, RunState.CANCELLED, Cause.CANCELLED)
        self.do(self.yard.engine.runs.cancel(self.yard.company, str(run)))

    @precondition(any_in(WAITING, "scheduled"))
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        run = self.some(data, WAITING, "scheduled")
        self.runs[run].state = "parked"
        self.do(self.yard.engine.runs.park(self.yard.company, str(run)))

    @precondition(any_in("parked"))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        run = self.runs[number := self.some(data, "parked")]
        is_later = run.due_at is not None and run.due_at > self.clock.now()
        run.state = "scheduled" if is_later else WAITING
        self.do(self.yard.engine.runs.release(self.yard.company, str(number)))

    @precondition(any_in("completed", "failed", "cancelled"))
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        old = self.some(data, "completed", "failed", "cancelled")
        before = self.runs[old]
        if before.task in self.closed:
            return

        async def restart() -> None:
            new = await self.yard.engine.runs.restart(self.yard.company, str(old))
            self.runs[new.id] = Expected(
                before.task, before.priority, WAITING, level=before.level + 1
            )

        self.do(restart())

    @rule(task=st.sampled_from(sorted(LIMITS)), runnable=st.booleans())
    def switch(self, task: str, *, runnable: bool) -> None:
        async def switch() -> None:
            if runnable:
                self.closed.discard(task)
            await self.yard.engine.tasks.set_runnable(self.yard.company, task, runnable=runnable)
            if not runnable:
                self.closed.add(task)

        self.do(switch())

    @rule()
    def pause_or_resume(self) -> None:
        async def change() -> None:
            if self.is_paused:
                self.is_paused = False
                await self.yard.engine.orchestrator.resume(self.yard.company)
            else:
                await self.yard.engine.orchestrator.pause(self.yard.company)
                self.is_paused = True

        self.do(change())

    @rule(task=st.sampled_from(sorted(LIMITS)))
    def clean(self, task: str) -> None:
        dropped = [
            number
            for number, run in self.runs.items()
            if run.task == task and run.state in {WAITING, "scheduled"} and not run.attempts
        ]
        for number in dropped:
            self.ended(number, RunState.CANCELLED, Cause.CANCELLED)

        async def clean() -> None:
            cleaned = await self.yard.engine.tasks.clean(self.yard.company, task)
            assert len(cleaned) == len(dropped)

        self.do(clean())

    @rule(task=st.sampled_from(sorted(LIMITS)))
    def kill(self, task: str) -> None:
        running = [
            number
            for number, run in self.runs.items()
            if run.task == task
            and (run.state == BEGUN or (run.state in {WAITING, "scheduled"} and run.attempts))
        ]
        for number in running:
            self.ended(number, RunState.CANCELLED, Cause.CANCELLED)

        async def kill() -> None:
            report = await self.yard.engine.tasks.kill(self.yard.company, task)
            assert sorted(report.killed) == sorted(running)
            assert report.unconfirmed == ()

        self.do(kill())

    @precondition(lambda self: self.worker.queue)
    @rule()
    def begin(self) -> None:
        async def begin() -> None:
            run = self.yard.begin(self.worker).run_id
            self.runs[run].state = BEGUN
            self.runs[run].attempts += 1
            await self.eventually(lambda: self.begun(run))

        self.do(begin())

    async def begun(self, run: RunId) -> str:
        self.yard.later(MOMENT)
        return "" if (await self.yard.run(run)).begun_at is not None else f"{run} has not begun"

    @precondition(lambda self: self.worker.executing)
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.RETURNED, Outcome.RAISED]))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        run = data.draw(st.sampled_from(sorted(self.worker.executing)))
        if outcome is Outcome.RETURNED:
            self.ended(run, RunState.COMPLETED, Cause.RETURNED_NOTHING)
        else:
            self.failed(run, Cause.RAISED)
        self.do(self.yard.end(self.worker, self.worker.executing[run], outcome))

    @rule(capacity=st.integers(0, 5))
    def resize(self, capacity: int) -> None:
        async def resize() -> None:
            self.capacity = capacity
            assert self.worker.session is not None
            self.yard.engine.set_capacity(self.worker.session, capacity)

        self.do(resize())

    @rule(seconds=st.sampled_from([1, 10, 3600]))
    def wait(self, seconds: int) -> None:
        async def wait() -> None:
            self.yard.later(timedelta(seconds=seconds))
            for run in self.runs.values():
                if run.state == "scheduled" and run.due_at and run.due_at <= self.clock.now():
                    run.state = WAITING

        self.do(wait())

    @rule()
    def lose_the_worker(self) -> None:
        async def lose() -> None:
            self.lost()
            assert self.worker.session is not None
            await self.yard.engine.disconnect(self.worker.session, "gone")
            await self.yard.engine.attempts.settled()
            await self.connect()

        self.do(lose())

    @rule()
    def restart_the_server(self) -> None:
        async def restart() -> None:
            await self.parts.aclose()
            self.lost()
            await self.open()
            await self.connect()

        self.do(restart())

    # ------------------------------------------------------------ the model

    def ended(self, run: RunId, state: RunState, cause: Cause) -> None:
        self.runs[run].state, self.runs[run].cause = state, cause

    def failed(self, number: RunId, cause: Cause) -> None:
        run = self.runs[number]
        if run.attempts > RETRY.retries:
            self.ended(number, RunState.FAILED, cause)
        else:
            run.state, run.due_at = "scheduled", self.clock.now() + DELAY

    def lost(self) -> None:
        for number, run in self.runs.items():
            if run.state == BEGUN:
                self.failed(number, Cause.WORKER_LOST)

    # ------------------------------------------------------------ what must be true

    async def agrees(self) -> None:
        await self.eventually(self.disagreement)
        assert self.wrong == []
        assert await self.yard.store.runs.breaches(self.clock.now(), 5) == []

    async def eventually(self, problem: Callable[[], Awaitable[str]]) -> None:
        deadline = self.loop.time() + PATIENCE
        while found := await problem():
            assert self.loop.time() < deadline, found
            await asyncio.sleep(0.002)  # noqa: TID251 - the engine's loops take their turns

    async def disagreement(self) -> str:
        """What the database and the worker say otherwise than the model; empty: nothing."""
        await self.yard.turned()
        found = await self.yard.store.runs.find_many(self.yard.company.id, list(self.runs))
        for run in found:
            if problem := self.otherwise(run, self.runs[run.id]):
                return f"run {run.id}: {problem}"
        return self.left_behind(found) or await self.unexplained(found)

    def otherwise(self, run: Run, expected: Expected) -> str:
        state = run.state.value
        if run.state is RunState.QUEUED or (run.state is RunState.RUNNING and not run.begun_at):
            state = WAITING
        elif run.state is RunState.RUNNING:
            state = BEGUN
        seen = (state, run.cause, run.attempt, run.level)
        wanted = (expected.state, expected.cause, expected.attempts, expected.level)
        if seen != wanted:
            return f"{seen} instead of {wanted}"
        if state == "scheduled" and run.due_at != expected.due_at:
            return f"due at {run.due_at} instead of {expected.due_at}"
        held = run.id in self.worker.executing or run.id in {r.run_id for r in self.worker.queue}
        return "" if held == (run.state is RunState.RUNNING) else f"{run.state}, held: {held}"

    def left_behind(self, found: Sequence[Run]) -> str:
        """R7 and R8: nobody beyond a limit, nobody waiting who could start, nobody overtaken."""
        leased = [run for run in found if run.state is RunState.RUNNING]
        room = self.capacity - len(leased)
        for task, limit in LIMITS.items():
            of_task = [run for run in found if self.runs[run.id].task == task]
            running = sum(run.state is RunState.RUNNING for run in of_task)
            queued = [run for run in of_task if run.state is RunState.QUEUED]
            assert limit is None or running <= limit, f"{running} of {task} are running"
            free = limit is None or running < limit
            if queued and room > 0 and free and self.may_start(task):
                return f"{len(queued)} runs of {task} could start and do not"
        return ""

    async def unexplained(self, found: Sequence[Run]) -> str:
        """There are reasons exactly for runs that no worker has."""
        company = await self.yard.engine.companies.load("acme")
        for run in found[:5]:
            reasons = await self.yard.engine.explain.why(company, run)
            if bool(reasons) == (run.state is RunState.RUNNING):
                return f"run {run.id} is {run.state}, explained by {reasons}"
        return ""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_whatever_is_done_in_whatever_order_the_promises_hold(
    kind: str, request: pytest.FixtureRequest, *, torture: bool
) -> None:
    """R2, R3, R6, R7, R8, R9"""
    databases: list[str] = []
    server: PostgresServer | None = None
    if kind == "postgres":
        server = request.getfixturevalue("postgres_server")

    async def open_store(folder: Path) -> Store:
        if server is None:
            return await open_sqlite(folder)
        if not databases:
            databases.append(server.create_database())
        return await open_postgres(databases[0], folder)

    def after() -> None:
        if server is not None and databases:
            server.drop_database(databases.pop())

    run_state_machine_as_test(
        lambda: Machine(open_store, after),
        settings=settings(
            deadline=None,
            max_examples=300 if torture else 8,
            stateful_step_count=80 if torture else 25,
        ),
    )
