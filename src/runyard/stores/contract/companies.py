"""The part of the Store contract that is about companies and their orchestrators."""

from datetime import datetime
from typing import Protocol

from runyard.model.companies import Company
from runyard.model.ids import ActorId, CompanyId


class Companies(Protocol):
    """Companies and their orchestrators."""

    async def create(self, company: Company) -> bool:
        """False when the slug is taken."""

    async def update(self, company: Company) -> bool:
        """Change name, time zone, default priority, retention, cap and weight."""

    async def find_by_slug(self, slug: str) -> Company | None:
        """One company."""

    async def find(self, company: CompanyId) -> Company | None:
        """One company."""

    async def set_runnable(
        self,
        company: CompanyId,
        runnable: bool,  # noqa: FBT001
        at: datetime | None = None,
        by: ActorId | None = None,
    ) -> bool:
        """Switch the orchestrator (company row and all its gates). After the return no claim takes runs."""

    async def list(self) -> list[Company]:
        """All, by slug."""
