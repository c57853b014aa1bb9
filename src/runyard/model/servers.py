"""Servers that share a database."""

from datetime import datetime

import msgspec


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One `runyard serve`, as the others see it."""

    name: str
    """Unique among the servers that are connected to the database."""
    incarnation: int
    """Which of its lives this is: rises with every opening of the database."""
    address: str
    """Where it says that it answers."""
    version: str
    """Release of Runyard."""
    started_at: datetime
    seen_at: datetime
    """When it last wrote that it is there; at the latest when it left."""
    left_at: datetime | None = None
    """When it was stopped; None for one that runs or died."""
    is_connected: bool = False
    """Whether it listens to the database at this moment."""
