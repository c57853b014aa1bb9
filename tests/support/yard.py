"""A whole engine over a real store, with a clock and workers that a test moves by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.sessions import AssignedRun, AttemptEnd, HeldRun, Session, WorkerHello
from runyard.engine.starts import StartRequest
from runyard.model.companies import Company
from runyard.model.errors import CodeRefused
from runyard.model.ids import AllocationId, RunId, VersionId
from runyard.model.runs import Outcome, Run, RunError
from runyard.model.states import RunState
from runyard.model.tasks import Declaration, Policies, Task, Version
from runyard.model.types import Field
from runyard.outbound.base import Outbound
from runyard.stores.contract.leases import ClaimedRun
from runyard.stores.contract.store import Store
from tests.support.turned_clock import TurnedClock

LONG = timedelta(minutes=1)


class HandWorker:
    """A worker that does only what a test tells it to."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.queue: list[ClaimedRun] = []
        """Assigned and not begun."""
        self.executing: dict[RunId, ClaimedRun] = {}
        self.killed: list[RunId] = []
        self.assigned: list[RunId] = []
        """Every run that ever arrived, in order."""
        self.steps: dict[RunId, tuple[tuple[str, int, bytes], ...]] = {}
        self.bundles: dict[str, tuple[Declaration, ...] | CodeRefused] = {}
        self.next_bundle: tuple[Declaration, ...] | CodeRefused = ()
        self.is_deaf = False
        """Does not answer any more."""
        self.is_closed = False
        self.refusal = ""
        """Its server has ended the conversation."""
        self._arrived = asyncio.Event()

    # ---- the port

    def introduce(self, version: Version, company: Company) -> None:
        pass

    def assign(self, runs: Sequence[AssignedRun]) -> None:
        for run in runs:
            self.queue.append(run.claimed)
            self.assigned.append(run.claimed.run_id)
            self.steps[run.claimed.run_id] = run.steps
        self._arrived.set()

    async def recall(self, runs: Sequence[HeldRun]) -> set[RunId]:
        wanted = {run.run_id for run in runs}
        back = {run.run_id for run in self.queue if run.run_id in wanted}
        self.queue = [run for run in self.queue if run.run_id not in back]
        return set() if self.is_deaf else back

    async def kill(self, runs: Sequence[HeldRun]) -> set[RunId]:
        if self.is_deaf:
            return set()
        dead = {run.run_id for run in runs}
        self.killed.extend(sorted(dead))
        self.queue = [run for run in self.queue if run.run_id not in dead]
        for run in dead:
            self.executing.pop(run, None)
        return dead

    async def inspect(
        self,
        company: Company,
        bundle_digest: str,
        on_line: Callable[[str], None],
    ) -> tuple[Declaration, ...]:
        on_line("looking into the bundle")
        if isinstance(self.next_bundle, CodeRefused):
            raise self.next_bundle
        return self.next_bundle

    def warm(
        self, allocation: AllocationId, version: VersionId, children: int, deadline: timedelta
    ) -> None:
        pass

    def call(self, allocation: AllocationId, run: RunId, public_id: str, value: bytes) -> None:
        pass

    def drain(self) -> None:
        pass

    def close(self, detail: str) -> None:
        self.is_closed = True

    def recorded(self, runs: Sequence[tuple[RunId, int]]) -> None:
        """What it reported is on disk."""

    def refuse(self, code: str, detail: str) -> None:
        self.refusal = code
        self.is_closed = True

    # ---- what a test tells it

    async def has_runs(self, count: int) -> None:
        """Wait until so many assigned runs stand in its queue."""
        async with asyncio.timeout(10):
            while len(self.queue) < count:
                self._arrived.clear()
                await self._arrived.wait()


