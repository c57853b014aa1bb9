"""Who may do what. One function decides, for every door."""

from collections.abc import Mapping

from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, Forbidden
from runyard.model.tokens import Permission, Role, Token

GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ, Permission.MONITOR}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.MONITOR, Permission.OPERATE}),
    Role.DEVELOPER: frozenset(
        {Permission.READ, Permission.MONITOR, Permission.OPERATE, Permission.DEPLOY}
    ),
    Role.ADMINISTRATOR: frozenset(
        {
            Permission.READ,
            Permission.MONITOR,
            Permission.OPERATE,
            Permission.DEPLOY,
            Permission.ADMINISTER,
            Permission.INSTALL,
        }
    ),
}

_OF_THE_INSTALLATION = frozenset({Permission.MONITOR, Permission.INSTALL})


def demand(permission: Permission, token: Token, company: Company | None) -> None:
    """Raise unless the token has this permission, for this company if the route is about one.

    A company that is not the token's is unknown to it, whatever its role. What concerns the whole
    installation is open only to tokens of no company.
    """
    if company is not None and token.company_id is not None and token.company_id != company.id:
        raise CompanyNotFound
    if permission in _OF_THE_INSTALLATION and token.company_id is not None:
        raise Forbidden("this concerns the whole installation, and the token is a company's")
    if permission not in GRANTED[token.role]:
        raise Forbidden(f"a {token.role} may not {permission}")
