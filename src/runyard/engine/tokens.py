"""Tokens: made, shown once, recognised quickly, revoked at once.

A secret is `ryd_<kind>_`, 43 characters that carry 256 random bits, and a 6 character checksum, so
that a mistyped or truncated one is refused without a look at the database, and scanners can find
lost ones. Only its SHA-256 is stored.
"""

import builtins
import hashlib
import hmac
import secrets
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from runyard.engine.foundation import Foundation
from runyard.engine.news import Topic
from runyard.model.companies import Company
from runyard.model.errors import TokenNotFound, TokenRevoked, Unauthenticated
from runyard.model.ids import CompanyId, TokenId
from runyard.model.tokens import Role, Token, TokenKind

SHARED_LIFE = timedelta(seconds=1)
NOTE_EVERY = timedelta(minutes=1)
MOST_CACHED = 10_000
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token and its secret, which nobody can show again."""

    token: Token
    secret: str


class _Known(msgspec.Struct):
    token: Token
    known_at: timedelta
    noted_at: timedelta


class Tokens:
    """Makes and recognises tokens."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._peers = foundation.peers
        self._known: dict[str, _Known] = {}
        self._uses: dict[TokenId, datetime] = {}
        self._revocations = 0
        self.on_revoke: Callable[[], None] = lambda: None
        """Called once a token was revoked: whoever is let in by one is looked at again."""

    async def create(
        self,
        kind: TokenKind,
        company: Company | None,
        *,
        role: Role,
        name: str = "",
        lasting: timedelta | None = None,
        joins: bool = False,
    ) -> NewToken:
        """Make a token; `company` None makes one for the whole installation.

        `joins`: whether workers that present it need not be allowed by anybody.
        """
        secret = new_secret(kind)
        now = self._clock.now()
        token = Token(
            id=TokenId(await self._ids.take()),
            kind=kind,
            company_id=None if company is None else company.id,
            role=role,
            name=name,
            last_characters=secret[-4:],
            created_at=now,
            expires_at=None if lasting is None else now + lasting,
            revoked_at=None,
            last_used_at=None,
            joins=joins,
        )
        await self._store.tokens.create(token, digest_of(secret))
        return NewToken(token=token, secret=secret)

    async def list(self, company: Company | None) -> builtins.list[Token]:
        """Tokens of a company, or of the installation."""
        return await self.list_of(None if company is None else company.id)

    async def list_of(self, company: CompanyId | None) -> builtins.list[Token]:
        """Tokens of the company of this id, newest first; of the installation for None."""
        return [self._as_used(token) for token in await self._store.tokens.list(company)]

    async def revoke(self, company: CompanyId | None, token: TokenId) -> None:
        """Refuse it from now on; raises TokenNotFound."""
        if not await self._store.tokens.revoke(company, token, self._clock.now()):
            raise TokenNotFound(f"there is no token {token}")
        self.forget()
        self._peers.say(Topic.TOKENS)

    def forget(self) -> None:
        """Look every token up anew: one may have been revoked."""
        self._revocations += 1
        self._known.clear()
        self.on_revoke()

    def recall(self, secret: str) -> Token | None:
        """The valid token of this secret if it was recognised lately; no look at the database."""
        known = self._known.get(secret)
        if known is None:
            return None
        now = self._clock.monotonic()
        if self._store.is_shared and now - known.known_at > SHARED_LIFE:
            del self._known[secret]
            return None
        expires_at = known.token.expires_at
        if expires_at is not None and expires_at <= self._clock.now():
            del self._known[secret]
            return None
        if now - known.noted_at > NOTE_EVERY:
            known.noted_at = now
            self._uses[known.token.id] = self._clock.now()
        return known.token

    async def authenticate(self, secret: str) -> Token:
        """The token of this secret; raises Unauthenticated."""
        token = self.recall(secret)
        if token is not None:
            return token
        if not has_valid_checksum(secret):
            raise Unauthenticated("this is not a token of Runyard, or a part of one")
        revocations = self._revocations
        found = await self._store.tokens.find_by_digest(digest_of(secret))
        if found is None:
            raise Unauthenticated("this token is not known")
        if found.revoked_at is not None:
            raise TokenRevoked(found)
        if found.expires_at is not None and found.expires_at <= self._clock.now():
            raise Unauthenticated("this token has expired")
        if self._revocations != revocations:  # what was read may be what was revoked meanwhile
            return await self.authenticate(secret)
        if len(self._known) >= MOST_CACHED:
            self._known.clear()
        now = self._clock.monotonic()
        self._known[secret] = _Known(found, now, now)
        self._uses[found.id] = self._clock.now()
        return found

    def _as_used(self, token: Token) -> Token:
        """The token with a use of it that is not written down yet."""
        used_at = self._uses.get(token.id)
        if used_at is None:
            return token
        return msgspec.structs.replace(token, last_used_at=used_at)

    async def note_uses(self) -> None:
        """Write down when tokens were last used."""
        if self._uses:
            uses, self._uses = self._uses, {}
            await self._store.tokens.note_use(list(uses.items()))


def new_secret(kind: TokenKind) -> str:
    """A new secret for a token of this kind."""
    return sealed_secret(kind)


def sealed_secret(word: str) -> str:
    """A new secret that says what it is, with its checksum."""
    body = f"ryd_{word}_{secrets.token_urlsafe(32)}"
    return body + _checksum(body)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def has_valid_checksum(secret: str) -> bool:
    """Whether this is a whole, correctly copied secret."""
    body, checksum = secret[:-_CHECKSUM_LENGTH], secret[-_CHECKSUM_LENGTH:]
    if not body.startswith("ryd_") or not secret.isascii():
        return False
    return hmac.compare_digest(_checksum(body), checksum)


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)
