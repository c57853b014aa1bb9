"""What can be wrong with a request before the engine sees it.

RunyardError
├── NotFound         RouteNotFound
├── Refused          MethodNotAllowed, MediaTypeRefused, MalformedBody, RangeRefused
└── Busy             Stopping
"""

from runyard.model.errors import Busy, NotFound, Refused


class RouteNotFound(NotFound):
    """There is nothing at this address."""


class MethodNotAllowed(Refused):
    """The address does not have this method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(f"allowed here: {', '.join(allowed)}")


class MediaTypeRefused(Refused):
    """The body has a content type that is not read here."""


class MalformedBody(Refused):
    """The body is not what its content type says."""


class RangeRefused(Refused):
    """The wanted part lies outside the file."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the file has {size} bytes")


class Stopping(Busy):
    """The server is stopping; ask again in a moment."""
