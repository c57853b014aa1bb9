"""What users' programs show: API keys, and tickets, which are signed tokens that can be ended.

A ticket's token is a signed JWT; the row here is what lets it be ended before it expires.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import ApiKeyId, CompanyId, TicketId, UserId


class TicketEnd(StrEnum):
    """Why a ticket opens nothing any more, although it has not expired."""

    LOGGED_OUT = "logged-out"
    REFRESHED = "refreshed"
    """Another ticket took its place."""
    OTHER_LOGIN = "other-login"
    """The user logged in once more, and not for several sessions."""
    TOO_MANY = "too-many"
    """The user had as many as may be, and it was the oldest."""
    REVOKED = "revoked"
    """A new password, a disabled user, or a revoked API key."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A user's program that has logged in."""

    id: TicketId
    user_id: UserId
    company_id: CompanyId
    """Where it works."""
    api_key_id: ApiKeyId | None
    """With which key it logged in; None: with the password."""
    is_multiple: bool
    """Whether another login of the user leaves it alone."""
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    end: TicketEnd | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with which a user's programs log in. Only its SHA-256 is kept."""

    id: ApiKeyId
    user_id: UserId
    name: str
    last_characters: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of keys that tokens are signed with; the private one is sealed with the master key."""

    id: str
    sealed: bytes
    created_at: datetime
    retired_at: datetime | None
    """Since when it signs nothing; what it signed before is still valid."""
