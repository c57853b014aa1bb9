"""A connection that is driven by callbacks: statements go out in one packet, answers come in one.

A *flight* is a list of prepared statements followed by one synchronisation. The next flight may be
sent before the last one has landed. No task waits on the socket: the event loop calls back when
bytes are there, and a whole flight costs one callback. That is several times cheaper than a cursor
per statement, and the same class serves readers, writers and whoever listens to what other servers
tell.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]
Rows = list[Row]

_FINE = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
_BINARY = 1
_DEADLY = frozenset({b"FATAL", b"PANIC"})
_CONNECT_SECONDS = 10


class LinkLost(Exception):
    """The connection ended; whether its last statements were carried out is unknown."""


class Prepared(NamedTuple):
    """A statement as a link prepares it, once, under its name. Without a name: each time."""

    name: bytes
    sql: bytes


class Bound(NamedTuple):
    """A prepared statement with its values, each in the given format (0 text, 1 binary)."""

    statement: Prepared
    values: Sequence[bytes | None] = ()
    formats: Sequence[int] = ()


class Flight:
    """What is under way, and what has come back of it so far."""

    __slots__ = ("answers", "expected", "failure", "landed")

    def __init__(self, landed: "asyncio.Future[list[Rows]]") -> None:
        self.landed = landed
        self.answers: list[Rows] = []
        self.expected: deque[bytes | None] = deque()
        """For each result to come: the name that is being prepared, or None for an answer."""
        self.failure: psycopg.Error | None = None


class Link:
    """One open connection in pipeline mode."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self._wire = connection.pgconn
        self._descriptor = self._wire.socket
        self._loop = asyncio.get_running_loop()
        self._decoder = Transformer(connection)
        self._prepared: set[bytes] = set()
        self._flights: deque[Flight] = deque()
        self.is_open = True
        self.closed = asyncio.Event()
        self.hear: Callable[[str], None] | None = None
        """Gets whatever is told on the channels that this link listens to."""
        self.backend = self._wire.backend_pid
        self._wire.enter_pipeline_mode()
        self._loop.add_reader(self._descriptor, self._receive)

    @property
    def load(self) -> int:
        """How many flights are under way."""
        return len(self._flights)

    def send(self, statements: Sequence[Bound]) -> "asyncio.Future[list[Rows]]":
        """Send a flight; the rows of each of its statements when all of them have come back.

        Raises the database's error for the first statement that failed (what follows it in the
        flight was skipped), or LinkLost.
        """
        landed: asyncio.Future[list[Rows]] = self._loop.create_future()
        if not self.is_open:
            landed.set_exception(LinkLost("the connection to the database is closed"))
            return landed
        flight = Flight(landed)
        self._flights.append(flight)
        try:
            for bound in statements:
                self._put(bound, flight)
            self._wire.pipeline_sync()
            self._flush()
        except psycopg.Error as lost:
            self._lose(str(lost))
        return landed

    async def close(self) -> None:
        """Let go. Flights under way are lost."""
        self._lose("the connection to the database was closed")

    def _put(self, bound: Bound, flight: Flight) -> None:
        name = bound.statement.name
        if name not in self._prepared:
            self._wire.send_prepare(name, bound.statement.sql)
            if name:
                self._prepared.add(name)
            flight.expected.append(name)
        self._wire.send_query_prepared(name, bound.values, bound.formats, _BINARY)
        flight.expected.append(None)

    def _flush(self) -> None:
        if self._wire.flush():
            self._loop.add_writer(self._descriptor, self._flush_rest)

    def _flush_rest(self) -> None:
        try:
            if not self._wire.flush():
                self._loop.remove_writer(self._descriptor)
        except psycopg.Error as lost:
            self._lose(str(lost))

    def _receive(self) -> None:
        try:
            self._wire.consume_input()
            self._take_results()
            self._take_news()
        except psycopg.Error as lost:
            self._lose(str(lost))

    def _take_results(self) -> None:
        wire = self._wire
        while self._flights and not wire.is_busy():
            result = wire.get_result()
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                _land(self._flights.popleft())
            else:
                self._keep(result, self._flights[0])

    def _take_news(self) -> None:
        if self.hear is not None:
            while (news := self._wire.notifies()) is not None:
                self.hear(news.extra.decode())

    def _keep(self, result: PGresult, flight: Flight) -> None:
        prepared = flight.expected.popleft() if flight.expected else None
        if result.status in _FINE:
            if prepared is None:
                flight.answers.append(self._rows_of(result))
            return
        if prepared is not None:
            self._prepared.discard(prepared)
        if result.status == pq.ExecStatus.FATAL_ERROR and flight.failure is None:
            if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in _DEADLY:
                # The server ends the connection; what became of a commit is not known here.
                raise errors.error_from_result(result)
            flight.failure = errors.error_from_result(result)

    def _rows_of(self, result: PGresult) -> Rows:
        count = result.ntuples
        if not count:
            return []
        self._decoder.set_pgresult(result)
        return self._decoder.load_rows(0, count, tuple)

    def _lose(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._wire.finish()
        self.closed.set()
        flights, self._flights = self._flights, deque()
        for flight in flights:
            if not flight.landed.done():
                flight.landed.set_exception(LinkLost(reason))


def _land(flight: Flight) -> None:
    if flight.landed.done():
        return
    if flight.failure is not None:
        flight.landed.set_exception(flight.failure)
    else:
        flight.landed.set_result(flight.answers)
