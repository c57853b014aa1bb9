"""The Peering contract: what servers that share a database have beside its tables.

They tell each other what has happened, so that nobody has to look all the time. **Nothing may rely on
news having arrived**: whoever tells it may die between its write and the telling, and whoever
listens may be cut off. News only make the next look at the database come sooner; after having
been cut off a server looks at everything.

A server has its name to itself for as long as it listens. That costs no write: the database knows
by itself who is connected.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from runyard.model.servers import Server

LARGEST_NEWS = 7_900
"""Bytes of text that can be told at once."""


class Peering(Protocol):
    """A server's connection to the others."""

    @property
    def is_listening(self) -> bool:
        """Whether news that are told now would arrive here."""

    async def enter(self, server: Server) -> bool:
        """Take a name and be listed under it; False when another server that is connected has it.
        Raises StorageUnavailable.
        """

    async def leave(self, at: datetime) -> None:
        """Be listed as stopped, and let the name go."""

    async def servers(self) -> list[Server]:
        """Every server that was ever here and is not forgotten, by name."""

    async def forget(self, seen_before: datetime) -> None:
        """Take servers off the list that are not connected and were last seen before this instant."""

    async def tell(self, news: str) -> bool:
        """Tell all servers that listen, this one included; False when it cannot be told now."""

    async def attend(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """Listen until cancelled. `begun` is called each time the listening begins anew: what was
        told before is lost. `hear` gets the news; neither may wait for anything.
        """

    async def close(self) -> None:
        """Stop listening."""
