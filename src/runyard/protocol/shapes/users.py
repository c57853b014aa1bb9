"""Users, their roles, and links to set a password with."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from runyard.model.tokens import Role
from runyard.protocol.shapes.parts import PRINTABLE, Asked, Name, Page, Shown, Slug

Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=PRINTABLE)]
# Its length is judged by the engine: a shape that refuses shows what it has seen.
Password = Annotated[str, Meta(extra_json_schema={"minLength": 12, "maxLength": 256})]


class UserRole(Shown, frozen=True, kw_only=True):
    """A role that a user has."""

    company: str | None
    """Slug; null: in every company, and for what concerns the installation."""
    role: Role


class User(Shown, frozen=True, kw_only=True):
    """A person who signs in to the console."""

    id: int
    email: str
    """In lower case; unique."""
    name: str
    home_company: str | None
    """Slug of the company that the user works in unless another is named; null: none is there."""
    roles: tuple[UserRole, ...]
    has_password: bool
    """False: nobody can sign in as this user until a set-up link was used."""
    disabled_at: datetime | None
    """Since when nobody may sign in as this user."""
    created_at: datetime


class UserPage(Page, frozen=True, kw_only=True):
    """Users by email."""

    items: tuple[User, ...]


class SetupLink(Shown, frozen=True, kw_only=True):
    """A link with which a password is chosen, once. It is in this answer alone."""

    url: str
    expires_at: datetime


class CreatedUser(User, frozen=True, kw_only=True):
    """A new user."""

    setup_link: SetupLink | None
    """Where the user chooses a password; null when one was given."""


class NewUser(Asked, frozen=True, kw_only=True):
    """A user to create."""

    email: Email
    name: Annotated[str, Meta(max_length=200, pattern=PRINTABLE)] = ""
    """For people; what stands before the @ unless given."""
    role: Role | None = None
    """What the user may do, in `company` or everywhere; null: nothing yet."""
    company: Slug | None = None
    """Slug of the company in which the role holds; null: the whole installation."""
    password: Password | None = None
    """Null: the answer has a set-up link with which the user chooses one."""


class UserChange(Asked, frozen=True, kw_only=True):
    """What to change of a user; fields that are left out stay."""

    email: Email | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    home_company: Slug | UnsetType = UNSET
    """Slug of a company in which the user has a role."""
    disabled: bool | UnsetType = UNSET
    """True: nobody signs in as this user any more, and every login ends at once."""


class RoleChange(Asked, frozen=True, kw_only=True):
    """The role of a user in one place."""

    company: Slug | None = None
    """Slug; null: the whole installation."""
    role: Role | None
    """In place of the one there; null takes it away."""


class NewPassword(Asked, frozen=True, kw_only=True):
    """Another password."""

    password: Password
