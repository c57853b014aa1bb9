"""The audit log: written a moment behind what it tells of, so that nobody waits for it.

A crash may lose the entries of that moment. Entries are linked in a chain (`audit_chain`), so that who
alters the log in the database is found out. Who signed in with a wrong name or password belongs to
the company of the user who has that name, if anybody has; that is looked up here, and not before the
answer, which would tell by its time.
"""

import asyncio
import contextlib
from collections import deque
from datetime import timedelta

import msgspec

from runyard.engine.actors import Actors
from runyard.engine.audit_chain import AuditChain, Verification, old_ones
from runyard.engine.foundation import Foundation
from runyard.engine.users import Users
from runyard.model.audit import AuditEntry
from runyard.model.companies import Company
from runyard.model.errors import Busy
from runyard.model.ids import ActorId, AuditEntryId, CompanyId
from runyard.stores.contract.audit import AuditPosition, ChainEnd

RETENTION = timedelta(days=180)
PRUNE_EVERY = timedelta(hours=1)
PRUNED_AT_ONCE = 1_000
MOST_PENDING = 10_000
WRITTEN_AT_ONCE = 500
LONGEST_TEXT = 500
AFTER_FAILURE = timedelta(seconds=1)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, as a door tells it."""

    action: str
    company: CompanyId | None = None
    actor: ActorId | None = None
    said_to_be: str = ""
    """The name that somebody gave who signs in; it is in the log of that user's company."""
    subject: str = ""
    refusal: str | None = None
    """Why it did not succeed."""
    source: str
    address: str


class Audit:
    """Keeps and tells who has done what."""

    def __init__(
        self, foundation: Foundation, actors: Actors, users: Users, chain: AuditChain
    ) -> None:
        self._chain = chain
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._actors = actors
        self._users = users
        self._pending: deque[tuple[AuditEntry, Deed]] = deque(maxlen=MOST_PENDING)
        self._wakeup = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, deed: Deed) -> None:
        """Keep it soon."""
        entry = AuditEntry(
            id=AuditEntryId(0),
            company_id=deed.company,
            at=self._clock.now(),
            actor=deed.actor,
            actor_name=_kept(deed.said_to_be),
            action=deed.action,
            subject=_kept(deed.subject),
            succeeded=deed.refusal is None,
            detail=_kept(deed.refusal or ""),
            source=_kept(deed.source),
            address=deed.address,
        )
        self._pending.append((entry, deed))
        self._wakeup.set()

    async def page(
        self, company: Company | None, before: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Entries of a company, or of the installation; newest first."""
        await self.flush()
        return await self._store.audit.page(_id_of(company), before, limit)

    async def count(self, company: Company | None) -> int:
        """How many there are."""
        await self.flush()
        return await self._store.audit.count(_id_of(company))

    async def flush(self) -> None:
        """Keep what was noted."""
        async with self._writing:
            while self._pending:
                noted = [
                    self._pending.popleft() for _ in range(min(len(self._pending), WRITTEN_AT_ONCE))
                ]
                try:
                    entries = [await self._completed(*each) for each in noted]
                    await self._chain.extend(entries)
                except Busy:
                    self._pending.extendleft(reversed(noted))
                    raise

    async def _completed(self, entry: AuditEntry, deed: Deed) -> AuditEntry:
        company, name = entry.company_id, entry.actor_name
        if entry.actor is not None:
            name = await self._actors.name(entry.actor) or ""
        if company is None and deed.said_to_be:
            company = await self._home_of(deed.said_to_be)
        return msgspec.structs.replace(
            entry, id=AuditEntryId(await self._ids.take()), company_id=company, actor_name=name
        )

    async def _home_of(self, name: str) -> CompanyId | None:
        email = name.rpartition("\\")[2].strip().lower()
        user = await self._store.users.find_by_email(email)
        home = None if user is None else await self._users.home_company(user)
        return None if home is None else home.id

    async def run(self) -> None:
        """Write what is noted, and delete what is old, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_forever())
            group.create_task(self._prune_forever())

    async def _write_forever(self) -> None:
        while True:
            await self._clock.wait(self._wakeup, None)
            try:
                await self.flush()
            except Busy:
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()

    async def _prune_forever(self) -> None:
        while True:
            await self._clock.wait(asyncio.Event(), PRUNE_EVERY)
            with contextlib.suppress(Busy):
                await self.prune()

    async def prune(self) -> None:
        """Delete what is older than the log keeps."""
        before = self._clock.now() - RETENTION
        while True:
            cut, _ = await self._store.audit.ends()
            old = old_ones(await self._store.audit.chain(cut.end.place, PRUNED_AT_ONCE), before)
            if not old:
                return
            await self._chain.cut(old, cut.end)

    async def verify(self, noted: ChainEnd | None = None) -> Verification:
        """Whether the log is what was written. `noted`: an end that it had before. Raises WrongMasterKey."""
        await self.flush()
        return await self._chain.verify(noted)


def _kept(text: str) -> str:
    """What of a text is kept: as much as any database holds, so that it can be verified."""
    return text[:LONGEST_TEXT].replace("\0", "\ufffd")


def _id_of(company: Company | None) -> CompanyId | None:
    return None if company is None else company.id
