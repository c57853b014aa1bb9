"""The part of the Store contract that is about preparing: runs whose input files are being fetched.

A preparation is inserted with its run, in the hand of the server that started it; it ends with the run's
next move.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, FileId, RunId
from runyard.model.runs import RunError

HELD_FOR = timedelta(seconds=60)
"""How long a server that says nothing more keeps others from going on with what it prepared."""


class NewPreparation(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered of a run while its files are fetched."""

    parked: bool
    """Whether the run is parked afterwards."""
    allowed: tuple[str, ...]
    """What its addresses may visit beside what the operator allows everybody."""
    holder: int
    """The incarnation of the store of the server that prepares it."""
    until: datetime
    """When another server may take it over."""


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is being prepared."""

    run_id: RunId
    company_id: CompanyId
    parked: bool
    allowed: tuple[str, ...]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of preparing besides the run's move: its input with the files, or why it failed."""

    input: bytes | None = None
    error: RunError | None = None


class Preparations(Protocol):
    """Runs in state preparing, and who prepares them."""

    async def next_due_at(self) -> datetime | None:
        """When the first of them may be taken over."""

    async def take(
        self, now: datetime, until: datetime, holder: int, limit: int
    ) -> list[Preparation]:
        """Take preparations in hand that nobody holds any more (relaxed)."""

    async def keep(self, holder: int, until: datetime) -> None:
        """Go on holding all that this holder has (relaxed)."""

    async def release(self, now: datetime, holder: int | None) -> None:
        """Let go of all that this holder has; of everything with None (where there is one server)."""

    async def forget(self, runs: Sequence[RunId]) -> None:
        """These runs are not being prepared any more."""

    async def adopt(self, company: CompanyId, run: RunId, files: Sequence[FileId]) -> None:
        """Fetched files that another run uses as well belong to that one now: it is kept longer."""
