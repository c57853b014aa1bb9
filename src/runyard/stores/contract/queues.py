"""The part of the Store contract that is about queues: what is counted of runs, not listed."""

from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, GateId, RunId
from runyard.model.states import RunState

MOST_BEFORE = 250
"""So many runs, at most, are counted that go before one."""


class GateLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of one gate are where."""

    gate_id: GateId
    scheduled: int
    """Due later, never begun."""
    queued: int
    """Never begun."""
    assigned: int
    """On their way to a worker, never begun."""
    begun: int
    """Begun and not ended, between two attempts too."""
    parked: int = 0
    preparing: int = 0


class Queues(Protocol):
    """What waits, by number: runs behind gates and in states."""

    async def occupied_gates(self) -> list[GateId]:
        """Gates with at least one queued run (a loose index scan; cost grows with gates, not runs)."""

    async def queued_before(self, company: CompanyId, gate: GateId, rank: int, run: RunId) -> int:
        """How many queued runs of the gate go first; counts to `MOST_BEFORE`."""

    async def queued_totals(self) -> dict[CompanyId, int]:
        """Queued runs of each company that has any."""

    async def state_counts(self, company: CompanyId) -> dict[RunState, int]:
        """How many runs are in each non-final state (final ones are not counted)."""

    async def gate_loads(self, company: CompanyId) -> list[GateLoad]:
        """What stands behind each gate of a company."""

    async def next_due_at(self) -> datetime | None:
        """The earliest due instant of any scheduled run."""

    async def earliest_put_off(self, company: CompanyId, at: datetime) -> datetime | None:
        """When the first was made of the runs that were put off until this instant or later."""
