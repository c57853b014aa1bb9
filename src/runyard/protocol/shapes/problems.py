"""Why a request was not carried out."""

from msgspec import UNSET, UnsetType

from runyard.protocol.shapes.parts import Shown


class FieldProblem(Shown, frozen=True, kw_only=True):
    """One thing wrong with one field of a request."""

    field: str
    """Where, such as `input.zip`."""
    seen: str
    """What was there."""
    allowed: str
    """What may be there."""


class Problem(Shown, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not carried out (RFC 9457)."""

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
    problems: tuple[FieldProblem, ...] = ()
    """What is wrong with which field."""
    file: str | UnsetType = UNSET
    """Of refused code: the file inside the bundle."""
    line: int | UnsetType = UNSET
    """Of refused code: the line in that file."""
