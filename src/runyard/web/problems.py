"""Errors as HTTP shows them: the native form, and the status of every error there is."""

import re
from collections.abc import Mapping
from math import ceil

import msgspec

from runyard.model import errors
from runyard.web.asgi import Headers
from runyard.web.errors import (
    MediaTypeRefused,
    MethodNotAllowed,
    RangeRefused,
)

STATUS: Mapping[type[errors.RunyardError], int] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 400,
    errors.TooLarge: 413,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    MethodNotAllowed: 405,
    MediaTypeRefused: 415,
    RangeRefused: 416,
    errors.OutboundFailed: 502,
    errors.Busy: 503,
    errors.QueueFull: 429,
    errors.LimitReached: 429,
    errors.MonthlyLimitReached: 429,
    errors.TooManyLogins: 429,
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error in the form of RFC 9457, with a word for programs and the fields at fault."""

    type: str
    """`urn:runyard:problem:` and the code."""
    title: str
    """What the code means, the same every time."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened this time."""
    code: str
    """A word for programs, such as `run_not_found`."""
    problems: tuple[errors.FieldProblem, ...] = ()
    """What is wrong with which field."""
    file: str | None = None
    """Of refused code: the file inside the bundle."""
    line: int | None = None
    """Of refused code: the line in that file."""


def status_of(kind: type[errors.RunyardError]) -> int:
    """The HTTP status of this kind of error: its own, or that of the nearest kind above."""
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    return 500


def code_of(kind: type[BaseException]) -> str:
    """The word for programs: the condition's name in lower case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def problem_from(error: errors.RunyardError) -> Problem:
    """What a caller is told about this error."""
    kind = type(error)
    code = code_of(kind)
    return Problem(
        type=f"urn:runyard:problem:{code}",
        title=(kind.__doc__ or code).strip().splitlines()[0],
        status=status_of(kind),
        detail=error.detail,
        code=code,
        problems=error.problems if isinstance(error, errors.InputRefused) else (),
        file=error.file if isinstance(error, errors.CodeRefused) else None,
        line=error.line if isinstance(error, errors.CodeRefused) else None,
    )


def unexpected_problem(trace: str) -> Problem:
    """What a caller is told when something failed that must not; `trace` finds it in the log."""
    return Problem(
        type="urn:runyard:problem:unexpected",
        title="Something failed that must not.",
        status=500,
        detail=f"the server's log has the details under {trace}",
        code="unexpected",
    )


def headers_of(error: errors.RunyardError) -> Headers:
    """The headers that belong to this error."""
    if isinstance(error, errors.Busy):
        seconds = max(1, ceil(error.retry_after.total_seconds()))
        return [(b"retry-after", b"%d" % seconds)]
    if isinstance(error, errors.Unauthenticated):
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if isinstance(error, RangeRefused):
        return [(b"content-range", b"bytes */%d" % error.size)]
    if isinstance(error, errors.TooLarge):
        # The rest of the body is not read; the connection cannot be used again.
        return [(b"connection", b"close")]
    return []
