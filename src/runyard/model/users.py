"""Users: the people who sign in, what each may do, and their logins."""

from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import CompanyId, LoginId, UserId
from runyard.model.tokens import Role, higher_role


class DateStyle(StrEnum):
    """How a user reads dates."""

    ISO = "iso"
    """2026-03-31"""
    DAY_FIRST = "day-first"
    """31.03.2026"""
    MONTH_FIRST = "month-first"
    """03/31/2026"""


class ClockStyle(StrEnum):
    """How a user reads the time of day."""

    HOURS_24 = "24"
    HOURS_12 = "12"


class Display(msgspec.Struct, frozen=True, kw_only=True):
    """How instants are shown to a user."""

    date_style: DateStyle = DateStyle.ISO
    clock_style: ClockStyle = ClockStyle.HOURS_24
    time_zone: str = "UTC"
    """IANA name."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A role that a user has."""

    company_id: CompanyId | None
    """None: in every company, and for what concerns the whole installation."""
    role: Role


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person who signs in. The password is nowhere: only its Argon2id hash is kept."""

    id: UserId
    email: str
    """In lower case; unique."""
    name: str
    home_company_id: CompanyId | None
    """The company that the user works in unless another is named. None: not chosen, as on a fresh
    installation, which has no company yet; the first company that the user sees stands in for it."""
    grants: tuple[Grant, ...]
    display: Display
    has_password: bool
    """Nobody signs in without one."""
    created_at: datetime
    disabled_at: datetime | None
    """Since when nobody may sign in as this user; None: now is fine."""

    def role_in(self, company: CompanyId | None) -> Role | None:
        """The role in a company, None when it is not the user's; of None: for the installation."""
        roles = [g.role for g in self.grants if g.company_id is None or g.company_id == company]
        return higher_role(roles)

    @property
    def highest_role(self) -> Role | None:
        """The highest role anywhere."""
        return higher_role([grant.role for grant in self.grants])


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A browser in which a user has signed in. Its secret is stored as a SHA-256 alone."""

    id: LoginId
    user_id: UserId
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    """However much it is used."""
    revoked_at: datetime | None
    address: str
    """Where it came from."""
    browser: str
    """What the browser calls itself."""


class SetupLink(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link with which a password is chosen. Its secret is stored as a SHA-256 alone."""

    user_id: UserId | None
    """None: whoever uses it becomes the installation's first administrator."""
    created_at: datetime
    expires_at: datetime
