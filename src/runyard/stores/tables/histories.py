"""What happened to runs: binding and decoding."""

from datetime import datetime

from runyard.model.ids import CompanyId, RunId
from runyard.model.runs import Attempt, Change
from runyard.stores.codes import OUTCOMES, STATES, instant, instant_or_none
from runyard.stores.tables.pieces import Database
from runyard.stores.tables.run_rows import error_from


class HistoryTable:
    """What is kept of a run beside its row."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def attempts(self, company: CompanyId, run: RunId) -> list[Attempt]:
        """Its ended attempts, first to last."""
        rows = await self._db.all("attempts_of_run", company_id=company, run_id=run)
        return [
            Attempt(
                run_id=run,
                number=number,
                worker_id=worker,
                lease_token=token,
                begun_at=instant_or_none(begun_at),
                finished_at=instant(finished_at),
                outcome=OUTCOMES[outcome],
                error=error_from(error),
            )
            for number, worker, token, begun_at, finished_at, outcome, error in rows
        ]

    async def changes(self, company: CompanyId, run: RunId) -> list[Change]:
        """What was done to a run that its row forgets, in order."""
        rows = await self._db.all("run_changes", company_id=company, run_id=run)
        return [Change(at=instant(at), state=STATES[state], note=note) for at, state, note in rows]

    async def restarts(self, company: CompanyId, run: RunId) -> int:
        """How many runs were restarted from this one."""
        row = await self._db.one("count_restarts", company_id=company, run_id=run)
        return int(row[0]) if row else 0

    async def ancestors(self, company: CompanyId, run: RunId) -> list[RunId]:
        """Runs that this one goes back to, the nearest first."""
        rows = await self._db.all("ancestors_of", company_id=company, run_id=run)
        return [RunId(ancestor) for (ancestor,) in rows]

    async def recorded_steps(
        self, company: CompanyId, run: RunId
    ) -> list[tuple[str, int, datetime]]:
        """Its recorded steps (name, occurrence, when), in order, without their values."""
        rows = await self._db.all("recorded_steps", company_id=company, run_id=run)
        return [(name, occurrence, instant(at)) for name, occurrence, at in rows]
