"""API keys, and the keys that tokens are signed with."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from runyard.protocol.shapes.parts import Asked, Page, Shown


class NewApiKey(Asked, frozen=True, kw_only=True):
    """An API key to be made for a user."""

    name: Annotated[str, Meta(max_length=200)] = ""
    """For people, to tell keys apart."""
    lasting: timedelta | None = None
    """How long it is valid; null: until it is revoked."""


class ApiKey(Shown, frozen=True, kw_only=True):
    """An API key, with which a user's programs log in, without its secret."""

    id: int
    name: str
    last_characters: str
    """The last 4 of its characters."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class ApiKeyPage(Page, frozen=True, kw_only=True):
    """A user's API keys, newest first."""

    items: tuple[ApiKey, ...]


class CreatedApiKey(ApiKey, frozen=True, kw_only=True):
    """A new API key. Its secret is in this answer alone."""

    secret: str


class SigningKey(Shown, frozen=True, kw_only=True):
    """A key that signed tokens are signed with; its private half never leaves the server."""

    id: str
    """The `kid` in the head of the tokens that it signed."""
    created_at: datetime
    retired_at: datetime | None
    """Since when it signs nothing; what it signed before stays valid until it expires."""


class SigningKeyPage(Page, frozen=True, kw_only=True):
    """All signing keys, newest first."""

    items: tuple[SigningKey, ...]


class Rotation(Asked, frozen=True, kw_only=True):
    """How signing keys are rotated."""

    discard: bool = False
    """Whether the earlier keys are forgotten, and everything that they signed is void at once."""
