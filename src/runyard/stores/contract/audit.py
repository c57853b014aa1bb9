"""The part of the Store contract that is about the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.audit import AuditEntry
from runyard.model.ids import AuditEntryId, CompanyId


class AuditPosition(msgspec.Struct, frozen=True):
    """A place in the log, which is in the order of time."""

    at: datetime
    entry_id: AuditEntryId


class AuditLog(Protocol):
    """Entries, written once. Those of None concern the whole installation."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep these durably."""

    async def page(
        self, company: CompanyId | None, before: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Newest first."""

    async def count(self, company: CompanyId | None) -> int:
        """How many there are."""

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete entries from before then, oldest first; how many."""
