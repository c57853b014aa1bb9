"""Everything Runyard raises on purpose, by condition.

    RunyardError
    ├── NotFound                 no such thing, or not yours (the two are told apart by nobody)
    │   ├── CompanyNotFound, TaskNotFound, VersionNotFound, RunNotFound, TokenNotFound
    │   ├── ScheduleNotFound, FileNotFound, WorkerNotFound, BundleNotFound
    │   └── UserNotFound, GrantNotFound, SetupLinkNotFound, CallbackNotFound,
    │       ApiKeyNotFound, SystemNotFound
    ├── Conflict                 it exists, but not in a state that allows this
    │   ├── IllegalTransition, LeaseLost, OutputNotReady, InputGone, CallbackNotReady
    │   ├── TaskNotRunnable      TaskWithdrawn
    │   ├── NameTaken, TaskOwnedElsewhere, DeployedMeanwhile
    │   ├── EmailTaken, LastAdministrator, SetUpAlready
    │   ├── WorkerNameInUse, WorkerNotAllowed, WorkerBuiltIn, SessionLapsed
    │   ├── TooManyAllocations   the company keeps as many tasks warm as it may
    │   ├── CodeNotShown         the task's code cannot be read as text
    │   ├── WrongMasterKey       the server's key is not the one of its database
    │   └── IdempotencyConflict  the key was used for a different request
    ├── Refused                  the request itself is wrong
    │   ├── InputRefused         names each field, what was seen and what is allowed
    │   ├── CodeRefused          broken task code: file, line and reason
    │   ├── TooLarge, AddressRefused
    │   ├── Unauthenticated      TokenRevoked
    │   └── Forbidden            RemoteControlDisabled, WorkerLocked, SystemNotAllowed
    ├── OutboundFailed           another server could not be reached, or not within the limits
    └── Busy                     try again later
        ├── Overloaded           write queue full; carries when to retry
        ├── StorageUnavailable   disk full, file read-only, database away: nothing is written now
        ├── QueueFull            the company's cap on queued runs
        ├── TooManyLogins        somebody is guessing passwords; carries when to retry
        ├── ClockOff             this server's clock was not the database's
        ├── Unconfirmed          it is in force, but a server has not answered that it knows
        ├── ServerStopping       it takes nothing more
        ├── NoWorker             nobody is there who could do it
        ├── LimitReached         every child of the allocation is at work
        ├── MonthlyLimitReached          the company has executed as many calls this month as it may
        ├── CallsPaused          no call is executed now: paused, not runnable, or not warm yet
        └── KeptElsewhere        another server gives out the allocation's children
    ValueLost                    a stored value is damaged: its row is there, its blob is not

A door translates these at its edge, once, with a total mapping.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from runyard.model.ids import WorkerId
from runyard.model.systems import System, SystemState
from runyard.model.tokens import Token


class RunyardError(Exception):
    """The root of all errors that Runyard raises on purpose."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())

    @property
    def detail(self) -> str:
        """A sentence for the caller."""
        return str(self)


class FieldProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with one field of a request: where, what was seen, what is allowed."""

    field: str
    """Where, such as `input.zip`."""
    seen: str
    """What was there."""
    allowed: str
    """What may be there."""


class NotFound(RunyardError):
    """There is no such thing."""


class CompanyNotFound(NotFound):
    """There is no such company."""


class TaskNotFound(NotFound):
    """There is no such task."""


class VersionNotFound(NotFound):
    """There is no such version of the task."""


class RunNotFound(NotFound):
    """No run has this id."""


class TokenNotFound(NotFound):
    """There is no such token."""


class ScheduleNotFound(NotFound):
    """There is no such schedule."""


class AllocationNotFound(NotFound):
    """The task has no allocation."""


class FileNotFound(NotFound):
    """There is no such file."""


class WorkerNotFound(NotFound):
    """There is no such worker."""


class BundleNotFound(NotFound):
    """There is no such bundle."""


class UserNotFound(NotFound):
    """There is no such user."""


class GrantNotFound(NotFound):
    """The user has no role there."""


class SetupLinkNotFound(NotFound):
    """This set-up link is not valid: it was used, replaced by a newer one, or has expired."""


class ApiKeyNotFound(NotFound):
    """The user has no such API key."""


class SystemNotFound(NotFound):
    """There is no such system."""


class CallbackNotFound(NotFound):
    """There is no such callback."""


class Conflict(RunyardError):
    """The thing is not in a state that allows this."""


class IllegalTransition(Conflict):
    """The run's state does not allow this."""


