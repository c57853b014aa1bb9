"""A company's orchestrator: the switch that lets its queued runs start, or holds them all back."""

from datetime import datetime

import msgspec

from runyard.engine.foundation import Foundation
from runyard.engine.steering import Steering
from runyard.model.companies import Company
from runyard.model.ids import ActorId
from runyard.model.states import RunState


class OrchestratorView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether runs may start, and how many are where."""

    runnable: bool
    counts: dict[RunState, int]
    """Runs in each state that is not final."""
    changed_at: datetime | None
    """When it was switched last."""
    changed_by: ActorId | None


class Orchestrator:
    """Pauses and resumes companies."""

    def __init__(self, foundation: Foundation, steering: Steering) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher
        self._steering = steering

    async def view(self, company: Company) -> OrchestratorView:
        """How it stands."""
        now = await self._directory.company_by_id(company.id)
        counts = await self._store.queues.state_counts(company.id)
        return OrchestratorView(
            runnable=now.runnable,
            counts=counts,
            changed_at=now.switched_at,
            changed_by=now.switched_by,
        )

    async def pause(self, company: Company, *, by: ActorId | None = None) -> None:
        """Hold every run back. Once this returns none starts; those that have begun go on."""
        gates = [gate.id for gate in self._directory.gates_of(company.id)]
        with self._directory.closing(gates):
            await self._store.companies.set_runnable(
                company.id, runnable=False, at=self._clock.now(), by=by
            )
            await self._reread()
        await self._steering.hold_back(company.id)

    async def resume(self, company: Company, *, by: ActorId | None = None) -> None:
        """Let runs start again."""
        await self._store.companies.set_runnable(
            company.id, runnable=True, at=self._clock.now(), by=by
        )
        await self._reread()
        await self._dispatcher.notice_occupied()

    async def _reread(self) -> None:
        await self._directory.refresh_gates()
        self._directory.forget()
