"""Small worlds for the tests of stores: builders take only what a test is about."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from runyard.model.companies import Company
from runyard.model.ids import CompanyId, GateId, RunId, SessionId, TaskId, VersionId, WorkerId
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Declaration, Policies
from runyard.model.workers import Worker, WorkerState
from runyard.stores.contract.leases import Claim, ClaimedRun, Share
from runyard.stores.contract.runs import Finish, Move, NewRun
from runyard.stores.contract.store import Store
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.stores.contract.workers import OpenedSession

NOW = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)

ACME, GLOBEX = CompanyId(1), CompanyId(2)


def later(seconds: float) -> datetime:
    """So long after NOW."""
    return NOW + timedelta(seconds=seconds)


def a_company(number: CompanyId = ACME, slug: str = "acme", **changes: Any) -> Company:
    company = Company(
        id=number,
        uuid=UUID(int=number),
        slug=slug,
        name=slug.title(),
        time_zone="Europe/Prague",
        runnable=True,
        default_priority=50,
        retention=timedelta(days=30),
        queue_cap=1000,
        weight=1,
        created_at=NOW,
    )
    return msgspec.structs.replace(company, **changes)


def a_declaration(name: str = "Zip code", **changes: Any) -> Declaration:
    declaration = Declaration(
        name=name,
        key=name,
        path=f"Bots/{name}",
        description="Where a zip code lies.",
        module="zips",
        function="zip_code",
        inputs=(),
        outputs=(),
        policies=Policies(),
        fingerprint="f1",
    )
    return msgspec.structs.replace(declaration, **changes)


def a_deploy(changes: Sequence[TaskChange], **others: Any) -> Deploy:
    deploy = Deploy(
        company_id=ACME,
        bundle_name="examples",
        bundle_digest="a" * 64,
        bundle_size=1234,
        changes=tuple(changes),
        withdrawn=(),
        at=NOW,
    )
    return msgspec.structs.replace(deploy, **others)


class World:
    """A store with companies, tasks and a connected worker, and short words for what tests do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._numbers = itertools.count(1000)
        self._tokens = itertools.count(store.incarnation << 32)
        self.session = SessionId(0)
        self.worker = WorkerId(0)

    def next_id(self) -> int:
        return next(self._numbers)

    async def add_company(self, company: CompanyId = ACME, slug: str = "acme") -> CompanyId:
        assert await self.store.companies.create(a_company(company, slug))
        return company

    async def add_task(
        self, company: CompanyId = ACME, name: str = "Zip code", **policies: Any
    ) -> "KnownTask":
        task, gate, version = (self.next_id() for _ in range(3))
        change = TaskChange(
            id=TaskId(task),
            uuid=UUID(int=task),
            gate_id=GateId(gate),
            expected_version_id=None,
            version_id=VersionId(version),
            version=1,
            declaration=a_declaration(name, policies=Policies(**policies)),
        )
        assert await self.store.tasks.deploy(a_deploy([change], company_id=company))
        return KnownTask(self, company, change)

    async def connect(self, name: str = "alice", **changes: Any) -> SessionId:
        """A worker and its session; claims are made for the one connected last."""
        self.worker = (await self.store.workers.register(a_worker(self.next_id(), name))).id
        self.session = SessionId(self.next_id())
        opened = a_session(self.session, self.worker, **changes)
        await self.store.workers.open_session(opened, NOW)
        return self.session

    def a_claim(self, *shares: Share, session: SessionId | None = None) -> Claim:
        count = sum(share.count for share in shares)
        first = next(self._tokens)
        for _ in range(count - 1):
            next(self._tokens)
        return Claim(
            session_id=session or self.session,
            worker_id=self.worker,
            first_token=first,
            shares=shares,
            at=NOW,
        )

    async def claim(self, task: "KnownTask", count: int = 1) -> list[ClaimedRun]:
        return await self.store.leases.claim(self.a_claim(task.share(count)))

    async def run(self, run: RunId, company: CompanyId = ACME) -> Run:
        found = await self.store.runs.find(company, run)
        assert found is not None
        return found

    async def state(self, run: RunId, company: CompanyId = ACME) -> RunState:
        return (await self.run(run, company)).state


class KnownTask:
    """A deployed task of one world."""

    def __init__(self, world: World, company: CompanyId, change: TaskChange) -> None:
        self._world = world
        self.company = company
        self.change = change
        self.id = change.id
        self.gate = change.gate_id
        self.version = change.version_id

    def share(self, count: int = 1) -> Share:
        return Share(company_id=self.company, count=count, gate_ids=(self.gate,))

    def new_run(self, **changes: Any) -> NewRun:
        number = self._world.next_id()
        run = NewRun(
            id=RunId(number),
            public_id=number.to_bytes(16, "big"),
            company_id=self.company,
            task_id=self.id,
            version_id=self.version,
            gate_id=self.gate,
            state=RunState.QUEUED,
            priority=50,
            rank=number,
            created_at=NOW,
            queued_at=NOW,
            input=b'{"zip":"76131"}',
        )
        return msgspec.structs.replace(run, **changes)

    async def start(self, **changes: Any) -> RunId:
        run = self.new_run(**changes)
        assert (await self._world.store.runs.start([run])).inserted
        return run.id

    async def start_many(self, count: int, **changes: Any) -> list[RunId]:
        runs = [self.new_run(**changes) for _ in range(count)]
        await self._world.store.runs.start(runs)
        return [run.id for run in runs]

    async def running(self) -> ClaimedRun:
        """A run of this task that has just been claimed, and nothing else in its queue."""
        await self.start()
        [claimed] = await self._world.claim(self)
        return claimed

    async def ended(self, **changes: Any) -> RunId:
        """A run of this task that has ended well."""
        claimed = await self.running()
        assert await self._world.store.runs.finish([a_finish(claimed, **changes)])
        return claimed.run_id


def a_worker(number: int, name: str = "alice", **changes: Any) -> Worker:
    worker = Worker(
        id=WorkerId(number),
        company_id=None,
        name=name,
        state=WorkerState.ALLOWED,
        version="0.1.0",
        host="host",
        os="linux",
        address="127.0.0.1",
        slots=2,
        labels=("gpu",),
        created_at=NOW,
        last_seen_at=None,
        draining=False,
    )
    return msgspec.structs.replace(worker, **changes)


def a_session(number: int, worker: int = 1, **changes: Any) -> OpenedSession:
    opened = OpenedSession(
        id=SessionId(number),
        worker_id=WorkerId(worker),
        server="here",
        lease_expires_at=later(10),
    )
    return msgspec.structs.replace(opened, **changes)


def a_finish(run: ClaimedRun, **changes: Any) -> Finish:
    finish = Finish(
        run_id=run.run_id,
        company_id=run.company_id,
        token=run.token,
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        outcome=Outcome.RETURNED,
        begun_at=later(1),
        finished_at=later(2),
        output=b'{"place":"Fort Worth"}',
    )
    return msgspec.structs.replace(finish, **changes)


def a_retry(run: ClaimedRun, **changes: Any) -> Finish:
    """The end of an attempt that another one follows."""
    finish = a_finish(
        run,
        state=RunState.SCHEDULED,
        cause=None,
        outcome=Outcome.RAISED,
        output=None,
        due_at=later(60),
    )
    return msgspec.structs.replace(finish, **changes)


def a_move(run: RunId, sources: Sequence[RunState], state: RunState, **changes: Any) -> Move:
    move = Move(run_id=run, company_id=ACME, sources=tuple(sources), state=state, at=later(5))
    return msgspec.structs.replace(move, **changes)
