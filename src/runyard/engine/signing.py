"""What tokens are signed with: RSA keys, made when first needed, sealed with the master key.

Servers that share a database share the keys, so that each accepts what another signed. One key signs;
keys before it verify until the last token that they signed has expired.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from runyard.engine.clock import Clock
from runyard.engine.keys import Keys
from runyard.model.credentials import SigningKey
from runyard.model.errors import Unauthenticated, WrongMasterKey
from runyard.stores.contract.store import Store

ALGORITHM = "RS512"
LONGEST_TOKEN_LIFE = timedelta(hours=12)
SHARED_LIFE = timedelta(seconds=1)
MALFORMED = "the token is malformed"
_PURPOSE = "signing keys"
_BITS = 2048
_NONCE = 12

Claims = Mapping[str, object]


class Signed(msgspec.Struct, frozen=True):
    """What a token says, and which key says so."""

    claims: Claims
    key_id: str


class _Known(msgspec.Struct, frozen=True):
    key: RSAKey
    retired_at: datetime | None


class Signing:
    """Signs and verifies."""

    def __init__(self, store: Store, clock: Clock, keys: Keys) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys
        self._known: dict[str, _Known] = {}
        """Newest first."""
        self._known_at: timedelta | None = None
        self._making = asyncio.Lock()
        self.on_rotate: Callable[[], None] = lambda: None
        """Called once keys were changed."""

    async def sign(self, claims: Claims) -> str:
        """A token that says this; raises WrongMasterKey."""
        key_id, key = await self._signing_key()
        header = {"alg": ALGORITHM, "kid": key_id}
        return jwt.encode(header, dict(claims), key, algorithms=[ALGORITHM])

    async def verify(self, token: str) -> Signed:
        """What the token says, expired or not; raises Unauthenticated, WrongMasterKey."""
        key_id = _key_id_of(token)
        if not await self.is_valid(key_id):
            raise Unauthenticated("the token was signed with a key that is not valid here")
        try:
            found = jwt.decode(token, self._known[key_id].key, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            raise Unauthenticated("the token's signature is wrong") from None
        return Signed(found.claims, key_id)

    async def is_valid(self, key_id: str) -> bool:
        """Whether what this key signed is still believed."""
        if key_id not in self._known or self._is_stale:
            await self._load()
        known = self._known.get(key_id)
        if known is None:
            return False
        retired_at = known.retired_at
        return retired_at is None or self._clock.now() - retired_at <= LONGEST_TOKEN_LIFE

    async def list(self) -> list[SigningKey]:
        """All keys, newest first."""
        return await self._store.signing_keys.list()

    async def rotate(self, *, discard: bool = False) -> SigningKey:
        """Sign with a new key from now on; `discard`: what the others signed is void at once."""
        before = [key.id for key in await self.list()]
        key = await self._new_key()
        await self._store.signing_keys.rotate(key, key.created_at - 2 * LONGEST_TOKEN_LIFE)
        if discard:
            await self._store.signing_keys.discard(before)
        self.forget()
        self.on_rotate()
        return key

    def forget(self) -> None:
        """Look the keys up anew."""
        self._known_at = None

    @property
    def _is_stale(self) -> bool:
        if self._known_at is None:
            return True
        return self._store.is_shared and self._clock.monotonic() - self._known_at >= SHARED_LIFE

    async def _signing_key(self) -> tuple[str, RSAKey]:
        if self._is_stale:
            await self._load()
        found = self._active()
        if found is None:
            async with self._making:
                if (found := self._active()) is None:
                    await self._store.signing_keys.add_first(await self._new_key())
                    await self._load()
                    found = self._active()
        assert found is not None
        return found

    def _active(self) -> tuple[str, RSAKey] | None:
        for key_id, known in self._known.items():
            if known.retired_at is None:
                return key_id, known.key
        return None

    async def _load(self) -> None:
        known = {}
        for key in await self._store.signing_keys.list():
            before = self._known.get(key.id)
            opened = self._unsealed(key) if before is None else before.key
            known[key.id] = _Known(opened, key.retired_at)
        self._known = known
        self._known_at = self._clock.monotonic()

    async def _new_key(self) -> SigningKey:
        self._keys.demand_right()
        key_id = secrets.token_hex(8)
        pem = await asyncio.to_thread(_new_private_key)
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._seal(key_id).encrypt(nonce, pem, key_id.encode())
        now = self._clock.now()
        return SigningKey(id=key_id, sealed=sealed, created_at=now, retired_at=None)

    def _unsealed(self, key: SigningKey) -> RSAKey:
        self._keys.demand_right()
        nonce, sealed = key.sealed[:_NONCE], key.sealed[_NONCE:]
        try:
            pem = self._seal(key.id).decrypt(nonce, sealed, key.id.encode())
        except InvalidTag:
            raise WrongMasterKey("a signing key does not open with this master key") from None
        return RSAKey.import_key(pem)

    def _seal(self, key_id: str) -> AESGCM:
        return AESGCM(self._keys.derive(_PURPOSE, key_id.encode()))


def _new_private_key() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class _Header(msgspec.Struct):
    kid: str
    alg: str


_read_header = msgspec.json.Decoder(_Header).decode


def _key_id_of(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        raise Unauthenticated(MALFORMED)
    try:
        header = _read_header(_decoded(parts[0]))
    except (ValueError, msgspec.DecodeError):
        raise Unauthenticated(MALFORMED) from None
    if header.alg != ALGORITHM:
        raise Unauthenticated("the token is not signed as tokens of this server are")
    return header.kid


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
