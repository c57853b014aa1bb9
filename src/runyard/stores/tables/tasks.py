"""Tasks, versions, bundles and gates: binding and decoding."""

from uuid import UUID

import msgspec

from runyard.model.ids import CompanyId, GateId, TaskId, VersionId, encode_public_id
from runyard.model.tasks import Declaration, Gate, Task, Version
from runyard.stores.codes import instant, instant_or_none, micros
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_encode = msgspec.json.Encoder().encode
_decode_declaration = msgspec.json.Decoder(Declaration).decode
_decode_labels = msgspec.json.Decoder(tuple[str, ...]).decode


class TaskTable:
    """Tasks, versions, bundles and gates."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def deploy(self, deploy: Deploy) -> bool:
        """Apply a whole deploy; False when a guard failed and nothing was changed."""
        guards = _guards(deploy)
        statements = [*guards, *_changes(deploy)]
        size = sum(len(row) * 500 for statement in statements for row in statement.rows)
        answers = await self._db.write(a_piece(WriteClass.START, *statements, size=size))
        return all(
            len(answer) >= guard.needs
            for guard, answer in zip(guards, answers[: len(guards)], strict=True)
        )

    async def find(self, company: CompanyId, task: TaskId) -> Task | None:
        """One task."""
        row = await self._db.one("find_task", company_id=company, task_id=task)
        return _task_from(row) if row else None

    async def find_by_uuid(self, company: CompanyId, uuid: UUID) -> Task | None:
        """One task by its uuid."""
        row = await self._db.one("find_task_by_uuid", company_id=company, uuid=uuid.bytes)
        return _task_from(row) if row else None

    async def find_by_name(self, company: CompanyId, name: str) -> Task | None:
        """One task by key, else by name."""
        row = await self._db.one("find_task_by_key", company_id=company, key=name)
        row = row or await self._db.one("find_task_by_name", company_id=company, name=name)
        return _task_from(row) if row else None

    async def version(self, version: VersionId) -> Version | None:
        """One version."""
        row = await self._db.one("find_version", version_id=version)
        return _version_from(row) if row else None

    async def versions(self, company: CompanyId, task: TaskId) -> list[Version]:
        """All versions of a task, newest first."""
        rows = await self._db.all("list_versions", company_id=company, task_id=task)
        return [_version_from(row) for row in rows]

    async def gates(self) -> list[Gate]:
        """All gates."""
        return [_gate_from(row) for row in await self._db.all("list_gates")]

    async def gate(self, gate: GateId) -> Gate | None:
        """One gate."""
        row = await self._db.one("find_gate", gate_id=gate)
        return _gate_from(row) if row else None

    async def set_runnable(
        self,
        company: CompanyId,
        task: TaskId,
        runnable: bool,  # noqa: FBT001
    ) -> bool:
        """Open or close a task's gate. False: no such task."""
        statement = Statement("set_gate_runnable", ((task, company, int(runnable)),))
        [changed] = await self._db.write(a_piece(WriteClass.OUTCOME, statement))
        return bool(changed)

    async def bundles_in_use(self) -> list[str]:
        """Digests of bundles that any version still names."""
        return [row[0] for row in await self._db.all("bundles_in_use")]

    async def list(self, company: CompanyId, *, include_withdrawn: bool = False) -> list[Task]:
        """All tasks by path and name."""
        rows = await self._db.all(
            "list_tasks", company_id=company, include_withdrawn=int(include_withdrawn)
        )
        return [_task_from(row) for row in rows]


# ---------------------------------------------------------------- the piece of a deploy


def _guards(deploy: Deploy) -> list[Statement]:
    """Statements that change nothing and answer a row for every task that is as expected."""
    company = deploy.company_id
    known = [
        (change.id, company, change.expected_version_id)
        for change in deploy.changes
        if change.expected_version_id is not None
    ]
    new = [
        (company, change.declaration.key)
        for change in deploy.changes
        if change.expected_version_id is None
    ]
    guards = []
    if known:
        guards.append(Statement("expect_version", known, needs=len(known)))
    if new:
        guards.append(Statement("expect_absent", new, needs=len(new)))
    return guards


