"""Devices, pools, run-as users and users: what clients look up before they deploy."""

from runyard.dialects.automation_anywhere import rows, shapes
from runyard.dialects.automation_anywhere.activity import stamp
from runyard.dialects.automation_anywhere.filters import Column, answered, selected
from runyard.dialects.automation_anywhere.people import (
    ROLES,
    RUNNER,
    RUNNER_ID,
    RUNNER_ROLE,
    company_users,
    roles_of,
)
from runyard.dialects.automation_anywhere.tasks import number_from
from runyard.engine.workers import WorkerView
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused, UserNotFound
from runyard.model.tokens import Permission, Role, higher_role
from runyard.model.users import Grant, User
from runyard.model.workers import WorkerState
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Devices and users"
POOL = "All workers"
POOL_ID = "1"

DEVICES = {
    "id": Column("number"),
    **{
        name: Column("text")
        for name in ("hostName", "nickname", "status", "type", "botAgentVersion", "poolName")
    },
}
RUN_AS = {"id": Column("number"), "username": Column("text")}
POOLS = {"id": Column("number"), "name": Column("text"), "status": Column("text")}
USERS = {
    "id": Column("number"),
    **{name: Column("text") for name in ("username", "email", "firstName", "lastName", "domain")},
    "disabled": Column("boolean"),
    "createdOn": Column("instant"),
}


async def list_devices(request: Request) -> Response:
    """List the workers that serve the company. Each executes for every user."""
    wanted = await request.json_or(shapes.ListRequest())
    views = await request.engine.workers.list(request.company)
    users = await _run_as(request)
    found = [
        _device(view, request.company, users)
        for view in views
        if view.worker.state is WorkerState.ALLOWED
    ]
    return answered(selected(found, wanted, DEVICES))


async def list_run_as_users(request: Request) -> Response:
    """List the users in whose name tasks run; the built-in apitaskrunner first."""
    wanted = await request.json_or(shapes.ListRequest())
    found = [rows.RunAsUser(id=u.id, username=u.username) for u in await _run_as(request)]
    return answered(selected(found, wanted, RUN_AS))


async def list_pools(request: Request) -> Response:
    """List the pools: there is one, of all workers."""
    wanted = await request.json_or(shapes.ListRequest())
    views = await request.engine.workers.list(request.company)
    allowed = [view for view in views if view.worker.state is WorkerState.ALLOWED]
    is_connected = any(view.online for view in allowed)
    pool = rows.Pool(
        id=POOL_ID,
        name=POOL,
        status="CONNECTED" if is_connected else "DISCONNECTED",
        device_count=str(len(allowed)),
    )
    return answered(selected([pool], wanted, POOLS))


async def list_users(request: Request) -> Response:
    """List the users of the company, and the built-in apitaskrunner."""
    wanted = await request.json_or(shapes.ListRequest())
    users = await company_users(request.engine, request.company)
    found = [_RUNNER, *(_user(user, request.company) for user in users)]
    return answered(selected(found, wanted, USERS))


async def show_user(request: Request) -> rows.UserRow:
    """Show a user of the company."""
    number = number_from("id", request.params["userId"])
    if number == RUNNER_ID:
        return _RUNNER
    for user in await company_users(request.engine, request.company):
        if user.id == number:
            return _user(user, request.company)
    raise UserNotFound(f"there is no user {number}")


async def create_user(request: Request) -> rows.UserRow:
    """Make a user of the company. Only administrators of the whole installation do."""
    wanted = await request.json(rows.NewUser)
    role = _role_of(wanted)
    name = f"{wanted.first_name} {wanted.last_name}".strip()
    user = await request.engine.users.create(
        wanted.username,
        name=name,
        grants=(Grant(company_id=request.company.id, role=role),),
        home_company=request.company,
        password=wanted.password,
    )
    return _user(user, request.company)


# ---------------------------------------------------------------- rows


