"""Records of calls: binding and decoding. Each is one row, written once, in one history index."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.model.ids import CompanyId, RunId, TaskId
from runyard.model.states import FINAL_STATES, Cause, Trigger
from runyard.stores.codes import (
    CAUSE_CODES,
    CAUSES,
    STATE_CODES,
    STATES,
    instant,
    instant_or_none,
    micros,
    micros_or_none,
)
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.calls import CallCount, CallPage, CallRecord
from runyard.stores.contract.listing import MOST_LOOKED_AT, TOTAL_LIMIT, Position, RunFilter
from runyard.stores.filters import calls_of
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece
from runyard.stores.tables.run_rows import encode_error, error_from
from runyard.stores.tables.totals import MOST_REMEMBERED, REMEMBERED_FOR
from runyard.stores.tables.values import keep_value, load_value

_ROW_SIZE = 300
_CLOCK_SLACK = timedelta(seconds=2)
"""How far the instant in a public id may be from that of its record."""
_MILLIS_LENGTH = 6


class CallTable:
    """Records of calls."""

    def __init__(self, db: Database, blobs: Blobs) -> None:
        self._db = db
        self._blobs = blobs
        self._large: dict[tuple[CompanyId, RunFilter], tuple[CallCount, float]] = {}
        """What was found of counts beyond the limit, and until when that holds."""

    async def record(self, records: Sequence[CallRecord]) -> None:
        """Keep these durably."""
        rows = [await self._row(record) for record in records]
        size = sum(len(r.input) + len(r.output or b"") + _ROW_SIZE for r in records)
        statement = Statement("insert_call", rows)
        await self._db.write(a_piece(WriteClass.OUTCOME, statement, size=size))

    async def find(self, company: CompanyId, run: RunId) -> CallRecord | None:
        """One call with its values."""
        row = await self._db.one("find_call", company_id=company, run_id=run)
        return await self._record(row) if row else None

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> CallRecord | None:
        """One call by its public id, whose first bytes tell when to look."""
        millis = int.from_bytes(public_id[:_MILLIS_LENGTH], "big")
        around = millis * 1000
        slack = _CLOCK_SLACK // timedelta(microseconds=1)
        row = await self._db.one(
            "find_call_by_public_id",
            company_id=company,
            public_id=public_id,
            earliest=around - slack,
            latest=around + slack,
        )
        return await self._record(row) if row else None

    async def page(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> CallPage:
        """Calls newest first."""
        if not _may_be_calls(filter):
            return CallPage(())
        listing = calls_of(filter, after)
        asked = {"company_id": company, "limit": limit}
        if not listing.passes_over:
            rows = await self._db.listed("page_of_calls", "call_page_branch", listing, **asked)
            return CallPage(tuple([await self._record(row) for row in rows]))
        rows = await self._db.listed(
            "sifted_calls", "sifted_call_branch", listing, **asked, most=MOST_LOOKED_AT
        )
        last = await self._record(rows.pop()) if rows and rows[-1][-1] else None
        return CallPage(
            tuple([await self._record(row) for row in rows]),
            None if last is None else _position(filter, last),
        )

    async def count(self, company: CompanyId, filter: RunFilter) -> CallCount:  # noqa: A002
        """How many calls fit a filter."""
        if not _may_be_calls(filter):
            return CallCount(0, is_exact=True)
        now = asyncio.get_running_loop().time()
        known = self._large.get((company, filter))
        if known is not None and now < known[1]:
            return known[0]
        [(looked_at, fitting)] = await self._db.listed(
            "count_of_calls",
            "call_count_branch",
            calls_of(filter),
            company_id=company,
            limit=TOTAL_LIMIT + 1,
        )
        found = CallCount(min(int(fitting), TOTAL_LIMIT), is_exact=looked_at <= TOTAL_LIMIT)
        if not found.is_exact:
            if len(self._large) >= MOST_REMEMBERED:
                self._large.clear()
            self._large[company, filter] = (found, now + REMEMBERED_FOR.total_seconds())
        return found

    async def count_up(self, company: CompanyId, month: int, calls: int) -> int:
        """So many more calls of a company were executed in a month; how many now."""
        statement = Statement("count_calls_up", ((company, month, calls),))
        [[row]] = await self._db.write(a_piece(WriteClass.OUTCOME, statement))
        return int(row[0])

    async def prune(
        self, company: CompanyId, task: TaskId, created_before: datetime, limit: int
    ) -> int:
        """Delete records of a task's calls from before then, oldest first; how many."""
        rows = await self._db.all(
            "old_calls",
            company_id=company,
            task_id=task,
            created_before=micros(created_before),
            limit=limit,
        )
        if not rows:
            return 0
        statements = Statement("delete_call", [(row[0],) for row in rows])
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statements))
        return len(rows)

    async def _row(self, record: CallRecord) -> Row:
        input_value, input_digest = await keep_value(self._blobs, record.input)
        output_value, output_digest = await keep_value(self._blobs, record.output)
        return (
            record.id,
            record.public_id,
            record.company_id,
            record.task_id,
            record.version_id,
            record.allocation_id,
            STATE_CODES[record.state],
            CAUSE_CODES[record.cause],
            micros(record.created_at),
            micros_or_none(record.started_at),
            micros(record.finished_at),
            record.worker_id,
            record.logged_errors,
            input_value,
            input_digest,
            output_value,
            output_digest,
            encode_error(record.error),
        )

    async def _record(self, row: Row) -> CallRecord:
        values = await load_value(self._blobs, row[13], row[14])
        output = await load_value(self._blobs, row[15], row[16])
        return CallRecord(
            id=row[0],
            public_id=bytes(row[1]),
            company_id=row[2],
            task_id=row[3],
            version_id=row[4],
            allocation_id=row[5],
            state=STATES[row[6]],
            cause=CAUSES[row[7]] or Cause.RETURNED,
            created_at=instant(row[8]),
            started_at=instant_or_none(row[9]),
            finished_at=instant(row[10]),
            worker_id=row[11],
            logged_errors=row[12],
            input=bytes(values or b"{}"),
            output=None if output is None else bytes(output),
            error=error_from(row[17]),
        )


def _position(wanted: RunFilter, call: CallRecord) -> Position:
    return Position(call.finished_at if wanted.by_end else call.created_at, call.id)


def _may_be_calls(wanted: RunFilter) -> bool:
    """Whether a filter may fit calls: they have ended, and nothing else fires, restarts or starts them."""
    is_other = wanted.schedule_id is not None or wanted.restarted_from is not None
    may_have_ended = not wanted.states or any(state in FINAL_STATES for state in wanted.states)
    return may_have_ended and not is_other and wanted.trigger in {None, Trigger.CALL}
