"""Bringing a PostgreSQL database to the schema of this release.

All of it happens in one transaction under one advisory lock, so that servers that start at the same
moment go through here one after the other, and a start that is killed leaves nothing half done.
"""

from collections.abc import Sequence
from typing import Any

import psycopg

from runyard.stores.migrations import Migration, missing_migrations

_LOCK_NUMBER = 7_218_405_913
"""Means "the schema of Runyard" among the advisory locks of a database."""

_CREATE_BOOK = """
CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


async def migrate(
    connection: psycopg.AsyncConnection[Any], migrations: Sequence[Migration]
) -> None:
    """Apply what is missing; raises SchemaTooNew when the database is ahead of the code."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_NUMBER,))
        await connection.execute("SET LOCAL client_min_messages = error")
        await connection.execute(_CREATE_BOOK)
        rows = await (await connection.execute("SELECT number FROM migrations")).fetchall()
        for migration in missing_migrations(migrations, [row[0] for row in rows]):
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO migrations (number, name) VALUES (%s, %s)",
                (migration.number, migration.name),
            )


def migrate_within(connection: psycopg.Connection[Any], migrations: Sequence[Migration]) -> None:
    """The same, inside a transaction that somebody else has begun and will end."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_NUMBER,))
    connection.execute(_CREATE_BOOK)
    applied = [row[0] for row in connection.execute("SELECT number FROM migrations")]
    for migration in missing_migrations(migrations, applied):
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO migrations (number, name) VALUES (%s, %s)",
            (migration.number, migration.name),
        )
