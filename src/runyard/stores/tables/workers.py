"""Workers and their sessions: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from runyard.model.ids import CompanyId, SessionId, WorkerId
from runyard.model.workers import Worker, WorkerState
from runyard.stores.codes import instant, instant_or_none, micros, micros_or_none
from runyard.stores.contract.workers import OpenedSession, OpenSession
from runyard.stores.tables.pieces import Answer, Database, Row, Statement, WriteClass, a_piece

_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(tuple[str, ...]).decode


class WorkerTable:
    """Workers and their sessions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def register(self, worker: Worker) -> Worker:
        """Insert a worker, or update the one of that name, keeping what was decided about it."""
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
            worker.isolation,
            micros(worker.created_at),
            micros_or_none(worker.last_seen_at),
        )
        [rows] = await self._write(Statement("register_worker", (row,)))
        return _worker_from(rows[0])

    async def set_state(self, worker: WorkerId, state: WorkerState) -> bool:
        """Allow or lock."""
        [changed] = await self._write(Statement("set_worker_state", ((worker, state.value),)))
        return bool(changed)

    async def set_draining(self, worker: WorkerId, draining: bool) -> bool:  # noqa: FBT001 - the value
        """Give it nothing more, or go on."""
        [changed] = await self._write(Statement("drain_worker", ((worker, int(draining)),)))
        return bool(changed)

    async def remove(self, worker: WorkerId) -> bool:
        """Forget it."""
        [removed] = await self._write(Statement("remove_worker", ((worker,),)))
        return bool(removed)

    async def find(self, worker: WorkerId) -> Worker | None:
        """One by its id."""
        row = await self._db.one("find_worker", worker_id=worker)
        return _worker_from(row) if row else None

    async def find_by_name(self, company: CompanyId | None, name: str) -> Worker | None:
        """One by its name among those of a company, or of the installation."""
        row = await self._db.one("find_worker_by_name", company_id=company, name=name)
        return _worker_from(row) if row else None

    async def note(self, seen: Sequence[tuple[WorkerId, datetime, int]]) -> None:
        """When workers were last seen, and how many runs each held."""
        statement = Statement("note_worker", [(w, micros(at), busy) for w, at, busy in seen])
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def open_session(self, opened: OpenedSession, at: datetime) -> None:
        """A worker connected."""
        await self._write(
            _opening(opened, at), Statement("see_worker", ((opened.worker_id, micros(at)),))
        )

    async def succeed_session(
        self, closed: SessionId, opened: OpenedSession, digest: bytes, at: datetime
    ) -> bool:
        """Close a live session whose key this is, and open another that has its leases."""
        [succeeded, *_] = await self._write(
            Statement("succeed_session", ((closed, opened.id, digest, micros(at)),), needs=1),
            _opening(opened, at),
            Statement("hand_over_runs", ((closed, opened.id),)),
            Statement("see_worker", ((opened.worker_id, micros(at)),)),
        )
        return bool(succeeded)

    async def renew(self, sessions: Sequence[SessionId], lease_expires_at: datetime) -> None:
        """Keep the leases of these sessions. Closed sessions stay closed."""
        until = micros(lease_expires_at)
        statement = Statement("renew_session", [(session, until) for session in sessions])
        await self._db.write(a_piece(WriteClass.OUTCOME, statement, is_relaxed=True))

    async def close_session(self, session: SessionId, at: datetime) -> bool:
        """Its leases are void from now on. False: it was closed before."""
        [closed] = await self._write(Statement("close_session", ((session, micros(at)),)))
        return bool(closed)

    async def expire_sessions(self, now: datetime, server: str | None = None) -> list[SessionId]:
        """Close every open session whose lease has expired (or all of that server); which."""
        statement = (
            Statement("expire_sessions", ((micros(now),),))
            if server is None
            else Statement("expire_sessions_of_server", ((micros(now), server),))
        )
        [closed] = await self._write(statement)
        return [SessionId(row[0]) for row in closed]

    async def shorten_sessions(self, server: str, lease_expires_at: datetime) -> None:
        """Let the leases of a server's open sessions end at this instant, if not earlier."""
        await self._write(
            Statement("shorten_sessions_of_server", ((server, micros(lease_expires_at)),))
        )

    async def forget_sessions(self, closed_before: datetime) -> None:
        """Delete sessions that were closed before this instant."""
        statement = Statement("delete_sessions", ((micros(closed_before),),))
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def open_sessions(self) -> list[OpenSession]:
        """Every session that was not closed; its lease may have lapsed."""
        rows = await self._db.all("open_sessions")
        return [OpenSession(row[0], row[1], row[2], instant(row[3])) for row in rows]

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


def _opening(opened: OpenedSession, at: datetime) -> Statement:
    row = (
        opened.id,
        opened.worker_id,
        opened.server,
        micros(opened.lease_expires_at),
        micros(at),
        opened.resume_digest,
    )
    return Statement("open_session", (row,))


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
        isolation=row[13],
        busy=row[14],
    )
