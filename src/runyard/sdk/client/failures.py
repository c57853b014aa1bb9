"""What may go wrong between a client and a server, and when asking again is worth it."""

import re
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from runyard.model import errors

MOST_TRIES = 6
"""How often a request that may be repeated is sent, unless a client chooses otherwise."""
FIRST_PAUSE = timedelta(seconds=0.2)
LONGEST_PAUSE = timedelta(seconds=30)


class ServerUnreachable(errors.Busy):
    """Nothing answers at this address."""


class ServerBroken(errors.RunyardError):
    """The server failed, or its answer makes no sense."""


class _Problem(msgspec.Struct, frozen=True):
    """The body of an error, as much of it as there is: a proxy may have written it."""

    title: str = ""
    detail: str = ""
    code: str = ""
    problems: tuple[errors.FieldProblem, ...] = ()
    file: str | None = None
    line: int | None = None


def _named(kind: type[errors.RunyardError]) -> dict[str, type[errors.RunyardError]]:
    """This error and those below it, by the word for each in `code`."""
    word = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    named = {word: kind}
    for below in kind.__subclasses__():
        named |= _named(below)
    return named


BY_CODE = _named(errors.RunyardError)
BY_STATUS: Mapping[int, type[errors.RunyardError]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    429: errors.Busy,
    503: errors.Busy,
}


def failure(status_code: int, headers: Mapping[str, str], body: bytes) -> errors.RunyardError:
    """The error that an answer of this kind stands for."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem(title=f"The server answered {status_code}")
    detail = problem.detail or problem.title
    kind = BY_CODE.get(problem.code) or BY_STATUS.get(status_code) or _by_class(status_code)
    if problem.problems:
        return errors.InputRefused(problem.problems)
    if issubclass(kind, errors.CodeRefused):
        return kind(detail, file=problem.file, line=problem.line)
    if issubclass(kind, errors.Busy):
        return kind(detail, retry_after=_retry_after(headers))
    return errors.Refused(detail) if issubclass(kind, errors.InputRefused) else kind(detail)


def _by_class(status_code: int) -> type[errors.RunyardError]:
    return errors.Refused if 400 <= status_code < 500 else ServerBroken


def _retry_after(headers: Mapping[str, str]) -> timedelta:
    text = headers.get("retry-after", "")
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() else FIRST_PAUSE


def unreachable(url: str, error: Exception) -> ServerUnreachable:
    """The error of a server that did not answer, or not to the end."""
    detail = f"No answer from {url}: {str(error) or type(error).__name__}"
    return ServerUnreachable(detail, retry_after=FIRST_PAUSE)


def pause_before_try(number: int, error: errors.Busy, chance: float) -> timedelta:
    """How long to wait before this try (the second is number 2).

    `chance` in [0, 1) spreads clients apart that were all turned away at once.
    """
    own = FIRST_PAUSE * (2.0 ** (number - 2) * (1 + chance))
    return min(max(own, error.retry_after), LONGEST_PAUSE)
