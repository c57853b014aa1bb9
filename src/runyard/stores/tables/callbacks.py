"""The outbox of callbacks: binding and decoding."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from runyard.model.callbacks import Callback, CallbackSecret, CallbackState
from runyard.model.ids import CallbackId, CompanyId, RunId
from runyard.stores.codes import CALLBACK_CODES, instant, instant_or_none, micros, micros_or_none
from runyard.stores.contract.callbacks import CallbackEnd, CallbackHold, PendingCallbacks
from runyard.stores.contract.listing import TOTAL_LIMIT
from runyard.stores.contract.runs import NewRun
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_ROW_SIZE = 200
_NEWEST = 2**63 - 1
_STATES: Mapping[int, CallbackState] = {code: state for state, code in CALLBACK_CODES.items()}


def callback_statements(runs: Sequence[NewRun]) -> tuple[Statement, ...]:
    """What the start of these runs has to insert besides; nothing where none has callbacks."""
    rows = [
        (
            run.id,
            callback.id,
            callback.public_id,
            run.company_id,
            callback.dialect,
            callback.url,
            callback.host,
            micros(run.created_at),
            callback.headers,
        )
        for run in runs
        for callback in run.callbacks
    ]
    if not rows:
        return ()
    expected = [(run.id,) for run in runs if run.callbacks]
    return (Statement("insert_callback", rows), Statement("expect_end", expected))


class CallbackTable:
    """The outbox of callbacks."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def awaited(self, limit: int) -> list[RunId]:
        """Runs that have not ended and have callbacks."""
        return [RunId(row[0]) for row in await self._db.all("awaited_runs", limit=limit)]

    async def pending(self) -> PendingCallbacks:
        """What there is to do."""
        row = await self._db.one("pending_callbacks")
        assert row is not None
        return PendingCallbacks(has_ended=bool(row[0]), next_due_at=instant_or_none(row[1]))

    async def ended_runs(self, limit: int) -> list[RunId]:
        """Runs that have ended and whose callbacks do not know it yet."""
        return [RunId(row[0]) for row in await self._db.all("runs_to_tell", limit=limit)]

    async def ripen(self, runs: Sequence[RunId], at: datetime) -> None:
        """The callbacks of these ended runs are due."""
        piece = a_piece(
            WriteClass.MAINTENANCE,
            Statement("ripen_callbacks", [(run, micros(at)) for run in runs]),
            Statement("note_told", [(run,) for run in runs]),
            size=_ROW_SIZE * len(runs),
            is_relaxed=True,
        )
        await self._db.write(piece)

    async def due_hosts(self, now: datetime, limit: int) -> list[str]:
        """Hosts that callbacks are due for."""
        rows = await self._db.all("due_hosts", now=micros(now), limit=limit)
        return [str(row[0]) for row in rows]

    async def due(self, host: str, now: datetime, limit: int) -> list[Callback]:
        """Due callbacks of a host, earliest first."""
        rows = await self._db.all("due_callbacks", host=host, now=micros(now), limit=limit)
        return [_callback_from(row) for row in rows]

    async def hold(self, holds: Sequence[CallbackHold], now: datetime) -> list[CallbackId]:
        """Take due callbacks in hand; those that nobody else was faster with."""
        at = micros(now)
        rows = [(h.run_id, h.callback_id, at, micros(h.until), h.holder) for h in holds]
        piece = a_piece(
            WriteClass.MAINTENANCE,
            Statement("hold_callback", rows),
            size=_ROW_SIZE * len(rows),
            is_relaxed=True,
        )
        [answer] = await self._db.write(piece)
        return [CallbackId(row[1]) for row in answer]

    async def settle(self, ends: Sequence[CallbackEnd]) -> None:
        """Keep what came of sending."""
        rows = [
            (
                end.run_id,
                end.callback_id,
                end.holder,
                end.tries,
                CALLBACK_CODES[end.state],
                micros_or_none(end.due_at),
                micros_or_none(end.ended_at),
                end.answered,
                end.detail,
            )
            for end in ends
        ]
        statement = Statement("settle_callback", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, size=_ROW_SIZE * len(rows)))

    async def release(self, now: datetime) -> None:
        """All that is in anybody's hand is due."""
        statement = Statement("release_callbacks", ((micros(now),),))
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement))

    async def find(self, company: CompanyId, callback: CallbackId) -> Callback | None:
        """One callback."""
        row = await self._db.one("find_callback", company_id=company, callback_id=callback)
        return _callback_from(row) if row else None

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> Callback | None:
        """One callback by its public id."""
        row = await self._db.one(
            "find_callback_by_public_id", company_id=company, public_id=public_id
        )
        return _callback_from(row) if row else None

    async def of_run(self, company: CompanyId, run: RunId) -> list[Callback]:
        """A run's callbacks, in order."""
        rows = await self._db.all("callbacks_of_run", company_id=company, run_id=run)
        return [_callback_from(row) for row in rows]

    async def page(
        self,
        company: CompanyId,
        state: CallbackState | None,
        before: CallbackId | None,
        limit: int,
    ) -> list[Callback]:
        """Newest first."""
        query, values = _in_state("list_callbacks", state)
        rows = await self._db.all(
            query, company_id=company, before=before or _NEWEST, limit=limit, **values
        )
        return [_callback_from(row) for row in rows]

    async def count(self, company: CompanyId, state: CallbackState | None) -> int:
        """How many there are; counts to the limit of totals and one more."""
        query, values = _in_state("count_callbacks", state)
        row = await self._db.one(query, company_id=company, limit=TOTAL_LIMIT + 1, **values)
        return int(row[0]) if row else 0

    async def resend(self, company: CompanyId, callbacks: Sequence[Callback], now: datetime) -> int:
        """Make delivered, dead or due ones due now, as if never tried; how many."""
        rows = [(callback.run_id, callback.id, company, micros(now)) for callback in callbacks]
        statement = Statement("resend_callback", rows)
        [answer] = await self._db.write(
            a_piece(WriteClass.START, statement, size=_ROW_SIZE * len(rows))
        )
        return len({row[1] for row in answer})

    async def secret(self, company: CompanyId) -> CallbackSecret:
        """Which secrets sign."""
        row = await self._db.one("callback_secret", company_id=company)
        if row is None:
            return CallbackSecret()
        return CallbackSecret(number=row[0], previous_until=instant_or_none(row[1]))

    async def rotate_secret(
        self, company: CompanyId, expected: int, previous_until: datetime
    ) -> bool:
        """The next number signs from now on, the one before until then."""
        row = (company, expected, micros(previous_until))
        statement = Statement("rotate_callback_secret", (row,))
        [answer] = await self._db.write(a_piece(WriteClass.START, statement))
        return bool(answer)


def _in_state(query: str, state: CallbackState | None) -> tuple[str, dict[str, int]]:
    if state is None:
        return query, {}
    return f"{query}_in_state", {"state": CALLBACK_CODES[state]}


def _callback_from(row: Row) -> Callback:
    return Callback(
        id=row[0],
        public_id=bytes(row[1]),
        company_id=row[2],
        run_id=row[3],
        dialect=row[4],
        url=row[5],
        host=row[6],
        state=_STATES[row[7]],
        tries=row[8],
        due_at=instant_or_none(row[9]),
        answered=row[10],
        detail=row[11],
        created_at=instant(row[12]),
        ended_at=instant_or_none(row[13]),
        headers=None if row[15] is None else bytes(row[15]),
    )
