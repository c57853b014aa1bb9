"""What waits where: binding and decoding of what is counted, not listed."""

from collections import Counter
from datetime import datetime

from runyard.model.ids import CompanyId, GateId, RunId
from runyard.model.states import RunState
from runyard.stores.codes import FIRST_FINAL_CODE, STATES, instant_or_none, micros
from runyard.stores.contract.queues import MOST_BEFORE, GateLoad
from runyard.stores.tables.pieces import Database


class QueueTable:
    """Runs behind gates, by number."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def occupied_gates(self) -> list[GateId]:
        """Gates with at least one queued run."""
        return [GateId(row[0]) for row in await self._db.all("occupied_gates")]

    async def queued_before(self, company: CompanyId, gate: GateId, rank: int, run: RunId) -> int:
        """How many queued runs of the gate go first; counts to `MOST_BEFORE`."""
        row = await self._db.one(
            "queued_before",
            company_id=company,
            gate_id=gate,
            rank=rank,
            run_id=run,
            limit=MOST_BEFORE,
        )
        return int(row[0]) if row else 0

    async def queued_totals(self) -> dict[CompanyId, int]:
        """Queued runs of each company that has any."""
        rows = await self._db.all("queued_totals")
        return {CompanyId(company): int(count) for company, count in rows if count}

    async def state_counts(self, company: CompanyId) -> dict[RunState, int]:
        """How many runs are in each non-final state."""
        counts: Counter[RunState] = Counter()
        for state, _, count in await self._db.all("kept_counts", company_id=company):
            if state < FIRST_FINAL_CODE and count:
                counts[STATES[state]] += count
        return dict(counts)

    async def gate_loads(self, company: CompanyId) -> list[GateLoad]:
        """What stands behind each gate of a company."""
        aside = {
            (gate, STATES[state]): count
            for gate, state, count in await self._db.all("aside_counts", company_id=company)
        }
        return [
            GateLoad(
                gate_id=gate,
                scheduled=scheduled,
                queued=queued,
                assigned=assigned,
                begun=begun,
                parked=aside.get((gate, RunState.PARKED), 0),
                preparing=aside.get((gate, RunState.PREPARING), 0),
            )
            for gate, scheduled, queued, assigned, begun in await self._db.all(
                "gate_loads", company_id=company
            )
        ]

    async def next_due_at(self) -> datetime | None:
        """The earliest due instant of any scheduled run."""
        row = await self._db.one("next_due_at")
        return instant_or_none(row[0]) if row else None

    async def earliest_put_off(self, company: CompanyId, at: datetime) -> datetime | None:
        """When the first was made of the runs that were put off until this instant or later."""
        row = await self._db.one("earliest_put_off", company_id=company, at=micros(at))
        return instant_or_none(row[0]) if row else None
