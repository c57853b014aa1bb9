"""Our errors as the dialect shows them: one envelope, one code for each condition. Pure and total."""

from collections.abc import Mapping, Sequence

import msgspec

from runyard.model import errors
from runyard.model.errors import FieldProblem, RunyardError
from runyard.model.ids import RunId
from runyard.web import errors as web_errors


class TokenMissing(errors.Unauthenticated):
    """No access token in the X-Authorization header; log in at /v2/authentication."""


class HeadersConflict(errors.Refused):
    """Send X-Authorization or Authorization, never both."""


class CredentialsInvalid(errors.Unauthenticated):
    """The username, the password or the API key is wrong."""


class TokenMismatch(errors.Forbidden):
    """The token is for another task: use the URL that came with it."""


class NotAllocated(errors.NotFound):
    """The task is not allocated any more."""


class ValuesRefused(errors.InputRefused):
    """A call's input does not fit the task's variables."""


class CallFailed(RunyardError):
    """The task raised an error, or died."""

    def __init__(self, detail: str, lines: Sequence[str], execution: RunId) -> None:
        self.lines = tuple(lines)
        self.execution = execution
        super().__init__(detail)


class CallTimedOut(RunyardError):
    """The call took longer than it may; its process was ended."""

    def __init__(self, detail: str, execution: RunId) -> None:
        self.execution = execution
        super().__init__(detail)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not carried out."""

    code: str
    """A word for programs, such as `hotbot.concurrency.exceeded`."""
    details: tuple[str, ...] | None
    """What is wrong with which field, or where a task failed."""
    message: str
    """What happened, for people."""


class Form(msgspec.Struct, frozen=True):
    """The status and the code of a condition."""

    status: int
    code: str


UNEXPECTED = Form(500, "generic.server.exception")

FORMS: Mapping[type[RunyardError], Form] = {
    RunyardError: UNEXPECTED,
    TokenMissing: Form(401, "UM1117"),
    CredentialsInvalid: Form(401, "auth.credentials.invalid"),
    errors.Unauthenticated: Form(401, "auth.token.invalid"),
    HeadersConflict: Form(400, "auth.headers.conflict"),
    errors.TooManyLogins: Form(429, "auth.locked"),
    TokenMismatch: Form(403, "hotbot.token.mismatch"),
    errors.Forbidden: Form(403, "permission.denied"),
    NotAllocated: Form(404, "hotbot.not.allocated"),
    errors.NotFound: Form(404, "resource.not.found"),
    web_errors.MethodNotAllowed: Form(405, "method.not.allowed"),
    errors.Conflict: Form(409, "resource.conflict"),
    errors.TooLarge: Form(413, "request.too.large"),
    web_errors.MediaTypeRefused: Form(415, "request.media.type"),
    web_errors.RangeRefused: Form(416, "request.range"),
    ValuesRefused: Form(400, "hotbot.input.invalid"),
    errors.Refused: Form(400, "request.invalid"),
    errors.LimitReached: Form(429, "hotbot.concurrency.exceeded"),
    errors.MonthlyLimitReached: Form(429, "hotbot.quota.exceeded"),
    errors.CallsPaused: Form(503, "hotbot.not.ready"),
    web_errors.Stopping: Form(503, "hotbot.not.ready"),
    errors.QueueFull: Form(429, "queue.full"),
    errors.Busy: Form(503, "server.busy"),
    errors.OutboundFailed: Form(502, "outbound.failed"),
    CallTimedOut: Form(500, "hotbot.timed.out"),
    CallFailed: Form(500, "hotbot.run.failed"),
}
"""The form of every condition; one that is not named has that of the nearest kind above it."""


def form_of(kind: type[RunyardError]) -> Form:
    """The form of this kind of error."""
    for ancestor in kind.__mro__:
        if ancestor in FORMS:
            return FORMS[ancestor]
    return UNEXPECTED


def problem_from(error: RunyardError) -> Problem:
    """What a caller is told about this error."""
    return Problem(code=form_of(type(error)).code, details=_details_of(error), message=error.detail)


def unexpected_problem(trace: str) -> Problem:
    """What a caller is told when something failed that must not; `trace` finds it in the log."""
    return Problem(
        code=UNEXPECTED.code,
        details=None,
        message=f"Something failed that must not; the server's log has it under {trace}",
    )


def _details_of(error: RunyardError) -> tuple[str, ...] | None:
    if isinstance(error, errors.InputRefused):
        return tuple(map(told, error.problems)) or None
    if isinstance(error, CallFailed):
        return error.lines or None
    return None


def told(problem: FieldProblem) -> str:
    """A problem of one field, as `details` has it."""
    return f"{problem.field}: {problem.seen}; allowed: {problem.allowed}"
