"""Systems: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime

from runyard.model.ids import ActorId, CompanyId, SystemId
from runyard.model.systems import System, SystemState
from runyard.stores.codes import instant, instant_or_none, micros
from runyard.stores.tables.pieces import (
    Answer,
    Database,
    Row,
    Statement,
    WriteClass,
    WriteRefused,
    a_piece,
)

_BETWEEN = "\n"


class SystemTable:
    """Systems, by the SHA-256 of what they present."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, system: System, digest: bytes) -> bool:
        """Keep a new one. False when the company has a system of that name."""
        row = (
            system.id,
            system.company_id,
            system.name,
            system.description,
            system.state.value,
            digest,
            system.last_characters,
            system.sealed,
            _BETWEEN.join(system.files_from),
            micros(system.created_at),
            system.updated_by,
        )
        return bool(await self._write("insert_system", row))

    async def find(self, system: SystemId) -> System | None:
        """One, removed or not."""
        row = await self._db.one("find_system", system_id=system)
        return _system_from(row) if row else None

    async def find_by_digest(self, digest: bytes) -> System | None:
        """The one that this UUID belongs to, whatever its state; not a removed one."""
        row = await self._db.one("find_system_by_digest", digest=digest)
        return _system_from(row) if row else None

    async def digests(self) -> Sequence[bytes]:
        """Of the UUIDs of all that are not removed."""
        return [bytes(row[0]) for row in await self._db.all("digests_of_systems")]

    async def list(self, company: CompanyId) -> list[System]:
        """A company's, newest first."""
        rows = await self._db.all("list_systems", company_id=company)
        return [_system_from(row) for row in rows]

    async def waiting(self) -> dict[CompanyId, int]:
        """How many wait to be allowed, in each company where any do."""
        return {CompanyId(row[0]): row[1] for row in await self._db.all("waiting_systems")}

    async def set_state(
        self, system: SystemId, state: SystemState, at: datetime, by: ActorId | None = None
    ) -> bool:
        """Allow or lock. False when there is no such system any more."""
        return bool(await self._write("set_system_state", (system, state.value, micros(at), by)))

    async def change(self, system: System) -> bool | None:
        """Keep its name, description and files_from; None when the name is taken, False when it is gone."""
        row = (
            system.id,
            system.company_id,
            system.name,
            system.description,
            _BETWEEN.join(system.files_from),
            micros(system.updated_at),
            system.updated_by,
        )
        try:
            if await self._write("change_system", row):
                return True
        except WriteRefused:  # somebody else took the name in this very moment
            return None
        found = await self.find(system.id)
        return None if found is not None and found.removed_at is None else False

    async def renew(self, system: System, digest: bytes) -> bool:
        """Give it the UUID of this value; the one before is unknown. False when it is gone."""
        sealed, at = system.sealed, micros(system.updated_at)
        row = (system.id, digest, system.last_characters, sealed, at, system.updated_by)
        return bool(await self._write("renew_system", row))

    async def remove(self, system: SystemId, at: datetime, by: ActorId | None = None) -> bool:
        """Take it out of the list. False when it was before."""
        return bool(await self._write("remove_system", (system, micros(at), by)))

    async def note(self, seen: Sequence[tuple[SystemId, str, datetime]]) -> None:
        """From where and when systems last called."""
        rows = [(system, address, micros(at)) for system, address, at in seen]
        statement = Statement("note_system", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def _write(self, query: str, row: Row) -> Answer:
        [answer] = await self._db.write(a_piece(WriteClass.OUTCOME, Statement(query, (row,))))
        return answer


def _system_from(row: Row) -> System:
    return System(
        id=row[0],
        company_id=row[1],
        name=row[2],
        description=row[3],
        state=SystemState(row[4]),
        last_characters=row[5],
        sealed=bytes(row[6]),
        files_from=tuple(row[7].split(_BETWEEN)) if row[7] else (),
        created_at=instant(row[8]),
        updated_at=instant(row[9]),
        address=row[10],
        last_seen_at=instant_or_none(row[11]),
        removed_at=instant_or_none(row[12]),
        updated_by=row[13],
    )
