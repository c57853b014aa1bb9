"""Which tasks the workers at hand can execute: what waits for a worker rather than for its turn."""

from runyard.engine.foundation import Foundation
from runyard.model.companies import Company
from runyard.model.ids import GateId
from runyard.model.tasks import Gate
from runyard.model.workers import Worker, WorkerState


class Reach:
    """Knows which workers are online, here and at other servers, and what they fit."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store
        self._directory = foundation.directory
        self._sessions = foundation.sessions

    async def stranded(self, company: Company) -> frozenset[GateId]:
        """Gates of a company that are open although no worker is online that fits them."""
        unfit = [
            gate
            for gate in self._directory.gates_of(company.id)
            if gate.is_open and not self._sessions.fitting(company.id, gate.labels)
        ]
        if not unfit:
            return frozenset()
        workers = await self._elsewhere(company)
        return frozenset(gate.id for gate in unfit if not _fits_any(gate, workers))

    async def slots(self, company: Company) -> int:
        """Runs that the company's online workers execute at once."""
        here = [session.worker for session in self._sessions if session.serves(company.id)]
        return sum(worker.slots for worker in (*here, *await self._elsewhere(company)))

    async def _elsewhere(self, company: Company) -> list[Worker]:
        """Workers of the company that are connected to other servers."""
        if not self._store.is_shared:
            return []
        online = await self._sessions.held_elsewhere()
        return [
            worker for worker in await self._store.workers.list(company.id) if worker.id in online
        ]


def _fits_any(gate: Gate, workers: list[Worker]) -> bool:
    return any(
        set(gate.labels) <= set(worker.labels) and worker.state is WorkerState.ALLOWED
        for worker in workers
    )
