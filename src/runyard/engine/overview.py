"""A company's numbers at a glance, counted anew at most every two seconds however many look."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.workers import Workers, WorkerView
from runyard.model.companies import Company
from runyard.model.ids import CompanyId
from runyard.model.states import RunState
from runyard.model.workers import WorkerState
from runyard.stores.contract.listing import RunFilter
from runyard.stores.contract.store import Store

LIFE = timedelta(seconds=2)
LATELY = timedelta(hours=24)


class CompanyNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """How much is going on in a company."""

    workers: int
    """Allowed to execute its runs."""
    workers_online: int
    running: int
    queued: int
    failed: int
    """Within the last 24 hours."""
    failed_is_exact: bool
    """False: there are at least as many."""


class Overview:
    """Counts."""

    def __init__(self, store: Store, clock: Clock, workers: Workers) -> None:
        self._store = store
        self._clock = clock
        self._workers = workers
        self._counted: dict[CompanyId, tuple[timedelta, CompanyNumbers]] = {}

    async def of(self, companies: Sequence[Company]) -> dict[CompanyId, CompanyNumbers]:
        """The numbers of these companies, at most two seconds old."""
        now = self._clock.monotonic()
        fresh = {
            company: known for company, known in self._counted.items() if now - known[0] < LIFE
        }
        missing = [company.id for company in companies if company.id not in fresh]
        if missing:
            workers = await self._workers.list()
            for company in missing:
                fresh[company] = (now, await self._count(company, workers))
        self._counted = fresh
        return {company.id: fresh[company.id][1] for company in companies}

    async def _count(self, company: CompanyId, workers: Sequence[WorkerView]) -> CompanyNumbers:
        serving = [view for view in workers if _serves(view, company)]
        states = await self._store.queues.state_counts(company)
        failed = await self._store.runs.page(
            company,
            RunFilter(states=(RunState.FAILED,), finished_from=self._clock.now() - LATELY),
            None,
            1,
        )
        return CompanyNumbers(
            workers=len(serving),
            workers_online=sum(view.online for view in serving),
            running=states.get(RunState.RUNNING, 0),
            queued=states.get(RunState.QUEUED, 0),
            failed=failed.total,
            failed_is_exact=failed.total_is_exact,
        )


def _serves(view: WorkerView, company: CompanyId) -> bool:
    worker = view.worker
    return worker.state is WorkerState.ALLOWED and worker.company_id in (None, company)
