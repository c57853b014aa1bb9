"""Workers as administrators see them."""

import msgspec

from runyard.engine.sessions import Session, Sessions
from runyard.model.companies import Company
from runyard.model.workers import Worker
from runyard.stores.base import Store


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker and how it is now."""

    worker: Worker
    online: bool
    busy: int
    """Runs that it holds."""
    isolation: str
    """The isolation level that its children reach, when it is online."""


class Workers:
    """Who executes runs."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions

    async def list(self, company: Company | None = None) -> list[WorkerView]:
        """All workers, or those that serve a company."""
        online = {session.worker.id: session for session in self._sessions}
        workers = await self._store.workers.list(None if company is None else company.id)
        return [_view(worker, online.get(worker.id)) for worker in workers]


def _view(worker: Worker, session: Session | None) -> WorkerView:
    return WorkerView(
        worker=worker,
        online=session is not None,
        busy=0 if session is None else len(session.held),
        isolation="" if session is None else session.isolation,
    )