class Yard:
    """An engine, its clock, a company, and shortcuts that read like sentences."""

    def __init__(self, engine: Engine, store: Store, clock: TurnedClock, company: Company) -> None:
        self.engine = engine
        self.store = store
        self.clock = clock
        self.company = company

    async def a_worker(
        self, capacity: int = 2, name: str = "hand", labels: tuple[str, ...] = ()
    ) -> HandWorker:
        """A connected worker with room for so many runs."""
        worker = HandWorker()
        await self.connect(worker, capacity, name, labels)
        return worker

    async def connect(
        self,
        worker: HandWorker,
        capacity: int = 2,
        name: str = "hand",
        labels: tuple[str, ...] = (),
    ) -> None:
        """Connect a worker with room for so many runs."""
        worker.session = await self.engine.connect(
            worker,
            WorkerHello(
                name=name,
                version="0",
                host="",
                os="",
                address="",
                slots=max(capacity, 1),
                labels=labels,
                allowed=True,
            ),
        )
        self.engine.set_capacity(worker.session, capacity)

    async def a_task(
        self,
        name: str = "Work",
        *,
        policies: Policies | None = None,
        inputs: tuple[Field, ...] = (),
        outputs: tuple[Field, ...] = (),
        company: Company | None = None,
    ) -> Task:
        """A deployed task of a bundle of its own."""
        company = company or self.company
        inspector = await self.a_worker(capacity=0, name=f"inspector of {name}")
        inspector.next_bundle = (
            a_declaration(name, policies=policies or Policies(), inputs=inputs, outputs=outputs),
        )
        await self.engine.deploys.deploy(company, name, _no_bytes())
        assert inspector.session is not None
        await self.engine.disconnect(inspector.session, "has inspected")
        return await self.engine.tasks.load(company, name)

    async def a_run(
        self, task: str = "Work", *, company: Company | None = None, **options: object
    ) -> Run:
        """A started run."""
        request = StartRequest(task=task, **options)  # type: ignore[arg-type]
        company = company or self.company
        started = await self.engine.starts.start(company, [request])
        return await self.engine.runs.load(company, str(started.runs[0].id))

    async def run(self, run: Run | RunId) -> Run:
        """The run as it is now."""
        run_id = run.id if isinstance(run, Run) else run
        [found] = await self.store.runs.find_many(self.company.id, [run_id])
        return found

    def begin(self, worker: HandWorker) -> ClaimedRun:
        """Let a worker begin the first run of its queue."""
        claimed = worker.queue.pop(0)
        worker.executing[claimed.run_id] = claimed
        assert worker.session is not None
        self.engine.begun(worker.session, claimed.run_id, claimed.token, self.clock.now())
        return claimed

    async def end(
        self,
        worker: HandWorker,
        claimed: ClaimedRun,
        outcome: Outcome = Outcome.RETURNED,
        *,
        output: bytes | None = None,
        error: RunError | None = None,
        logged_errors: int = 0,
    ) -> Run:
        """Let a worker report the end of a begun run, and wait until it is recorded."""
        worker.executing.pop(claimed.run_id, None)
        assert worker.session is not None
        self.engine.ended(
            worker.session,
            [
                AttemptEnd(
                    run_id=claimed.run_id,
                    token=claimed.token,
                    outcome=outcome,
                    begun_at=self.clock.now(),
                    finished_at=self.clock.now(),
                    output=output,
                    error=error,
                    logged_errors=logged_errors,
                )
            ],
        )
        await self.engine.attempts.settled()
        return await self.run(claimed.run_id)

    async def executed(self, worker: HandWorker, outcome: Outcome = Outcome.RETURNED) -> Run:
        """Let a worker execute the next run to its end."""
        await worker.has_runs(1)
        return await self.end(worker, self.begin(worker), outcome)

    def later(self, by: timedelta) -> None:
        """Let so much time pass, while every connected worker keeps giving signs of life."""
        self.clock.advance(by)
        for session in self.engine._parts.sessions:
            self.engine.hear(session)

    async def turned(self) -> None:
        """Return once the dispatcher has seen everything that happened so far, and acted on it."""
        for _ in range(3):
            await asyncio.sleep(0)  # noqa: TID251 - lets the woken dispatcher take its turn
            await self.engine.dispatching()

    async def count(self, state: RunState) -> int:
        """How many runs of the company are in this state."""
        return (await self.store.queues.state_counts(self.company.id)).get(state, 0)


def a_declaration(
    name: str = "Work",
    *,
    policies: Policies | None = None,
    inputs: tuple[Field, ...] = (),
    outputs: tuple[Field, ...] = (),
    fingerprint: str = "0",
) -> Declaration:
    """What the code of a task says about itself."""
    return Declaration(
        name=name,
        key=name,
        path=f"Bots/{name}",
        description="",
        module="tasks",
        function="work",
        inputs=inputs,
        outputs=outputs,
        policies=policies or Policies(),
        fingerprint=fingerprint,
    )


@asynccontextmanager
async def opened_yard(
    store: Store,
    clock: TurnedClock | None = None,
    server: str = "test",
    outbound: Outbound | None = None,
) -> AsyncIterator[Yard]:
    """An engine over this store."""
    clock = clock or TurnedClock()
    async with Engine(store, clock, EngineSettings(server=server), outbound) as engine:
        companies = {company.slug: company for company in await engine.companies.list()}
        company = companies.get("acme") or await engine.companies.create("acme")
        yield Yard(engine, store, clock, company)


async def _no_bytes() -> AsyncIterator[bytes]:
    yield b"bundle"
