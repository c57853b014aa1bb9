"""The chain of the audit log: whoever alters, removes or adds an entry in the database is found out.

Each entry has a place, counted without gaps, and a link: a keyed digest over the entry and the link
before it. The key is derived from the master key, which the database does not hold, so nobody who can
only write to the database makes links that fit. One chain goes through the entries of all companies;
servers that share a database extend it in turn (a guard in the database decides, whoever was late
links again). What is older than the log is kept is cut off at the beginning, under a seal of its own.

One thing no chain shows by itself: that its last entries are gone, and its end was put back to
where it stood before them. For that the end of the log can be noted elsewhere and compared later.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

import msgspec

from runyard.engine.keys import Keys
from runyard.model.audit import AuditEntry
from runyard.model.errors import Overloaded
from runyard.model.ids import AuditEntryId
from runyard.stores.contract.audit import ChainEnd, Cut, LinkedEntry
from runyard.stores.contract.store import Store

READ_AT_ONCE = 1_000
MOST_TRIES = 100
"""So often others may extend the chain first before an entry waits for a while."""
_BEFORE_ALL = -(2**62)
_encode = msgspec.json.Encoder().encode


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain does not hold."""

    place: int
    entry: AuditEntryId | None
    """None where entries are missing."""
    detail: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the chain."""

    entries: int
    """That were looked at and are what was written."""
    first: int
    """Place of the oldest that is kept."""
    end: ChainEnd
    """The last of them."""
    broken: Break | None


class AuditChain:
    """Links entries, and looks whether the links hold."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._end: ChainEnd | None = None
        """Where the chain ended when it was last extended here."""

    # ------------------------------------------------------------ writing

    async def extend(self, entries: Sequence[AuditEntry]) -> None:
        """Keep these durably; raises Busy."""
        for _ in range(MOST_TRIES):
            if self._end is None:
                _, self._end = await self._store.audit.ends()
            linked = self._linked(entries, self._end)
            before, self._end = self._end, None  # unknown while it is written
            if await self._store.audit.extend(linked):
                self._end = ChainEnd(before.place + len(linked), linked[-1].link)
                return
        raise Overloaded("the audit log cannot be extended")

    def _linked(self, entries: Sequence[AuditEntry], after: ChainEnd) -> list[LinkedEntry]:
        linked: list[LinkedEntry] = []
        key, link = self._key, after.link
        for place, entry in enumerate(entries, start=after.place + 1):
            link = _link_of(key, link, place, entry)
            linked.append(
                LinkedEntry(entry=entry, place=place, is_sealed=key is not None, link=link)
            )
        return linked

    async def cut(self, entries: Sequence[LinkedEntry], before: ChainEnd) -> None:
        """Delete these from the beginning, which is behind `before`, unless somebody else has."""
        last = entries[-1]
        end = ChainEnd(last.place, last.link)
        await self._store.audit.cut(before.place, Cut(end=end, seal=self._seal_of(end)))

    @property
    def _key(self) -> bytes | None:
        """What links are made with; None where the master key is not the installation's."""
        return self._keys.derive("audit log") if self._keys.are_right else None

    def _seal_of(self, end: ChainEnd) -> bytes:
        if not self._keys.are_right:
            return b""
        return self._keys.derive("audit log begins", b"%d" % end.place, end.link)

    # ------------------------------------------------------------ verifying

    async def verify(self, noted: ChainEnd | None = None) -> Verification:
        """Look at every entry; raises WrongMasterKey.

        `noted`: an end that the log had before, which it must still contain.
        """
        self._keys.demand_right()
        cut, _ = await self._store.audit.ends()
        broken = None
        if cut != Cut() and not hmac.compare_digest(cut.seal, self._seal_of(cut.end)):
            detail = "entries before it were removed, and not by this installation"
            broken = Break(place=cut.end.place + 1, entry=None, detail=detail)
        for oldest in await self._store.audit.chain(_BEFORE_ALL, 1):
            if oldest.place <= cut.end.place:
                detail = "it stands before the beginning of the log"
                broken = Break(place=oldest.place, entry=oldest.entry.id, detail=detail)
        found = await self._walk(cut.end, broken, noted)
        moved, _ = await self._store.audit.ends()
        if found.broken is not None and moved.end.place > cut.end.place:
            return await self.verify(noted)  # what was looked at was just pruned
        return found

    async def verify_newest(self, count: int) -> Verification:
        """Look at the newest entries alone; raises WrongMasterKey."""
        self._keys.demand_right()
        cut, end = await self._store.audit.ends()
        after = max(cut.end.place, end.place - count)
        if after == cut.end.place:
            return await self._walk(cut.end, None, None)
        before = await self._store.audit.chain(after - 1, 1)
        link = before[0].link if before and before[0].place == after else b""
        return await self._walk(ChainEnd(after, link), None, None)

    async def _walk(
        self, start: ChainEnd, broken: Break | None, noted: ChainEnd | None
    ) -> Verification:
        at, last_id, key = start, None, self._key
        while broken is None:
            part = await self._store.audit.chain(at.place, READ_AT_ONCE, after_id=last_id)
            for linked in part:
                broken = _judged(linked, at, key) or _unlike(linked, noted)
                if broken is not None:
                    break
                at, last_id = ChainEnd(linked.place, linked.link), linked.entry.id
            if part:
                continue
            _, end = await self._store.audit.ends()
            if end == at:
                break
            # Entries may have been written since the last look.
            if end.place <= at.place or not await self._store.audit.chain(at.place, 1):
                broken = _wrong_end(end, at)
        if broken is None and noted is not None and noted.place > at.place:
            detail = f"the log was longer: it ended with entry {noted.place}"
            broken = Break(place=noted.place, entry=None, detail=detail)
        return Verification(
            entries=at.place - start.place, first=start.place + 1, end=at, broken=broken
        )


