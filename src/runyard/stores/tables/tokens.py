"""Tokens: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.model.ids import CompanyId, TokenId
from runyard.model.tokens import Role, Token, TokenKind
from runyard.stores.codes import instant, instant_or_none, micros, micros_or_none
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_USE_INTERVAL = timedelta(minutes=1)


class TokenTable:
    """Tokens, by the SHA-256 of what programs present."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, token: Token, digest: bytes) -> None:
        """Keep a new token."""
        row = (
            token.id,
            token.company_id,
            token.kind.value,
            token.role.value,
            token.name,
            digest,
            token.last_characters,
            micros(token.created_at),
            micros_or_none(token.expires_at),
            micros_or_none(token.revoked_at),
            micros_or_none(token.last_used_at),
            int(token.joins),
        )
        await self._db.write(a_piece(WriteClass.START, Statement("insert_token", (row,))))

    async def find_by_digest(self, digest: bytes) -> Token | None:
        """The token, revoked or expired ones included."""
        row = await self._db.one("find_token_by_digest", digest=digest)
        return _token_from(row) if row else None

    async def find(self, token: TokenId) -> Token | None:
        """One token, revoked or expired ones included."""
        row = await self._db.one("find_token", token_id=token)
        return _token_from(row) if row else None

    async def revoke(self, company: CompanyId | None, token: TokenId, at: datetime) -> bool:
        """False when there is no such token there."""
        statement = Statement("revoke_token", ((token, company, micros(at)),))
        [revoked] = await self._db.write(a_piece(WriteClass.OUTCOME, statement))
        return bool(revoked)

    async def note_use(self, uses: Sequence[tuple[TokenId, datetime]]) -> None:
        """Remember when tokens were used, at most once a minute each."""
        rows = [(token, micros(at), micros(at - _USE_INTERVAL)) for token, at in uses]
        statement = Statement("note_token_use", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def valid(self, tokens: Sequence[TokenId], now: datetime) -> set[TokenId]:
        """Those of these that are neither revoked nor expired."""
        rows = await self._db.all("valid_tokens", token_ids=list(tokens), now=micros(now))
        return {TokenId(row[0]) for row in rows}

    async def list(self, company: CompanyId | None) -> list[Token]:
        """Tokens of a company, or of the installation, newest first."""
        return [_token_from(row) for row in await self._db.all("list_tokens", company_id=company)]


def _token_from(row: Row) -> Token:
    return Token(
        id=row[0],
        company_id=row[1],
        kind=TokenKind(row[2]),
        role=Role(row[3]),
        name=row[4],
        last_characters=row[5],
        created_at=instant(row[6]),
        expires_at=instant_or_none(row[7]),
        revoked_at=instant_or_none(row[8]),
        last_used_at=instant_or_none(row[9]),
        joins=bool(row[10]),
    )
