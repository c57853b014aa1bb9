"""The part of the Store contract that is about runs that begin at once or not at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.model.ids import CompanyId, RunId


class AtOnce(Protocol):
    """Runs that are not to wait in the queue, until it is known whether they have begun. Each is inserted
    with its run.
    """

    async def next_due_at(self) -> datetime | None:
        """When somebody has to look at the first of them."""

    async def take(
        self, now: datetime, until: datetime, limit: int
    ) -> list[tuple[CompanyId, RunId]]:
        """Those that are due; nobody else gets them before `until` (relaxed)."""

    async def forget(self, runs: Sequence[RunId]) -> None:
        """It is known of these (relaxed)."""
