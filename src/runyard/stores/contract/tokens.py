"""The part of the Store contract that is about the tokens of programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.model.ids import CompanyId, TokenId
from runyard.model.tokens import Token


class Tokens(Protocol):
    """Tokens, by the SHA-256 of what programs present."""

    async def create(self, token: Token, digest: bytes) -> None:
        """Keep a new token."""

    async def find_by_digest(self, digest: bytes) -> Token | None:
        """The token, revoked or expired ones included."""

    async def find(self, token: TokenId) -> Token | None:
        """One token, revoked or expired ones included (internal: the id comes from a row)."""

    async def revoke(self, company: CompanyId | None, token: TokenId, at: datetime) -> bool:
        """False when there is no such token there. Revoking again keeps the first instant."""

    async def note_use(self, uses: Sequence[tuple[TokenId, datetime]]) -> None:
        """Remember when tokens were used (relaxed; at most once a minute each)."""

    async def valid(self, tokens: Sequence[TokenId], now: datetime) -> set[TokenId]:
        """Those of these that are neither revoked nor expired."""

    async def list(self, company: CompanyId | None) -> list[Token]:
        """Tokens of a company, or of the installation, newest first."""
