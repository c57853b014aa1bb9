"""Users, their roles and their one-time links: binding and decoding."""

import builtins
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from runyard.model.ids import CompanyId, LoginId, UserId
from runyard.model.tokens import Role
from runyard.model.users import ClockStyle, DateStyle, Display, Grant, SetupLink, User
from runyard.stores.codes import instant, instant_or_none, micros
from runyard.stores.tables.pieces import Answer, Database, Row, Statement, WriteClass, a_piece

_NOBODY_YET = 0
"""Whose set-up links make the first administrator."""

_BELONGINGS = (
    "delete_grants",
    "delete_setup_links",
    "delete_logins",
    "delete_tickets",
    "delete_api_keys",
    "forget_runner",
)
"""What goes with a user."""


class UserTable:
    """Users, by id and by email."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, user: User, password_hash: str | None) -> bool:
        """Keep a new user with its roles; False when the email is taken."""
        [created, *_] = await self._write(
            Statement("insert_user", (_row_of(user, password_hash),), needs=1), *_grants_of(user)
        )
        return bool(created)

    async def create_first(
        self, user: User, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """Spend a set-up link on the first administrator; False when it is not valid, when there is
        one already, or when the email is taken.
        """
        [_, created, *_] = await self._write(
            Statement("spend_setup_link", ((link_digest, micros(at)),), needs=1),
            Statement("insert_first_user", (_row_of(user, password_hash),), needs=1),
            *_grants_of(user),
        )
        return bool(created)

    async def update(self, user: User) -> bool:
        """Change email, name, home company and display; False when the email is another's."""
        display = user.display
        row = (
            user.id,
            user.email,
            user.name,
            user.home_company_id,
            display.date_style.value,
            display.clock_style.value,
            display.time_zone,
        )
        [changed] = await self._write(Statement("update_user", (row,)))
        return bool(changed)

    async def set_password(
        self, user: UserId, password_hash: str, at: datetime, kept: LoginId | None = None
    ) -> bool:
        """Another password; every login but the kept one is revoked."""
        [changed, *_] = await self._write(
            Statement("set_user_hash", ((user, password_hash),), needs=1),
            Statement("revoke_logins", ((user, micros(at), kept),)),
            Statement("end_tickets", ((user, micros(at)),)),
        )
        return bool(changed)

    async def set_password_by_link(
        self, user: UserId, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """The same with a one-time link; False when it is not valid any more."""
        [spent, *_] = await self._write(
            Statement("spend_setup_link", ((link_digest, micros(at)),), needs=1),
            Statement("set_user_hash", ((user, password_hash),)),
            Statement("revoke_logins", ((user, micros(at), None),)),
            Statement("end_tickets", ((user, micros(at)),)),
        )
        return bool(spent)

    async def refresh_password_hash(
        self, user: UserId, password_hash: str, expected_hash: str
    ) -> None:
        """The same password, hashed anew; nothing when it has changed meanwhile."""
        await self._write(Statement("replace_user_hash", ((user, password_hash, expected_hash),)))

    async def disable(self, user: UserId, at: datetime) -> bool:
        """Let nobody sign in as this user, and revoke every login."""
        [changed, *_] = await self._write(
            Statement("set_user_disabled", ((user, micros(at)),), needs=1),
            Statement("revoke_logins", ((user, micros(at), None),)),
            Statement("end_tickets", ((user, micros(at)),)),
        )
        return bool(changed)

    async def enable(self, user: UserId) -> bool:
        """Let the user sign in again."""
        [changed] = await self._write(Statement("set_user_disabled", ((user, None),)))
        return bool(changed)

    async def remove(self, user: UserId) -> bool:
        """Forget a user with everything that let somebody in; False: there is no such user."""
        row = ((user,),)
        [removed, *_] = await self._write(
            Statement("delete_user", row, needs=1),
            *(Statement(query, row) for query in _BELONGINGS),
        )
        return bool(removed)

    async def grant(self, user: UserId, company: CompanyId | None, role: Role) -> None:
        """Give a role, in place of the one that the user had there."""
        await self._write(Statement("put_grant", ((user, company, role.value),)))

    async def withdraw(self, user: UserId, company: CompanyId | None) -> bool:
        """Take the role away; False when there was none."""
        [gone] = await self._write(Statement("delete_grant", ((user, company),)))
        return bool(gone)

    async def find(self, user: UserId) -> User | None:
        """One user."""
        return await self._completed(await self._db.one("find_user", user_id=user))

    async def find_by_email(self, email: str) -> User | None:
        """One user by the email in lower case."""
        return await self._completed(await self._db.one("find_user_by_email", email=email))

    async def password_hash(self, user: UserId) -> str | None:
        """What the password is verified against; None: the user has none."""
        row = await self._db.one("find_user", user_id=user)
        return row[4] if row else None

    async def is_administered(self) -> bool:
        """Whether somebody who can sign in administers the installation."""
        return await self._db.one("find_able_administrator") is not None

    async def list(self) -> list[User]:
        """All users by email."""
        grants: defaultdict[int, list[Row]] = defaultdict(list)
        for row in await self._db.all("list_grants"):
            grants[row[0]].append(row)
        return [_user_from(row, grants[row[0]]) for row in await self._db.all("list_users")]

    async def keep_link(self, link: SetupLink, digest: bytes) -> None:
        """Keep a one-time link; expired ones of anybody go."""
        row = (
            digest,
            _NOBODY_YET if link.user_id is None else link.user_id,
            micros(link.created_at),
            micros(link.expires_at),
        )
        await self._write(
            Statement("delete_expired_setup_links", ((micros(link.created_at),),)),
            Statement("insert_setup_link", (row,)),
        )

    async def find_link(self, digest: bytes) -> SetupLink | None:
        """A link that has not been spent, expired or not."""
        row = await self._db.one("find_setup_link", digest=digest)
        if row is None:
            return None
        return SetupLink(
            user_id=None if row[0] == _NOBODY_YET else row[0],
            created_at=instant(row[1]),
            expires_at=instant(row[2]),
        )

    async def _completed(self, row: Row | None) -> User | None:
        if row is None:
            return None
        return _user_from(row, await self._db.all("grants_of_user", user_id=row[0]))

    async def _write(self, *statements: Statement) -> builtins.list[Answer]:
        return await self._db.write(a_piece(WriteClass.OUTCOME, *statements))


def _row_of(user: User, password_hash: str | None) -> Row:
    display = user.display
    return (
        user.id,
        user.email,
        user.name,
        user.home_company_id,
        password_hash,
        display.date_style.value,
        display.clock_style.value,
        display.time_zone,
        micros(user.created_at),
    )


def _grants_of(user: User) -> list[Statement]:
    rows = [(user.id, grant.company_id, grant.role.value) for grant in user.grants]
    return [Statement("put_grant", rows)] if rows else []


def _user_from(row: Row, grants: Sequence[Row]) -> User:
    return User(
        id=row[0],
        email=row[1],
        name=row[2],
        home_company_id=row[3],
        has_password=row[4] is not None,
        display=Display(
            date_style=DateStyle(row[5]), clock_style=ClockStyle(row[6]), time_zone=row[7]
        ),
        created_at=instant(row[8]),
        disabled_at=instant_or_none(row[9]),
        grants=tuple(Grant(company_id=company, role=Role(role)) for _, company, role in grants),
    )
