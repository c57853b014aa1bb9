"""Allocations: which tasks are kept warm, where, and who may call them now.

Each allocation is kept with one session of one worker, and that session's server alone gives out
its children: a call needs a free one, so no more calls execute than there are children, whatever
happens elsewhere. Where an allocation is kept is a row that a server may take only while the
session named there is over, so that two servers never keep the same allocation.
"""

import asyncio
import builtins
from collections import Counter, deque
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from runyard.engine.foundation import Foundation
from runyard.engine.latencies import Bucket, Latencies
from runyard.engine.news import Topic
from runyard.engine.realtime import Entrant, Places, RealtimeSettings
from runyard.engine.sessions import Session
from runyard.model.allocations import (
    LARGEST_LIMIT,
    LONGEST_DEADLINE,
    LONGEST_WAIT,
    SHORTEST_DEADLINE,
    Allocation,
    Overflow,
    Recording,
)
from runyard.model.companies import Company
from runyard.model.errors import (
    AllocationNotFound,
    CallsPaused,
    FieldProblem,
    InputRefused,
    LimitReached,
    TaskNotRunnable,
    TooManyAllocations,
)
from runyard.model.ids import AllocationId, CompanyId, SessionId, TaskId, UserId, VersionId
from runyard.model.runs import RunError
from runyard.model.tasks import Task
from runyard.stores.contract.calls import Placement
from runyard.telemetry import MAINTENANCE_FAILED, emit

DEFAULT_DEADLINE = timedelta(seconds=60)
DEFAULT_RETENTION = timedelta(hours=24)
LONGEST_RETENTION = timedelta(days=3650)
LOOK_EVERY = timedelta(seconds=1)
CLOCK_STEP = 0.001
"""Seconds between two instants that the loop's clock tells apart."""


Order = tuple[VersionId, int, timedelta]
"""What a session is told to keep: version, children, deadline."""


class AllocationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a task is to be kept warm."""

    limit: int = 1
    overflow: Overflow = Overflow.REJECT
    wait: timedelta = timedelta(seconds=1)
    deadline: timedelta = DEFAULT_DEADLINE
    recording: Recording = Recording.ALL
    retention: timedelta = DEFAULT_RETENTION
    run_as: UserId | None = None


class AllocationView(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation and how it stands, as this server knows it."""

    allocation: Allocation
    task: Task
    server: str | None
    """Which server gives out its children; None: nobody keeps it now."""
    is_here: bool
    """Whether that is this server; only then the numbers below are known."""
    version_id: VersionId | None
    children: int
    in_flight: int
    waiting: int
    memory: int
    calls: int
    """Since this server keeps it."""
    latencies: tuple[Bucket, ...]
    p50: timedelta | None
    p99: timedelta | None
    error: RunError | None
    """Why the version that was deployed last is not the one that serves."""


