"""The Store contract: what the engine may ask of a database, and what it may rely on.

**Writing.** Every write method enqueues one atomic piece of work and returns when the transaction
that holds it has committed. Calls made in the same turn of the event loop, or while a transaction
is under way, share the next one (group commit), in the order in which they were made; so "start"
followed by "claim" without an await between them is one transaction in which the claim sees the
start. A piece never fails half: its guards are conditions in SQL, and the answer names the rows
that won. Losers are simply absent from the answer.

**Durability.** A returned write survives kill -9 and power loss, except where a method says
*relaxed*: such a piece does not force a flush by itself (it becomes durable with the next one that
does). Nothing is lost by that, because of the incarnation: it rises durably whenever a store is
opened, and lease tokens begin with it.

**Reading.** Reads see every write that returned before they began. They never block writes.

**Companies.** Every method that takes an id from outside takes the company too, and finds nothing
when the two do not belong together.

**Back-pressure.** Beyond 5,000 waiting pieces or 32 MB the write methods raise `Overloaded`
immediately.

Instants are aware UTC datetimes with microseconds. Ids are handed in; `reserve_ids` deals them.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Protocol
from uuid import UUID

import msgspec

from runyard.model.companies import Company
from runyard.model.files import StoredFile
from runyard.model.ids import (
    ActorId,
    CompanyId,
    FileId,
    GateId,
    LoginId,
    RunId,
    ScheduleId,
    SessionId,
    TaskId,
    TokenId,
    UserId,
    VersionId,
    WorkerId,
)
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Attempt, Change, Outcome, Run, RunError
from runyard.model.schedules import Schedule
from runyard.model.states import Cause, RunState, Trigger
from runyard.model.tasks import Declaration, Gate, Task, Version
from runyard.model.tokens import Role, Token
from runyard.model.users import Login, SetupLink, User
from runyard.model.workers import Worker, WorkerState
from runyard.stores.audit import AuditLog
from runyard.stores.calls import Allocations, Calls
from runyard.stores.credentials import ApiKeys, SigningKeys, Tickets
from runyard.stores.listing import Position as Position
from runyard.stores.listing import RunFilter as RunFilter
from runyard.stores.outbox import Callbacks, NewCallback
from runyard.stores.peering import Peering
from runyard.stores.preparing import NewPreparation, Preparations, Prepared
from runyard.stores.systems import Systems

INLINE_LIMIT = 32 * 1024
"""Values up to this many bytes stand in the database; larger ones in the blob store."""


class WriteClass(IntEnum):
    """Who goes first when the write queue is long."""

    OUTCOME = 0
    CLAIM = 1
    START = 2
    MAINTENANCE = 3


# ---------------------------------------------------------------- values of writes


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


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of one company to claim, and from which gates."""

    company_id: CompanyId
    count: int
    gate_ids: tuple[GateId, ...]
    """Non-empty as far as the dispatcher knows, fitting the worker's labels. The store itself
    verifies openness and limits, and takes the runs with the smallest (rank + gate offset, id)."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish for runs. Tokens rise from `first_token`, one for each claimed run."""

    session_id: SessionId
    worker_id: WorkerId
    first_token: int
    shares: tuple[Share, ...]
    at: datetime


class ClaimedRun(msgspec.Struct, frozen=True):
    """A run that now belongs to a session, with all a worker needs."""

    run_id: RunId
    public_id: bytes
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    token: int
    attempt: int
    """Attempts that have begun before this one."""
    rank: int
    input: bytes


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


class TaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a deploy: new, or with a new version, or taken over, or only brought back."""

    id: TaskId
    uuid: UUID
    gate_id: GateId
    expected_version_id: VersionId | None
    """The current version that the deploy was computed from; None: the task must not exist."""
    version_id: VersionId
    """Equal to the expected one when the version does not change."""
    version: int
    declaration: Declaration


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """All that one deploy changes, or nothing at all (guards: every `expected_version_id`)."""

    company_id: CompanyId
    bundle_name: str
    bundle_digest: str
    bundle_size: int
    changes: tuple[TaskChange, ...]
    withdrawn: tuple[TaskId, ...]
    """No longer in the bundle: marked, never deleted."""
    at: datetime
    by: ActorId | None = None
    """Who deploys."""


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive lines of one run."""

    company_id: CompanyId
    run_id: RunId
    lines: tuple[LogLine, ...]
    dropped: int = 0


