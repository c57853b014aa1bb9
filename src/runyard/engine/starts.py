"""Starting runs: values checked against the declaration, pinned to the current version, one piece.

All runs of a request start, or none. What is acknowledged is on disk.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from runyard.engine.callbacks import CallbackRequest, Callbacks
from runyard.engine.files import Files, references_in
from runyard.engine.foundation import Foundation
from runyard.engine.ranks import rank
from runyard.model.companies import Company
from runyard.model.errors import (
    AddressRefused,
    FieldProblem,
    IdempotencyConflict,
    InputGone,
    InputRefused,
    QueueFull,
    TaskNotRunnable,
    TaskWithdrawn,
    TooLarge,
    ValueLost,
)
from runyard.model.files import FileAddress
from runyard.model.ids import ActorId, CompanyId, RunId, ScheduleId, VersionId, encode_public_id
from runyard.model.runs import Run
from runyard.model.shapes import Shape
from runyard.model.states import RunState, Trigger
from runyard.model.tasks import HIGHEST_PRIORITY, LOWEST_PRIORITY, Task
from runyard.outbound.addresses import Allowances, WebAddress, read_address
from runyard.stores.contract.preparations import HELD_FOR, NewPreparation
from runyard.stores.contract.runs import NewRun, StartKey

VALUES_LIMIT = 4 * 1024 * 1024
"""Bytes of a run's input or output."""
LATEST = timedelta(days=36_500)
"""How far away an instant may be that something waits for."""
MOST_ADDRESSES = 1_000
"""Files that one input may name by address."""
MOST_RUNS = 1_000
"""Runs in one start."""


class StartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One run that a caller asks for."""

    task: str
    input: bytes = b"{}"
    """JSON object of the named inputs."""
    version: int | None = None
    """Number of the version that it runs; None: the task's current one."""
    priority: int | None = None
    due_at: datetime | None = None
    parked: bool = False
    trigger: Trigger = Trigger.API
    by: ActorId | None = None
    """Who asks."""
    note: str | None = None
    """What shall be remembered of this start; at most 500 characters."""
    waits: bool = False
    """Whether it queues although its task is set not runnable, instead of being refused."""
    callbacks: tuple[CallbackRequest, ...] = ()
    """Who is told when it has ended."""
    files_from: tuple[str, ...] = ()
    """What addresses of its input files may visit beside what the operator allows everybody."""
    begins_within: timedelta | None = None
    """How long it may take to begin before it is failed instead; None: it may wait in the queue."""


class RestartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is started again."""

    parked: bool = False
    same_version: bool = False
    """Whether it runs the version of the old run instead of the task's current one."""
    by: ActorId | None = None
    waits: bool = False
    """Whether it queues although its task is set not runnable, instead of being refused."""


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """Same key, same runs: the key, and a digest of the request it belongs to."""

    text: str
    request_digest: bytes


