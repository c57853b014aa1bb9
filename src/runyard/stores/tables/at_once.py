"""Runs that begin at once or not at all: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

from runyard.model.ids import CompanyId, RunId
from runyard.stores.codes import instant_or_none, micros
from runyard.stores.contract.runs import NewRun
from runyard.stores.tables.pieces import Database, Statement, WriteClass, a_piece


def at_once_statements(runs: Sequence[NewRun]) -> tuple[Statement, ...]:
    """What the start of these runs has to insert besides; nothing where all may wait."""
    rows = [
        (run.id, run.company_id, micros(run.begins_by)) for run in runs if run.begins_by is not None
    ]
    return (Statement("insert_at_once", rows),) if rows else ()


class AtOnceTable:
    """Runs of which it is not known yet whether they have begun."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def next_due_at(self) -> datetime | None:
        """When somebody has to look at the first of them."""
        row = await self._db.one("next_at_once")
        return instant_or_none(row[0]) if row else None

    async def take(
        self, now: datetime, until: datetime, limit: int
    ) -> list[tuple[CompanyId, RunId]]:
        """Those that are due; nobody else gets them before `until`."""
        statement = Statement("take_at_once", ((micros(now), micros(until), limit),))
        [rows] = await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))
        return [(company, run) for company, run in rows]

    async def forget(self, runs: Sequence[RunId]) -> None:
        """It is known of these."""
        statement = Statement("delete_at_once", [(run,) for run in runs])
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))
