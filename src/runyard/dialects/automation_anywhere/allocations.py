"""Allocations: which tasks are kept warm, and where they are executed with which token."""

from datetime import timedelta

from runyard.dialects.automation_anywhere import shapes
from runyard.dialects.automation_anywhere.admission import TOKEN_HEADER
from runyard.dialects.automation_anywhere.filters import Column, answered, selected
from runyard.dialects.automation_anywhere.people import RUNNER_ID, company_users
from runyard.dialects.automation_anywhere.tasks import (
    found_by_path,
    name_of,
    number_from,
    path_of,
    task_of,
)
from runyard.engine.allocations import AllocationOptions, AllocationView
from runyard.engine.engine import Engine
from runyard.model.allocations import Allocation
from runyard.model.companies import Company
from runyard.model.errors import AllocationNotFound, FieldProblem, InputRefused
from runyard.model.ids import UserId
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "API Task"
CONFIG = "/orchestrator/v1/hotbot/config"
WARMING = timedelta(seconds=10)
"""How long a new allocation is waited for, so that whoever is answered may call at once."""

COLUMNS = {
    "fileId": Column("number"),
    "filePath": Column("text"),
    "fileName": Column("text"),
    "runAsUserOrNone": Column("number"),
    "concurrencyLimit": Column("number"),
}


async def create_allocation(request: Request) -> shapes.Allocation:
    """Keep an API Task warm, so that it can be executed in real time. Done again for the same task, it
    changes how.
    """
    wanted = await request.json(shapes.NewAllocation)
    engine, company = request.engine, request.company
    task = await task_of(engine, company, "fileId", wanted.file_id)
    request.about = path_of(task)
    limit = 1 if wanted.concurrency_limit is None else wanted.concurrency_limit
    run_as = await _runner(engine, company, wanted.run_as_user_or_none)
    return await _put(request, task, limit, run_as)


async def list_allocations(request: Request) -> Response:
    """List the API Tasks that are kept warm."""
    wanted = await request.json_or(shapes.ListRequest())
    views = await request.engine.allocations.list(request.company)
    rows = [_row(view) for view in views]
    return answered(selected(rows, wanted, COLUMNS))


async def get_access_details(request: Request) -> shapes.AccessList:
    """Get, for each repository path, the address where the task is executed and the token for it.

    The token is valid for 15 minutes unless the operator chose otherwise, and for this task alone.
    """
    wanted = await request.json(shapes.AccessRequest)
    paths = wanted.bot_repository_path
    paths = (paths,) if isinstance(paths, str) else paths
    if not paths:
        allowed = "at least one repository path"
        problem = FieldProblem(field="botRepositoryPath", seen="none", allowed=allowed)
        raise InputRefused([problem])
    engine, company = request.engine, request.company
    tasks = await engine.tasks.list(company)
    allocated = {view.task.id for view in await engine.allocations.list(company)}
    details: dict[str, shapes.Access] = {}
    refused: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        task = found_by_path(tasks, path)
        if task is None:
            refused[path] = "there is no API Task at this path"
        elif task.id not in allocated:
            refused[path] = "the API Task is not allocated: an administrator allocates it first"
        else:
            details[path] = await _access(request, task)
    return shapes.AccessList(access_details=details, errors=refused)


async def show_allocation(request: Request) -> shapes.AllocationRow:
    """Show how an API Task is kept warm. An extension of Runyard's."""
    return _row(await _view(request))


async def change_allocation(request: Request) -> shapes.Allocation:
    """Change how an API Task is kept warm; what is left out stays. An extension of Runyard's."""
    change = await request.json(shapes.AllocationChange)
    view = await _view(request)
    limit, run_as = view.allocation.limit, view.allocation.run_as
    if change.concurrency_limit is not None:
        limit = change.concurrency_limit
    if change.run_as_user_or_none is not None:
        run_as = await _runner(request.engine, request.company, change.run_as_user_or_none)
    return await _put(request, view.task, limit, run_as)


async def delete_allocation(request: Request) -> Response:
    """Keep an API Task warm no longer; what executes is finished. An extension of Runyard's."""
    view = await _view(request)
    await request.engine.allocations.delete(request.company, str(view.task.id))
    return Response(status=204)


# ---------------------------------------------------------------- steps


