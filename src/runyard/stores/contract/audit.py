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


class LinkedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in its place of the chain."""

    entry: AuditEntry
    place: int
    """From 1, without gaps, in the order in which entries were written."""
    is_sealed: bool
    """Whether its link was made with the installation's master key."""
    link: bytes


class ChainEnd(msgspec.Struct, frozen=True):
    """The last entry of the log, or the last one that was deleted from its beginning."""

    place: int = 0
    link: bytes = b""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Behind which entry the log begins."""

    end: ChainEnd = ChainEnd()
    seal: bytes = b""
    """By which it is known who has cut it."""


class AuditLog(Protocol):
    """Entries, written once and linked in one chain. Those of None concern the whole installation."""

    async def ends(self) -> tuple[Cut, ChainEnd]:
        """Behind which entry the chain begins, and with which it ends."""

    async def extend(self, entries: Sequence[LinkedEntry]) -> bool:
        """Keep these durably, unless the chain no longer ends before the first of them."""

    async def chain(
        self, after: int, limit: int, *, after_id: AuditEntryId | None = None
    ) -> list[LinkedEntry]:
        """Entries behind a place, in the order of the chain. `after_id`: behind this one of those that
        claim to stand there.
        """

    async def page(
        self, company: CompanyId | None, before: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Newest first."""

    async def count(self, company: CompanyId | None) -> int:
        """How many there are."""

    async def cut(self, before: int, cut: Cut) -> bool:
        """Delete everything up to a place, unless the log no longer begins behind `before`."""
