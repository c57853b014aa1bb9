"""The one function that decides."""

from datetime import UTC, datetime
from itertools import pairwise, product
from uuid import UUID

import pytest

from runyard.engine.companies import DEFAULT_RETENTION
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, Forbidden
from runyard.model.ids import CompanyId, TokenId
from runyard.model.tokens import Permission, Role, Token, TokenKind
from runyard.web.permissions import GRANTED, demand

AT = datetime(2026, 1, 1, tzinfo=UTC)


def a_token(role: Role, company: int | None) -> Token:
    return Token(
        id=TokenId(1),
        kind=TokenKind.NATIVE,
        company_id=None if company is None else CompanyId(company),
        role=role,
        name="",
        last_characters="abcd",
        created_at=AT,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )


def a_company(number: int) -> Company:
    return Company(
        id=CompanyId(number),
        uuid=UUID(int=number),
        slug=f"c{number}",
        name="",
        time_zone="UTC",
        runnable=True,
        default_priority=50,
        retention=DEFAULT_RETENTION,
        queue_cap=1,
        weight=1,
        created_at=AT,
    )


def test_each_role_includes_the_ones_before_it() -> None:
    granted = [GRANTED[role] for role in Role]

    assert all(less < more for less, more in pairwise(granted))


def test_every_permission_but_the_public_one_is_somebodys() -> None:
    assert set().union(*GRANTED.values()) == set(Permission) - {Permission.PUBLIC}


@pytest.mark.parametrize(("role", "permission"), list(product(Role, Permission)))
def test_a_foreign_company_is_unknown_whatever_is_wanted(
    role: Role, permission: Permission
) -> None:
    with pytest.raises(CompanyNotFound):
        demand(permission, a_token(role, 1), a_company(2))


@pytest.mark.parametrize("permission", [Permission.INSTALL, Permission.MONITOR])
def test_a_companys_administrator_is_not_the_installations(permission: Permission) -> None:
    with pytest.raises(Forbidden):
        demand(permission, a_token(Role.ADMINISTRATOR, 1), None)

    demand(permission, a_token(Role.ADMINISTRATOR, None), None)


def test_a_refusal_names_the_role_that_is_needed() -> None:
    with pytest.raises(Forbidden, match="takes the role developer; yours is operator"):
        demand(Permission.DEPLOY, a_token(Role.OPERATOR, 1), a_company(1))


@pytest.mark.parametrize(
    ("role", "permission"), list(product(Role, sorted(GRANTED[Role.ADMINISTRATOR])))
)
def test_a_role_may_what_it_was_granted(role: Role, permission: Permission) -> None:
    token = a_token(role, None)

    if permission in GRANTED[role]:
        demand(permission, token, a_company(1))
    else:
        with pytest.raises(Forbidden):
            demand(permission, token, a_company(1))
