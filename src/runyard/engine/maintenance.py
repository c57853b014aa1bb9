"""What keeps every run moving when nobody calls.

Duties, each in its own loop, each knowing when it is next needed, none writing when there is nothing
to do:

stage      scheduled runs whose instant has come go into the queue; schedules whose fire time has
           come start their runs. Sleeps until the earliest instant that the database knows.
rescue     sessions that fell silent lose their leases; their begun runs are retried or failed, the
           others go back to their places in the queue.
prune      ended runs past their retention are deleted, a few at a time.
watch over gates are looked at in the database now and then, in case a notice was missed; on a
           shared database whatever other servers did not live to tell is found this way.

A duty that fails says so and is tried again; it never takes the others with it.

Servers that share a database share the duties. Rows decide who of them stages, fires and rescues what;
pruning, where they would only wait for each other, is done by one at a time. Before a server acts
upon an instant it looks at the database's clock, and if its own was off by more than a second, it
leaves the duty to the others this time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from runyard.engine.allocations import DEFAULT_RETENTION
from runyard.engine.attempts import Attempts
from runyard.engine.dispatch import back_in_queue
from runyard.engine.foundation import Foundation
from runyard.engine.logins import Logins
from runyard.engine.patience import until_done
from runyard.engine.retries import retry_delay
from runyard.engine.schedules import Schedules
from runyard.engine.sessions import HeldRun, Session
from runyard.engine.tokens import Tokens
from runyard.engine.transitions import target
from runyard.model.companies import Company
from runyard.model.errors import Busy, ClockOff
from runyard.model.ids import CompanyId, TaskId
from runyard.model.runs import Outcome, RunError
from runyard.model.states import FINAL_STATES, Cause
from runyard.model.tasks import Task
from runyard.stores.contract.leases import LeasedRun
from runyard.stores.contract.runs import Finish
from runyard.telemetry import (
    CLOCK_JUMPED,
    MAINTENANCE_FAILED,
    RUNS_PRUNED,
    RUNS_RESCUED,
    WORKER_GONE,
    emit,
)

STAGED_AT_ONCE = 500
RESCUED_AT_ONCE = 200
PRUNED_AT_ONCE = 50
FIRED_AT_ONCE = 100
SHARED_RESCUE = timedelta(seconds=2)
OWN_LOOK = timedelta(seconds=15)
LONGEST_SLEEP = timedelta(minutes=1)
LONGEST_RETENTION = timedelta(days=365_000)
TURNS_TO_HEAR = 10
"""Of the loop, in which what has arrived is heard before a worker counts as silent."""
HEARTBEAT = timedelta(seconds=3)
PRUNE_EVERY = timedelta(minutes=10)
PRUNE_BLOBS_EVERY = timedelta(hours=6)
CLOSED_FOR = timedelta(days=7)
"""How long a closed session is kept, for whoever looks into what happened."""
ORPHANED_FOR = timedelta(hours=24)
"""How long a blob that nobody names is kept: its row may be about to be written."""
NOTE_USES_EVERY = timedelta(minutes=5)
CLOCK_EVERY = timedelta(seconds=30)
AFTER_FAILURE = timedelta(seconds=1)
LARGEST_JUMP = timedelta(seconds=1)


class Maintenance:
    """Does the duties that nobody asks for."""

    def __init__(
        self,
        foundation: Foundation,
        attempts: Attempts,
        schedules: Schedules,
        tokens: Tokens,
        logins: Logins,
    ) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._sessions = foundation.sessions
        self._dispatcher = foundation.dispatcher
        self._attempts = attempts
        self._schedules = schedules
        self._tokens = tokens
        self._logins = logins
        self._watch = foundation.watch
        self._peers = foundation.peers
        self._due_wakeup = attempts.scheduled_wakeup
        self.on_lost: Callable[[Session], None] = _nobody_cares
        """Called when a session is gone."""
        self.on_note: Callable[[], Awaitable[None]] = _noting_nothing
        """Called now and then, to write down who used what."""
        self._renewed_at = timedelta()
        self.on_look: Callable[[], None] = _nothing
        """Called after every look at the gates."""
        self._rescue_from = timedelta()
        """Until then sessions that look dead may only have been kept from renewing."""

    def expect(self) -> None:
        """Something is due at an instant that the database now knows."""
        self._due_wakeup.set()

    async def open(self) -> None:
        """Put right what an earlier life of this server left: its sessions are over."""
        if self._store.is_shared:  # before any lease is reckoned by this clock
            await self._follow_clock()
        now, server = self._clock.now(), self._sessions.server
        await self._store.workers.expire_sessions(now, server)
        # The others' workers may come back to this life of the server as long as their leases last.
        await self._store.workers.shorten_sessions(server, now + self._sessions.lease)
        await self.rescue()
        await self.look_at_gates()

    async def run(self) -> None:
        """Do every duty until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stage_forever())
            group.create_task(self._every("heartbeats", HEARTBEAT, self._look_after_sessions))
            group.create_task(self._every("prune", PRUNE_EVERY, self.prune))
            group.create_task(self._every("blobs", PRUNE_BLOBS_EVERY, self.prune_blobs))
            group.create_task(self._every("token uses", NOTE_USES_EVERY, self._tokens.note_uses))
            group.create_task(self._every("login uses", NOTE_USES_EVERY, self._logins.note_uses))
            group.create_task(self._every("system uses", NOTE_USES_EVERY, self.on_note))
            group.create_task(self._look_forever())
            rescue = SHARED_RESCUE if self._store.is_shared else OWN_LOOK
            group.create_task(self._every("rescue", rescue, self._rescue_expired))
            group.create_task(self._every("clock", CLOCK_EVERY, self._set_clock))

    # ------------------------------------------------------------ stage

    async def stage(self) -> None:
        """Queue what has become due and fire schedules, all of it. Looking writes nothing."""
        if self._store.is_shared:
            if not await self._is_anything_due():
                return  # what becomes due from here on waits for a clock that was looked at
            await self._require_time()
        while await self._has_due_runs():
            staged = await self._store.runs.stage(self._clock.now(), STAGED_AT_ONCE)
            for gate, company, _ in staged:
                self._dispatcher.notice(gate, company)
        while await self._schedules.fire_due(FIRED_AT_ONCE) == FIRED_AT_ONCE:
            pass

    async def _is_anything_due(self) -> bool:
        fire_at = await self._store.schedules.next_fire_at()
        return (fire_at is not None and fire_at <= self._clock.now()) or await self._has_due_runs()

    async def _has_due_runs(self) -> bool:
        due_at = await self._store.queues.next_due_at()
        return due_at is not None and due_at <= self._clock.now()

    async def _stage_forever(self) -> None:
        while True:
            await self._attempt("stage", self.stage)
            sleep = await self._until_next_due()
            await self._clock.wait(self._due_wakeup, sleep)

    async def _until_next_due(self) -> timedelta:
        longest = self._peers.look if self._store.is_shared else LONGEST_SLEEP
        try:
            instants = (
                await self._store.queues.next_due_at(),
                await self._store.schedules.next_fire_at(),
            )
        except Exception:  # noqa: BLE001 - the next look says what is wrong
            return AFTER_FAILURE
        known = [at for at in instants if at is not None]
        if not known:
            return longest
        return min(longest, max(min(known) - self._clock.now(), timedelta()))

    # ------------------------------------------------------------ rescue

    async def lose(self, session: Session, detail: str) -> None:
        """A session is gone: void its leases and see to its runs."""
        if not session.is_open:
            return
        self._sessions.forget(session)
        self.on_lost(session)
        await self._dispatcher.barrier()
        held = [run for run in session.held.values() if not run.ending]
        emit(
            WORKER_GONE,
            worker_id=session.worker.id,
            session_id=session.id,
            held=len(held),
            detail=detail,
        )
        was_open = await until_done(
            self._clock,
            "close session",
            lambda: self._store.workers.close_session(session.id, self._clock.now()),
        )
        if was_open:
            await self._give_back(session, held)
        else:  # its worker has gone on at another server; what it left here nobody holds
            await self.rescue()

    async def rescue(self) -> int:
        """See to running runs whose session is over; how many there were."""
        rescued = 0
        while True:
            abandoned = await self._store.leases.abandoned(self._clock.now(), RESCUED_AT_ONCE)
            if not abandoned:
                break
            await self._rescue(abandoned)
            rescued += len(abandoned)
        if rescued:
            emit(RUNS_RESCUED, count=rescued)
        return rescued

    async def _rescue(self, abandoned: Sequence[LeasedRun]) -> None:
        begun = [await self._lost(run) for run in abandoned if run.begun_at is not None]
        now = self._clock.now()
        unbegun = [back_in_queue(run, now) for run in abandoned if run.begun_at is None]
        if begun:
            await self._store.runs.finish(begun)
            self._watch.ended([end.run_id for end in begun if end.state in FINAL_STATES])
        if unbegun:
            await self._store.runs.move(unbegun)
        for run in abandoned:
            self._dispatcher.notice(run.gate_id, run.company_id)
        await self._watch.changed_in({run.run_id: run.company_id for run in abandoned})
        self.expect()

    async def _lost(self, run: LeasedRun) -> Finish:
        """The end of an attempt whose worker disappeared: another attempt, or none left."""
        version = await self._directory.version(run.version_id)
        policy = version.declaration.policies.retry
        delay = retry_delay(Outcome.LOST, run.attempt, policy, self._clock.chance())
        now = self._clock.now()
        cause = Cause.WORKER_LOST if delay is None else Cause.RETRIED
        return Finish(
            run_id=run.run_id,
            company_id=run.company_id,
            token=run.token,
            state=target(cause),
            cause=cause if delay is None else None,
            outcome=Outcome.LOST,
            finished_at=now,
            error=RunError(kind="WorkerLost", message="its worker disappeared"),
            due_at=None if delay is None else now + delay,
            rank=None if delay is None else run.rank,
        )

    async def _give_back(self, session: Session, held: Sequence[HeldRun]) -> None:
        self._attempts.lost(session, [run for run in held if run.begun_at is not None])
        # What came in while the session was being closed counts.
        if unbegun := [run for run in held if run.begun_at is None and not run.ending]:
            await self._dispatcher.hand_back(unbegun)

    async def _look_after_sessions(self) -> None:
        for session in await self._fallen_silent():
            await self.lose(session, "no sign of life within its lease")
            session.port.close("no sign of life within its lease")
        if self._store.is_shared:
            await self._renew_busy()

    async def _fallen_silent(self) -> list[Session]:
        """Sessions without a sign of life. If it was this process that stood still, theirs have
        arrived meanwhile and are heard first.
        """
        if self._sessions.silent():
            for _ in range(TURNS_TO_HEAR):
                await self._clock.wait(asyncio.Event(), timedelta())
        return self._sessions.silent()

    async def _renew_busy(self) -> None:
        if busy := [s for s in self._sessions if s.must_last and not s.is_cut_off]:
            await self._sessions.renew(busy)

    async def _rescue_expired(self) -> None:
        """Void the leases of sessions that nobody renews: their server died.

        A database that was away kept everybody from renewing; whoever lives gets time to do so.
        """
        began_at = self._clock.monotonic()
        try:
            if self._store.is_shared and began_at - self._renewed_at >= self._sessions.lease / 3:
                await self._renew_busy()
                self._renewed_at = self._clock.monotonic()
            abandoned = await self._store.leases.abandoned(self._clock.now(), 1)
        except Busy:
            self._rescue_from = self._clock.monotonic() + self._sessions.lease
            raise
        now = self._clock.monotonic()
        if now - began_at > self._sessions.lease / 3:
            self._rescue_from = now + self._sessions.lease
        if abandoned and now >= self._rescue_from:
            await self._require_time()
            await self.rescue()

    # ------------------------------------------------------------ the rest

    async def prune(self) -> None:
        """Delete ended runs past their retention, and sessions that have long been closed, unless another
        server is just doing that.
        """
        await self._require_time()
        async with self._peers.alone("prune") as is_ours:
            if is_ours:
                await self._prune()
                await self._peers.tidy()

    async def _prune(self) -> None:
        now = self._clock.now()
        await self._store.workers.forget_sessions(now - CLOSED_FOR)
        for company in await self._store.companies.list():
            await self._prune_company(company, now)

    async def _prune_company(self, company: Company, now: datetime) -> None:
        """All its runs at once as far as its own retention goes, unless a task keeps its runs longer;
        then those of tasks with a retention of their own.
        """
        keeps = {
            task.id: await self._kept_for(task, company)
            for task in await self._store.tasks.list(company.id, include_withdrawn=True)
        }
        together = min(company.retention, LONGEST_RETENTION)
        is_together = all(keep <= together for keep in keeps.values())
        if is_together and (pruned := await self._prune_runs(company.id, None, now - together)):
            emit(RUNS_PRUNED, company_id=company.id, task_id=None, count=pruned)
        for task, keep in keeps.items():
            pruned = await self._prune_calls(company.id, task, now)
            if keep != together or not is_together:
                pruned += await self._prune_runs(company.id, task, now - keep)
            if pruned:
                emit(RUNS_PRUNED, company_id=company.id, task_id=task, count=pruned)

    async def _kept_for(self, task: Task, company: Company) -> timedelta:
        version = await self._directory.version(task.version_id)
        keep = version.declaration.policies.retention or company.retention
        return min(keep, LONGEST_RETENTION)

    async def _prune_runs(
        self, company: CompanyId, task: TaskId | None, finished_before: datetime
    ) -> int:
        pruned = 0
        while True:
            count = await self._store.runs.prune(company, task, finished_before, PRUNED_AT_ONCE)
            pruned += count
            if count < PRUNED_AT_ONCE:
                return pruned

    async def _prune_calls(self, company: CompanyId, task: TaskId, now: datetime) -> int:
        """Delete records of a task's calls past the retention of its allocation."""
        allocation = await self._store.allocations.find(company, task)
        keep = DEFAULT_RETENTION if allocation is None else allocation.retention
        pruned = 0
        while count := await self._store.calls.prune(company, task, now - keep, PRUNED_AT_ONCE):
            pruned += count
        return pruned

    async def prune_blobs(self) -> None:
        """Delete blobs that no value, file or bundle names any more."""
        await self._require_time()
        await self._store.blobs.prune(self._clock.now() - ORPHANED_FOR, in_use=set())

    async def look_at_gates(self) -> None:
        """See what else there is in the database, whoever put it there."""
        self._directory.reload()
        await self._directory.refresh_gates()
        for company in await self._store.companies.list():
            self._dispatcher.set_weight(company.id, company.weight)
        await self._dispatcher.notice_occupied()

    async def _look_forever(self) -> None:
        while True:
            look = self._peers.look if self._store.is_shared else OWN_LOOK
            await self._clock.wait(asyncio.Event(), look)
            await self._attempt("gates", self.look_at_gates)
            self.on_look()
            await self._attempt("peers", self._peers.refresh)

    async def _require_time(self) -> None:
        """Raise ClockOff unless this server may act upon an instant: its clock was the database's."""
        if self._store.is_shared and abs(jump := await self._follow_clock()) > LARGEST_JUMP:
            raise ClockOff(f"the clock was off by {jump.total_seconds():.1f} s")

    async def _follow_clock(self) -> timedelta:
        """Set the clock by the database's; how far it was off."""
        asked_at = self._clock.monotonic()
        found = await self._store.database_now()
        took = self._clock.monotonic() - asked_at
        if took > LARGEST_JUMP:  # who knows when it looked
            return timedelta()
        jump = self._clock.adjust(found + took / 2)
        if abs(jump) > LARGEST_JUMP:
            emit(CLOCK_JUMPED, by=jump.total_seconds())
            self.expect()
        return jump

    async def _set_clock(self) -> None:
        await self._follow_clock()

    async def _every(
        self, duty: str, interval: timedelta, work: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            await self._clock.wait(asyncio.Event(), interval)
            await self._attempt(duty, work)

    async def _attempt(self, duty: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the supervisor of duties
            emit(MAINTENANCE_FAILED, duty=duty, detail=f"{type(error).__name__}: {error}")
            await self._clock.wait(asyncio.Event(), AFTER_FAILURE)


def _nothing() -> None:
    """Before anybody cares."""


def _nobody_cares(session: Session) -> None:
    """Before anybody does."""


async def _noting_nothing() -> None:
    """Before anybody notes."""
