"""The audit log: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

from runyard.model.audit import AuditEntry
from runyard.model.ids import CompanyId
from runyard.stores.codes import instant, micros
from runyard.stores.contract.audit import AuditPosition
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_ROW_SIZE = 300
_INSTALLATION = 0
"""Stands for no company: no company ever has this id."""
_END_OF_TIME = 2**63 - 1


class AuditTable:
    """Entries of the audit log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep these durably."""
        rows = [
            (
                entry.id,
                entry.company_id or _INSTALLATION,
                micros(entry.at),
                entry.actor,
                entry.actor_name,
                entry.action,
                entry.subject,
                int(entry.succeeded),
                entry.detail,
                entry.source,
                entry.address,
            )
            for entry in entries
        ]
        statement = Statement("insert_audit_entry", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, size=_ROW_SIZE * len(rows)))

    async def page(
        self, company: CompanyId | None, before: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Newest first."""
        rows = await self._db.all(
            "list_audit_entries",
            company_id=company or _INSTALLATION,
            before=_END_OF_TIME if before is None else micros(before.at),
            before_id=_END_OF_TIME if before is None else before.entry_id,
            limit=limit,
        )
        return [_entry_from(row) for row in rows]

    async def count(self, company: CompanyId | None) -> int:
        """How many there are."""
        row = await self._db.one("count_audit_entries", company_id=company or _INSTALLATION)
        return int(row[0]) if row else 0

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete entries from before then, oldest first; how many."""
        statement = Statement("prune_audit_entries", ((micros(before), limit),))
        [answer] = await self._db.write(a_piece(WriteClass.MAINTENANCE, statement))
        return len(answer)


def _entry_from(row: Row) -> AuditEntry:
    return AuditEntry(
        id=row[0],
        company_id=row[1] or None,
        at=instant(row[2]),
        actor=row[3],
        actor_name=row[4],
        action=row[5],
        subject=row[6],
        succeeded=bool(row[7]),
        detail=row[8],
        source=row[9],
        address=row[10],
    )
