"""Users: who signs in to the console, and what each may do."""

from msgspec import UNSET

from runyard.dialects.native import wire
from runyard.dialects.native.naming import slug_of
from runyard.dialects.native.paging import part_of
from runyard.engine.engine import Engine
from runyard.engine.users import NewSetupLink
from runyard.model.companies import Company
from runyard.model.tokens import Permission
from runyard.model.users import Grant, User
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import users as user_shapes
from runyard.web.addresses import setup_url
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route


async def list_users(request: Request) -> user_shapes.UserPage:
    """List the users by email."""
    query = request.query(parts.PageQuery)
    users = await request.engine.users.list()
    part, following = part_of(users, query, lambda user: user.id)
    return user_shapes.UserPage(
        items=tuple([await _shown(request.engine, user) for user in part]),
        next=following,
        total=len(users),
        total_is_exact=True,
    )


async def create_user(request: Request) -> user_shapes.CreatedUser:
    """Create a user. Without a password the answer has a link with which the user chooses one."""
    wanted = await request.json(user_shapes.NewUser)
    company = await _company(request, wanted.company)
    if company is not None and wanted.role is None:
        raise refused("role", "nothing", "the role that the user has in the company")
    where = None if company is None else company.id
    grants = () if wanted.role is None else (Grant(company_id=where, role=wanted.role),)
    user = await request.engine.users.create(
        wanted.email,
        name=wanted.name,
        grants=grants,
        home_company=company,
        password=wanted.password,
    )
    link = None
    if wanted.password is None:
        link = _link(request, await request.engine.users.setup_link(user))
    return wire.created_user_shape(await _shown(request.engine, user), link)


async def show_user(request: Request) -> user_shapes.User:
    """Show a user."""
    return await _shown(request.engine, await _user(request))


async def change_user(request: Request) -> user_shapes.User:
    """Change a user; what is left out stays."""
    change = await request.json(user_shapes.UserChange)
    users, user = request.engine.users, await _user(request)
    home = change.home_company
    user = await users.update(
        user,
        email=None if change.email is UNSET else change.email,
        name=None if change.name is UNSET else change.name,
        home_company=None if home is UNSET else await request.engine.companies.load(home),
    )
    if change.disabled is not UNSET:
        user = await (users.disable(user) if change.disabled else users.enable(user))
    return await _shown(request.engine, user)


async def remove_user(request: Request) -> Response:
    """Remove a user with roles, logins and API keys; the email is free again.

    What the user did keeps the user's id.
    """
    await request.engine.users.remove(await _user(request))
    return Response(status=204)


async def set_user_role(request: Request) -> user_shapes.User:
    """Give a user a role in a company or the installation, or take it away."""
    change = await request.json(user_shapes.RoleChange)
    users, user = request.engine.users, await _user(request)
    company = await _company(request, change.company)
    if change.role is None:
        user = await users.withdraw(user, company)
    else:
        user = await users.grant(user, company, change.role)
    return await _shown(request.engine, user)


async def set_user_password(request: Request) -> Response:
    """Set a user's password; every login of the user ends at once."""
    wanted = await request.json(user_shapes.NewPassword)
    await request.engine.users.set_password(await _user(request), wanted.password)
    return Response(status=204)


async def create_setup_link(request: Request) -> user_shapes.SetupLink:
    """Make a link with which a user chooses a password, once."""
    return _link(request, await request.engine.users.setup_link(await _user(request)))


async def sign_user_out(request: Request) -> Response:
    """End every login of a user, at once."""
    user = await _user(request)
    await request.engine.logins.sign_out_everywhere(user.id)
    return Response(status=204)


async def create_first_setup_link(request: Request) -> user_shapes.SetupLink:
    """Make a link that makes the first administrator of the installation.

    Refused once there is one who can sign in.
    """
    return _link(request, await request.engine.users.first_setup_link())


async def _user(request: Request) -> User:
    return await request.engine.users.load(request.params["user"])


async def _company(request: Request, slug: str | None) -> Company | None:
    return None if slug is None else await request.engine.companies.load(slug)


async def _shown(engine: Engine, user: User) -> user_shapes.User:
    home = await engine.users.home_company(user)
    roles = [
        user_shapes.UserRole(company=await slug_of(engine, grant.company_id), role=grant.role)
        for grant in user.grants
    ]
    return wire.user_shape(user, None if home is None else home.slug, roles)


def _link(request: Request, new: NewSetupLink) -> user_shapes.SetupLink:
    url = setup_url(request.house.public_url, new.secret)
    return user_shapes.SetupLink(url=url, expires_at=new.link.expires_at)


ROUTES = (
    Route(
        method="GET",
        path="/users",
        permission=Permission.INSTALL,
        endpoint=list_users,
        tag="users",
        query=parts.PageQuery,
        answer=user_shapes.UserPage,
    ),
    Route(
        method="POST",
        path="/users",
        permission=Permission.INSTALL,
        endpoint=create_user,
        tag="users",
        body=user_shapes.NewUser,
        answer=user_shapes.CreatedUser,
        status=201,
    ),
    Route(
        method="GET",
        path="/users/{user}",
        permission=Permission.INSTALL,
        endpoint=show_user,
        tag="users",
        answer=user_shapes.User,
    ),
    Route(
        method="PATCH",
        path="/users/{user}",
        permission=Permission.INSTALL,
        endpoint=change_user,
        tag="users",
        body=user_shapes.UserChange,
        answer=user_shapes.User,
    ),
    Route(
        method="DELETE",
        path="/users/{user}",
        permission=Permission.INSTALL,
        endpoint=remove_user,
        tag="users",
        status=204,
    ),
    Route(
        method="PUT",
        path="/users/{user}/role",
        permission=Permission.INSTALL,
        endpoint=set_user_role,
        tag="users",
        body=user_shapes.RoleChange,
        answer=user_shapes.User,
    ),
    Route(
        method="PUT",
        path="/users/{user}/password",
        permission=Permission.INSTALL,
        endpoint=set_user_password,
        tag="users",
        body=user_shapes.NewPassword,
        status=204,
    ),
    Route(
        method="POST",
        path="/users/{user}/setup-link",
        permission=Permission.INSTALL,
        endpoint=create_setup_link,
        tag="users",
        answer=user_shapes.SetupLink,
        status=201,
    ),
    Route(
        method="DELETE",
        path="/users/{user}/logins",
        permission=Permission.INSTALL,
        endpoint=sign_user_out,
        tag="users",
        status=204,
    ),
    Route(
        method="POST",
        path="/setup-link",
        permission=Permission.INSTALL,
        endpoint=create_first_setup_link,
        tag="users",
        answer=user_shapes.SetupLink,
        status=201,
    ),
)