async def _run_as(request: Request) -> tuple[rows.DefaultUser, ...]:
    users = await company_users(request.engine, request.company)
    return (
        rows.DefaultUser(id=str(RUNNER_ID), username=RUNNER, domain=""),
        *(
            rows.DefaultUser(id=str(user.id), username=user.email, domain="")
            for user in users
            if user.disabled_at is None
        ),
    )


def _device(view: WorkerView, company: Company, users: tuple[rows.DefaultUser, ...]) -> rows.Device:
    """A worker; where it stands is told only of the company's own."""
    worker = view.worker
    is_own = worker.company_id == company.id
    return rows.Device(
        id=str(worker.id),
        host_name=worker.host if is_own else worker.name,
        type="MULTIPLE_USERS",
        status="CONNECTED" if view.online else "DISCONNECTED" if worker.last_seen_at else "OFFLINE",
        nickname=worker.name,
        bot_agent_version=worker.version,
        pool_name=POOL,
        default_users=users,
        lifespan="PERSISTENT",
        installation_type="LOCAL",
        host_type="SERVER",
        deployment_type="CUSTOMER",
    )


def _user(user: User, company: Company) -> rows.UserRow:
    first, _, last = user.name.partition(" ")
    return rows.UserRow(
        id=str(user.id),
        username=user.email,
        email=user.email,
        domain="",
        first_name=first,
        last_name=last,
        roles=roles_of(user.role_in(company.id)),
        license_features=(),
        multiple_login_allowed=True,
        disabled=user.disabled_at is not None,
        created_on=stamp(user.created_at),
    )


_RUNNER = rows.UserRow(
    id=str(RUNNER_ID),
    username=RUNNER,
    email="",
    domain="",
    first_name=RUNNER,
    last_name="",
    roles=(RUNNER_ROLE,),
    license_features=(),
    multiple_login_allowed=False,
    disabled=False,
    created_on="",
)


def _role_of(wanted: rows.NewUser) -> Role:
    known = {named.id: role for role, named in ROLES.items()}
    numbers = [number_from("roleIds", value) for value in wanted.role_ids]
    unknown = [number for number in numbers if number not in known]
    if unknown or not numbers:
        seen = ", ".join(map(str, unknown)) or "none"
        allowed = ", ".join(f"{named.id} ({named.name})" for named in ROLES.values())
        raise InputRefused([FieldProblem(field="roleIds", seen=seen, allowed=allowed)])
    role = higher_role(known[number] for number in numbers)
    assert role is not None
    return role


ROUTES = (
    Route(
        method="POST",
        path="/v2/devices/list",
        operation="listDevices",
        title="List devices",
        permission=Permission.READ,
        endpoint=list_devices,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.DeviceList,
    ),
    Route(
        method="POST",
        path="/v1/devices/runasusers/list",
        operation="listRunAsUsers",
        title="List run-as users",
        permission=Permission.READ,
        endpoint=list_run_as_users,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.RunAsUserList,
    ),
    Route(
        method="POST",
        path="/v2/devices/pools/list",
        operation="listPools",
        title="List pools",
        permission=Permission.READ,
        endpoint=list_pools,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.PoolList,
    ),
    Route(
        method="POST",
        path="/v2/usermanagement/users/list",
        operation="listUsers",
        only_reads=True,
        title="List users",
        permission=Permission.ADMINISTER,
        endpoint=list_users,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.UserList,
    ),
    Route(
        method="GET",
        path="/v2/usermanagement/users/{userId}",
        operation="showUser",
        title="Show a user",
        permission=Permission.ADMINISTER,
        endpoint=show_user,
        tag=TAG,
        answer=rows.UserRow,
    ),
    Route(
        method="POST",
        path="/v2/usermanagement/users",
        operation="createUser",
        title="Create a user",
        permission=Permission.INSTALL,
        endpoint=create_user,
        tag=TAG,
        body=rows.NewUser,
        answer=rows.UserRow,
        status=201,
    ),
)