async def _put(
    request: Request, task: Task, limit: int, run_as: UserId | None
) -> shapes.Allocation:
    engine, company = request.engine, request.company
    try:
        before = (await engine.allocations.show(company, str(task.id))).allocation
    except AllocationNotFound:
        before = None
    options = _options(before, limit, run_as)
    try:
        view = await engine.allocations.put(company, str(task.id), options)
    except InputRefused as refused:
        raise InputRefused([_renamed(problem) for problem in refused.problems]) from None
    await engine.allocations.until_ready(task, WARMING)
    allocation = view.allocation
    return shapes.Allocation(
        file_id=str(task.id),
        run_as_user_or_none=RUNNER_ID if allocation.run_as is None else allocation.run_as,
        concurrency_limit=allocation.limit,
    )


def _options(before: Allocation | None, limit: int, run_as: UserId | None) -> AllocationOptions:
    """What this dialect has no word for stays as it is."""
    if before is None:
        return AllocationOptions(limit=limit, run_as=run_as)
    return AllocationOptions(
        limit=limit,
        run_as=run_as,
        overflow=before.overflow,
        wait=before.wait,
        deadline=before.deadline,
        recording=before.recording,
        retention=before.retention,
    )


def _renamed(problem: FieldProblem) -> FieldProblem:
    field = "concurrencyLimit" if problem.field == "limit" else problem.field
    return FieldProblem(field=field, seen=problem.seen, allowed=problem.allowed)


async def _runner(engine: Engine, company: Company, value: int | str | None) -> UserId | None:
    """The user in whose name a task runs; None for the built-in one. Raises InputRefused."""
    number = RUNNER_ID if value is None else number_from("runAsUserOrNone", value)
    if number == RUNNER_ID:
        return None
    users = await company_users(engine, company)
    if number not in {user.id for user in users}:
        ids = ", ".join(str(each) for each in (RUNNER_ID, *(user.id for user in users)))
        problem = FieldProblem(field="runAsUserOrNone", seen=str(number), allowed=ids)
        raise InputRefused([problem])
    return UserId(number)


async def _view(request: Request) -> AllocationView:
    engine, company = request.engine, request.company
    task = await task_of(engine, company, "fileId", request.params["fileId"])
    request.about = path_of(task)
    return await engine.allocations.show(company, str(task.id))


def _row(view: AllocationView) -> shapes.AllocationRow:
    run_as = view.allocation.run_as
    return shapes.AllocationRow(
        file_id=str(view.task.id),
        file_path=path_of(view.task),
        file_name=name_of(view.task),
        run_as_user_or_none=str(RUNNER_ID if run_as is None else run_as),
        concurrency_limit=view.allocation.limit,
    )


async def _access(request: Request, task: Task) -> shapes.Access:
    company = request.company
    token = await request.engine.tickets.call_token(request.user, company, task.id)
    url = f"{request.house.public_url}/hotbot/{task.id}/{company.uuid}/execute"
    return shapes.Access(url=url, headers={TOKEN_HEADER: token})


ROUTES = (
    Route(
        method="PUT",
        path=f"{CONFIG}/create",
        operation="createAllocation",
        title="Create an allocation",
        permission=Permission.ADMINISTER,
        endpoint=create_allocation,
        tag=TAG,
        body=shapes.NewAllocation,
        answer=shapes.Allocation,
    ),
    Route(
        method="POST",
        path=CONFIG,
        operation="listAllocations",
        only_reads=True,
        title="List allocations",
        permission=Permission.ADMINISTER,
        endpoint=list_allocations,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=shapes.AllocationList,
    ),
    Route(
        method="POST",
        path=f"{CONFIG}/accessdetails",
        operation="getAccessDetails",
        title="Get execution URLs and tokens",
        permission=Permission.OPERATE,
        endpoint=get_access_details,
        tag=TAG,
        body=shapes.AccessRequest,
        answer=shapes.AccessList,
    ),
    Route(
        method="GET",
        path=f"{CONFIG}/{{fileId}}",
        operation="showAllocation",
        title="Show an allocation",
        permission=Permission.ADMINISTER,
        endpoint=show_allocation,
        tag=TAG,
        answer=shapes.AllocationRow,
    ),
    Route(
        method="PUT",
        path=f"{CONFIG}/{{fileId}}",
        operation="changeAllocation",
        title="Change an allocation",
        permission=Permission.ADMINISTER,
        endpoint=change_allocation,
        tag=TAG,
        body=shapes.AllocationChange,
        answer=shapes.Allocation,
    ),
    Route(
        method="DELETE",
        path=f"{CONFIG}/{{fileId}}",
        operation="deleteAllocation",
        title="Delete an allocation",
        permission=Permission.ADMINISTER,
        endpoint=delete_allocation,
        tag=TAG,
        status=204,
    ),
)
