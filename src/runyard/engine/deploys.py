"""Deploying: a bundle comes in, a worker looks into it, and tasks get versions.

The server never loads task code. It keeps the archive as a blob, has a worker's child inspect it, and
compares what was found with what is there: a task whose fingerprint did not change keeps its version,
and with it the bundle that version came from. All changes of a deploy are one piece of writing.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum

import msgspec

from runyard.engine.declarations import refuse_unfit
from runyard.engine.files import Files
from runyard.engine.foundation import Foundation
from runyard.model.companies import Company
from runyard.model.errors import (
    DeployedMeanwhile,
    FieldProblem,
    InputRefused,
    NoWorker,
    TaskOwnedElsewhere,
)
from runyard.model.ids import ActorId, GateId, TaskId, VersionId
from runyard.model.tasks import Declaration, Task
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.telemetry import TASKS_DEPLOYED, emit

ARCHIVE_LIMIT = 100 * 1024 * 1024
BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
TRIES = 3

Looking = Callable[[Company, str, Callable[[str], None]], Awaitable[tuple[Declaration, ...]]]
"""Tells which tasks are in the bundle of this digest, saying lines meanwhile."""


class Change(StrEnum):
    """What a deploy did to a task."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WITHDRAWN = "withdrawn"


class DeployedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task after a deploy, and what the deploy did to it."""

    task: Task
    declaration: Declaration
    change: Change


class DeployReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a deploy led to."""

    bundle_name: str
    bundle_digest: str
    tasks: tuple[DeployedTask, ...]


def ignore_line(_line: str) -> None:
    """For deploys whose progress nobody follows."""


class Deploys:
    """Takes bundles in."""

    def __init__(self, foundation: Foundation, files: Files) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher
        self._sessions = foundation.sessions
        self._colleagues = foundation.colleagues
        self._files = files
        self.on_deployed: Callable[[], None] = _nothing
        """Called when tasks have got new versions."""

    async def deploy(
        self,
        company: Company,
        bundle_name: str,
        archive: AsyncIterator[bytes],
        *,
        take_over: bool = False,
        by: ActorId | None = None,
        on_line: Callable[[str], None] = ignore_line,
    ) -> DeployReport:
        """Make versions of the tasks in this archive (zip), or change nothing at all.

        Raises CodeRefused with file, line and reason, TaskOwnedElsewhere unless `take_over`,
        TooLarge, NoWorker, DeployedMeanwhile.
        """
        if not BUNDLE_NAME.fullmatch(bundle_name):
            allowed = "1 to 100 letters, digits, spaces, dots, hyphens and underscores"
            problem = FieldProblem(field="name", seen=repr(bundle_name), allowed=allowed)
            raise InputRefused([problem])
        looking = await self._looking(company)
        digest, size = await self._files.keep_blob(archive, limit=ARCHIVE_LIMIT)
        declarations = await looking(company, digest, on_line)
        refuse_unfit(declarations)
        for _ in range(TRIES):
            plan = await self._plan(company, bundle_name, digest, size, declarations, take_over)
            deploy = msgspec.structs.replace(plan, by=by)
            if await self._store.tasks.deploy(deploy):
                return await self._report(company, deploy)
        raise DeployedMeanwhile(f"company {company.slug!r} is being deployed to; try again")

    async def _looking(self, company: Company) -> Looking:
        """Who looks into the bundle: a worker that is connected here, else one of another server."""
        try:
            return self._sessions.inspector(company.id).port.inspect
        except NoWorker:
            if not await self._colleagues.list():
                raise
            return self._colleagues.inspect

    async def _plan(
        self,
        company: Company,
        bundle_name: str,
        digest: str,
        size: int,
        declarations: Sequence[Declaration],
        take_over: bool,  # noqa: FBT001
    ) -> Deploy:
        tasks = await self._store.tasks.list(company.id, include_withdrawn=True)
        known = {task.key: task for task in tasks}
        if not take_over:
            refuse_foreign(known, declarations, bundle_name)
        changes = [await self._change_for(known.get(d.key), d, bundle_name) for d in declarations]
        found = {declaration.key for declaration in declarations}
        withdrawn = tuple(
            task.id
            for task in tasks
            if task.bundle_name == bundle_name and task.key not in found and not task.withdrawn_at
        )
        return Deploy(
            company_id=company.id,
            bundle_name=bundle_name,
            bundle_digest=digest,
            bundle_size=size,
            changes=tuple(changes),
            withdrawn=withdrawn,
            at=self._clock.now(),
        )

    async def _change_for(
        self, task: Task | None, declaration: Declaration, bundle_name: str
    ) -> TaskChange:
        if task is None:
            return TaskChange(
                id=TaskId(await self._ids.take()),
                uuid=self._clock.new_uuid(),
                gate_id=GateId(await self._ids.take()),
                expected_version_id=None,
                version_id=VersionId(await self._ids.take()),
                version=1,
                declaration=declaration,
            )
        current = await self._directory.version(task.version_id)
        is_same = current.declaration.fingerprint == declaration.fingerprint
        return TaskChange(
            id=task.id,
            uuid=task.uuid,
            gate_id=task.gate_id,
            expected_version_id=task.version_id,
            version_id=task.version_id if is_same else VersionId(await self._ids.take()),
            version=task.version if is_same else task.version + 1,
            declaration=declaration,
        )

    async def _report(self, company: Company, deploy: Deploy) -> DeployReport:
        self._directory.forget()
        self.on_deployed()
        for change in deploy.changes:
            await self._directory.refresh_gate(change.gate_id)
            self._dispatcher.notice(change.gate_id, company.id)
        changes = {change.id: change_of(change) for change in deploy.changes}
        changes.update(dict.fromkeys(deploy.withdrawn, Change.WITHDRAWN))
        tasks = await self._store.tasks.list(company.id, include_withdrawn=True)
        emit(
            TASKS_DEPLOYED,
            company=company.slug,
            bundle=deploy.bundle_name,
            versions=sum(change in {Change.NEW, Change.CHANGED} for change in changes.values()),
        )
        return DeployReport(
            bundle_name=deploy.bundle_name,
            bundle_digest=deploy.bundle_digest,
            tasks=tuple([await self._deployed(t, changes[t.id]) for t in tasks if t.id in changes]),
        )

    async def _deployed(self, task: Task, change: Change) -> DeployedTask:
        version = await self._directory.version(task.version_id)
        return DeployedTask(task=task, declaration=version.declaration, change=change)


def _nothing() -> None:
    """Before anybody cares."""


def change_of(change: TaskChange) -> Change:
    """What this change is to its task."""
    if change.expected_version_id is None:
        return Change.NEW
    if change.expected_version_id == change.version_id:
        return Change.UNCHANGED
    return Change.CHANGED


def refuse_foreign(
    known: dict[str, Task], declarations: Sequence[Declaration], bundle_name: str
) -> None:
    """Raise TaskOwnedElsewhere when another bundle has one of these tasks."""
    for declaration in declarations:
        task = known.get(declaration.key)
        if task is not None and task.bundle_name != bundle_name:
            raise TaskOwnedElsewhere(
                f"task {task.name!r} was deployed from bundle {task.bundle_name!r}; "
                "deploy with --take-over to make it this bundle's"
            )