class StartedRun(msgspec.Struct, frozen=True):
    """A run that was started."""

    id: RunId
    public_id: str
    state: RunState


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What a start led to."""

    runs: tuple[StartedRun, ...]
    repeated: bool
    """The idempotency key was known: these are the runs of the first request."""
    at: datetime | None = None
    """When they were made; None when they are those of an earlier request."""


class Starts:
    """Starts runs."""

    def __init__(
        self, foundation: Foundation, files: Files, callbacks: Callbacks, ageing: timedelta
    ) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher
        self._files = files
        self._callbacks = callbacks
        self._watch = foundation.watch
        self._ageing = ageing
        self.on_scheduled: Callable[[], None] = _nothing
        """Called when a run was started that is due later."""
        self.on_preparing: Callable[[Sequence[NewRun]], None] = _nobody
        """Called with runs that were started and have to be prepared."""
        self.judge: Callable[[WebAddress, Allowances], None] = _anything
        """Raises AddressRefused for what may not be visited, as far as the address itself shows it."""
        self.files_from: Callable[[Run], Awaitable[tuple[str, ...]]] = _from_nowhere
        """What addresses in the input of a run that is started again may visit besides."""
        self.how_to_open: Callable[[ActorId | None], Awaitable[str]] = _no_other_way
        """What else opens an address to whoever starts a run, as its refusal says."""
        self._started: dict[CompanyId, int] = {}
        """Queued runs of each company when they were last counted, plus starts since."""

    async def start(
        self,
        company: Company,
        requests: Sequence[StartRequest],
        *,
        key: IdempotencyKey | None = None,
    ) -> Started:
        """Start these runs, all or none; durable when this returns.

        Raises TaskNotFound, VersionNotFound, TaskNotRunnable, InputRefused, TooLarge, QueueFull, IdempotencyConflict,
        Overloaded.
        """
        await self._refuse_too_many(company, len(requests))
        now = self._clock.now()
        first = await self._ids.take(len(requests))
        runs = [
            await self._new_run(company, request, RunId(first + at), now)
            for at, request in enumerate(requests)
        ]
        return await self._insert(company, runs, self._start_key(company, key, runs, now))

    async def restart(self, company: Company, run: Run, how: RestartRequest) -> RunId:
        """Start a new run with the input of another one, one level up; raises InputGone."""
        raw, parked = await self._input_of(company, run), how.parked
        task = await self._directory.task_by_id(company.id, run.task_id)
        now = self._clock.now()
        self._refuse_stopped(task, waits=how.waits)
        version_id = run.version_id if how.same_version else task.version_id
        shape = await self._directory.input_shape(version_id)
        raw = shape.accept(raw)
        allowed = await self.files_from(run) if shape.addresses_in(raw) else ()
        preparation = self._preparation(shape, raw, parked=parked, allowed=allowed)
        state = RunState.PARKED if parked else RunState.QUEUED
        if preparation is not None:
            state = RunState.PREPARING
        run_id = RunId(await self._ids.take())
        new = NewRun(
            id=run_id,
            public_id=self._clock.new_public_id(),
            company_id=company.id,
            task_id=task.id,
            version_id=version_id,
            gate_id=task.gate_id,
            state=state,
            priority=run.priority,
            rank=rank(now, run.priority, self._ageing),
            created_at=now,
            queued_at=now if state is RunState.QUEUED else None,
            input=raw,
            level=run.level + 1,
            restarted_from=run.id,
            trigger=Trigger.RESTART,
            started_by=how.by,
            callbacks=await self._callbacks.copies(company, run.id, run_id),
            preparation=preparation,
        )
        await self._insert(company, [new], None)
        if fetched := references_in(raw):
            # They were fetched for the run before, and are to stay for as long as this one does.
            await self._store.preparations.adopt(company.id, new.id, list(fetched))
        return new.id

    def _preparation(
        self, shape: Shape, raw: bytes, *, parked: bool = False, allowed: tuple[str, ...] = ()
    ) -> NewPreparation | None:
        """What to do before a run with this input is queued; raises InputRefused for addresses that
        may not be visited.
        """
        addresses = shape.addresses_in(raw)
        if not addresses:
            return None
        problems = [*self._wrong(addresses, Allowances.read(allowed))]
        if len(addresses) > MOST_ADDRESSES:
            seen = f"{len(addresses)} files by address"
            problems = [FieldProblem(field="input", seen=seen, allowed=f"at most {MOST_ADDRESSES}")]
        if problems:
            raise InputRefused(problems)
        return NewPreparation(
            parked=parked,
            allowed=allowed,
            holder=self._store.incarnation,
            until=self._clock.now() + HELD_FOR,
        )

    async def _preparation_for(
        self, request: StartRequest, shape: Shape, accepted: bytes
    ) -> NewPreparation | None:
        """The same for a start, whose refusal says what else opens addresses to whoever asks."""
        try:
            return self._preparation(
                shape, accepted, parked=request.parked, allowed=request.files_from
            )
        except InputRefused as refusal:
            besides = await self.how_to_open(request.by)
            raise InputRefused(
                [
                    msgspec.structs.replace(problem, allowed=problem.allowed + besides)
                    for problem in refusal.problems
                ]
            ) from None

    def _wrong(
        self, addresses: Sequence[FileAddress], allowed: Allowances
    ) -> Iterator[FieldProblem]:
        for address in addresses:
            try:
                self.judge(read_address(address.url), allowed)
            except AddressRefused as refusal:
                yield FieldProblem(
                    field=address.path, seen=address.url[:200], allowed=refusal.detail
                )

    async def _input_of(self, company: Company, run: Run) -> bytes:
        try:
            values = await self._store.runs.values(company.id, run.id)
        except ValueLost:
            values = None
        if values is None:
            raise InputGone(f"the input of run {run.id} is no longer there")
        return values.input

    def rank_at(self, queued_at: datetime, priority: int) -> int:
        """The place of a run that is queued at this instant."""
        return rank(queued_at, priority, self._ageing)

    async def accepted(self, company: Company, task: Task, raw: bytes) -> bytes:
        """An input as the task's current version takes it, its files looked up; raises InputRefused."""
        shape = await self._directory.input_shape(task.version_id)
        accepted = await self._files.complete(company, shape, shape.accept(raw))
        self._preparation(shape, accepted)
        return accepted

    async def scheduled_run(
        self,
        company: Company,
        task: Task,
        schedule: ScheduleId,
        raw: bytes,
        priority: int | None,
        due_at: datetime,
    ) -> NewRun:
        """The run that a schedule starts at a fire time; the schedule's own piece inserts it."""
        self._refuse_stopped(task)
        shape = await self._directory.input_shape(task.version_id)
        accepted = await self._files.complete(company, shape, shape.accept(raw))
        preparation = self._preparation(shape, accepted)
        priority = await self._priority(company, task.version_id, priority)
        return NewRun(
            id=RunId(await self._ids.take()),
            public_id=self._clock.new_public_id(),
            company_id=company.id,
            task_id=task.id,
            version_id=task.version_id,
            gate_id=task.gate_id,
            state=RunState.QUEUED if preparation is None else RunState.PREPARING,
            priority=priority,
            rank=rank(due_at, priority, self._ageing),
            created_at=self._clock.now(),
            due_at=due_at,
            queued_at=self._clock.now() if preparation is None else None,
            input=accepted,
            trigger=Trigger.SCHEDULE,
            schedule_id=schedule,
            preparation=preparation,
        )

    async def _insert(
        self, company: Company, runs: Sequence[NewRun], key: StartKey | None
    ) -> Started:
        gates = {run.gate_id for run in runs if run.state is RunState.QUEUED}
        for gate in gates:  # before the write: the claim shares its group
            self._dispatcher.expect(gate, company.id)
        try:
            outcome = await self._store.runs.start(runs, key)
        finally:  # it may have been written although its answer got lost
            for gate in gates:
                self._dispatcher.notice_again(gate, company.id)
        if not outcome.inserted:
            return await self._repeated(
                company, key, outcome.request_digest, outcome.first_run_id, outcome.run_count
            )
        self._started[company.id] = self._started.get(company.id, 0) + len(runs)
        if any(run.state is RunState.SCHEDULED for run in runs):
            self.on_scheduled()
        if any(run.preparation is not None for run in runs):
            self.on_preparing(runs)
        if self._watch.is_followed(company.id):
            await self._watch.changed(company.id, [run.id for run in runs])
        return Started(
            runs=tuple(
                StartedRun(run.id, encode_public_id(run.public_id), run.state) for run in runs
            ),
            repeated=False,
            at=runs[0].created_at,
        )

    async def _repeated(
        self, company: Company, key: StartKey | None, digest: bytes | None, first: RunId, count: int
    ) -> Started:
        if key is None or digest != key.request_digest:
            raise IdempotencyConflict(
                "this Idempotency-Key was used for a different request; use a new key"
            )
        ids = [RunId(first + at) for at in range(count)]
        runs = await self._store.runs.find_many(company.id, ids)
        return Started(
            runs=tuple(
                StartedRun(run.id, encode_public_id(run.public_id), run.state) for run in runs
            ),
            repeated=True,
        )

    async def _new_run(
        self, company: Company, request: StartRequest, run_id: RunId, now: datetime
    ) -> NewRun:
        task = await self._directory.task(company.id, request.task)
        self._refuse_stopped(task, waits=request.waits)
        if len(request.input) > VALUES_LIMIT:
            raise TooLarge(f"the input has {len(request.input)} bytes; allowed: {VALUES_LIMIT}")
        version_id = task.version_id
        if request.version is not None and request.version != task.version:
            version_id = (await self._directory.numbered_version(task, request.version)).id
        shape = await self._directory.input_shape(version_id)
        accepted = await self._files.complete(company, shape, shape.accept(request.input))
        priority = await self._priority(company, version_id, request.priority)
        if request.due_at is not None:
            refuse_remote("due_at", request.due_at, now)
        is_later = request.due_at is not None and request.due_at > now
        preparation = await self._preparation_for(request, shape, accepted)
        state = _first_state(request, is_later)
        if preparation is not None:
            state = RunState.PREPARING
        return NewRun(
            id=run_id,
            public_id=self._clock.new_public_id(),
            company_id=company.id,
            task_id=task.id,
            version_id=version_id,
            gate_id=task.gate_id,
            state=state,
            priority=priority,
            rank=rank(
                request.due_at if is_later and request.due_at else now, priority, self._ageing
            ),
            created_at=now,
            due_at=request.due_at if is_later else None,
            queued_at=now if state is RunState.QUEUED else None,
            input=accepted,
            trigger=request.trigger,
            started_by=request.by,
            put_off_until=request.due_at if is_later else None,
            note=None if request.note is None else request.note.replace("\0", "\ufffd"),
            callbacks=(
                await self._callbacks.new(company, run_id, request.callbacks)
                if request.callbacks
                else ()
            ),
            preparation=preparation,
            begins_by=None if request.begins_within is None else now + request.begins_within,
        )

    async def _priority(self, company: Company, version_id: VersionId, asked: int | None) -> int:
        if asked is not None:
            refuse_priority(asked)
            return asked
        version = await self._directory.version(version_id)
        return version.declaration.policies.priority or company.default_priority

    def _start_key(
        self, company: Company, key: IdempotencyKey | None, runs: Sequence[NewRun], now: datetime
    ) -> StartKey | None:
        if key is None:
            return None
        return StartKey(
            company_id=company.id,
            key=key.text,
            request_digest=key.request_digest,
            first_run_id=runs[0].id,
            run_count=len(runs),
            created_at=now,
        )

    def _refuse_stopped(self, task: Task, *, waits: bool = False) -> None:
        if task.withdrawn_at is not None:
            raise TaskWithdrawn(f"task {task.name!r} was withdrawn: its bundle no longer has it")
        if not task.runnable and not waits:
            raise TaskNotRunnable(f"task {task.name!r} is set not runnable")

    async def _refuse_too_many(self, company: Company, count: int) -> None:
        if not 1 <= count <= MOST_RUNS:
            seen = f"{count} runs"
            raise InputRefused([FieldProblem(field="runs", seen=seen, allowed=f"1 to {MOST_RUNS}")])
        if self._started.get(company.id, 0) + count > company.queue_cap:
            await self._refuse_full_queue(company, count)

    async def _refuse_full_queue(self, company: Company, count: int) -> None:
        """Count what is really queued; only starts since the last count are known without."""
        totals = await self._store.queues.queued_totals()
        queued = self._started[company.id] = totals.get(company.id, 0)
        if queued + count > company.queue_cap:
            raise QueueFull(
                f"company {company.slug!r} has {queued} queued runs; allowed: {company.queue_cap}"
            )