class Kept:
    """One allocation as this server keeps it, or knows who does."""

    def __init__(self, allocation: Allocation, places: Places) -> None:
        self.allocation = allocation
        self.places = places
        """The places of its company."""
        self.session: Session | None = None
        """With whom this server keeps it."""
        self.row: SessionId | None = None
        """Which session its row names, where this server alone may give it to another one."""
        self.left: dict[Session, Order | None] = {}
        """Sessions that take nothing more of it, while its calls execute there still; what each was
        told last."""
        self.is_moving = False
        """Whether it has left a worker that drains, and the children of the next are not ready yet."""
        self.elsewhere: Placement | None = None
        """Where another server keeps it."""
        self.ordered: Order | None = None
        """What the session was told last: version, children, deadline."""
        self.version_id: VersionId | None = None
        """What its children have loaded."""
        self.children = 0
        self.memory = 0
        self.error: RunError | None = None
        self.told = asyncio.Event()
        """Set whenever its session tells what it has."""
        self.in_flight = 0
        self.waiting: deque[tuple[float, Entrant]] = deque()
        """Who waits for a place, and until when (the loop's time)."""
        self._loop = asyncio.get_running_loop()
        self._patience: asyncio.TimerHandle | None = None
        self._leaving = 0
        """Places that are being given back at this moment."""
        self.latencies = Latencies()

    def serving(self) -> tuple[Session, VersionId]:
        """Who executes its calls now, and which version; raises CallsPaused."""
        session, version = self.session, self.version_id
        if session is None or version is None or not session.is_open:
            if self.error is not None:
                raise CallsPaused(f"the task cannot be loaded: {self.error.message}")
            raise CallsPaused("its children are being made ready; try again in a moment")
        return session, version

    def let_in(self, entrant: Entrant) -> None:
        """Give it a place, at once or as soon as there is one; raises LimitReached when calls do not
        wait, or when so many wait already.
        """
        if self.has_room:
            self.take()
            entrant.enter()
            return
        allocation = self.allocation
        if allocation.overflow is not Overflow.WAIT or not allocation.wait:
            raise LimitReached(self._full)
        if self.in_flight < allocation.limit:
            self.places.await_place(self._admit_one)
        until = self._loop.time() + allocation.wait.total_seconds()
        self.waiting.append((until, entrant))
        if self._patience is None:
            self._patience = self._loop.call_at(until, self._turn_away)

    def withdraw(self, entrant: Entrant) -> bool:
        """It waits no longer; False when it does not wait."""
        found = next((each for each in self.waiting if each[1] is entrant), None)
        if found is not None:
            self.waiting.remove(found)
        return found is not None

    def _turn_away(self) -> None:
        """Those who have waited long enough wait no longer.

        One timer for all who wait: it is set for the first of them, and looks for the next one when it
        rings. Who came in after the wait was made shorter may so wait as long as those before.
        """
        self._patience = None
        # The loop may be early by what its clock does not show.
        while self.waiting and self.waiting[0][0] <= self._loop.time() + CLOCK_STEP:
            _, entrant = self.waiting.popleft()
            reason = f"no child became free within {self.allocation.wait}"
            entrant.turn_away(LimitReached(reason))
        if self.waiting:
            self._patience = self._loop.call_at(self.waiting[0][0], self._turn_away)

    @property
    def has_room(self) -> bool:
        """Whether a call finds a place at once."""
        return self.in_flight < self.allocation.limit and not self.waiting and self._has_place

    @property
    def lets_in(self) -> bool:
        """Whether a call gets a place at once, or may wait for one."""
        allocation = self.allocation
        return self.has_room or (allocation.overflow is Overflow.WAIT and bool(allocation.wait))

    @property
    def _has_place(self) -> bool:
        return self.places.taken < self.places.most

    @property
    def _full(self) -> str:
        limit = self.allocation.limit
        if self.in_flight < limit:
            return f"the company executes {self.places.most} calls, as many as realtime_pool allows"
        return f"{limit} calls execute, as many as it allows"

    def take(self) -> None:
        """Take a place, of which there is one."""
        self.in_flight += 1
        self.places.taken += 1

    def leave(self) -> None:
        """Give the place back, to whoever waits longest; others of the company take turns."""
        self._leaving += 1
        if self._leaving > 1:  # whoever was let in has left at once: one after the other
            return
        while self._leaving:
            self._give_place_back()
            self._leaving -= 1

    def _give_place_back(self) -> None:
        if (
            self.waiting
            and self.in_flight <= self.allocation.limit
            and not self.places.is_contended
            and not self.is_moving
        ):
            _, entrant = self.waiting.popleft()
            entrant.enter()
            return
        self.in_flight -= 1
        if self.waiting:
            self.places.await_place(self._admit_one)
        self.places.give_back()

    def executes_at(self, session: Session) -> bool:
        """Whether one of its calls is with this session."""
        task = self.allocation.task_id
        return any(call.task.id == task for call in session.calls.values())

    def admit(self) -> None:
        """Let those who wait take places that a higher limit has made."""
        while self._has_place and self._admit_one():
            pass
        if self.waiting and self.in_flight < self.allocation.limit:
            self.places.await_place(self._admit_one)

    def _admit_one(self) -> bool:
        """Let whoever waits longest take a place, of which there is one; whether another could. On the
        way to another worker nobody is let in: `arrive` follows.
        """
        if self.is_moving:
            return False
        if self.waiting and self.in_flight < self.allocation.limit:
            _, entrant = self.waiting.popleft()
            self.take()
            entrant.enter()
        return bool(self.waiting) and self.in_flight < self.allocation.limit

    def arrive(self) -> None:
        """Its next children are ready, or will not be: whoever waits for that goes on."""
        if self.is_moving:
            self.is_moving = False
            self.told.set()
            self.admit()

    def forget_session(self) -> None:
        """Nobody keeps it here any more; who knows what executes there still."""
        self.session = self.ordered = self.version_id = self.row = None
        self.children = self.memory = 0


