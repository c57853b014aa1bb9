"""Exit codes, and which error means which."""

from runyard.model.errors import (
    Busy,
    CodeRefused,
    Conflict,
    InputRefused,
    NotFound,
    Refused,
    RunyardError,
)

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
NOT_FOUND = 5
CONFLICT = 6
BUSY = 7
INTERRUPTED = 130


class Misused(RunyardError):
    """The command line is wrong in a way that only its command can see."""


def exit_code(error: RunyardError) -> int:
    """The exit code that tells of this error."""
    from runyard.sdk.client import ServerBroken, ServerUnreachable

    match error:
        case Misused():
            return USAGE
        case ServerUnreachable() | ServerBroken():
            return UNREACHABLE
        case CodeRefused():
            return FAILED
        case Refused():
            return REFUSED
        case NotFound():
            return NOT_FOUND
        case Conflict():
            return CONFLICT
        case Busy():
            return BUSY
        case _:
            return FAILED


def explained(error: RunyardError) -> list[str]:
    """What to tell a person: one line, and one for each field that is wrong."""
    match error:
        case InputRefused(problems=problems):
            return [
                "The server refused these values:",
                *(f"  {p.field}: {p.seen}; allowed: {p.allowed}" for p in problems),
            ]
        case CodeRefused(file=file, line=line) if file is not None:
            place = file if line is None else f"{file}, line {line}"
            return [f"The code was refused. {place}:", f"  {error.detail}"]
        case _:
            return [error.detail]