def _changes(deploy: Deploy) -> list[Statement]:
    company, at = deploy.company_id, micros(deploy.at)
    bundle = (company, deploy.bundle_digest, deploy.bundle_name, deploy.bundle_size, at)
    new = [change for change in deploy.changes if change.expected_version_id is None]
    known = [change for change in deploy.changes if change.expected_version_id is not None]
    versions = [
        change for change in deploy.changes if change.version_id != change.expected_version_id
    ]
    statements = (
        Statement("keep_bundle", [bundle]),
        Statement("insert_task", [_new_task_row(deploy, change) for change in new]),
        Statement("insert_gate", [_new_gate_row(company, change) for change in new]),
        Statement("update_task", [_task_row(deploy, change) for change in known]),
        Statement("update_gate", [_gate_row(company, change) for change in known]),
        Statement("insert_version", [_version_row(deploy, change) for change in versions]),
        Statement("withdraw_task", [(task, company, at) for task in deploy.withdrawn]),
        Statement("withdraw_gate", [(task, company) for task in deploy.withdrawn]),
    )
    return [statement for statement in statements if statement.rows]


def _new_task_row(deploy: Deploy, change: TaskChange) -> Row:
    declaration = change.declaration
    return (
        change.id,
        deploy.company_id,
        change.uuid.bytes,
        declaration.key,
        declaration.name,
        declaration.path,
        declaration.description,
        deploy.bundle_name,
        change.version_id,
        change.version,
        change.gate_id,
        micros(deploy.at),
    )


def _task_row(deploy: Deploy, change: TaskChange) -> Row:
    declaration = change.declaration
    return (
        change.id,
        deploy.company_id,
        declaration.name,
        declaration.path,
        declaration.description,
        deploy.bundle_name,
        change.version_id,
        change.version,
    )


def _new_gate_row(company: CompanyId, change: TaskChange) -> Row:
    policies = change.declaration.policies
    return (change.gate_id, company, change.id, policies.concurrency, _text(policies.labels))


def _gate_row(company: CompanyId, change: TaskChange) -> Row:
    policies = change.declaration.policies
    return (change.gate_id, company, policies.concurrency, _text(policies.labels))


def _version_row(deploy: Deploy, change: TaskChange) -> Row:
    return (
        change.version_id,
        deploy.company_id,
        change.id,
        change.version,
        deploy.bundle_digest,
        _encode(change.declaration),
        micros(deploy.at),
        deploy.by,
    )


def _text(labels: tuple[str, ...]) -> str:
    return _encode(labels).decode()


# ---------------------------------------------------------------- decoding


def _task_from(row: Row) -> Task:
    uuid = UUID(bytes=bytes(row[2]))
    return Task(
        id=row[0],
        company_id=row[1],
        uuid=uuid,
        public_id=encode_public_id(uuid.bytes),
        key=row[3],
        name=row[4],
        path=row[5],
        description=row[6],
        bundle_name=row[7],
        version_id=row[8],
        version=row[9],
        gate_id=row[10],
        withdrawn_at=instant_or_none(row[11]),
        created_at=instant(row[12]),
        runnable=bool(row[13]),
    )


def _version_from(row: Row) -> Version:
    return Version(
        id=row[0],
        company_id=row[1],
        task_id=row[2],
        number=row[3],
        bundle_digest=row[4],
        declaration=_decode_declaration(row[5]),
        created_at=instant(row[6]),
        deployed_by=row[7],
    )


def _gate_from(row: Row) -> Gate:
    return Gate(
        id=row[0],
        company_id=row[1],
        task_id=row[2],
        runnable=bool(row[3]),
        company_runnable=bool(row[4]),
        limit=row[5],
        labels=_decode_labels(row[6]),
        priority_offset=row[7],
        withdrawn=bool(row[8]),
    )
