"""The JSON of the dialect. The docstring below a field is its description in the document.

Callers send whole tasks as they have got them before, so that members which no call reads are passed
over; what is read is read strictly. What has no value is left out of an answer and never null.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MOST_LISTED = 500

Guid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Stamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
PriorityWord = Literal["HIGH", "MEDIUM", "LOW"]
GivenPriority = Literal["HIGH", "MEDIUM", "LOW", "EMPTY_P", ""]
StatusWord = Literal["PREPARE", "QUEUE", "EXECUTING", "DONE", "ERROR"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what callers send."""

    auth_tkn: Guid
    """UUID of the calling system, which an administrator has allowed."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what is answered."""


# ---------------------------------------------------------------- what is sent


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task to queue. Members that an answer has besides are passed over."""

    process: Guid
    """Token of the process: one for all its versions."""
    version: int | None = 0
    """Number of the version; 0, null or none: the one that is current when the task is created."""
    callback: str | None = None
    """Address that is told once the task is over, by a POST with the status answer."""
    ctx: str | None = None
    """The input: a text that holds a JSON object, value by variable. Empty, null, none or `{}`: no
    input."""
    priority: GivenPriority | None = None
    """MEDIUM unless given."""


class CreateTask(Asked, frozen=True, kw_only=True):
    """Who queues what."""

    task: NewTask


class AboutTask(Asked, frozen=True, kw_only=True):
    """Who asks about which task."""

    id: int
    """As the answer to create had it."""


class FileOfTask(Asked, frozen=True, kw_only=True):
    """Which file, of which task."""

    taskid: int
    filename: str
    """The value of the output variable."""


class Part(Asked, frozen=True, kw_only=True):
    """Which part of a list. Page 0 with limit 0 is all of it."""

    page: Annotated[int, Meta(ge=0, le=10**9)] | None = 0
    """From 0 on."""
    limit: Annotated[int, Meta(ge=0, le=MOST_LISTED)] | None = 0
    """How many a page has; 0: there is one page with everything."""


class PartOfHistory(Part, frozen=True, kw_only=True):
    """Which part of the versions of a process."""

    token: Guid
    """The process."""


# ---------------------------------------------------------------- what is answered


class Metrics(Shown, frozen=True, kw_only=True, rename="camel"):
    """When the bot was at work; empty before it began."""

    start_time: Stamp | UnsetType = UNSET
    end_time: Stamp | UnsetType = UNSET
    """0001-01-01T00:00:00Z while it is at work."""


class Task(Shown, frozen=True, kw_only=True):
    """A task as it stands."""

    id: int
    process: Guid
    ctx: Guid | UnsetType = UNSET
    """Names the stored input; not the input itself."""
    system: Guid | UnsetType = UNSET
    """The system that created it; only that one is told."""
    priority: PriorityWord
    groups: tuple[Guid, ...] | UnsetType = UNSET
    """Of the bots that may execute it."""
    status: StatusWord
    bot: Guid | UnsetType = UNSET
    """That executes it, or has."""
    output_ctx: str | UnsetType = msgspec.field(default=UNSET, name="outputCtx")
    """The output: a text that holds a JSON object with every output variable, names in lower case, null
    where it was not set."""
    log: str | UnsetType = UNSET
    """Lines that end with a line feed. Of a task that failed the last one says why."""
    metrics: Metrics
    created: Stamp
    updated: Stamp


class TaskAnswer(Shown, frozen=True, kw_only=True):
    """The task."""

    status: int
    """201 while the task is not over, 200 once it is."""
    task: Task


class Process(Shown, frozen=True, kw_only=True):
    """A version of a process."""

    uuid: Guid
    """This version."""
    token: Guid
    """The process: one for all its versions."""
    version: int
    active: bool
    """Whether tasks of it can be created."""
    name: str
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")] | UnsetType = UNSET
    """SHA-1 of the package that it came in."""
    created: Stamp
    """When the process was deployed first."""
    uploaded: Stamp
    """When this version was."""
    useruuid: Guid | UnsetType = UNSET
    """Who deployed it, as far as that is known."""
    fullname: str | UnsetType = UNSET
    groups: tuple[Guid, ...] | UnsetType = UNSET
    """Of the bots that may execute it; left out when all may."""


class ProcessList(Shown, frozen=True, kw_only=True):
    """Versions of processes."""

    status: int
    total: int
    """How many there are in all, on whatever page."""
    process: tuple[Process, ...]


class Failure(Shown, frozen=True, kw_only=True):
    """Why a call was refused."""

    status: int
    """As HTTP has it."""
    error_message: Annotated[str, Meta(min_length=1)] = msgspec.field(name="ErrorMessage")
