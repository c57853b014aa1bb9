"""The audit log: binding and decoding."""

from collections.abc import Sequence

from runyard.model.audit import AuditEntry
from runyard.model.ids import AuditEntryId, CompanyId
from runyard.stores.codes import instant, micros
from runyard.stores.contract.audit import AuditPosition, ChainEnd, Cut, LinkedEntry
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_ROW_SIZE = 300
_INSTALLATION = 0
"""Stands for no company: no company ever has this id."""
_END = 2**63 - 1


class AuditTable:
    """Entries of the audit log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ends(self) -> tuple[Cut, ChainEnd]:
        """Behind which entry the chain begins, and with which it ends."""
        row = await self._db.one("audit_chain")
        if row is None:  # somebody has deleted it
            begin = Statement("begin_audit_chain", ((b"",),))
            await self._db.write(a_piece(WriteClass.MAINTENANCE, begin))
            return Cut(), ChainEnd()
        place, link, cut_place, cut_link, cut_seal = row
        cut = Cut(end=ChainEnd(cut_place, bytes(cut_link)), seal=bytes(cut_seal))
        return cut, ChainEnd(place, bytes(link))

    async def extend(self, entries: Sequence[LinkedEntry]) -> bool:
        """Keep these durably, unless the chain no longer ends before the first of them."""
        first, last = entries[0], entries[-1]
        advance = Statement(
            "extend_audit_chain", ((first.place - 1, last.place, last.link),), needs=1
        )
        insert = Statement("insert_audit_entry", [_row(linked) for linked in entries])
        piece = a_piece(WriteClass.MAINTENANCE, advance, insert, size=_ROW_SIZE * len(entries))
        answers = await self._db.write(piece)
        return bool(answers[0])

    async def chain(
        self, after: int, limit: int, *, after_id: AuditEntryId | None = None
    ) -> list[LinkedEntry]:
        """Entries behind a place, in the order of the chain."""
        rows = await self._db.all(
            "chained_audit_entries",
            after=after,
            after_id=_END if after_id is None else after_id,
            limit=limit,
        )
        return [_linked_from(row) for row in rows]

    async def page(
        self, company: CompanyId | None, before: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Newest first."""
        rows = await self._db.all(
            "list_audit_entries",
            company_id=company or _INSTALLATION,
            before=_END if before is None else micros(before.at),
            before_id=_END if before is None else before.entry_id,
            limit=limit,
        )
        return [_entry_from(row) for row in rows]

    async def count(self, company: CompanyId | None) -> int:
        """How many there are."""
        row = await self._db.one("count_audit_entries", company_id=company or _INSTALLATION)
        return int(row[0]) if row else 0

    async def cut(self, before: int, cut: Cut) -> bool:
        """Delete everything up to a place, unless the log no longer begins behind `before`."""
        row = (before, cut.end.place, cut.end.link, cut.seal)
        guard = Statement("cut_audit_chain", (row,), needs=1)
        delete = Statement("prune_audit_entries", ((cut.end.place,),))
        answers = await self._db.write(a_piece(WriteClass.MAINTENANCE, guard, delete))
        return bool(answers[0])


def _row(linked: LinkedEntry) -> Row:
    entry = linked.entry
    return (
        entry.id,
        linked.place,
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
        int(linked.is_sealed),
        linked.link,
    )


def _linked_from(row: Row) -> LinkedEntry:
    return LinkedEntry(
        entry=_entry_from(row), place=row[1], is_sealed=bool(row[12]), link=bytes(row[13])
    )


def _entry_from(row: Row) -> AuditEntry:
    return AuditEntry(
        id=row[0],
        company_id=row[2] or None,
        at=instant(row[3]),
        actor=row[4],
        actor_name=row[5],
        action=row[6],
        subject=row[7],
        succeeded=bool(row[8]),
        detail=row[9],
        source=row[10],
        address=row[11],
    )
