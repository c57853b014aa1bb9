"""Opening connections: what is set on them, and what is refused."""

import asyncio
from typing import Any

import psycopg
from psycopg import conninfo

from runyard.model.errors import RunyardError
from runyard.stores.postgres.link import Link

OLDEST_SERVER_VERSION = 140_000
_CONNECT_SECONDS = "5"

IN_USE = 7_218_405_914
"""Means "a server writes here" among the advisory locks of a database: each of its connections that
write holds it shared. Who builds a database or leaves it (`transfer`) needs it alone.
"""

_COMMON = (
    "SET application_name = 'runyard'",
    "SET jit = off",
    "SET timezone = 'UTC'",
    "SET client_min_messages = error",
    # A table may have been small when the planner last looked. Every statement of ours goes by an
    # index where there is one, so that its cost does not depend on statistics.
    "SET enable_seqscan = off",
)

FOR_WRITING = (
    *_COMMON,
    "SET plan_cache_mode = force_generic_plan",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET statement_timeout = '60s'",
    "SET lock_timeout = '20s'",
    # A server that stands still, or whose machine is gone, may hold locks that all others wait for:
    # they go on within half the time after which its runs are theirs anyway.
    "SET idle_in_transaction_session_timeout = '5s'",
    f"SELECT pg_advisory_lock_shared({IN_USE})",
)
FOR_READING = (
    *_COMMON,
    "SET default_transaction_read_only = on",
    # Lists are read in the order of their index, as far as they are shown.
    "SET enable_bitmapscan = off",
    # Reading it all at once, however quickly, is no way to read the first of it.
    "SET max_parallel_workers_per_gather = 0",
    # Planning a list takes longer than reading a page of it, and no plan shall depend on a value.
    "SET plan_cache_mode = force_generic_plan",
    "SET statement_timeout = '30s'",
)
FOR_LISTENING = (
    *_COMMON,
    "SET statement_timeout = '10s'",
    # News are about what is on disk already: telling them need not wait for it again.
    "SET synchronous_commit = off",
    # A server whose machine lost its power does not keep its name for hours.
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)


class DatabaseRefused(RunyardError):
    """This database cannot be used."""


class Connector:
    """Opens links to one database."""

    def __init__(self, url: str) -> None:
        self._conninfo = conninfo.make_conninfo(
            url,
            connect_timeout=_CONNECT_SECONDS,
            keepalives_idle="10",
            keepalives_interval="5",
            keepalives_count="3",
        )

    async def open_link(self, settings: tuple[str, ...]) -> Link:
        """A new link with these settings. Raises psycopg.OperationalError, or DatabaseRefused."""
        connection = await self.open_connection()
        try:
            await connection.execute("; ".join(settings))
        except BaseException:
            await connection.close()
            raise
        return Link(connection)

    async def open_connection(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A new plain connection that commits each statement."""
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            await _refuse_unfit(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _refuse_unfit(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    require_new_enough(connection.info.server_version)
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    # A pooler hands out a process id of its own making, for it does not know yet which server
    # process will serve the next transaction.
    if row is None or row[0] != connection.info.backend_pid:
        raise DatabaseRefused(
            "the database address leads to a connection pooler (such as PgBouncer); prepared "
            "statements and notifications need a direct connection: give the address of "
            "PostgreSQL itself"
        )


def require_new_enough(version: int) -> None:
    """Raises DatabaseRefused for a PostgreSQL that is too old."""
    if version < OLDEST_SERVER_VERSION:
        raise DatabaseRefused(
            f"PostgreSQL {version // 10_000} is too old; Runyard needs 14 or newer"
        )


async def pause(duration: float) -> None:
    """Wait this many seconds of the event loop's time."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(duration, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
