"""The part of the Store contract that is about runs: starting them, ending attempts, moving, reading."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.ids import ActorId, CompanyId, GateId, RunId, ScheduleId, TaskId, VersionId
from runyard.model.runs import Outcome, Run, RunError
from runyard.model.states import Cause, RunState, Trigger
from runyard.stores.contract.callbacks import NewCallback
from runyard.stores.contract.listing import Position, RunFilter, RunPage, RunPart
from runyard.stores.contract.preparations import NewPreparation, Prepared


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be inserted. `state` is parked, preparing, scheduled or queued."""

    id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    state: RunState
    priority: int
    rank: int
    created_at: datetime
    input: bytes
    """JSON."""
    due_at: datetime | None = None
    queued_at: datetime | None = None
    level: int = 0
    restarted_from: RunId | None = None
    trigger: Trigger = Trigger.API
    schedule_id: ScheduleId | None = None
    started_by: ActorId | None = None
    put_off_until: datetime | None = None
    """From when on it can run, unless that is at once."""
    note: str | None = None
    """What its starter wants to be remembered."""
    callbacks: tuple[NewCallback, ...] = ()
    preparation: NewPreparation | None = None
    """For runs in state preparing."""
    begins_by: datetime | None = None
    """When somebody looks whether it has begun, and fails it if not; None: it may wait."""


