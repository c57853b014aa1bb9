"""Users: made, changed, given roles; and the one-time links with which they choose a password.

Nobody is there at first, and no password is ever given out: whoever holds the first set-up link
becomes the installation's first administrator. Later users get a link of their own from an
administrator. A link works once, for a limited time, and only its SHA-256 is stored.
"""

import builtins
import re
from collections.abc import Callable
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.companies import is_time_zone
from runyard.engine.directory import Directory
from runyard.engine.ids import Ids
from runyard.engine.passwords import Passwords, refuse_weak
from runyard.engine.tokens import digest_of, sealed_secret
from runyard.model.companies import Company
from runyard.model.errors import (
    CompanyNotFound,
    EmailTaken,
    FieldProblem,
    GrantNotFound,
    InputRefused,
    LastAdministrator,
    SetUpAlready,
    SetupLinkNotFound,
    UserNotFound,
)
from runyard.model.ids import CompanyId, LoginId, UserId
from runyard.model.tokens import Role
from runyard.model.users import Display, Grant, SetupLink, User
from runyard.stores.contract.store import Store

EMAIL = re.compile(r"[^\s@<>\"',;:\\]{1,64}@[^\s@<>\"',;:\\]{1,190}")
LONGEST_EMAIL = 254
LONGEST_NAME = 200
FIRST_LINK_LASTING = timedelta(days=1)
LINK_LASTING = timedelta(days=3)