# ---------------------------------------------------------------- values of reads


class StartOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a start: inserted, or known by its key already."""

    inserted: bool
    first_run_id: RunId
    run_count: int
    request_digest: bytes | None = None
    """Of the earlier request, when not inserted."""


class LeasedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a session holds."""

    run_id: RunId
    company_id: CompanyId
    task_id: TaskId
    version_id: VersionId
    gate_id: GateId
    session_id: SessionId
    token: int
    attempt: int
    begun_at: datetime | None
    priority: int
    rank: int


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a list and where the following ones begin."""

    runs: tuple[Run, ...]
    next: Position | None


class RunPage(RunPart, frozen=True, kw_only=True):
    """A page of runs, with the total of its list."""

    total: int
    total_is_exact: bool
    """By task, states and causes: always. Under other filters when no more than `TOTAL_LIMIT` runs had
    to be looked at; otherwise there are at least so many, or were a minute ago.
    """


TOTAL_LIMIT = 10_000
"""Totals that no counts are kept of are counted so far."""

MOST_LOOKED_AT = 10_000
"""A page looks at so many runs, at most, to find those that fit."""

MOST_BEFORE = 250
"""So many runs, at most, are counted that go before one."""


class RunValues(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one run."""

    input: bytes
    output: bytes | None
    error: RunError | None


