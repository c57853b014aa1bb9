"""Workers and their sessions: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from runyard.model.ids import CompanyId, SessionId, WorkerId
from runyard.model.workers import Worker, WorkerState
from runyard.stores.base import WriteClass
from runyard.stores.codes import instant, instant_or_none, micros, micros_or_none
from runyard.stores.tables.pieces import Answer, Database, Row, Statement, a_piece

_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(tuple[str, ...]).decode


class WorkerTable:
    """Workers and their sessions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def register(self, worker: Worker) -> Worker:
        """Insert a worker, or update the one of that name, keeping its id and state."""
        row = (
            worker.id,
            worker.company_id,
            worker.name,
            worker.state.value,
            worker.version,
            worker.host,
            worker.os,
            worker.address,
            worker.slots,
            _encode(worker.labels).decode(),
            micros(worker.created_at),
            micros_or_none(worker.last_seen_at),
            int(worker.draining),
        )
        [rows] = await self._write(Statement("register_worker", (row,)))
        return _worker_from(rows[0])

    async def set_state(self, worker: WorkerId, state: WorkerState) -> bool:
        """Allow or lock."""
        [changed] = await self._write(Statement("set_worker_state", ((worker, state.value),)))
        return bool(changed)

    async def open_session(
        self,
        session: SessionId,
        worker: WorkerId,
        server: str,
        lease_expires_at: datetime,
        at: datetime,
    ) -> None:
        """A worker connected."""
        row = (session, worker, server, micros(lease_expires_at), micros(at))
        await self._write(
            Statement("open_session", (row,)), Statement("see_worker", ((worker, micros(at)),))
        )

    async def renew(self, sessions: Sequence[SessionId], lease_expires_at: datetime) -> None:
        """Keep the leases of these sessions. Closed sessions stay closed."""
        until = micros(lease_expires_at)
        statement = Statement("renew_session", [(session, until) for session in sessions])
        await self._db.write(a_piece(WriteClass.OUTCOME, statement, is_relaxed=True))

    async def close_session(self, session: SessionId, at: datetime) -> None:
        """Its leases are void from now on."""
        await self._write(Statement("close_session", ((session, micros(at)),)))

    async def expire_sessions(self, now: datetime, server: str | None = None) -> list[SessionId]:
        """Close every open session whose lease has expired (or all of that server); which."""
        statement = (
            Statement("expire_sessions", ((micros(now),),))
            if server is None
            else Statement("expire_sessions_of_server", ((micros(now), server),))
        )
        [closed] = await self._write(statement)
        return [SessionId(row[0]) for row in closed]

    async def list(self, company: CompanyId | None = None) -> list[Worker]:
        """All workers, or those that serve a company."""
        rows = (
            await self._db.all("list_workers")
            if company is None
            else await self._db.all("list_workers_of_company", company_id=company)
        )
        return [_worker_from(row) for row in rows]

    async def _write(self, *statements: Statement) -> Sequence[Answer]:
        return await self._db.write(a_piece(WriteClass.OUTCOME, *statements))


def _worker_from(row: Row) -> Worker:
    return Worker(
        id=row[0],
        company_id=row[1],
        name=row[2],
        state=WorkerState(row[3]),
        version=row[4],
        host=row[5],
        os=row[6],
        address=row[7],
        slots=row[8],
        labels=_decode_labels(row[9]),
        created_at=instant(row[10]),
        last_seen_at=instant_or_none(row[11]),
        draining=bool(row[12]),
    )
