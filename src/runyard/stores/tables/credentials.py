"""Tickets, API keys and signing keys: binding and decoding."""

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.model.credentials import ApiKey, SigningKey, Ticket, TicketEnd
from runyard.model.ids import ApiKeyId, TicketId, UserId
from runyard.stores.codes import instant, instant_or_none, micros, micros_or_none
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_REMEMBERED = timedelta(days=1)
"""How long an expired ticket's row tells why it ended."""


class TicketTable:
    """Tickets, by id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, ticket: Ticket, most: int) -> None:
        """Keep a new ticket; the user's others end as the contract says."""
        at = micros(ticket.created_at)
        statements = [
            Statement("delete_old_tickets", ((ticket.user_id, at - _micros_of(_REMEMBERED)),))
        ]
        if not ticket.is_multiple:
            statements.append(Statement("end_single_tickets", ((ticket.user_id, at),)))
        statements.append(Statement("insert_ticket", (_ticket_row(ticket),)))
        statements.append(Statement("end_oldest_tickets", ((ticket.user_id, at, most),)))
        await self._db.write(a_piece(WriteClass.OUTCOME, *statements))

    async def replace(self, old: TicketId, ticket: Ticket) -> bool:
        """End a ticket and keep its successor; False when it has ended already."""
        end = (old, micros(ticket.created_at), TicketEnd.REFRESHED.value)
        [ended, _] = await self._db.write(
            a_piece(
                WriteClass.OUTCOME,
                Statement("end_ticket", (end,), needs=1),
                Statement("insert_ticket", (_ticket_row(ticket),)),
            )
        )
        return bool(ended)

    async def find(self, ticket: TicketId) -> Ticket | None:
        """One ticket, ended or expired ones included."""
        row = await self._db.one("find_ticket", ticket_id=ticket)
        return _ticket_from(row) if row else None

    async def end(self, ticket: TicketId, end: TicketEnd, at: datetime) -> bool:
        """False when it has ended already."""
        statement = Statement("end_ticket", ((ticket, micros(at), end.value),))
        [ended] = await self._db.write(a_piece(WriteClass.OUTCOME, statement))
        return bool(ended)


class ApiKeyTable:
    """API keys, by the SHA-256 of what programs present."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, key: ApiKey, digest: bytes) -> None:
        """Keep a new key."""
        row = (
            key.id,
            key.user_id,
            key.name,
            digest,
            key.last_characters,
            micros(key.created_at),
            micros_or_none(key.expires_at),
        )
        await self._db.write(a_piece(WriteClass.OUTCOME, Statement("insert_api_key", (row,))))

    async def find_by_digest(self, digest: bytes) -> ApiKey | None:
        """The key, revoked or expired ones included."""
        row = await self._db.one("find_api_key_by_digest", digest=digest)
        return _key_from(row) if row else None

    async def list(self, user: UserId) -> builtins.list[ApiKey]:
        """A user's keys, newest first."""
        return [_key_from(row) for row in await self._db.all("list_api_keys", user_id=user)]

    async def revoke(self, user: UserId, key: ApiKeyId, at: datetime) -> bool:
        """Revoke it and end every ticket that it got; False when the user has no such key."""
        [revoked, _] = await self._db.write(
            a_piece(
                WriteClass.OUTCOME,
                Statement("revoke_api_key", ((user, key, micros(at)),), needs=1),
                Statement("end_tickets_of_key", ((key, micros(at)),)),
            )
        )
        return bool(revoked)

    async def note_use(self, key: ApiKeyId, at: datetime) -> None:
        """Remember when it was used."""
        statement = Statement("note_api_key_use", ((key, micros(at)),))
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))


class SigningKeyTable:
    """Signing keys, newest first."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add_first(self, key: SigningKey) -> None:
        """Keep a key unless there is one that signs."""
        row = (key.id, key.sealed, micros(key.created_at))
        statement = Statement("insert_first_signing_key", (row,))
        await self._db.write(a_piece(WriteClass.OUTCOME, statement, size=4_000))

    async def rotate(self, key: SigningKey, forget_before: datetime) -> None:
        """Keep a key and retire the others; those that were retired long ago go."""
        at = micros(key.created_at)
        await self._db.write(
            a_piece(
                WriteClass.OUTCOME,
                Statement("delete_old_signing_keys", ((micros(forget_before),),)),
                Statement("retire_signing_keys", ((at,),)),
                Statement("insert_signing_key", ((key.id, key.sealed, at),)),
                size=4_000,
            )
        )

    async def discard(self, keys: Sequence[str]) -> None:
        """Forget keys."""
        statement = Statement("delete_signing_key", [(key,) for key in keys])
        await self._db.write(a_piece(WriteClass.OUTCOME, statement))

    async def list(self) -> builtins.list[SigningKey]:
        """All keys, newest first."""
        return [
            SigningKey(
                id=row[0],
                sealed=row[1],
                created_at=instant(row[2]),
                retired_at=instant_or_none(row[3]),
            )
            for row in await self._db.all("list_signing_keys")
        ]


def _micros_of(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _ticket_row(ticket: Ticket) -> Row:
    return (
        ticket.id,
        ticket.user_id,
        ticket.company_id,
        ticket.api_key_id,
        int(ticket.is_multiple),
        micros(ticket.created_at),
        micros(ticket.expires_at),
    )


def _ticket_from(row: Row) -> Ticket:
    return Ticket(
        id=row[0],
        user_id=row[1],
        company_id=row[2],
        api_key_id=row[3],
        is_multiple=bool(row[4]),
        created_at=instant(row[5]),
        expires_at=instant(row[6]),
        ended_at=instant_or_none(row[7]),
        end=None if row[8] is None else TicketEnd(row[8]),
    )


def _key_from(row: Row) -> ApiKey:
    return ApiKey(
        id=row[0],
        user_id=row[1],
        name=row[2],
        last_characters=row[3],
        created_at=instant(row[4]),
        expires_at=instant_or_none(row[5]),
        revoked_at=instant_or_none(row[6]),
        last_used_at=instant_or_none(row[7]),
    )