class Allocations:
    """Keeps tasks warm."""

    def __init__(self, foundation: Foundation, settings: RealtimeSettings) -> None:
        self._settings = settings
        self._places: dict[CompanyId, Places] = {}
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._sessions = foundation.sessions
        self._secrets = foundation.secrets
        self._peers = foundation.peers
        self._kept: dict[TaskId, Kept] = {}
        self._by_id: dict[AllocationId, Kept] = {}
        self._wakeup = asyncio.Event()
        self._reviewing = asyncio.Lock()

    # ------------------------------------------------------------ what callers ask

    async def put(self, company: Company, ref: str, options: AllocationOptions) -> AllocationView:
        """Keep a task warm, or change how; raises TaskNotFound, TaskNotRunnable, InputRefused."""
        task = await self._directory.task(company.id, ref)
        if task.withdrawn_at is not None:
            raise TaskNotRunnable(f"task {task.name!r} was withdrawn: its bundle no longer has it")
        refuse_unfit(options, self._settings.places)
        await self._refuse_many(company, task)
        await self._store.allocations.put(
            Allocation(
                id=AllocationId(await self._ids.take()),
                company_id=company.id,
                task_id=task.id,
                created_at=self._clock.now(),
                **msgspec.structs.asdict(options),
            )
        )
        await self._changed()
        return await self.show(company, ref)

    async def delete(self, company: Company, ref: str) -> Allocation:
        """Keep a task warm no longer; calls that execute are finished. Raises AllocationNotFound."""
        task = await self._directory.task(company.id, ref)
        allocation = await self._load(company.id, task)
        await self._store.allocations.delete(company.id, task.id)
        await self._changed()
        return allocation

    async def _refuse_many(self, company: Company, task: Task) -> None:
        most = self._settings.most_allocations
        if most:
            others = [
                each
                for each in await self._store.allocations.list(company.id)
                if each.task_id != task.id
            ]
            if len(others) >= most:
                raise TooManyAllocations(
                    f"company {company.slug!r} keeps {len(others)} tasks warm, as many as the "
                    "operator allows (realtime_allocations)"
                )

    async def _changed(self) -> None:
        await self.review()  # first, so that it is kept where it was asked for
        self._peers.say(Topic.DIRECTORY)

    async def list(self, company: Company) -> builtins.list[AllocationView]:
        """All of a company."""
        found = await self._store.allocations.list(company.id)
        return [await self._view(allocation) for allocation in found]

    async def show(self, company: Company, ref: str) -> AllocationView:
        """The allocation of a task; raises AllocationNotFound."""
        task = await self._directory.task(company.id, ref)
        return await self._view(await self._load(company.id, task))

    def kept(self, task: Task) -> Kept:
        """The allocation of a task, to call it; raises AllocationNotFound."""
        found = self._kept.get(task.id)
        if found is None:
            raise AllocationNotFound(f"task {task.name!r} is not kept warm: allocate it first")
        return found

    async def until_ready(self, task: Task, patience: timedelta) -> None:
        """Return once calls of the task can be executed here, or it is known why not, or the time is
        over.
        """
        deadline = self._clock.monotonic() + patience
        kept = self._kept.get(task.id)
        while kept is not None and (kept.session is not None or kept.is_moving):
            left = deadline - self._clock.monotonic()
            if kept.version_id is not None or kept.error is not None or left <= timedelta():
                return
            await self._clock.wait(kept.told, left)

    @property
    def all_kept(self) -> Sequence[Kept]:
        """Every allocation that this server knows."""
        return tuple(self._kept.values())

    async def _load(self, company: CompanyId, task: Task) -> Allocation:
        found = await self._store.allocations.find(company, task.id)
        if found is None:
            raise AllocationNotFound(f"task {task.name!r} is not kept warm")
        return found

    def _places_of(self, allocation: Allocation) -> Places:
        found = self._places.get(allocation.company_id)
        if found is None:
            found = self._places[allocation.company_id] = Places(self._settings.places)
        return found

    async def _view(self, allocation: Allocation) -> AllocationView:
        kept = self._by_id.get(allocation.id) or Kept(allocation, self._places_of(allocation))
        elsewhere = None if kept.elsewhere is None else kept.elsewhere.server
        latencies = kept.latencies
        return AllocationView(
            allocation=allocation,
            task=await self._directory.task_by_id(allocation.company_id, allocation.task_id),
            server=self._sessions.server if kept.session is not None else elsewhere,
            is_here=kept.session is not None,
            version_id=kept.version_id,
            children=kept.children,
            in_flight=kept.in_flight,
            waiting=len(kept.waiting),
            memory=kept.memory,
            calls=latencies.count,
            latencies=latencies.buckets(),
            p50=latencies.quantile(0.5),
            p99=latencies.quantile(0.99),
            error=kept.error,
        )

    # ------------------------------------------------------------ what workers say

    def warmed(
        self,
        session: Session,
        allocation: AllocationId,
        version: VersionId,
        *,
        children: int,
        memory: int,
        error: RunError | None,
    ) -> None:
        """What a session has of an allocation."""
        kept = self._by_id.get(allocation)
        if kept is None or kept.session is not session:
            return
        kept.children, kept.memory, kept.error = children, memory, self._secrets.error(error)
        if children or kept.version_id is not None:
            kept.version_id = version
        kept.told.set()
        if children or error is not None:
            kept.arrive()

    def leave(self, session: Session) -> None:
        """Nothing is kept warm by this session any more."""
        session.kept.clear()
        for kept in self._by_id.values():
            if kept.session is session:
                kept.forget_session()
        self.expect()

    def expect(self) -> None:
        """Something has changed that decides where allocations are kept."""
        self._wakeup.set()

    # ------------------------------------------------------------ keeping

    async def run(self) -> None:
        """Keep allocations where they belong, until cancelled."""
        while True:
            await self._clock.wait(self._wakeup, LOOK_EVERY if self._is_watchful else None)
            try:
                await self.review()
            except Exception as error:  # noqa: BLE001 - the database is away, say: look again shortly
                detail = f"{type(error).__name__}: {error}"
                emit(MAINTENANCE_FAILED, duty="allocations", detail=detail)
                await self._clock.wait(asyncio.Event(), LOOK_EVERY)
                self._wakeup.set()

    @property
    def _is_watchful(self) -> bool:
        """Whether something may change that nobody tells of: a server that keeps one may die."""
        return self._store.is_shared and bool(self._by_id)

    async def review(self) -> None:
        """Compare what should be kept with what is, and order what is missing."""
        async with self._reviewing:
            wanted = {each.id: each for each in await self._store.allocations.list()}
            self._let_go(wanted)
            for allocation in wanted.values():
                kept = self._by_id.get(allocation.id)
                if kept is None:
                    kept = self._by_id[allocation.id] = Kept(
                        allocation, self._places_of(allocation)
                    )
                    self._kept[allocation.task_id] = kept
                kept.allocation = allocation
                kept.admit()
            await self._place()
            for kept in self._by_id.values():
                await self._order(kept)

    def _let_go(self, wanted: dict[AllocationId, Allocation]) -> None:
        for allocation_id in tuple(self._by_id):
            if allocation_id not in wanted:
                kept = self._by_id.pop(allocation_id)
                if self._kept.get(kept.allocation.task_id) is kept:
                    del self._kept[kept.allocation.task_id]
                self._dismiss(kept)

    def _dismiss(self, kept: Kept) -> None:
        for session, ordered in kept.left.items():
            self._release(kept, session, ordered)
        kept.left.clear()
        if kept.session is not None:
            self._release(kept, kept.session, kept.ordered)
        kept.forget_session()

    def _release(self, kept: Kept, session: Session, ordered: Order | None) -> None:
        session.kept.discard(kept.allocation.id)
        if session.is_open and ordered is not None:
            version, _, deadline = ordered
            session.port.warm(kept.allocation.id, version, 0, deadline)

    async def _place(self) -> None:
        """Find a session for each allocation that nobody keeps."""
        for kept in self._by_id.values():
            if kept.session is not None and not _may_keep(kept.session):
                _leave_behind(kept, kept.session)
            self._end_left(kept)
        homeless = [kept for kept in self._by_id.values() if kept.session is None]
        if not homeless:
            return
        now = self._clock.now()
        placed = {p.allocation_id: p for p in await self._store.allocations.placements(now)}
        for kept in homeless:
            placement = placed.get(kept.allocation.id)
            kept.elsewhere = self._foreign(placement)
            if kept.elsewhere is not None:
                kept.arrive()
            elif not await self._settle(kept, placement):
                kept.arrive()
                await self._give_away(kept)

    def _end_left(self, kept: Kept) -> None:
        """Let the children go of sessions that take nothing more, once their calls have ended."""
        for session in tuple(kept.left):
            # The last one keeps its row, which keeps other servers away, until none is under way.
            is_last = session.id == kept.row
            if not (kept.in_flight if is_last else kept.executes_at(session)):
                self._release(kept, session, kept.left.pop(session))

    def _foreign(self, placement: Placement | None) -> Placement | None:
        if placement is None or placement.server == self._sessions.server:
            return None
        return placement

    async def _give_away(self, kept: Kept) -> None:
        """Let another server keep it: no session here takes it, and no call executes here."""
        if kept.row is not None and not kept.in_flight:
            await self._store.allocations.displace(kept.allocation.id, kept.row)
            kept.row = None
            self._peers.say(Topic.DIRECTORY)

    async def _settle(self, kept: Kept, placement: Placement | None) -> bool:
        """Keep it with a session of this server; whether there is one that may."""
        allocation = kept.allocation
        task = await self._directory.task_by_id(allocation.company_id, allocation.task_id)
        version = await self._directory.version(task.version_id)
        labels = version.declaration.policies.labels
        able = [
            session
            for session in self._sessions.fitting(allocation.company_id, labels)
            if _may_keep(session)
        ]
        if not able:
            return False
        load = Counter(k.session.id for k in self._by_id.values() if k.session is not None)
        named = None if placement is None else placement.session_id  # was cut off, and is back
        session = min(able, key=lambda each: (each.id != named, load[each.id], each.id))
        now = self._clock.now()
        is_placed = await self._store.allocations.place(
            allocation.id, session.id, self._sessions.server, now, instead_of=kept.row
        )
        if is_placed:
            if self._store.is_shared:  # from now on this server is asked by whoever closes a gate
                await self._directory.refresh_gates()
            kept.session, kept.row = session, session.id
            kept.left.pop(session, None)  # it drained, and does so no longer
            session.kept.add(allocation.id)
        return is_placed

    async def _order(self, kept: Kept) -> None:
        """Tell the session what to keep, when that is not what it was told last."""
        allocation, session = kept.allocation, kept.session
        if session is None:
            return
        task = await self._directory.task_by_id(allocation.company_id, allocation.task_id)
        if task.withdrawn_at is not None:
            self._dismiss(kept)
            return
        order = (task.version_id, allocation.limit, allocation.deadline)
        if kept.ordered == order:
            return
        if task.version_id not in session.introduced:
            version = await self._directory.version(task.version_id)
            company = await self._directory.company_by_id(allocation.company_id)
            session.port.introduce(version, company)
            session.introduced.add(task.version_id)
        kept.ordered = order
        session.port.warm(allocation.id, *order)


