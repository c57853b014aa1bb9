"""Runs whose input files are being fetched: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

from runyard.model.ids import CompanyId, FileId, RunId
from runyard.stores.codes import instant_or_none, micros
from runyard.stores.contract.preparations import Preparation
from runyard.stores.contract.runs import NewRun
from runyard.stores.tables.pieces import Database, Statement, WriteClass, a_piece

_BETWEEN = "\n"


def preparation_statements(runs: Sequence[NewRun]) -> tuple[Statement, ...]:
    """What the start of these runs has to insert besides; nothing where none is to be prepared."""
    rows = [
        (
            run.id,
            run.company_id,
            int(run.preparation.parked),
            _BETWEEN.join(run.preparation.allowed),
            run.preparation.holder,
            micros(run.preparation.until),
        )
        for run in runs
        if run.preparation is not None
    ]
    return (Statement("insert_preparation", rows),) if rows else ()


class PreparationTable:
    """Runs in state preparing, and who prepares them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def next_due_at(self) -> datetime | None:
        """When the first of them may be taken over."""
        row = await self._db.one("next_preparation_at")
        return instant_or_none(row[0]) if row else None

    async def take(
        self, now: datetime, until: datetime, holder: int, limit: int
    ) -> list[Preparation]:
        """Take preparations in hand that nobody holds any more."""
        statement = Statement("take_preparations", ((micros(now), micros(until), holder, limit),))
        [rows] = await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))
        return [
            Preparation(
                run_id=run,
                company_id=company,
                parked=bool(parked),
                allowed=tuple(allowed.split(_BETWEEN)) if allowed else (),
            )
            for run, company, parked, allowed in rows
        ]

    async def keep(self, holder: int, until: datetime) -> None:
        """Go on holding all that this holder has."""
        statement = Statement("keep_preparations", ((holder, micros(until)),))
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def release(self, now: datetime, holder: int | None) -> None:
        """Let go of all that this holder has; of everything with None."""
        statement = Statement("release_preparations", ((micros(now), holder),))
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement))

    async def forget(self, runs: Sequence[RunId]) -> None:
        """These runs are not being prepared any more."""
        statement = Statement("delete_preparation", [(run,) for run in runs])
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement))

    async def adopt(self, company: CompanyId, run: RunId, files: Sequence[FileId]) -> None:
        """Fetched files that another run uses as well belong to that one now."""
        statement = Statement("adopt_file", [(run, file, company) for file in files])
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, size=100 * len(files)))
