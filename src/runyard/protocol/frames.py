"""The frames of the worker protocol. Values only; `codec` makes bytes of them.

Unless said otherwise instants are aware UTC datetimes, and JSON values travel as raw JSON.
"""

from datetime import datetime, timedelta

import msgspec

from runyard.model.ids import AllocationId, CompanyId, FileId, RunId, SessionId, VersionId
from runyard.model.logs import LogLine
from runyard.model.runs import Outcome, RunError
from runyard.model.tasks import Declaration

PROTOCOL_VERSIONS = (2,)
PART_SIZE = 256 * 1024
"""Most bytes of a blob in one frame."""
FILE_WINDOW = 4 * 1024 * 1024
"""Bytes of an offered file after which its sender waits until the server has taken them."""


class Frame(msgspec.Struct, frozen=True, tag_field="t", omit_defaults=True):
    """The root of all frames."""


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Which run, and under which token."""

    run_id: RunId
    token: int


# ---------------------------------------------------------------- worker to server


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A run whose next instruction is the task's own code."""

    run_id: RunId
    token: int
    at: datetime


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """The session that a worker goes on with, and what it has of it. What is not named here has not
    begun, and will not.
    """

    session_id: SessionId
    key: str
    """From the welcome of that session."""
    begun: tuple[Start, ...] = ()
    """Runs that execute."""
    ended: tuple[Lease, ...] = ()
    """Runs whose end is said again, since nobody has said that it is recorded."""


class Hello(Frame, frozen=True, tag="hello", kw_only=True):
    """The first frame: who connects, and which versions of the protocol it speaks.

    The credential is not in it: whoever accepts the connection has judged that before.
    """

    protocol: tuple[int, ...]
    name: str
    version: str
    host: str
    os: str
    python: str
    slots: int
    labels: tuple[str, ...] = ()
    isolation: str = ""
    """The isolation level that its children reach, for people."""
    resume: Resume | None = None
    """None: it begins anew and holds nothing."""


class Heartbeat(Frame, frozen=True, tag="heartbeat"):
    """A sign of life; renews every lease of the session."""

    busy: int
    """Slots in use."""
    number: int = 0
    """Rises; `Renewed` names it."""


class Capacity(Frame, frozen=True, tag="capacity"):
    """How many runs the worker holds at most, begun or not. May rise and fall at any time."""

    runs: int
    leaving: bool = False
    """Whether the worker is about to stop: calls should go elsewhere as well."""
    short: str = ""
    """Why no further child can be started there now, when that is so."""


class Begun(Frame, frozen=True, tag="begun"):
    """Runs that have reached their task's code."""

    starts: tuple[Start, ...]


