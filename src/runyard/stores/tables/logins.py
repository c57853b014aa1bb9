"""Logins: binding and decoding."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.model.ids import LoginId, UserId
from runyard.model.users import Login
from runyard.stores.codes import instant, instant_or_none, micros
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_USE_INTERVAL = timedelta(minutes=1)


class LoginTable:
    """Logins, by the SHA-256 of what browsers present."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, login: Login, digest: bytes) -> None:
        """Keep a new login; the user's ended ones go."""
        row = (
            login.id,
            login.user_id,
            digest,
            micros(login.created_at),
            micros(login.last_used_at),
            micros(login.expires_at),
            login.address,
            login.browser,
        )
        ended = (login.user_id, micros(login.created_at))
        await self._db.write(
            a_piece(
                WriteClass.OUTCOME,
                Statement("delete_ended_logins", (ended,)),
                Statement("insert_login", (row,)),
            )
        )

    async def find_by_digest(self, digest: bytes) -> Login | None:
        """The login, revoked or expired ones included."""
        row = await self._db.one("find_login_by_digest", digest=digest)
        return _login_from(row) if row else None

    async def list(self, user: UserId, at: datetime) -> list[Login]:
        """A user's logins that are neither revoked nor expired, newest first."""
        rows = await self._db.all("list_logins", user_id=user, at=micros(at))
        return [_login_from(row) for row in rows]

    async def note_use(self, uses: Sequence[tuple[LoginId, datetime]]) -> None:
        """Remember when logins were used, at most once a minute each."""
        rows = [(login, micros(at), micros(at - _USE_INTERVAL)) for login, at in uses]
        statement = Statement("note_login_use", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def revoke(self, user: UserId, login: LoginId, at: datetime) -> bool:
        """False when the user has no such login."""
        statement = Statement("revoke_login", ((user, login, micros(at)),))
        [revoked] = await self._db.write(a_piece(WriteClass.OUTCOME, statement))
        return bool(revoked)

    async def revoke_all(self, user: UserId, at: datetime, kept: LoginId | None = None) -> None:
        """All of a user's, but for the kept one, and every ticket of the user."""
        await self._db.write(
            a_piece(
                WriteClass.OUTCOME,
                Statement("revoke_logins", ((user, micros(at), kept),)),
                Statement("end_tickets", ((user, micros(at)),)),
            )
        )


def _login_from(row: Row) -> Login:
    return Login(
        id=row[0],
        user_id=row[1],
        created_at=instant(row[2]),
        last_used_at=instant(row[3]),
        expires_at=instant(row[4]),
        revoked_at=instant_or_none(row[5]),
        address=row[6],
        browser=row[7],
    )
