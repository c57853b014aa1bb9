"""The part of the Store contract that is about what happened to runs, beside what their rows say."""

from datetime import datetime
from typing import Protocol

from runyard.model.ids import CompanyId, RunId
from runyard.model.runs import Attempt, Change


class Histories(Protocol):
    """What is kept of a run beside its row."""

    async def attempts(self, company: CompanyId, run: RunId) -> list[Attempt]:
        """Its ended attempts, first to last."""

    async def changes(self, company: CompanyId, run: RunId) -> list[Change]:
        """What was done to a run that its row forgets, in order."""

    async def restarts(self, company: CompanyId, run: RunId) -> int:
        """How many runs were restarted from this one."""

    async def ancestors(self, company: CompanyId, run: RunId) -> list[RunId]:
        """Runs that this one goes back to, the nearest first; of a pruned one only the id is known."""

    async def recorded_steps(
        self, company: CompanyId, run: RunId
    ) -> list[tuple[str, int, datetime]]:
        """Its recorded steps (name, occurrence, when), in order, without their values."""
