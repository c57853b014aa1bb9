"""Whether the installation keeps its promises."""

from runyard.protocol.shapes.parts import Shown


class Check(Shown, frozen=True, kw_only=True):
    """One thing that was examined."""

    name: str
    ok: bool
    detail: str


class Diagnosis(Shown, frozen=True, kw_only=True):
    """Whether the installation keeps its promises."""

    ok: bool
    checks: tuple[Check, ...]
