"""Tokens, and remote control, which one of them opens."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from runyard.model.tokens import Role, TokenKind
from runyard.protocol.shapes.parts import PRINTABLE, Asked, Page, Shown

LONGEST_DAYS = 36_500


class NewToken(Asked, frozen=True, kw_only=True):
    """A token to create."""

    kind: TokenKind = TokenKind.NATIVE
    """Which door it opens."""
    role: Role = Role.OPERATOR
    """What its holder may do."""
    name: Annotated[str, Meta(max_length=200, pattern=PRINTABLE)] = ""
    """For people, to tell tokens apart."""
    lasting: timedelta | None = None
    """How long it is valid; null: until it is revoked."""
    joins: bool = False
    """For a worker's token: whether workers that present it need not be allowed by anybody."""


class Token(Shown, frozen=True, kw_only=True):
    """A credential that a program presents. Its secret is not kept."""

    id: int
    kind: TokenKind
    company: str | None
    """Slug; null: the whole installation."""
    role: Role
    name: str
    last_characters: str
    """The last 4 characters of the secret."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    joins: bool
    """Whether workers that present it need not be allowed by anybody."""


class CreatedToken(Token, frozen=True, kw_only=True):
    """A new token with its secret, which is shown this once."""

    secret: str
    """Send it as `Authorization: Bearer <secret>`."""


class TokenPage(Page, frozen=True, kw_only=True):
    """Tokens, newest first."""

    items: tuple[Token, ...]


class RemoteControl(Shown, frozen=True, kw_only=True):
    """Whether programs may steer the company through the Remote API (Integray), and how."""

    allowed: bool
    token: Token | None
    """The one that opens; null when control is not allowed."""
    url: str
    """Where the company's Remote API answers."""
    secret: str | UnsetType = UNSET
    """Of a token that was made just now. It is shown this once."""


class AllowControl(Asked, frozen=True, kw_only=True):
    """Whom to let in."""

    allow: Literal["token", "none"]
    """`token`: makes a new token, and revokes the one before. `none`: nobody."""
    role: Role = Role.OPERATOR
    """What the holder of the new token may do."""