def _leave_behind(kept: Kept, session: Session) -> None:
    """Give a session that drains no further calls; what executes there is finished. One that is cut
    off or gone keeps its place until its lease is over: who knows what it executes.
    """
    row, ordered, was_ready = kept.row, kept.ordered, kept.version_id is not None
    kept.forget_session()
    if session.is_reachable:
        kept.row, kept.is_moving, kept.error = row, was_ready, None
        kept.left[session] = ordered


def _may_keep(session: Session) -> bool:
    return session.is_reachable and session.is_ready and not session.draining


def refuse_unfit(options: AllocationOptions, places: int) -> None:
    """Raise InputRefused unless a task can be kept warm like this."""
    problems: list[FieldProblem] = []
    most = min(LARGEST_LIMIT, places)

    def within(field: str, seen: object, *, holds: bool, allowed: str) -> None:
        if not holds:
            problems.append(FieldProblem(field=field, seen=str(seen), allowed=allowed))

    limit, wait, deadline = options.limit, options.wait, options.deadline
    within("limit", limit, holds=1 <= limit <= most, allowed=f"1 to {most}")
    within(
        "wait",
        wait,
        holds=timedelta() <= wait <= LONGEST_WAIT,
        allowed=f"at most {LONGEST_WAIT}",
    )
    within(
        "deadline",
        deadline,
        holds=SHORTEST_DEADLINE <= deadline <= LONGEST_DEADLINE,
        allowed=f"{SHORTEST_DEADLINE} to {LONGEST_DEADLINE}",
    )
    within(
        "retention",
        options.retention,
        holds=timedelta() < options.retention <= LONGEST_RETENTION,
        allowed=f"more than nothing, at most {LONGEST_RETENTION}",
    )
    if problems:
        raise InputRefused(problems)
