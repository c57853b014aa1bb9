"""Our words as the dialect's: states, priorities, instants, log lines, problems. Total mappings, pure.

Callers know two ends, DONE and ERROR, and wait for nothing else; so whatever is over must be one of
them, and whatever is not must not look like one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from runyard.dialects.elma import shapes
from runyard.model import errors
from runyard.model.logs import LogLevel
from runyard.model.states import Cause, RunState
from runyard.web.asgi import Headers
from runyard.web.errors import MethodNotAllowed, RangeRefused
from runyard.web.problems import headers_of

NO_INSTANT = "0001-01-01T00:00:00Z"
"""How an instant is written that has not come."""

NOT_OVER, OVER = 201, 200
"""The number in the body, by whether the task is over."""


# ---------------------------------------------------------------- states


class Stages(NamedTuple):
    """The status of a task that is not over, by whether its current attempt has begun."""

    unbegun: shapes.StatusWord
    begun: shapes.StatusWord


_WAITS = Stages("QUEUE", "QUEUE")

UNENDED: Mapping[RunState, Stages] = {
    RunState.PARKED: _WAITS,
    RunState.PREPARING: Stages("PREPARE", "PREPARE"),
    RunState.SCHEDULED: _WAITS,
    RunState.QUEUED: _WAITS,
    RunState.RUNNING: Stages("QUEUE", "EXECUTING"),
    RunState.WAITING: Stages("EXECUTING", "EXECUTING"),
}
"""Every state that is not final. What is held aside is not over, so it must not look over; what waits
for another attempt is in the queue again."""

ENDED: Mapping[Cause, shapes.StatusWord] = {
    Cause.RETURNED: "DONE",
    Cause.RETURNED_NOTHING: "DONE",
    Cause.RETURNED_WITH_ERRORS: "DONE",
    Cause.RAISED: "ERROR",
    Cause.KILLED_OUTSIDE: "ERROR",
    Cause.TIMED_OUT: "ERROR",
    Cause.CANCELLED: "ERROR",
    Cause.CODE_NOT_LOADED: "ERROR",
    Cause.WORKER_LOST: "ERROR",
    Cause.OUTPUT_INVALID: "ERROR",
    Cause.INPUT_INVALID: "ERROR",
    Cause.NO_SLOT: "ERROR",
}
"""Every cause that a final run can have."""


def status_of(state: RunState, cause: Cause | None, *, is_begun: bool) -> shapes.StatusWord:
    """The status of a task; `is_begun`: its current attempt has reached the task's code."""
    if cause is not None:
        return ENDED[cause]
    stages = UNENDED[state]
    return stages.begun if is_begun else stages.unbegun


def number_of(status: shapes.StatusWord) -> int:
    """The number in the body of an answer about a task of this status."""
    return OVER if status in {"DONE", "ERROR"} else NOT_OVER


# ---------------------------------------------------------------- priorities

PRIORITIES: Mapping[shapes.PriorityWord, int] = {"HIGH": 20, "MEDIUM": 50, "LOW": 80}
_HIGH_UP_TO, _MEDIUM_UP_TO = 35, 65


def priority_from(word: shapes.GivenPriority | None) -> int:
    """The priority that a caller means; MEDIUM where none is meant."""
    if word in {"HIGH", "LOW"}:
        return PRIORITIES[word]
    return PRIORITIES["MEDIUM"]


def priority_word(priority: int) -> shapes.PriorityWord:
    """A priority as the dialect says it."""
    if priority <= _HIGH_UP_TO:
        return "HIGH"
    return "MEDIUM" if priority <= _MEDIUM_UP_TO else "LOW"


# ---------------------------------------------------------------- instants


def stamp(at: datetime) -> str:
    """An instant in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


# ---------------------------------------------------------------- log lines

LEVELS: Mapping[LogLevel, str] = {
    LogLevel.TRACE: "VRB",
    LogLevel.DEBUG: "DBG",
    LogLevel.INFO: "INF",
    LogLevel.WARNING: "WRN",
    LogLevel.ERROR: "ERR",
    LogLevel.FATAL: "FTL",
}


def log_line(level: LogLevel, at: datetime, source: str, text: str) -> str:
    """A line of a log; `source` is who says it. A line stays one line whatever its text has."""
    told = " ".join(text.splitlines()).strip()
    moment = at.astimezone(UTC)
    return f"[{LEVELS[level]}] {moment:%Y/%m/%d %H:%M:%S} | [{source}] | {told}\n"


# ---------------------------------------------------------------- problems


class NotTheirs(errors.Forbidden):
    """The task was created by another system."""


class CancelledTooLate(errors.Conflict):
    """The task is not in the queue any more."""


class NotOverYet(errors.Conflict):
    """The task is not over yet, so it has no files."""


STATUS: Mapping[type[errors.RunyardError], int] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooLarge: 413,
    MethodNotAllowed: 405,
    RangeRefused: 416,
    errors.OutboundFailed: 502,
    errors.Busy: 503,
    errors.QueueFull: 429,
    errors.LimitReached: 429,
    errors.MonthlyLimitReached: 429,
    errors.TooManyLogins: 429,
    errors.RunyardError: 500,
}
"""The number of every error, by the nearest kind above it."""


def number_of_error(kind: type[errors.RunyardError]) -> int:
    """The number of this kind of error."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def failure_of(error: errors.RunyardError) -> shapes.Failure:
    """An error as callers are told of it."""
    return shapes.Failure(status=number_of_error(type(error)), error_message=error.detail)


def unexpected_failure(trace: str) -> shapes.Failure:
    """What callers are told when something failed that must not."""
    told = f"something failed that must not; the server's log has the details under {trace}"
    return shapes.Failure(status=500, error_message=told)


def failure_headers(error: errors.RunyardError) -> Headers:
    """The headers that belong to an error. Who calls stands in the body, so none asks for it."""
    if isinstance(error, MethodNotAllowed):
        return [
            (b"allow", b"POST" if "POST" in error.allowed else ", ".join(error.allowed).encode())
        ]
    return [] if isinstance(error, errors.Unauthenticated) else headers_of(error)
