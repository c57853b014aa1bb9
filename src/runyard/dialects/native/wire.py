"""Model values as the native API shows them. The shapes stand in `runyard.protocol.shapes`."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Raw, UnsetType

from runyard.engine.workers import WorkerView
from runyard.model.companies import Company
from runyard.model.files import StoredFile
from runyard.model.ids import encode_public_id
from runyard.model.logs import LogLine
from runyard.model.runs import Attempt, Run, RunError
from runyard.model.schedules import Schedule
from runyard.model.tasks import Declaration, Task, Version
from runyard.model.tokens import Token
from runyard.model.types import Field
from runyard.model.users import User
from runyard.protocol.shapes import companies as company_shapes
from runyard.protocol.shapes import files as file_shapes
from runyard.protocol.shapes import logs as log_shapes
from runyard.protocol.shapes import runs as run_shapes
from runyard.protocol.shapes import schedules as schedule_shapes
from runyard.protocol.shapes import tasks as task_shapes
from runyard.protocol.shapes import tokens as token_shapes
from runyard.protocol.shapes import users as user_shapes
from runyard.protocol.shapes import workers as worker_shapes
from runyard.stores.contract.runs import RunValues

NULL = Raw(b"null")


def company_shape(company: Company) -> company_shapes.Company:
    """A company."""
    return msgspec.convert(company, company_shapes.Company, from_attributes=True)


def token_shape(token: Token, company: str | None) -> token_shapes.Token:
    """A token, whose company has this slug."""
    return token_shapes.Token(
        id=token.id,
        kind=token.kind,
        company=company,
        role=token.role,
        name=token.name,
        last_characters=token.last_characters,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        joins=token.joins,
    )


def created_token_shape(token: token_shapes.Token, secret: str) -> token_shapes.CreatedToken:
    """A new token with its secret."""
    return token_shapes.CreatedToken(secret=secret, **msgspec.structs.asdict(token))


def field_shape(field: Field) -> task_shapes.TaskField:
    """An input or output."""
    return task_shapes.TaskField(
        name=field.name,
        title=field.title or field.name,
        help=field.help,
        type=field.type,
        required=field.required,
        default=UNSET if field.default is None else Raw(field.default.encode()),
    )


def task_shape(task: Task, version: Version) -> task_shapes.Task:
    """A task with its current version."""
    declaration = version.declaration
    return task_shapes.Task(
        id=task.id,
        uuid=task.uuid,
        public_id=task.public_id,
        path=task.path,
        name=task.name,
        key=task.key,
        description=task.description,
        version=task.version,
        bundle=task.bundle_name,
        runnable=task.runnable,
        withdrawn=task.withdrawn_at is not None,
        inputs=_fields(declaration.inputs),
        outputs=_fields(declaration.outputs),
        policies=declaration.policies,
        requirements=declaration.requirements,
        created_at=task.created_at,
    )


def version_shape(version: Version, deployed_by: str | None) -> task_shapes.Version:
    """A version; `deployed_by` names who made it."""
    declaration: Declaration = version.declaration
    return task_shapes.Version(
        id=version.id,
        number=version.number,
        bundle_digest=version.bundle_digest,
        inputs=_fields(declaration.inputs),
        outputs=_fields(declaration.outputs),
        policies=declaration.policies,
        requirements=declaration.requirements,
        created_at=version.created_at,
        deployed_by=deployed_by,
    )


def _fields(fields: Sequence[Field]) -> tuple[task_shapes.TaskField, ...]:
    return tuple(field_shape(field) for field in fields)


def run_shape(
    run: Run,
    task: Task,
    version: Version,
    *,
    started_by: str | None = None,
    values: RunValues | None = None,
    attempts: Sequence[Attempt] | UnsetType = UNSET,
) -> run_shapes.Run:
    """A run of this version of the task; with its values and attempts if they are given."""
    return run_shapes.Run(
        id=run.id,
        public_id=encode_public_id(run.public_id),
        task=task_shapes.TaskName(id=task.id, name=task.name),
        version=version.number,
        state=run.state,
        cause=run.cause,
        priority=run.priority,
        level=run.level,
        restarted_from=run.restarted_from,
        trigger=run.trigger,
        schedule_id=run.schedule_id,
        started_by=started_by,
        created_at=run.created_at,
        due_at=run.due_at,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        attempt=run.attempt,
        worker_id=run.worker_id,
        progress=_progress(run),
        logged_errors=run.logged_errors,
        input=UNSET if values is None else Raw(values.input),
        outputs=UNSET if values is None else _raw_or_null(values.output),
        error=UNSET if values is None else error_shape(values.error),
        attempts=UNSET if attempts is UNSET else tuple(attempt_shape(a) for a in attempts),
    )


def with_ends(
    run: run_shapes.Run, outputs: Raw | UnsetType, error: run_shapes.RunError | None
) -> run_shapes.Run:
    """The same run with what came out of it."""
    return msgspec.structs.replace(run, outputs=outputs, error=error)


def _raw_or_null(value: bytes | None) -> Raw:
    return NULL if value is None else Raw(value)


def _progress(run: Run) -> run_shapes.RunProgress | None:
    if run.progress_done is None:
        return None
    return run_shapes.RunProgress(done=run.progress_done, total=run.progress_total)


def error_shape(error: RunError | None) -> run_shapes.RunError | None:
    """Why a run failed."""
    if error is None:
        return None
    return run_shapes.RunError(kind=error.kind, message=error.message, traceback=error.traceback)


def attempt_shape(attempt: Attempt) -> run_shapes.Attempt:
    """One try."""
    return run_shapes.Attempt(
        number=attempt.number,
        worker_id=attempt.worker_id,
        begun_at=attempt.begun_at,
        finished_at=attempt.finished_at,
        outcome=attempt.outcome,
        error=error_shape(attempt.error),
    )


def line_shape(line: LogLine) -> log_shapes.LogLine:
    """A log line."""
    return log_shapes.LogLine(
        number=line.number,
        at=line.at,
        level=line.level.word,
        text=line.text,
        attempt=line.attempt,
    )


def file_shape(file: StoredFile) -> file_shapes.File:
    """A stored file."""
    return msgspec.convert(file, file_shapes.File, from_attributes=True)


def schedule_shape(
    schedule: Schedule, task: Task, upcoming: tuple[datetime, ...] | UnsetType = UNSET
) -> schedule_shapes.Schedule:
    """A schedule of this task."""
    return schedule_shapes.Schedule(
        id=schedule.id,
        name=schedule.name,
        task=task_shapes.TaskName(id=task.id, name=task.name),
        kind=schedule.kind,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        interval=schedule.interval,
        input=Raw(schedule.input),
        priority=schedule.priority,
        enabled=schedule.enabled,
        next_fire_at=schedule.next_fire_at,
        last_fire_at=schedule.last_fire_at,
        created_at=schedule.created_at,
        upcoming=upcoming,
    )


def worker_shape(view: WorkerView, company: str | None, *, is_own: bool) -> worker_shapes.Worker:
    """A worker, whose company has this slug; where it stands is for its own people."""
    worker = view.worker
    return worker_shapes.Worker(
        id=worker.id,
        company=company,
        name=worker.name,
        state=worker.state,
        online=view.online,
        busy=view.busy,
        slots=worker.slots,
        labels=worker.labels,
        version=worker.version,
        host=worker.host if is_own else "",
        os=worker.os,
        address=worker.address if is_own else "",
        isolation=worker.isolation,
        draining=worker.draining,
        created_at=worker.created_at,
        last_seen_at=worker.last_seen_at,
    )


def user_shape(
    user: User, home_company: str | None, roles: Sequence[user_shapes.UserRole]
) -> user_shapes.User:
    """A user, whose home company has this slug."""
    return user_shapes.User(
        id=user.id,
        email=user.email,
        name=user.name,
        home_company=home_company,
        roles=tuple(roles),
        has_password=user.has_password,
        disabled_at=user.disabled_at,
        created_at=user.created_at,
    )


def created_user_shape(
    user: user_shapes.User, link: user_shapes.SetupLink | None
) -> user_shapes.CreatedUser:
    """A new user, with the link where the password is chosen."""
    return user_shapes.CreatedUser(setup_link=link, **msgspec.structs.asdict(user))
