"""Short ways: a request whose head came before, byte for byte, is answered without reading it again.

Whoever calls a task again and again sends the same head each time: address, token, headers. What the
server found out about it (route, caller, company, task) stays true until something changes. So the
endpoint that has answered such a request may leave a shortcut for the head. A shortcut looks whether
what it knows still holds; if not, it declines, and the request takes the ordinary way, which finds out
why. So everything that is refused is refused there, in one place.
"""

from collections.abc import Callable
from typing import Protocol


class Exchange(Protocol):
    """A request that waits for its answer."""

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer it, once. `lines`: the headers as they stand on the wire, each with its end of line,
        without those that every answer of the server has. When the caller has left, it goes nowhere.
        """


class Shortcut(Protocol):
    """Answers requests with one certain head."""

    def take(self, body: bytes, exchange: Exchange) -> bool:
        """Begin to answer. False: it does not, nothing has happened, the ordinary way is to be taken."""


Remember = Callable[[Shortcut], None]
"""Leaves a shortcut for the head of the request that is being answered."""
REMEMBER = "runyard.remember"
"""Where that stands in the scope of a request, if its head can have a shortcut."""
