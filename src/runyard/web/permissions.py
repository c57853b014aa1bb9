"""Who may do what. One function decides, for every door."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, Forbidden
from runyard.model.ids import CompanyId
from runyard.model.tokens import Permission, Role

_ALWAYS = frozenset({Permission.READ, Permission.MONITOR, Permission.OWN})
_OPERATING = _ALWAYS | {Permission.OPERATE}
_DEVELOPING = _OPERATING | {Permission.DEPLOY}

GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _ALWAYS,
    Role.OPERATOR: _OPERATING,
    Role.DEVELOPER: _DEVELOPING,
    Role.ADMINISTRATOR: _DEVELOPING | {Permission.ADMINISTER, Permission.INSTALL},
}

_OF_THE_INSTALLATION = frozenset({Permission.MONITOR, Permission.INSTALL})


class Caller(Protocol):
    """Who asks: a token, or a user."""

    def role_in(self, company: CompanyId | None) -> Role | None:
        """The role in a company, None when it is not the caller's; of None: for the installation."""

    @property
    def highest_role(self) -> Role | None:
        """The highest role anywhere."""


def demand(permission: Permission, caller: Caller, company: Company | None) -> None:
    """Raise unless the caller has this permission, for this company if the route is about one.

    A company that is not the caller's is unknown to it, whatever its role. What concerns the whole
    installation is open only to callers whose role is for the installation.
    """
    role = caller.highest_role if company is None else caller.role_in(company.id)
    if company is not None and role is None:
        raise CompanyNotFound
    if permission is Permission.OWN:
        return
    if permission in _OF_THE_INSTALLATION:
        role = caller.role_in(None)
        if role is None:
            raise Forbidden("this concerns the whole installation, and your role is a company's")
    if role is None:
        raise Forbidden("nobody has given you a role yet; an administrator can")
    if permission not in GRANTED[role]:
        least = next(each for each in GRANTED if permission in GRANTED[each])
        raise Forbidden(f"this takes the role {least}; yours is {role}")


def may(permission: Permission, caller: Caller, company: Company | None) -> bool:
    """Whether `demand` would let this pass, for what is shown."""
    try:
        demand(permission, caller, company)
    except (CompanyNotFound, Forbidden):
        return False
    return True


def demand_to_open(caller: Caller, hosts: Iterable[str], *, before: Iterable[str] = ()) -> None:
    """Raise Forbidden unless the caller may let files come from these hosts, some of which are open
    already.

    What a server reaches is the affair of whoever runs it: what stands beside it in its network
    belongs to the installation, not to any company on it.
    """
    opened = set(hosts) - set(before)
    if opened and not may(Permission.INSTALL, caller, None):
        raise Forbidden(
            f"files_from: {', '.join(sorted(opened))} is opened by administrators of the whole "
            "installation only, since it may lead into the server's own network"
        )
