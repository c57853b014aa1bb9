"""The part of the Store contract that is about people: users, their roles, links and logins."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.model.ids import CompanyId, LoginId, UserId
from runyard.model.tokens import Role
from runyard.model.users import Login, SetupLink, User


class Users(Protocol):
    """Users, their roles, and the one-time links with which they choose a password."""

    async def create(self, user: User, password_hash: str | None) -> bool:
        """False when the email is taken."""

    async def create_first(
        self, user: User, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """Spend a link of nobody on the first administrator of the installation, in one piece.

        False when the link is spent or expired, when somebody who can sign in administers it
        already, or when the email is taken. Of several at the same time one succeeds.
        """

    async def update(self, user: User) -> bool:
        """Change email, name, home company and display; False when the email is another's."""

    async def set_password(
        self, user: UserId, password_hash: str, at: datetime, kept: LoginId | None = None
    ) -> bool:
        """Another password; every login but the kept one, and every ticket, is over. False: no such
        user."""

    async def set_password_by_link(
        self, user: UserId, password_hash: str, link_digest: bytes, at: datetime
    ) -> bool:
        """The same with a one-time link of the user, which is spent; False when it is not valid."""

    async def refresh_password_hash(
        self, user: UserId, password_hash: str, expected_hash: str
    ) -> None:
        """The same password, hashed anew; nothing when it has changed meanwhile."""

    async def disable(self, user: UserId, at: datetime) -> bool:
        """Let nobody sign in as this user; every login and ticket is over. False: no such user."""

    async def enable(self, user: UserId) -> bool:
        """Let the user sign in again. False: no such user."""

    async def remove(self, user: UserId) -> bool:
        """Forget a user with roles, logins, tickets, API keys and links, in one piece; what was to
        be executed as this user is executed as the built-in one. False: no such user.
        """

    async def grant(self, user: UserId, company: CompanyId | None, role: Role) -> None:
        """Give a role in a company or the installation, in place of the one before."""

    async def withdraw(self, user: UserId, company: CompanyId | None) -> bool:
        """Take a role away; False when there was none."""

    async def find(self, user: UserId) -> User | None:
        """One user."""

    async def find_by_email(self, email: str) -> User | None:
        """One user by the email in lower case."""

    async def password_hash(self, user: UserId) -> str | None:
        """What the password is verified against; None: the user has none."""

    async def is_administered(self) -> bool:
        """Whether somebody who can sign in administers the installation."""

    async def list(self) -> list[User]:
        """All users by email."""

    async def keep_link(self, link: SetupLink, digest: bytes) -> None:
        """Keep a one-time link; expired ones go."""

    async def find_link(self, digest: bytes) -> SetupLink | None:
        """A link that has not been spent, expired or not."""


class Logins(Protocol):
    """Logins, by the SHA-256 of what browsers present."""

    async def create(self, login: Login, digest: bytes) -> None:
        """Keep a new login; the user's ended ones go."""

    async def find_by_digest(self, digest: bytes) -> Login | None:
        """The login, revoked or expired ones included."""

    async def list(self, user: UserId, at: datetime) -> list[Login]:
        """A user's logins that are neither revoked nor expired, newest first."""

    async def note_use(self, uses: Sequence[tuple[LoginId, datetime]]) -> None:
        """Remember when logins were used (relaxed; at most once a minute each)."""

    async def revoke(self, user: UserId, login: LoginId, at: datetime) -> bool:
        """False when the user has no such login. Revoking again keeps the first instant."""

    async def revoke_all(self, user: UserId, at: datetime, kept: LoginId | None = None) -> None:
        """All of a user's, but for the kept one, and every ticket of the user."""
