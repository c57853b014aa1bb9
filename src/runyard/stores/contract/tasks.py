"""The part of the Store contract that is about tasks: deploys, versions, gates."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from runyard.model.ids import ActorId, CompanyId, GateId, TaskId, VersionId
from runyard.model.tasks import Declaration, Gate, Task, Version


class TaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a deploy: new, or with a new version, or taken over, or only brought back."""

    id: TaskId
    uuid: UUID
    gate_id: GateId
    expected_version_id: VersionId | None
    """The current version that the deploy was computed from; None: the task must not exist."""
    version_id: VersionId
    """Equal to the expected one when the version does not change."""
    version: int
    declaration: Declaration


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """All that one deploy changes, or nothing at all (guards: every `expected_version_id`)."""

    company_id: CompanyId
    bundle_name: str
    bundle_digest: str
    bundle_size: int
    changes: tuple[TaskChange, ...]
    withdrawn: tuple[TaskId, ...]
    """No longer in the bundle: marked, never deleted."""
    at: datetime
    by: ActorId | None = None
    """Who deploys."""


class Tasks(Protocol):
    """Tasks, versions, bundles and gates."""

    async def deploy(self, deploy: Deploy) -> bool:
        """Apply a whole deploy; False when a guard failed and nothing was changed."""

    async def find(self, company: CompanyId, task: TaskId) -> Task | None:
        """One task."""

    async def find_by_uuid(self, company: CompanyId, uuid: UUID) -> Task | None:
        """One task by its uuid."""

    async def find_by_name(self, company: CompanyId, name: str) -> Task | None:
        """One task by key, else by name."""

    async def version(self, version: VersionId) -> Version | None:
        """One version (internal: the id comes from a run or task of the company)."""

    async def versions(self, company: CompanyId, task: TaskId) -> list[Version]:
        """All versions of a task, newest first."""

    async def gates(self) -> list[Gate]:
        """All gates."""

    async def gate(self, gate: GateId) -> Gate | None:
        """One gate."""

    async def set_runnable(self, company: CompanyId, task: TaskId, runnable: bool) -> bool:  # noqa: FBT001
        """Open or close a task's gate. After the return no claim takes its runs. False: no such task."""

    async def bundles_in_use(self) -> list[str]:
        """Digests of bundles that any version still names."""

    async def list(self, company: CompanyId, *, include_withdrawn: bool = False) -> list[Task]:
        """All tasks by path and name."""
