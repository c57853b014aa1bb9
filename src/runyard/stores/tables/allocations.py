"""Allocations: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.model.allocations import Allocation, Overflow, Recording
from runyard.model.ids import AllocationId, CompanyId, SessionId, TaskId
from runyard.stores.codes import duration_micros, instant, micros
from runyard.stores.contract.calls import Placement
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece


class AllocationTable:
    """Allocations and where they are kept."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, allocation: Allocation) -> Allocation:
        """Keep it; one that the task has already is changed and keeps its id and creation."""
        row = (
            allocation.id,
            allocation.company_id,
            allocation.task_id,
            allocation.limit,
            allocation.overflow.value,
            duration_micros(allocation.wait),
            duration_micros(allocation.deadline),
            allocation.recording.value,
            duration_micros(allocation.retention),
            allocation.run_as,
            micros(allocation.created_at),
        )
        await self._write(Statement("put_allocation", (row,)))
        kept = await self.find(allocation.company_id, allocation.task_id)
        return kept or allocation  # deleted in the same moment: it was kept all the same

    async def delete(self, company: CompanyId, task: TaskId) -> bool:
        """False when the task has none."""
        return await self._write(Statement("delete_allocation", ((company, task),)))

    async def find(self, company: CompanyId, task: TaskId) -> Allocation | None:
        """The allocation of a task."""
        row = await self._db.one("find_allocation", company_id=company, task_id=task)
        return _allocation_from(row) if row else None

    async def list(self, company: CompanyId | None = None) -> list[Allocation]:
        """Those of a company, or all; by creation."""
        rows = (
            await self._db.all("all_allocations")
            if company is None
            else await self._db.all("list_allocations", company_id=company)
        )
        return [_allocation_from(row) for row in rows]

    async def place(
        self,
        allocation: AllocationId,
        session: SessionId,
        server: str,
        now: datetime,
        *,
        instead_of: SessionId | None = None,
    ) -> bool:
        """Keep it with this session. Guard: it is kept nowhere, with a session that is over, or with
        the one that this takes the place of.
        """
        row = (allocation, session, server, micros(now), instead_of or session)
        return await self._write(Statement("place_allocation", (row,)))

    async def displace(self, allocation: AllocationId, session: SessionId) -> None:
        """Keep it with this session no longer."""
        await self._write(Statement("displace_allocation", ((allocation, session),)))

    async def placements(self, now: datetime) -> Sequence[Placement]:
        """Where allocations are kept, as far as those sessions live."""
        rows = await self._db.all("placed_allocations", now=micros(now))
        return [Placement(allocation_id=row[0], session_id=row[1], server=row[2]) for row in rows]

    async def _write(self, statement: Statement) -> bool:
        return bool((await self._db.write(a_piece(WriteClass.START, statement)))[0])


def _allocation_from(row: Row) -> Allocation:
    return Allocation(
        id=row[0],
        company_id=row[1],
        task_id=row[2],
        limit=row[3],
        overflow=Overflow(row[4]),
        wait=timedelta(microseconds=row[5]),
        deadline=timedelta(microseconds=row[6]),
        recording=Recording(row[7]),
        retention=timedelta(microseconds=row[8]),
        run_as=row[9],
        created_at=instant(row[10]),
    )
