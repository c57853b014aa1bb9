"""The part of the Store contract that is about systems, which call in by a UUID."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.model.ids import ActorId, CompanyId, SystemId
from runyard.model.systems import System, SystemState


class Systems(Protocol):
    """Systems, by the SHA-256 of what they present. A removed one is kept: runs name it."""

    async def create(self, system: System, digest: bytes) -> bool:
        """Keep a new one. False when the company has a system of that name."""

    async def find(self, system: SystemId) -> System | None:
        """One, removed or not."""

    async def find_by_digest(self, digest: bytes) -> System | None:
        """The one that this UUID belongs to, whatever its state; not a removed one."""

    async def digests(self) -> Sequence[bytes]:
        """Of the UUIDs of all that are not removed."""

    async def list(self, company: CompanyId) -> list[System]:
        """A company's, newest first."""

    async def waiting(self) -> dict[CompanyId, int]:
        """How many wait to be allowed, in each company where any do."""

    async def set_state(
        self, system: SystemId, state: SystemState, at: datetime, by: ActorId | None = None
    ) -> bool:
        """Allow or lock. False when there is no such system any more."""

    async def change(self, system: System) -> bool | None:
        """Keep its name, description and files_from as they are in this value; None when another system
        of the company has that name, False when there is no such system any more.
        """

    async def renew(self, system: System, digest: bytes) -> bool:
        """Give it the UUID of this value; the one before is unknown. False when it is gone."""

    async def remove(self, system: SystemId, at: datetime, by: ActorId | None = None) -> bool:
        """Take it out of the list; its UUID is unknown from now on. False when it was before."""

    async def note(self, seen: Sequence[tuple[SystemId, str, datetime]]) -> None:
        """From where and when systems last called (relaxed)."""