class GateCount(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind a gate."""

    gate_id: GateId
    queued: int
    leased: int


class GateLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of one gate are where."""

    gate_id: GateId
    scheduled: int
    """Due later, never begun."""
    queued: int
    """Never begun."""
    assigned: int
    """On their way to a worker, never begun."""
    begun: int
    """Begun and not ended, between two attempts too."""
    parked: int = 0
    preparing: int = 0


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A run for which a promise does not hold; `runyard doctor` shows them."""

    promise: str
    run_id: RunId | None
    detail: str


# ---------------------------------------------------------------- the contract


class Runs(Protocol):
    """Runs, their values, attempts and steps."""

    async def start(self, runs: Sequence[NewRun], key: StartKey | None = None) -> StartOutcome:
        """Insert these runs with their inputs, all or none; none when the key is known already."""

    async def claim(self, claim: Claim) -> list[ClaimedRun]:
        """Lease queued runs to a session (relaxed). Never exceeds a gate's limit, never takes a
        run of a closed gate: gate rows are locked before counting. In order of each share's ranks.
        """

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

    async def next_due_at(self) -> datetime | None:
        """The earliest due instant of any scheduled run."""

    async def record_step(self, step: StepRecord) -> bool:
        """Record a step once (an equal record again is fine); False when the lease is lost."""

    async def report_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Keep how far runs say they are, one report a run (relaxed; guard: token)."""

    async def steps(self, runs: Sequence[RunId]) -> dict[RunId, list[tuple[str, int, bytes]]]:
        """The recorded steps (name, occurrence, value) of those runs that have any."""

    async def leased(self, sessions: Sequence[SessionId], limit: int) -> list[LeasedRun]:
        """Runs that these sessions hold, smallest ids first."""

    async def leased_of_gate(self, company: CompanyId, gate: GateId) -> list[LeasedRun]:
        """Runs of a gate that are running or waiting, smallest ids first."""

    async def abandoned(self, now: datetime, limit: int) -> list[LeasedRun]:
        """Running runs whose session is closed, lapsed or unknown, smallest ids first."""

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

    async def attempts(self, company: CompanyId, run: RunId) -> list[Attempt]:
        """Its ended attempts, first to last."""

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

    async def occupied_gates(self) -> list[GateId]:
        """Gates with at least one queued run (a loose index scan; cost grows with gates, not runs)."""

    async def gate_count(self, company: CompanyId, gate: GateId) -> GateCount:
        """What stands behind a gate."""

    async def queued_before(self, company: CompanyId, gate: GateId, rank: int, run: RunId) -> int:
        """How many queued runs of the gate go first; counts to `MOST_BEFORE`."""

    async def queued_totals(self) -> dict[CompanyId, int]:
        """Queued runs of each company that has any."""

    async def state_counts(self, company: CompanyId) -> dict[RunState, int]:
        """How many runs are in each non-final state (final ones are not counted)."""

    async def gate_loads(self, company: CompanyId) -> list[GateLoad]:
        """What stands behind each gate of a company."""

    async def earliest_put_off(self, company: CompanyId, at: datetime) -> datetime | None:
        """When the first was made of the runs that were put off until this instant or later."""

    async def changes(self, company: CompanyId, run: RunId) -> list[Change]:
        """What was done to a run that its row forgets, in order."""

    async def restarts(self, company: CompanyId, run: RunId) -> int:
        """How many runs were restarted from this one."""

    async def ancestors(self, company: CompanyId, run: RunId) -> list[RunId]:
        """Runs that this one goes back to, the nearest first; of a pruned one only the id is known."""

    async def recorded_steps(
        self, company: CompanyId, run: RunId
    ) -> list[tuple[str, int, datetime]]:
        """Its recorded steps (name, occurrence, when), in order, without their values."""

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


class Tasks(Protocol):
    """Tasks, versions, bundles and gates."""

    async def deploy(self, deploy: Deploy) -> bool:
        """Apply a whole deploy; False when a guard failed and nothing was changed."""

    async def find(self, company: CompanyId, task: TaskId) -> Task | None:
        """One task."""

    async def find_by_uuid(self, company: CompanyId, uuid: UUID) -> Task | None:
        """One task by its uuid."""

    async def find_by_name(self, company: CompanyId, name: str) -> Task | None:
        """One task by key, else by name."""

    async def version(self, version: VersionId) -> Version | None:
        """One version (internal: the id comes from a run or task of the company)."""

    async def versions(self, company: CompanyId, task: TaskId) -> list[Version]:
        """All versions of a task, newest first."""

    async def gates(self) -> list[Gate]:
        """All gates."""

    async def gate(self, gate: GateId) -> Gate | None:
        """One gate."""

    async def set_runnable(self, company: CompanyId, task: TaskId, runnable: bool) -> bool:  # noqa: FBT001
        """Open or close a task's gate. After the return no claim takes its runs. False: no such task."""

    async def bundles_in_use(self) -> list[str]:
        """Digests of bundles that any version still names."""

    async def list(self, company: CompanyId, *, include_withdrawn: bool = False) -> list[Task]:
        """All tasks by path and name."""


class Companies(Protocol):
    """Companies and their orchestrators."""

    async def create(self, company: Company) -> bool:
        """False when the slug is taken."""

    async def update(self, company: Company) -> bool:
        """Change name, time zone, default priority, retention, cap and weight."""

    async def find_by_slug(self, slug: str) -> Company | None:
        """One company."""

    async def find(self, company: CompanyId) -> Company | None:
        """One company."""

    async def set_runnable(
        self,
        company: CompanyId,
        runnable: bool,  # noqa: FBT001
        at: datetime | None = None,
        by: ActorId | None = None,
    ) -> bool:
        """Switch the orchestrator (company row and all its gates). After the return no claim takes runs."""

    async def list(self) -> list[Company]:
        """All, by slug."""


class Tokens(Protocol):
    """Tokens, by the SHA-256 of what programs present."""

    async def create(self, token: Token, digest: bytes) -> None:
        """Keep a new token."""

    async def find_by_digest(self, digest: bytes) -> Token | None:
        """The token, revoked or expired ones included."""

    async def find(self, token: TokenId) -> Token | None:
        """One token, revoked or expired ones included (internal: the id comes from a row)."""

    async def revoke(self, company: CompanyId | None, token: TokenId, at: datetime) -> bool:
        """False when there is no such token there. Revoking again keeps the first instant."""

    async def note_use(self, uses: Sequence[tuple[TokenId, datetime]]) -> None:
        """Remember when tokens were used (relaxed; at most once a minute each)."""

    async def valid(self, tokens: Sequence[TokenId], now: datetime) -> set[TokenId]:
        """Those of these that are neither revoked nor expired."""

    async def list(self, company: CompanyId | None) -> list[Token]:
        """Tokens of a company, or of the installation, newest first."""


class Users(Protocol):
    """Users, their roles, and the one-time links with which they choose a password."""

    async def create(self, user: User, password_hash: str | None) -> bool:
        """False when the email is taken."""

    async def create_first(
        self, user: User, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """Spend a link of nobody on the first administrator of the installation, in one piece.

        False when the link is spent or expired, when somebody who can sign in administers it
        already, or when the email is taken. Of several at the same time one succeeds.
        """

    async def update(self, user: User) -> bool:
        """Change email, name, home company and display; False when the email is another's."""

    async def set_password(
        self, user: UserId, password_hash: str, at: datetime, kept: LoginId | None = None
    ) -> bool:
        """Another password; every login but the kept one, and every ticket, is over. False: no such
        user."""

    async def set_password_by_link(
        self, user: UserId, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """The same with a one-time link of the user, which is spent; False when it is not valid."""

    async def refresh_password_hash(
        self, user: UserId, password_hash: str, expected_hash: str
    ) -> None:
        """The same password, hashed anew; nothing when it has changed meanwhile."""

    async def disable(self, user: UserId, at: datetime) -> bool:
        """Let nobody sign in as this user; every login and ticket is over. False: no such user."""

    async def enable(self, user: UserId) -> bool:
        """Let the user sign in again. False: no such user."""

    async def remove(self, user: UserId) -> bool:
        """Forget a user with roles, logins, tickets, API keys and links, in one piece; what was to
        be executed as this user is executed as the built-in one. False: no such user.
        """

    async def grant(self, user: UserId, company: CompanyId | None, role: Role) -> None:
        """Give a role in a company or the installation, in place of the one before."""

    async def withdraw(self, user: UserId, company: CompanyId | None) -> bool:
        """Take a role away; False when there was none."""

    async def find(self, user: UserId) -> User | None:
        """One user."""

    async def find_by_email(self, email: str) -> User | None:
        """One user by the email in lower case."""

    async def password_hash(self, user: UserId) -> str | None:
        """What the password is verified against; None: the user has none."""

    async def is_administered(self) -> bool:
        """Whether somebody who can sign in administers the installation."""

    async def list(self) -> list[User]:
        """All users by email."""

    async def keep_link(self, link: SetupLink, digest: bytes) -> None:
        """Keep a one-time link; expired ones go."""

    async def find_link(self, digest: bytes) -> SetupLink | None:
        """A link that has not been spent, expired or not."""


class Logins(Protocol):
    """Logins, by the SHA-256 of what browsers present."""

    async def create(self, login: Login, digest: bytes) -> None:
        """Keep a new login; the user's ended ones go."""

    async def find_by_digest(self, digest: bytes) -> Login | None:
        """The login, revoked or expired ones included."""

    async def list(self, user: UserId, at: datetime) -> list[Login]:
        """A user's logins that are neither revoked nor expired, newest first."""

    async def note_use(self, uses: Sequence[tuple[LoginId, datetime]]) -> None:
        """Remember when logins were used (relaxed; at most once a minute each)."""

    async def revoke(self, user: UserId, login: LoginId, at: datetime) -> bool:
        """False when the user has no such login. Revoking again keeps the first instant."""

    async def revoke_all(self, user: UserId, at: datetime, kept: LoginId | None = None) -> None:
        """All of a user's, but for the kept one, and every ticket of the user."""


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that begins."""

    id: SessionId
    worker_id: WorkerId
    server: str
    lease_expires_at: datetime
    resume_digest: bytes | None = None
    """SHA-256 of the key that resumes it; None: nothing does."""


class OpenSession(msgspec.Struct, frozen=True):
    """A session that was not closed."""

    id: SessionId
    worker_id: WorkerId
    server: str
    lease_expires_at: datetime


class Workers(Protocol):
    """Workers and their sessions (a session is the holder of a worker's leases)."""

    async def register(self, worker: Worker) -> Worker:
        """Insert a worker, or update the one of that (company, name), keeping its id, its age and
        whether it drains. One in request becomes what it comes as; any other state stays.
        """

    async def set_state(self, worker: WorkerId, state: WorkerState) -> bool:
        """Allow or lock. False when there is no such worker."""

    async def set_draining(self, worker: WorkerId, draining: bool) -> bool:  # noqa: FBT001 - the value
        """Give it nothing more, or go on. False when there is no such worker."""

    async def remove(self, worker: WorkerId) -> bool:
        """Forget it. False when there is no such worker."""

    async def find(self, worker: WorkerId) -> Worker | None:
        """One by its id."""

    async def find_by_name(self, company: CompanyId | None, name: str) -> Worker | None:
        """One by its name among those of a company (not the installation's), or the installation."""

    async def note(self, seen: Sequence[tuple[WorkerId, datetime, int]]) -> None:
        """When workers were last seen, and how many runs each held (relaxed)."""

    async def open_session(self, opened: OpenedSession, at: datetime) -> None:
        """A worker connected."""

    async def succeed_session(
        self, closed: SessionId, opened: OpenedSession, digest: bytes, at: datetime
    ) -> bool:
        """Close a session and open another that has its leases under their tokens, in one piece.

        False, and nothing has changed, unless the session is open, has not lapsed, and this is its
        digest. Saying it again for the same two sessions succeeds again.
        """

    async def renew(self, sessions: Sequence[SessionId], lease_expires_at: datetime) -> None:
        """Keep the leases of these sessions (relaxed). Closed sessions stay closed."""

    async def close_session(self, session: SessionId, at: datetime) -> bool:
        """Its leases are void from now on. False: it was closed before, perhaps by its successor."""

    async def expire_sessions(self, now: datetime, server: str | None = None) -> list[SessionId]:
        """Close every open session whose lease has expired (or all of that server that nobody can
        resume); which.
        """

    async def shorten_sessions(self, server: str, lease_expires_at: datetime) -> None:
        """Let the leases of a server's open sessions end at this instant, if not earlier."""

    async def forget_sessions(self, closed_before: datetime) -> None:
        """Delete sessions that were closed before this instant (relaxed)."""

    async def open_sessions(self) -> list[OpenSession]:
        """Every session that was not closed; its lease may have lapsed."""

    async def list(self, company: CompanyId | None = None) -> list[Worker]:
        """All workers, or those that serve a company."""


class Schedules(Protocol):
    """Schedules."""

    async def create(self, schedule: Schedule) -> bool:
        """False when the task's company has a schedule of that name."""

    async def delete(self, company: CompanyId, schedule: ScheduleId) -> bool:
        """False when there is none."""

    async def set_enabled(
        self,
        company: CompanyId,
        schedule: ScheduleId,
        enabled: bool,  # noqa: FBT001
        next_fire_at: datetime | None,
    ) -> bool:
        """Switch one on or off."""

    async def find(self, company: CompanyId, schedule: ScheduleId) -> Schedule | None:
        """One schedule."""

    async def next_fire_at(self) -> datetime | None:
        """The earliest fire time of any enabled schedule."""

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        """Enabled schedules whose fire time has come, earliest first."""

    async def fire(
        self, schedule: Schedule, next_fire_at: datetime | None, at: datetime, run: NewRun | None
    ) -> bool:
        """Advance a schedule and insert its run in one piece. Guard: its `next_fire_at` is still the
        one that was read, so that it fires once however many servers try. `run` None: skipped.
        """

    async def list(self, company: CompanyId, task: TaskId | None = None) -> list[Schedule]:
        """By name."""


class Logs(Protocol):
    """Log lines (relaxed: outside R1)."""

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep lines, in order per run."""

    async def read(
        self, company: CompanyId, run: RunId, *, at_least: LogLevel, after: int, limit: int
    ) -> list[LogLine]:
        """Lines with a number above `after`, in order."""

    async def last_number(self, company: CompanyId, run: RunId) -> int:
        """The number of the run's last line; 0 when it has none."""

    async def dropped(self, company: CompanyId, run: RunId) -> int:
        """How many lines were left out."""


class Files(Protocol):
    """Rows of stored files; the bytes are in the blobs."""

    async def create(self, file: StoredFile) -> None:
        """Keep a row whose blob is on disk already."""

    async def find(self, company: CompanyId, file: FileId) -> StoredFile | None:
        """One file."""

    async def find_many(self, company: CompanyId, files: Sequence[FileId]) -> list[StoredFile]:
        """Several; unknown ones are absent."""

    async def of_run(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that a run returned, in order."""

    async def has_blob(self, company: CompanyId, digest: str) -> bool:
        """Whether a bundle or a file of the company is this blob."""

    async def fetched_for(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that were fetched for a run's input, by the place of their address."""

    async def list(self, company: CompanyId, limit: int) -> list[StoredFile]:
        """Newest first."""


class BlobWriter(Protocol):
    """A blob being written. Nothing is visible before `commit`."""

    async def write(self, data: bytes) -> None:
        """The next bytes."""

    async def commit(self) -> tuple[str, int]:
        """Make it durable; its digest (SHA-256, hex) and size."""

    async def abort(self) -> None:
        """Forget it."""


class Blobs(Protocol):
    """Large values and files by the SHA-256 of their bytes."""

    async def create(self) -> BlobWriter:
        """Begin a blob."""

    async def put(self, data: bytes) -> str:
        """Keep these bytes durably; their digest."""

    async def size(self, digest: str) -> int | None:
        """Bytes; None when there is no such blob."""

    async def load(self, digest: str) -> bytes | None:
        """All bytes of a small blob."""

    def read(self, digest: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes in parts."""

    async def prune(self, older_than: datetime, in_use: set[str]) -> int:
        """Delete blobs last touched before then that nobody names; how many."""


class StoreStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How the store is doing; for `doctor`, metrics and benchmarks."""

    kind: str
    """sqlite or postgres."""
    version: str
    schema_version: int
    groups: int
    """Transactions committed since it was opened."""
    pieces: int
    """Pieces of work in them."""
    waiting: int
    size: int
    """Bytes on disk."""


class Store(Protocol):
    """A database that has been opened."""

    runs: Runs
    tasks: Tasks
    companies: Companies
    tokens: Tokens
    users: Users
    logins: Logins
    tickets: Tickets
    api_keys: ApiKeys
    signing_keys: SigningKeys
    systems: Systems
    workers: Workers
    schedules: Schedules
    logs: Logs
    files: Files
    callbacks: Callbacks
    audit: AuditLog
    preparations: Preparations
    allocations: Allocations
    calls: Calls
    blobs: Blobs
    incarnation: int
    """Rose durably when this store was opened; no two opens ever share one."""
    is_shared: bool
    """Whether other servers may use the same database at the same time (PostgreSQL)."""
    peering: Peering | None
    """How it reaches these; None exactly when the database is not shared."""

    async def reserve_ids(self, count: int) -> int:
        """The first of `count` consecutive ids that nobody else gets, durably."""

    async def keep_key_mark(self, mark: bytes) -> bytes:
        """Keep what the installation's master key is told by, if nothing is kept; what is kept."""

    async def database_now(self) -> datetime:
        """The database's clock (SQLite: this machine's)."""

    async def statistics(self) -> StoreStatistics:
        """How it is doing."""

    async def close(self) -> None:
        """Finish what is under way, then let go."""
