"""Users as the dialect shows them."""

from collections.abc import Mapping

from runyard.dialects.automation_anywhere import shapes
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.ids import UserId
from runyard.model.tokens import Role
from runyard.model.users import User

RUNNER_ID = UserId(0)
"""Of the built-in user in whose name calls run unless another is named. No user ever has this id."""
RUNNER = "apitaskrunner"

ROLES: Mapping[Role, shapes.Named] = {
    Role.VIEWER: shapes.Named(id=1, name="AAE_Basic"),
    Role.OPERATOR: shapes.Named(id=2, name="AAE_Bot Runner"),
    Role.DEVELOPER: shapes.Named(id=3, name="AAE_Bot Developer"),
    Role.ADMINISTRATOR: shapes.Named(id=4, name="AAE_Admin"),
}
RUNNER_ROLE = shapes.Named(id=5, name="AAE_API Task Runner")

_ALLOWED: tuple[tuple[Role, str, str], ...] = (
    (Role.VIEWER, "view", "repositorymanager"),
    (Role.VIEWER, "view", "activity"),
    (Role.OPERATOR, "run", "repositorymanager"),
    (Role.DEVELOPER, "generateapikey", "usermanagement"),
    (Role.ADMINISTRATOR, "manage", "apitaskallocation"),
)
"""What each role may do, the ones below it included, in the dialect's words."""


def logged_in_user(user: User, company: Company) -> shapes.LoggedInUser:
    """A user in the company where it has logged in."""
    first, _, last = user.name.partition(" ")
    role = user.role_in(company.id)
    return shapes.LoggedInUser(
        id=user.id,
        username=user.email,
        domain="",
        email=user.email,
        first_name=first,
        last_name=last,
        roles=roles_of(role),
        sys_assigned_roles=(),
        group_names=(),
        permissions=_allowed(role),
        license_features=(),
        multiple_login_allowed=True,
        tenant_uuid=str(company.uuid),
    )


def roles_of(role: Role | None) -> tuple[shapes.Named, ...]:
    """A role in the dialect's words."""
    return () if role is None else (ROLES[role],)


def _allowed(role: Role | None) -> tuple[shapes.Allowed, ...]:
    if role is None:
        return ()
    order = list(Role)
    return tuple(
        shapes.Allowed(id=place, action=action, resource_type=kind, resource_id=None)
        for place, (least, action, kind) in enumerate(_ALLOWED, start=1)
        if order.index(least) <= order.index(role)
    )


async def company_users(engine: Engine, company: Company) -> list[User]:
    """The users with a role in a company, by id; disabled ones too."""
    users = [user for user in await engine.users.list() if user.role_in(company.id) is not None]
    return sorted(users, key=lambda user: user.id)
