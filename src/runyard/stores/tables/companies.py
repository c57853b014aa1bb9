"""Companies and their orchestrators: binding and decoding."""

from datetime import datetime, timedelta
from uuid import UUID

from runyard.model.companies import Company
from runyard.model.ids import ActorId, CompanyId
from runyard.stores.codes import duration_micros, instant, instant_or_none, micros, micros_or_none
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece


class CompanyTable:
    """Companies and their orchestrators."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, company: Company) -> bool:
        """False when the slug is taken."""
        row = (
            company.id,
            company.uuid.bytes,
            company.slug,
            company.name,
            company.time_zone,
            int(company.runnable),
            company.default_priority,
            duration_micros(company.retention),
            company.queue_cap,
            company.weight,
            micros(company.created_at),
        )
        return await self._changed(Statement("insert_company", (row,)))

    async def update(self, company: Company) -> bool:
        """Change name, time zone, default priority, retention, cap and weight."""
        row = (
            company.id,
            company.name,
            company.time_zone,
            company.default_priority,
            duration_micros(company.retention),
            company.queue_cap,
            company.weight,
        )
        return await self._changed(Statement("update_company", (row,)))

    async def find_by_slug(self, slug: str) -> Company | None:
        """One company."""
        row = await self._db.one("find_company_by_slug", slug=slug)
        return _company_from(row) if row else None

    async def find(self, company: CompanyId) -> Company | None:
        """One company."""
        row = await self._db.one("find_company", company_id=company)
        return _company_from(row) if row else None

    async def set_runnable(
        self,
        company: CompanyId,
        runnable: bool,  # noqa: FBT001
        at: datetime | None = None,
        by: ActorId | None = None,
    ) -> bool:
        """Switch the orchestrator: the company's row and all its gates."""
        row = (company, int(runnable))
        return await self._changed(
            Statement("set_company_runnable", ((*row, micros_or_none(at), by),)),
            Statement("set_company_gates_runnable", (row,)),
        )

    async def list(self) -> list[Company]:
        """All, by slug."""
        return [_company_from(row) for row in await self._db.all("list_companies")]

    async def _changed(self, *statements: Statement) -> bool:
        answers = await self._db.write(a_piece(WriteClass.OUTCOME, *statements))
        return bool(answers[0])


def _company_from(row: Row) -> Company:
    return Company(
        id=row[0],
        uuid=UUID(bytes=bytes(row[1])),
        slug=row[2],
        name=row[3],
        time_zone=row[4],
        runnable=bool(row[5]),
        default_priority=row[6],
        retention=timedelta(microseconds=row[7]),
        queue_cap=row[8],
        weight=row[9],
        created_at=instant(row[10]),
        switched_at=instant_or_none(row[11]),
        switched_by=row[12],
    )