class End(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one attempt ended."""

    run_id: RunId
    token: int
    outcome: Outcome
    begun_at: datetime | None = None
    """None: it never reached the task's code."""
    finished_at: datetime
    output: msgspec.Raw | None = None
    """JSON object of the named outputs, for `returned`; None when the task returned nothing."""
    error: RunError | None = None
    logged_errors: int = 0
    signal: int | None = None
    """For `killed`: the signal that ended the child, when Runyard did not send it."""


class Ended(Frame, frozen=True, tag="ended"):
    """Attempts that are over. Their last log lines and files were sent before."""

    ends: tuple[End, ...]


class LogLines(Frame, frozen=True, tag="log"):
    """Lines of one run's log, in order."""

    run_id: RunId
    token: int
    lines: tuple[LogLine, ...]
    dropped: int = 0
    """Lines left out because the run logged more than is kept."""


class Progress(Frame, frozen=True, tag="progress"):
    """How far a run says it has come."""

    run_id: RunId
    token: int
    done: float
    total: float | None = None


class StepDone(Frame, frozen=True, tag="step_done"):
    """A step's result, to be recorded before the run goes on."""

    request: int
    run_id: RunId
    token: int
    name: str
    occurrence: int
    """How many steps of this name the run had before, from 0."""
    value: msgspec.Raw


class Recalled(Frame, frozen=True, tag="recalled"):
    """Answers `Recall`: these had not begun, and will not."""

    request: int
    runs: tuple[Lease, ...]


class Killed(Frame, frozen=True, tag="killed"):
    """Answers `Kill`: no code of these executes any more."""

    request: int
    runs: tuple[Lease, ...]


class CodeProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a bundle was refused."""

    reason: str
    file: str | None = None
    """Inside the bundle."""
    line: int | None = None


class Inspected(Frame, frozen=True, tag="inspected"):
    """Answers `Inspect`: the tasks found, or why there are none."""

    request: int
    declarations: tuple[Declaration, ...] = ()
    problem: CodeProblem | None = None


class InspectionLine(Frame, frozen=True, tag="inspection_line"):
    """What an inspection is doing, for people (such as the building of its environment)."""

    request: int
    text: str


class BlobWanted(Frame, frozen=True, tag="blob_wanted"):
    """Asks for a blob (a bundle, an input file) from `offset` on; parts follow in order."""

    digest: str
    offset: int = 0


class FileOffered(Frame, frozen=True, tag="file_offered", kw_only=True):
    """A file that a run returns; its parts follow under the same transfer number."""

    transfer: int
    run_id: RunId
    token: int
    name: str
    content_type: str
    size: int


class FilePart(Frame, frozen=True, tag="file_part"):
    """The next bytes of an offered file."""

    transfer: int
    data: bytes
    last: bool


class Warmed(Frame, frozen=True, tag="warmed", kw_only=True):
    """What an allocation has at this worker; sent whenever that changes."""

    allocation_id: AllocationId
    version_id: VersionId
    """The version that calls execute from now on."""
    children: int
    """How many are there, at work or ready."""
    memory: int = 0
    """Bytes that they have in use."""
    error: RunError | None = None
    """Why the version that was wanted last cannot be loaded; the one before goes on."""


class CallEnded(Frame, frozen=True, tag="call_ended", kw_only=True):
    """Answers `Call`. Its last lines and files were sent before."""

    run_id: RunId
    version_id: VersionId
    outcome: Outcome
    begun_at: datetime | None = None
    """None: it never reached the task's code."""
    finished_at: datetime
    output: bytes | None = None
    """JSON object of the named outputs, for `returned`; None when the task returned nothing."""
    error: RunError | None = None
    logged_errors: int = 0
    signal: int | None = None
    """For `killed`: the signal that ended the child, when Runyard did not send it."""


class Goodbye(Frame, frozen=True, tag="goodbye"):
    """The worker leaves; it holds no run any more."""

    detail: str = ""


# ---------------------------------------------------------------- server to worker


class Welcome(Frame, frozen=True, tag="welcome", kw_only=True):
    """The worker may execute: its session, and how often to give a sign of life."""

    protocol: int
    session_id: SessionId
    lease: timedelta
    heartbeat: timedelta
    key: str = ""
    """With which the worker goes on after its connection broke; empty: nothing will."""
    resumed: bool = False
    """Whether this is the session that the worker asked for, or its successor at another server."""
    void: tuple[Lease, ...] = ()
    """Of what the worker has, what is not its own any more: to be ended and not spoken of."""


class Pending(Frame, frozen=True, tag="pending"):
    """The worker may not execute yet. It stays, gives signs of life, and is welcomed later."""

    heartbeat: timedelta
    detail: str


class Renewed(Frame, frozen=True, tag="renewed"):
    """A heartbeat was heard: all leases count from it. Not needed where sending is arriving."""

    number: int


class Refusal(Frame, frozen=True, tag="refusal"):
    """The worker may not, and why. The connection ends."""

    code: str
    """protocol, token, locked, removed, name_taken or lapsed."""
    detail: str


class Introduction(Frame, frozen=True, tag="introduction", kw_only=True):
    """What a session must know of a task version before its first run of it."""

    version_id: VersionId
    company_id: CompanyId
    company: str
    """Slug."""
    task: str
    """Name, for logs."""
    bundle_digest: str
    module: str
    function: str
    requirements: tuple[str, ...] = ()
    timeout: timedelta | None = None


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """One claimed run."""

    run_id: RunId
    token: int
    version_id: VersionId
    public_id: str
    attempt: int
    """Number that this attempt gets when it begins, from 1."""
    input: msgspec.Raw
    """JSON object of the named inputs."""
    steps: tuple["Step", ...] = ()
    """Recorded by earlier attempts."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """A recorded step."""

    name: str
    occurrence: int
    value: msgspec.Raw


class Assignments(Frame, frozen=True, tag="assignments"):
    """Runs for the worker to execute, in the order in which they should begin."""

    runs: tuple[Assignment, ...]


class Recall(Frame, frozen=True, tag="recall"):
    """Give back those of these runs that have not begun. Answered by `Recalled`."""

    request: int
    runs: tuple[Lease, ...]


class Kill(Frame, frozen=True, tag="kill"):
    """End these runs with all their descendants. Answered by `Killed` once they are dead."""

    request: int
    runs: tuple[Lease, ...]


class Warm(Frame, frozen=True, tag="warm", kw_only=True):
    """Keep children ready with this version loaded; it was introduced before.

    Children with another version serve calls until these are ready, then finish what they do.
    """

    allocation_id: AllocationId
    version_id: VersionId
    children: int
    """0: the allocation is no more."""
    deadline: timedelta
    """How long a call may take."""


class Call(Frame, frozen=True, tag="call"):
    """Execute this in a child of the allocation. Answered by `CallEnded`."""

    allocation_id: AllocationId
    run_id: RunId
    public_id: str
    input: bytes
    """JSON object of the named inputs."""


class StepRecorded(Frame, frozen=True, tag="step_recorded"):
    """Answers `StepDone`: on disk. With `lost`, the lease is gone and the attempt must end."""

    request: int
    lost: bool = False


class Recorded(Frame, frozen=True, tag="recorded"):
    """How these ended is on disk, or of no interest any more: it need not be said again."""

    runs: tuple[Lease, ...]


class Inspect(Frame, frozen=True, tag="inspect", kw_only=True):
    """Find the tasks of a bundle. Answered by `Inspected`."""

    request: int
    company_id: CompanyId
    company: str
    bundle_digest: str


class BlobPart(Frame, frozen=True, tag="blob_part"):
    """Bytes of a wanted blob. `size` is its whole size; None: there is no such blob."""

    digest: str
    offset: int
    data: bytes
    size: int | None


class FileStored(Frame, frozen=True, tag="file_stored"):
    """Answers the last `FilePart`: under which id the file is kept, or why it is refused."""

    transfer: int
    file_id: FileId | None
    detail: str = ""


class FileTaken(Frame, frozen=True, tag="file_taken"):
    """So many bytes of an offered file are on their way to the disk; more may be sent."""

    transfer: int
    received: int


class Drain(Frame, frozen=True, tag="drain"):
    """Take no further runs, finish what has begun, then say goodbye."""


FromWorker = (
    Hello
    | Heartbeat
    | Capacity
    | Begun
    | Ended
    | LogLines
    | Progress
    | StepDone
    | Recalled
    | Killed
    | Inspected
    | InspectionLine
    | BlobWanted
    | FileOffered
    | FilePart
    | Warmed
    | CallEnded
    | Goodbye
)
FromServer = (
    Welcome
    | Pending
    | Refusal
    | Renewed
    | Introduction
    | Assignments
    | Recall
    | Kill
    | Warm
    | Call
    | StepRecorded
    | Recorded
    | Inspect
    | BlobPart
    | FileStored
    | FileTaken
    | Drain
)