def refuse_remote(field: str, at: datetime, now: datetime) -> None:
    """Raise InputRefused for an instant so far away that no arithmetic reaches it."""
    try:
        is_near = at - now <= LATEST
    except OverflowError:
        is_near = False
    if not is_near:
        allowed = f"at most {LATEST.days} days from now"
        raise InputRefused([FieldProblem(field=field, seen=at.isoformat(), allowed=allowed)])


def refuse_priority(asked: int) -> None:
    """Raise InputRefused unless this is a priority."""
    if not HIGHEST_PRIORITY <= asked <= LOWEST_PRIORITY:
        allowed = f"{HIGHEST_PRIORITY} to {LOWEST_PRIORITY}, lower first"
        raise InputRefused([FieldProblem(field="priority", seen=str(asked), allowed=allowed)])


def _first_state(request: StartRequest, is_later: bool) -> RunState:  # noqa: FBT001
    if request.parked:
        return RunState.PARKED
    return RunState.SCHEDULED if is_later else RunState.QUEUED


def _nobody(runs: Sequence[NewRun]) -> None:
    """Before anybody prepares."""


def _anything(address: WebAddress, allowed: Allowances) -> None:
    """Before anybody judges."""


def _nothing() -> None:
    """Before anybody cares."""


async def _from_nowhere(run: Run) -> tuple[str, ...]:
    """Before anybody opens anything."""
    return ()


async def _no_other_way(actor: ActorId | None) -> str:
    """Before anybody opens anything."""
    return ""
