"""Deploy: an execution on demand. It becomes a durable run, queued when this is answered."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from runyard.dialects.automation_anywhere import rows
from runyard.dialects.automation_anywhere.activity import automation_name, stamp, status_of
from runyard.dialects.automation_anywhere.execution import file_links, keep_uploads, placed
from runyard.dialects.automation_anywhere.people import RUNNER_ID, company_users
from runyard.dialects.automation_anywhere.reading import Inputs
from runyard.dialects.automation_anywhere.tasks import number_from, path_of, task_of
from runyard.dialects.automation_anywhere.writing import Outputs
from runyard.engine.at_once import WITHIN
from runyard.engine.callbacks import Body, CallbackRequest
from runyard.engine.starts import StartRequest
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused
from runyard.model.ids import decode_public_id
from runyard.model.runs import Run
from runyard.model.states import Trigger
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.stores.contract.runs import RunValues
from runyard.web.house import House
from runyard.web.requests import Request
from runyard.web.responses import ENCODER
from runyard.web.routing import Route

TAG = "Deploy"
DIALECT = "automation-anywhere"
_CALLBACK = "callbacks[0]."
"""Where the engine sees what is told of a run's only callback."""
PRIORITIES: Mapping[str, int] = {"PRIORITY_HIGH": 20, "PRIORITY_MEDIUM": 50, "PRIORITY_LOW": 80}


class _Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is wished for besides the execution itself."""

    priority: int | None = None
    name: str | None = None
    may_wait: bool
    """Whether it waits in the queue where no slot is free."""


async def deploy(request: Request) -> rows.Deployed:
    """Execute a task on demand. Over capacity it waits in the queue, or ends as DEPLOY_FAILED if it is
    not to wait.
    """
    request.house.refuse_while_stopping()
    wanted = await request.json(rows.Deployment)
    _refuse_unclear(wanted)
    task = await task_of(request.engine, request.company, "botId", wanted.bot_id)
    headless, unattended = wanted.headless_request, wanted.unattended_request
    users: list[int | str] = []
    if headless is not None and headless.shared_run_as_user_id is not None:
        users.append(headless.shared_run_as_user_id)
    if unattended is not None:
        users += unattended.run_as_user_ids or ()
    await _refuse_unknown(request, users)
    return await _started(
        request,
        task,
        wanted.bot_input,
        wanted.callback_info,
        _Wishes(
            priority=_priority(wanted.automation_priority),
            name=wanted.automation_name,
            may_wait=headless is None or headless.queue_on_slots_exhaustion is not False,
        ),
    )


async def deploy_v3(request: Request) -> rows.Deployed:
    """Execute a task on demand. Over capacity it waits in the queue, or ends as DEPLOY_FAILED if it is
    not to wait.
    """
    request.house.refuse_while_stopping()
    wanted = await request.json(rows.DeploymentV3)
    task = await task_of(request.engine, request.company, "fileId", wanted.file_id)
    await _refuse_unknown(request, wanted.run_as_user_ids or ())
    callback = wanted.callback_info or wanted.call_back_info
    return await _started(
        request,
        task,
        wanted.bot_input,
        callback,
        _Wishes(may_wait=wanted.queue_on_slots_exhaustion is not False),
    )


def callback_body(house: House) -> Body:
    """What callbacks in this dialect's form say."""

    async def body(company: Company, run: Run, values: RunValues) -> bytes:
        version = await house.engine.directory.version(run.version_id)
        outputs = Outputs(version.declaration.outputs)
        return ENCODER.encode(
            {
                "deploymentId": str(UUID(bytes=run.public_id)),
                "userId": str(RUNNER_ID if run.started_by is None else run.started_by),
                "deviceId": str(run.worker_id or 0),
                "status": status_of(run),
                "endDateTime": stamp(run.finished_at),
                "botOutput": outputs.write(values.output, file_links(house, company)),
            }
        )

    return body