class NewSetupLink(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link and its secret, which nobody can show again."""

    link: SetupLink
    secret: str


class Users:
    """The people who sign in."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, directory: Directory, passwords: Passwords
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._directory = directory
        self._passwords = passwords
        self.on_change: Callable[[], None] = _nobody_listens
        """Called when what somebody may do has changed."""

    # ------------------------------------------------------------ finding

    async def load(self, ref: str) -> User:
        """The user of this id or email; raises UserNotFound."""
        found: User | None = None
        if ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await self._store.users.find(UserId(int(ref)))
        elif is_plausible_email(ref):
            found = await self._store.users.find_by_email(ref.lower())
        if found is None:
            raise UserNotFound(f"there is no user {ref!r}")
        return found

    async def list(self) -> builtins.list[User]:
        """All users by email."""
        return await self._store.users.list()

    async def is_administered(self) -> bool:
        """Whether somebody who can sign in administers the installation; the first set-up link is
        for as long as nobody does.
        """
        return await self._store.users.is_administered()

    async def home_company(self, user: User) -> Company | None:
        """The company that a user works in unless another is named; None: the user has none."""
        for company in await self.companies_of(user):
            if user.home_company_id in (None, company.id):
                return company
        return None

    async def companies_of(self, user: User) -> builtins.list[Company]:
        """The companies in which a user has a role, by slug."""
        companies = await self._store.companies.list()
        return [company for company in companies if user.role_in(company.id) is not None]

    # ------------------------------------------------------------ making and changing

    async def create(
        self,
        email: str,
        *,
        name: str = "",
        grants: tuple[Grant, ...] = (),
        home_company: Company | None = None,
        password: str | None = None,
    ) -> User:
        """Make a user; without a password nobody signs in. Raises InputRefused, EmailTaken."""
        home = None if home_company is None else home_company.id
        user = await self._new_user(email, name, grants, home)
        password_hash = None
        if password is not None:
            refuse_weak(password, email=user.email, name=user.name)
            password_hash = await self._passwords.hash(password)
        if not await self._store.users.create(user, password_hash):
            raise EmailTaken(f"there is a user {user.email} already")
        return msgspec.structs.replace(user, has_password=password is not None)

    async def update(
        self,
        user: User,
        *,
        email: str | None = None,
        name: str | None = None,
        home_company: Company | None = None,
        display: Display | None = None,
    ) -> User:
        """Change what is given; raises InputRefused, EmailTaken, CompanyNotFound."""
        if home_company is not None and user.role_in(home_company.id) is None:
            raise CompanyNotFound(f"the user has no role in {home_company.slug!r}")
        new = msgspec.structs.replace(
            user,
            email=user.email if email is None else email.strip().lower(),
            name=user.name if name is None else name.strip(),
            home_company_id=user.home_company_id if home_company is None else home_company.id,
            display=user.display if display is None else display,
        )
        refuse_unfit(new)
        if not await self._store.users.update(new):
            raise EmailTaken(f"there is a user {new.email} already")
        self.on_change()
        return new

    async def set_password(self, user: User, password: str, *, kept: LoginId | None = None) -> None:
        """Another password: every login but the kept one is over. Raises InputRefused."""
        refuse_weak(password, email=user.email, name=user.name)
        password_hash = await self._passwords.hash(password)
        await self._store.users.set_password(user.id, password_hash, self._clock.now(), kept)
        self.on_change()

    async def grant(self, user: User, company: Company | None, role: Role) -> User:
        """Give a role in a company, or for the whole installation."""
        where = None if company is None else company.id
        if where is None and role is not Role.ADMINISTRATOR:
            await self._refuse_last_administrator(user)
        await self._store.users.grant(user.id, where, role)
        return await self._changed(user)

    async def withdraw(self, user: User, company: Company | None) -> User:
        """Take the role away; raises LastAdministrator, GrantNotFound."""
        if company is None:
            await self._refuse_last_administrator(user)
        if not await self._store.users.withdraw(user.id, None if company is None else company.id):
            where = "for the installation" if company is None else f"in {company.slug}"
            raise GrantNotFound(f"{user.email} has no role {where}")
        return await self._changed(user)

    async def disable(self, user: User) -> User:
        """Let nobody sign in as this user, at once. Raises LastAdministrator."""
        await self._refuse_last_administrator(user)
        await self._store.users.disable(user.id, self._clock.now())
        return await self._changed(user)

    async def enable(self, user: User) -> User:
        """Let the user sign in again."""
        await self._store.users.enable(user.id)
        return await self._changed(user)

    async def remove(self, user: User) -> None:
        """Forget a user: nobody is let in any more, and the email is free again. What the user did
        keeps the id. Raises LastAdministrator.
        """
        await self._refuse_last_administrator(user)
        if not await self._store.users.remove(user.id):
            raise UserNotFound(f"there is no user {user.email!r}")
        self.on_change()

    # ------------------------------------------------------------ one-time links

    async def first_setup_link(self, lasting: timedelta = FIRST_LINK_LASTING) -> NewSetupLink:
        """A link that makes the first administrator; raises SetUpAlready when there is one."""
        if await self.is_administered():
            raise SetUpAlready
        return await self._new_link(None, lasting)

    async def setup_link(self, user: User, lasting: timedelta = LINK_LASTING) -> NewSetupLink:
        """A link with which a user chooses a (new) password."""
        return await self._new_link(user.id, lasting)

    async def find_link(self, secret: str) -> tuple[SetupLink, User | None]:
        """The link of this secret and whose it is; raises SetupLinkNotFound."""
        link = await self._store.users.find_link(digest_of(secret))
        if link is None or link.expires_at <= self._clock.now():
            raise SetupLinkNotFound
        if link.user_id is None:
            if await self.is_administered():
                raise SetupLinkNotFound
            return link, None
        user = await self._store.users.find(link.user_id)
        if user is None or user.disabled_at is not None:
            raise SetupLinkNotFound
        return link, user

    async def set_up(self, secret: str, *, email: str, name: str, password: str) -> User:
        """Spend the first link: an administrator of the installation. Raises InputRefused,
        EmailTaken, SetupLinkNotFound.
        """
        link, user = await self.find_link(secret)
        if user is not None or link.user_id is not None:
            raise SetupLinkNotFound
        grants = (Grant(company_id=None, role=Role.ADMINISTRATOR),)
        first = await self._new_user(email, name, grants, None)
        refuse_weak(password, email=first.email, name=first.name)
        if await self._store.users.find_by_email(first.email) is not None:
            raise EmailTaken(
                f"there is a user {first.email} already, with a set-up link of its own"
            )
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()
        if not await self._store.users.create_first(first, password_hash, digest_of(secret), now):
            raise SetupLinkNotFound
        return msgspec.structs.replace(first, has_password=True)

    async def choose_password(self, secret: str, password: str) -> User:
        """Spend a user's link; raises InputRefused, SetupLinkNotFound."""
        _, user = await self.find_link(secret)
        if user is None:
            raise SetupLinkNotFound
        refuse_weak(password, email=user.email, name=user.name)
        password_hash = await self._passwords.hash(password)
        digest, now = digest_of(secret), self._clock.now()
        if not await self._store.users.set_password_by_link(user.id, password_hash, digest, now):
            raise SetupLinkNotFound
        self.on_change()
        return msgspec.structs.replace(user, has_password=True)

    # ------------------------------------------------------------ steps

    async def _new_link(self, user: UserId | None, lasting: timedelta) -> NewSetupLink:
        secret = sealed_secret("setup")
        now = self._clock.now()
        link = SetupLink(user_id=user, created_at=now, expires_at=now + lasting)
        await self._store.users.keep_link(link, digest_of(secret))
        return NewSetupLink(link=link, secret=secret)

    async def _new_user(
        self, email: str, name: str, grants: tuple[Grant, ...], home: CompanyId | None
    ) -> User:
        email = email.strip().lower()
        user = User(
            id=UserId(await self._ids.take()),
            email=email,
            name=name.strip() or email.partition("@")[0],
            home_company_id=home,
            grants=grants,
            display=Display(),
            has_password=False,
            created_at=self._clock.now(),
            disabled_at=None,
        )
        refuse_unfit(user)
        return user

    async def _changed(self, user: User) -> User:
        self.on_change()
        return await self.load(str(user.id))

    async def _refuse_last_administrator(self, user: User) -> None:
        """Raise LastAdministrator when nobody but this user administers the installation."""
        if not _is_able_administrator(user):
            return
        for other in await self._store.users.list():
            if other.id != user.id and _is_able_administrator(other):
                return
        raise LastAdministrator(f"{user.email} is the last administrator of the installation")


def _is_able_administrator(user: User) -> bool:
    is_able = user.disabled_at is None and user.has_password
    return is_able and user.role_in(None) is Role.ADMINISTRATOR


def refuse_unfit(user: User) -> None:
    """Raise InputRefused naming everything that is wrong with these values."""
    name, zone = user.name, user.display.time_zone
    judged = [
        ("email", user.email, "an address such as ann@example.com", is_plausible_email(user.email)),
        (
            "name",
            name,
            f"1 to {LONGEST_NAME} characters that can be printed",
            0 < len(name) <= LONGEST_NAME and name.isprintable(),
        ),
        ("time_zone", zone, "an IANA name such as Europe/Prague", is_time_zone(zone)),
    ]
    problems = [
        FieldProblem(field=field, seen=repr(seen), allowed=allowed)
        for field, seen, allowed, fits in judged
        if not fits
    ]
    if problems:
        raise InputRefused(problems)


def is_plausible_email(text: str) -> bool:
    """Whether this looks like an address; whether it is one only a letter could tell."""
    is_short = len(text) <= LONGEST_EMAIL and text.isprintable()
    return is_short and EMAIL.fullmatch(text) is not None


def _nobody_listens() -> None:
    pass
