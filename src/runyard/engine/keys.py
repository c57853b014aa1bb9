"""Secrets that are derived, not stored: from the master key, a purpose and what they belong to.

The master key stands in a file or a variable that the database does not hold, so a copy of the
database alone signs nothing. The database knows the key by a mark; a server with another one does
everything but what needs the key, and says so.
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runyard.model.errors import WrongMasterKey
from runyard.stores.contract.store import Store
from runyard.telemetry import MASTER_KEY_DIFFERS, emit

KEY_LENGTH = 32
_NONCE = 12


class Keys:
    """Derives secrets from the master key."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self.are_right = True
        """Whether the database was set up with this master key."""

    def derive(self, purpose: str, *parts: bytes) -> bytes:
        """The 32 bytes that belong to this purpose and these parts, always the same."""
        digest = hmac.new(self._master, purpose.encode(), hashlib.sha256)
        for part in parts:  # with its length, so that no two lists of parts read alike
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()

    def seal(self, purpose: str, part: bytes, plain: bytes) -> bytes:
        """Something that the database keeps and only this key opens; raises WrongMasterKey."""
        self.demand_right()
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self.derive(purpose, part)).encrypt(nonce, plain, None)

    def unseal(self, purpose: str, part: bytes, sealed: bytes) -> bytes:
        """What was sealed for the same purpose and part; raises WrongMasterKey."""
        self.demand_right()
        try:
            seal = AESGCM(self.derive(purpose, part))
            return seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except InvalidTag:
            raise WrongMasterKey(f"{purpose} do not open with this master key") from None

    async def open(self, store: Store) -> None:
        """Find out whether the database was set up with this key; the first one counts."""
        mark = self.derive("mark")[:8]
        self.are_right = await store.keep_key_mark(mark) == mark
        if not self.are_right:
            emit(MASTER_KEY_DIFFERS)

    def demand_right(self) -> None:
        """Raise WrongMasterKey unless this is the key that the database was set up with."""
        if not self.are_right:
            raise WrongMasterKey(
                "the master key of this server is not the one that its database was set up with; "
                "give it that file (setting master_key; by default master.key in the data folder)"
            )
