"""Workers that are connected to other servers: who they are, and having one of them look into a bundle."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import msgspec

from runyard.engine.elsewhere import Elsewhere
from runyard.engine.ids import Ids
from runyard.engine.sessions import Sessions
from runyard.model.companies import Company
from runyard.model.errors import CodeRefused, NoWorker
from runyard.model.ids import CompanyId, RunId, SessionId
from runyard.model.tasks import Declaration
from runyard.model.workers import Worker, WorkerState
from runyard.stores.contract.peering import Answer, Errand, Verb
from runyard.stores.contract.store import Store

LOOKING = timedelta(seconds=90)
"""How long another server's worker may take to look into a bundle; it gives up itself before."""
MOST_HELD = 1_000
"""Runs of one worker that are counted."""

_encode = msgspec.json.Encoder().encode


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found in a bundle: declarations, or what is wrong with it."""

    declarations: tuple[Declaration, ...] = ()
    lines: tuple[str, ...] = ()
    """What was said meanwhile."""
    refusal: str | None = None
    file: str | None = None
    line: int | None = None


_decode = msgspec.json.Decoder(Found).decode


class Colleague(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is connected to another server."""

    worker: Worker
    session_id: SessionId
    held: tuple[RunId, ...]

    @property
    def has_room(self) -> bool:
        """Whether it has a slot that executes nothing."""
        return not self.worker.draining and len(self.held) < self.worker.slots

    def fits(self, company: CompanyId, labels: Iterable[str]) -> bool:
        """Whether it could execute runs of this company with these labels."""
        serves = self.worker.company_id in {None, company}
        return serves and set(self.worker.labels).issuperset(labels)


class Colleagues:
    """The workers of other servers."""

    def __init__(self, store: Store, sessions: Sessions, elsewhere: Elsewhere, ids: Ids) -> None:
        self._store = store
        self._sessions = sessions
        self._elsewhere = elsewhere
        self._ids = ids

    async def list(self) -> list[Colleague]:
        """Those that are online; none when the database is this server's own."""
        held = await self._sessions.held_elsewhere()
        if not held:
            return []
        workers = {w.id: w for w in await self._store.workers.list() if w.id in held}
        sessions = {
            session.worker_id: session.id
            for session in await self._store.workers.open_sessions()
            if session.server != self._sessions.server
        }
        found = []
        for worker_id, worker in workers.items():
            session = sessions.get(worker_id)
            if session is not None and worker.state is WorkerState.ALLOWED:
                runs = await self._store.leases.held_by([session], MOST_HELD)
                ids = tuple(run.run_id for run in runs)
                found.append(Colleague(worker=worker, session_id=session, held=ids))
        return found

    async def inspect(
        self, company: Company, digest: str, on_line: Callable[[str], None]
    ) -> tuple[Declaration, ...]:
        """The tasks in a bundle, as a worker of another server finds them; raises CodeRefused, NoWorker."""
        able = [c for c in await self.list() if c.fits(company.id, ()) and not c.worker.draining]
        if not able:
            raise NoWorker("no worker is connected that could inspect the bundle")
        chosen = min(able, key=lambda colleague: len(colleague.held))
        errand = Errand(
            id=await self._ids.take(),
            session_id=chosen.session_id,
            verb=Verb.INSPECT,
            company_id=company.id,
            run_id=RunId(0),
            token=0,
            asked_at=self._elsewhere.now(),
            body=digest.encode(),
        )
        result = await self._elsewhere.finding(errand, LOOKING)
        if result is None:
            raise NoWorker(f"the worker {chosen.worker.name} did not inspect the bundle; try again")
        found = _decode(result)
        for line in found.lines:
            on_line(line)
        if found.refusal is not None:
            raise CodeRefused(found.refusal, file=found.file, line=found.line)
        return found.declarations


async def inspected(
    sessions: Sessions, company: Company, errand: Errand
) -> tuple[Answer, bytes | None]:
    """What a worker of this server finds in the bundle that another server asks about."""
    session = next((s for s in sessions if s.id == errand.session_id), None)
    if session is None:
        return Answer.LEFT, None
    lines: list[str] = []
    try:
        declarations = await session.port.inspect(company, errand.body.decode(), lines.append)
    except CodeRefused as refusal:
        found = Found(
            lines=tuple(lines), refusal=refusal.detail, file=refusal.file, line=refusal.line
        )
    except NoWorker:
        return Answer.LEFT, None
    else:
        found = Found(lines=tuple(lines), declarations=declarations)
    return Answer.DONE, _encode(found)


def slots_of(colleagues: Sequence[Colleague]) -> int:
    """Of all of them."""
    return sum(colleague.worker.slots for colleague in colleagues)