class LeaseLost(Conflict):
    """The lease under which this was reported is no longer valid."""


class TaskNotRunnable(Conflict):
    """The task is set not runnable."""


class TaskWithdrawn(TaskNotRunnable):
    """The task was withdrawn: its bundle no longer has it."""


class InputGone(Conflict):
    """The run's input is no longer there."""


class OutputNotReady(Conflict):
    """The run has no output yet."""


class CallbackNotReady(Conflict):
    """The callback waits for its run, or is being sent."""


class TooManyAllocations(Conflict):
    """The company keeps as many tasks warm as the operator allows."""


class CodeNotShown(Conflict):
    """What a task does cannot be told: its bundle is gone, damaged or too large."""


class WrongMasterKey(Conflict):
    """The server's master key is not the one that its database was set up with."""


class NameTaken(Conflict):
    """The name is already in use."""


class WorkerNameInUse(Conflict):
    """A live worker has this name."""


class WorkerNotAllowed(Conflict):
    """An administrator has to allow the worker first."""

    def __init__(self, worker: WorkerId, detail: str) -> None:
        self.worker = worker
        super().__init__(detail)


class WorkerBuiltIn(Conflict):
    """The worker is part of a server."""


class SessionLapsed(Conflict):
    """The session cannot be resumed any more; whatever it held is somebody else's."""


class TaskOwnedElsewhere(Conflict):
    """A task of this name was deployed from another bundle."""


class DeployedMeanwhile(Conflict):
    """Somebody else deployed the same tasks at the same time."""


class EmailTaken(Conflict):
    """There is a user with this email already."""


class LastAdministrator(Conflict):
    """Nobody else could administer the installation any more."""


class SetUpAlready(Conflict):
    """Somebody administers the installation already."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used for a different request."""


class Refused(RunyardError):
    """The request is wrong."""


class InputRefused(Refused):
    """The input does not fit its declaration."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{p.field}: {p.seen}; allowed: {p.allowed}" for p in self.problems)
        )


class CodeRefused(Refused):
    """The task code is broken."""

    def __init__(self, detail: str, *, file: str | None = None, line: int | None = None) -> None:
        self.file = file
        self.line = line
        super().__init__(detail)


class TooLarge(Refused):
    """The request is larger than allowed."""


class AddressRefused(Refused):
    """The address may not be visited, or is none."""


class Unauthenticated(Refused):
    """No valid token was presented."""


class TokenRevoked(Unauthenticated):
    """This token was revoked."""

    def __init__(self, token: Token) -> None:
        self.token = token
        super().__init__("this token was revoked")


class Forbidden(Refused):
    """The token does not allow this."""


class WorkerLocked(Forbidden):
    """An administrator has locked the worker."""


class RemoteControlDisabled(Forbidden):
    """Remote control of the company is switched off."""


class SystemNotAllowed(Forbidden):
    """The system may not call: it waits to be allowed, or is locked."""

    def __init__(self, system: System) -> None:
        self.system = system
        told = "is locked" if system.state is SystemState.LOCKED else "waits to be allowed"
        super().__init__(f"the system {system.name!r} {told}: an administrator has to allow it")


class OutboundFailed(RunyardError):
    """Another server could not be reached, or not within the limits."""


class Busy(RunyardError):
    """Not now; try again later."""

    def __init__(self, detail: str = "", *, retry_after: timedelta = timedelta(seconds=1)) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class Overloaded(Busy):
    """More is being written than the disk takes."""


class StorageUnavailable(Busy):
    """Nothing can be written at the moment."""


class QueueFull(Busy):
    """The company has as many queued runs as it may have."""


class TooManyLogins(Busy):
    """There were too many attempts to sign in; wait a little."""


class ServerStopping(Busy):
    """The server is about to stop; another one, or its next life, takes over."""


class NoWorker(Busy):
    """No worker is there that could do it."""


class ValueLost(RunyardError):
    """A value's row is there, but its blob is not."""


class Unconfirmed(Busy):
    """The change is in force, but another server has not said that it acts upon it."""


class LimitReached(Busy):
    """As many calls execute as the allocation allows."""


class MonthlyLimitReached(Busy):
    """The company has executed as many calls this month as it may."""


class CallsPaused(Busy):
    """No call of this allocation is executed now."""


class ClockOff(Busy):
    """This server's clock was not the database's."""


class KeptElsewhere(Busy):
    """Another server keeps this task warm, and has to be asked."""

    def __init__(self, server: str, address: str) -> None:
        self.address = address
        super().__init__(f"server {server!r} keeps this task warm, at {address}")
