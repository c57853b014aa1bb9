"""Leases: binding and decoding. A claim is enqueued at once, like what `runs` says."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from runyard.model.ids import CompanyId, GateId, SessionId
from runyard.stores.codes import instant_or_none, micros
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.leases import Claim, ClaimedRun, LeasedRun
from runyard.stores.tables.pieces import (
    CLAIM,
    Answer,
    Database,
    Row,
    Statement,
    WriteClass,
    a_piece,
    enqueue,
)
from runyard.stores.tables.values import load_value


class LeaseTable:
    """Runs that sessions hold."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs

    def claim(self, claim: Claim) -> Coroutine[Any, Any, list[ClaimedRun]]:
        """Lease queued runs to a session."""
        shares = tuple((share.company_id, share.count, share.gate_ids) for share in claim.shares)
        row = (claim.session_id, claim.worker_id, claim.first_token, micros(claim.at), shares)
        piece = a_piece(WriteClass.CLAIM, Statement(CLAIM, (row,)), is_relaxed=True)
        return self._claimed(enqueue(self._db, piece))

    async def _claimed(self, answers: "asyncio.Future[list[Answer]]") -> list[ClaimedRun]:
        [rows] = await answers
        return [
            ClaimedRun(
                run_id=row[0],
                public_id=row[1],
                company_id=row[2],
                task_id=row[3],
                version_id=row[4],
                gate_id=row[5],
                token=row[6],
                attempt=row[7],
                rank=row[8],
                input=row[9] if row[10] is None else await self._input(row),
            )
            for row in rows
        ]

    async def _input(self, row: Row) -> bytes:
        value = await load_value(self._blobs, row[9], row[10])
        assert value is not None, "every run has an input"
        return value

    async def held_by(self, sessions: Sequence[SessionId], limit: int) -> list[LeasedRun]:
        """Runs that these sessions hold, smallest ids first."""
        rows = await self._db.all("leased_by_sessions", session_ids=list(sessions), limit=limit)
        return [_leased_from(row) for row in rows]

    async def of_gate(self, company: CompanyId, gate: GateId) -> list[LeasedRun]:
        """Runs of a gate that are running or waiting (these have session 0), smallest ids first."""
        rows = await self._db.all("leased_of_gate", company_id=company, gate_id=gate)
        return [_leased_from(row) for row in rows]

    async def abandoned(self, now: datetime, limit: int) -> list[LeasedRun]:
        """Running runs whose session is closed, lapsed or unknown, smallest ids first."""
        rows = await self._db.all("abandoned_runs", now=micros(now), limit=limit)
        return [_leased_from(row) for row in rows]


def _leased_from(row: Row) -> LeasedRun:
    return LeasedRun(
        run_id=row[0],
        company_id=row[1],
        task_id=row[2],
        version_id=row[3],
        gate_id=row[4],
        session_id=SessionId(row[5] or 0),
        token=row[6],
        attempt=row[7],
        begun_at=instant_or_none(row[8]),
        priority=row[9],
        rank=row[10],
    )