class StartKey(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key that covers all runs of one start."""

    company_id: CompanyId
    key: str
    request_digest: bytes
    """SHA-256 over the request; another digest under the same key is a conflict."""
    first_run_id: RunId
    run_count: int
    """The start's runs have consecutive ids from `first_run_id`."""
    created_at: datetime


class StartOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a start: inserted, or known by its key already."""

    inserted: bool
    first_run_id: RunId
    run_count: int
    request_digest: bytes | None = None
    """Of the earlier request, when not inserted."""


class Beginning(msgspec.Struct, frozen=True):
    """An attempt reached the task's code. Guard: running, this token, not begun yet."""

    run_id: RunId
    token: int
    at: datetime


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one attempt. Guard: the run is running under this token.

    `state` is final, or scheduled/queued for another attempt. Writes an attempts row if `begun_at`
    is given or was recorded before (number = the run's attempt count then), and the output.
    """

    run_id: RunId
    company_id: CompanyId
    token: int
    state: RunState
    cause: Cause | None
    outcome: Outcome
    finished_at: datetime
    begun_at: datetime | None = None
    """When the attempt began, if `begin` may not have recorded it yet."""
    output: bytes | None = None
    error: RunError | None = None
    logged_errors: int = 0
    due_at: datetime | None = None
    queued_at: datetime | None = None
    rank: int | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Any other change of state. Guard: state in `sources`, and the token if one is given."""

    run_id: RunId
    company_id: CompanyId
    sources: tuple[RunState, ...]
    state: RunState
    at: datetime
    cause: Cause | None = None
    """Recorded when `state` is final."""
    token: int | None = None
    unbegun_only: bool = False
    """Guard: no attempt has begun (`attempt = 0`)."""
    unbegun_attempt_only: bool = False
    """Guard: the current attempt has not begun (`begun_at is null`)."""
    due_at: datetime | None = None
    """New due instant for `scheduled`."""
    rank: int | None = None
    """New rank for `queued`; None keeps the run's own. queued_at is set when it was null."""
    put_off_until: datetime | None = None
    """From when on the run can run now; None keeps what was."""
    is_recorded: bool = False
    """Whether the run's history shows it, although the row forgets it."""
    note: str | None = None
    """What its history says about it; of a move that is recorded."""


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A step's result. Guard: the run is running under this token."""

    run_id: RunId
    company_id: CompanyId
    token: int
    name: str
    occurrence: int
    value: bytes
    at: datetime


class ProgressReport(msgspec.Struct, frozen=True):
    """How far a run says it is. Guard: running under this token."""

    run_id: RunId
    token: int
    done: float
    total: float | None


class RunValues(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one run."""

    input: bytes
    output: bytes | None
    error: RunError | None


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A run for which a promise does not hold; `runyard doctor` shows them."""

    promise: str
    run_id: RunId | None
    detail: str


class Runs(Protocol):
    """Runs, their values, attempts and steps."""

    async def start(self, runs: Sequence[NewRun], key: StartKey | None = None) -> StartOutcome:
        """Insert these runs with their inputs, all or none; none when the key is known already."""

    async def begin(self, beginnings: Sequence[Beginning]) -> list[RunId]:
        """Record that attempts reached their code (relaxed): attempt + 1, begun_at, started_at."""

    async def finish(self, finishes: Sequence[Finish]) -> list[RunId]:
        """End attempts; answers the accepted ones."""

    async def move(self, moves: Sequence[Move]) -> list[Run]:
        """Change states; answers the changed runs as they are now."""

    async def end_preparing(self, move: Move, prepared: Prepared) -> Run | None:
        """Move a run out of preparing, with its input or error; None when it is not preparing."""

    async def clean(
        self, company: CompanyId, gate: GateId, at: datetime, limit: int
    ) -> list[RunId]:
        """Cancel up to `limit` never begun runs of a gate that are scheduled, preparing or queued."""

    async def cancel_between_attempts(
        self, company: CompanyId, gate: GateId, at: datetime
    ) -> list[RunId]:
        """Cancel begun runs of a gate that wait for another attempt."""

    async def cancel_queued(self, company: CompanyId, gate: GateId, at: datetime) -> list[RunId]:
        """Cancel queued runs of a gate that have never begun."""

    async def stage(self, now: datetime, limit: int) -> list[tuple[GateId, CompanyId, int]]:
        """Queue scheduled runs whose due instant has come, earliest first; per gate how many.
        Sets queued_at = now and rank = micros(due_at) + priority * ageing as handed in by `start`
        (the rank stored with the scheduled run is already the right one).
        """

    async def record_step(self, step: StepRecord) -> bool:
        """Record a step once (an equal record again is fine); False when the lease is lost."""

    async def report_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Keep how far runs say they are, one report a run (relaxed; guard: token)."""

    async def steps(self, runs: Sequence[RunId]) -> dict[RunId, list[tuple[str, int, bytes]]]:
        """The recorded steps (name, occurrence, value) of those runs that have any."""

    async def find(self, company: CompanyId, run: RunId) -> Run | None:
        """One run."""

    async def find_many(self, company: CompanyId, runs: Sequence[RunId]) -> list[Run]:
        """Several, ordered by id; unknown ones are absent."""

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> Run | None:
        """One run by its public id."""

    async def values(self, company: CompanyId, run: RunId) -> RunValues | None:
        """Its values."""

    async def outputs(self, company: CompanyId, runs: Sequence[RunId]) -> dict[RunId, RunValues]:
        """The values of several runs (for lists with values)."""

    async def page(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> RunPage:
        """Runs newest first: by creation, or by end when the filter bounds the ends. The cost of a
        page is that of its rows, whatever else is in the store; under a filter by things that no
        index has together it looks at `MOST_LOOKED_AT` runs, and may then be short, even empty,
        and still have a `next`.
        """

    async def part(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> RunPart:
        """As `page`, for those who show no total: then nothing is counted."""

    async def delete(self, company: CompanyId, runs: Sequence[RunId]) -> int:
        """Delete those of these runs that have ended, with everything that belongs to them; how
        many.
        """

    async def prune(
        self, company: CompanyId, task: TaskId | None, finished_before: datetime, limit: int
    ) -> int:
        """Delete ended runs of a task, or of the whole company, with everything that belongs to them;
        how many. A company's go several times as fast: they are neighbours on disk.
        """

    async def breaches(self, now: datetime, limit: int) -> list[Breach]:
        """Runs for which R2 or R7 does not hold: a scheduled one without a due instant, a queued one
        without queue place, a running one without live session, a final one without cause or end, a
        gate over its limit, ...
        """