def _judged(linked: LinkedEntry, before: ChainEnd, key: bytes | None) -> Break | None:
    """What is wrong with an entry that stands behind another one."""
    place, entry = before.place + 1, linked.entry.id
    if linked.place > place:
        missing = f"entries {place} to {linked.place - 1}"
        if linked.place == place + 1:
            missing = f"entry {place}"
        return Break(place=place, entry=None, detail=f"missing: {missing}")
    if linked.place < place:
        detail = f"another entry stands in place {linked.place}"
        return Break(place=linked.place, entry=entry, detail=detail)
    if not linked.is_sealed:
        detail = "it was written without the installation's master key"
        return Break(place=place, entry=entry, detail=detail)
    wanted = _link_of(key, before.link, place, linked.entry)
    if hmac.compare_digest(wanted, linked.link):
        return None
    return Break(place=place, entry=entry, detail="it is not what was written")


def _link_of(key: bytes | None, before: bytes, place: int, entry: AuditEntry) -> bytes:
    told = before + _encode(
        (
            place,
            entry.id,
            entry.company_id,
            entry.at,
            entry.actor,
            entry.actor_name,
            entry.action,
            entry.subject,
            entry.succeeded,
            entry.detail,
            entry.source,
            entry.address,
        )
    )
    if key is None:
        return hashlib.sha256(told).digest()
    return hmac.digest(key, told, "sha256")


def _unlike(linked: LinkedEntry, noted: ChainEnd | None) -> Break | None:
    if noted is None or linked.place != noted.place:
        return None
    if hmac.compare_digest(linked.link, noted.link):
        return None
    detail = "it is not the one that was noted"
    return Break(place=linked.place, entry=linked.entry.id, detail=detail)


def _wrong_end(end: ChainEnd, at: ChainEnd) -> Break:
    if end.place > at.place:
        return Break(
            place=at.place + 1, entry=None, detail=f"missing: everything up to entry {end.place}"
        )
    detail = "the end of the log is not what was written"
    if end.place < at.place:
        detail = f"the log is said to end with entry {end.place}, and goes on to {at.place}"
    return Break(place=at.place, entry=None, detail=detail)


def old_ones(entries: Sequence[LinkedEntry], before: datetime) -> list[LinkedEntry]:
    """Those at the beginning that are from before then."""
    return list(takewhile(lambda linked: linked.entry.at < before, entries))
