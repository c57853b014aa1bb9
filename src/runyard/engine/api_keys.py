"""API keys: with which a user's programs log in instead of the password.

A key is shown once; its SHA-256 is stored. Revoking one ends whatever logged in with it.
"""

import builtins
from collections.abc import Callable
from datetime import timedelta

import msgspec

from runyard.engine.foundation import Foundation
from runyard.engine.tokens import digest_of, has_valid_checksum, sealed_secret
from runyard.model.credentials import ApiKey
from runyard.model.errors import ApiKeyNotFound, FieldProblem, InputRefused
from runyard.model.ids import ApiKeyId, UserId
from runyard.model.users import User

LONGEST_NAME = 200


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its secret, which nobody can show again."""

    key: ApiKey
    secret: str


class ApiKeys:
    """Makes, shows, recognises and revokes API keys."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self.on_revoke: Callable[[], None] = lambda: None
        """Called once a key was revoked."""

    async def create(
        self, user: User, *, name: str = "", lasting: timedelta | None = None
    ) -> NewApiKey:
        """Make a key for a user; raises InputRefused."""
        if len(name) > LONGEST_NAME or not (name.isprintable() or not name):
            allowed = f"at most {LONGEST_NAME} characters that can be printed"
            raise InputRefused([FieldProblem(field="name", seen=repr(name), allowed=allowed)])
        secret = sealed_secret("apikey")
        now = self._clock.now()
        key = ApiKey(
            id=ApiKeyId(await self._ids.take()),
            user_id=user.id,
            name=name,
            last_characters=secret[-4:],
            created_at=now,
            expires_at=None if lasting is None else now + lasting,
            revoked_at=None,
            last_used_at=None,
        )
        await self._store.api_keys.create(key, digest_of(secret))
        return NewApiKey(key=key, secret=secret)

    async def list(self, user: User) -> builtins.list[ApiKey]:
        """A user's keys, newest first."""
        return await self._store.api_keys.list(user.id)

    async def revoke(self, user: UserId, key: ApiKeyId) -> None:
        """Refuse it from now on, and end what logged in with it; raises ApiKeyNotFound."""
        if not await self._store.api_keys.revoke(user, key, self._clock.now()):
            raise ApiKeyNotFound(f"the user has no API key {key}")
        self.on_revoke()

    async def find(self, secret: str) -> ApiKey | None:
        """The valid key of this secret; it counts as used."""
        if not has_valid_checksum(secret):
            return None
        key = await self._store.api_keys.find_by_digest(digest_of(secret))
        now = self._clock.now()
        if key is None or key.revoked_at is not None:
            return None
        if key.expires_at is not None and key.expires_at <= now:
            return None
        await self._store.api_keys.note_use(key.id, now)
        return key