async def _started(
    request: Request,
    task: Task,
    given: Mapping[str, Any] | None,
    callback: rows.CallbackAddress | None,
    wishes: _Wishes,
) -> rows.Deployed:
    engine, company = request.engine, request.company
    start = StartRequest(
        task=str(task.id),
        input=await _input(request, task, given or {}),
        priority=wishes.priority,
        trigger=Trigger.DIALECT,
        by=request.actor,
        note=wishes.name,
        callbacks=_callbacks(callback),
        begins_within=None if wishes.may_wait else WITHIN,
    )
    try:
        started = await engine.starts.start(company, [start])
    except InputRefused as refused:
        raise InputRefused([_renamed(problem) for problem in refused.problems]) from None
    [run] = started.runs
    request.about = path_of(task)
    request.note("deploy")
    if not wishes.may_wait:
        await engine.at_once.settled(company, run.id)
    raw = decode_public_id(run.public_id)
    assert raw is not None
    row = await engine.runs.load(company, str(run.id))
    made_up = automation_name(task.name, row.created_at, request.user.email)
    return rows.Deployed(deployment_id=str(UUID(bytes=raw)), automation_name=wishes.name or made_up)


async def _input(request: Request, task: Task, given: Mapping[str, Any]) -> bytes:
    version = await request.engine.directory.version(task.version_id)
    inputs = Inputs(version.declaration.inputs, version.declaration.outputs)
    read = inputs.read(given)
    if read.problems:
        raise InputRefused([placed(problem) for problem in read.problems])
    if read.uploads:
        await keep_uploads(request.engine, request.company, read)
    return ENCODER.encode(read.values)


def _callbacks(info: rows.CallbackAddress | None) -> tuple[CallbackRequest, ...]:
    if info is None:
        return ()
    return (CallbackRequest(url=info.url, dialect=DIALECT, headers=info.headers or {}),)


def _renamed(problem: FieldProblem) -> FieldProblem:
    field = problem.field
    if field.startswith(_CALLBACK):
        field = f"callbackInfo.{field.removeprefix(_CALLBACK)}"
    elif field != "note":
        return placed(problem)
    else:
        field = "automationName"
    return FieldProblem(field=field, seen=problem.seen, allowed=problem.allowed)


def _refuse_unclear(wanted: rows.Deployment) -> None:
    given = {
        "headlessRequest": wanted.headless_request,
        "unattendedRequest": wanted.unattended_request,
        "attendedRequest": wanted.attended_request,
    }
    seen = [name for name, value in given.items() if value is not None]
    if len(seen) != 1:
        told = ", ".join(seen) or "none of them"
        problem = FieldProblem(field="body", seen=told, allowed=f"one of {', '.join(given)}")
        raise InputRefused([problem])
    headless = wanted.headless_request
    if headless is not None and headless.number_of_executions not in {None, 1}:
        count = str(headless.number_of_executions)
        field = "headlessRequest.numberOfExecutions"
        raise InputRefused([FieldProblem(field=field, seen=count, allowed="1")])


def _priority(word: str | None) -> int | None:
    if word is None:
        return None
    found = PRIORITIES.get(word.upper())
    if found is None:
        allowed = ", ".join(PRIORITIES)
        problem = FieldProblem(field="automationPriority", seen=word[:80], allowed=allowed)
        raise InputRefused([problem])
    return found


async def _refuse_unknown(request: Request, asked: Iterable[int | str]) -> None:
    """Raise InputRefused unless tasks may run in the name of all these users."""
    numbers = [number_from("runAsUserIds", value) for value in asked]
    if not numbers:
        return
    known = {RUNNER_ID, *(u.id for u in await company_users(request.engine, request.company))}
    for number in numbers:
        if number not in known:
            allowed = ", ".join(map(str, sorted(known)))
            problem = FieldProblem(field="runAsUserIds", seen=str(number), allowed=allowed)
            raise InputRefused([problem])


ROUTES = (
    Route(
        method="POST",
        path="/v4/automations/deploy",
        operation="deploy",
        title="Deploy",
        permission=Permission.OPERATE,
        endpoint=deploy,
        tag=TAG,
        body=rows.Deployment,
        answer=rows.Deployed,
    ),
    Route(
        method="POST",
        path="/v3/automations/deploy",
        operation="deployV3",
        title="Deploy (v3)",
        permission=Permission.OPERATE,
        endpoint=deploy_v3,
        tag=TAG,
        body=rows.DeploymentV3,
        answer=rows.Deployed,
    ),
)
