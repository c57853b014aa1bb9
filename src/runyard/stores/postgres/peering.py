"""Telling other servers of one database something, and hearing from them.

One connection of its own does both, outside of every group of writing: a NOTIFY inside one would
make all committing servers wait for each other. It also holds the lock that stands for the server's
name. When it breaks it is opened again, and what was told meanwhile is lost.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg

from runyard.model.errors import StorageUnavailable
from runyard.model.ids import GateId, RunId, SessionId
from runyard.model.servers import Server
from runyard.stores.codes import instant, instant_or_none, micros
from runyard.stores.contract.peering import Answer, Errand, Holding, Verb
from runyard.stores.postgres.connecting import FOR_LISTENING, Connector, DatabaseRefused, pause
from runyard.stores.postgres.link import Bound, Link, LinkLost, Prepared, Rows
from runyard.stores.postgres.statements import Shape
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_LISTEN = Bound(Prepared(b"listen", b"LISTEN runyard"))
_FIRST_BACK_OFF = 0.05
_LONGEST_BACK_OFF = 1.0
_BEFORE_NEXT_TRY = 5.0
_BETWEEN_TELLINGS = 0.01
"""NOTIFY takes a lock that all who use it wait for; every one also wakes every server."""

_Lost = (LinkLost, psycopg.Error, DatabaseRefused)


class PostgresPeering:
    """A server's connection to the others."""

    def __init__(self, db: Database, connector: Connector, shapes: Mapping[str, Shape]) -> None:
        self._db = db
        self._connector = connector
        self._shapes = shapes
        self._link: Link | None = None
        self._entered: Server | None = None
        self._attending = False
        self._named: Link | None = None
        """The connection that holds the name."""
        self._told_at = 0.0

    @property
    def is_listening(self) -> bool:
        """Whether news that are told now would arrive here."""
        return self._attending and self._link is not None and self._link.is_open

    async def enter(self, server: Server) -> bool:
        """Take a name and be listed under it; False when a server that is connected has it."""
        try:
            if not await self._take_name(await self._connected(), server.name):
                return False
        except _Lost as problem:
            raise StorageUnavailable(f"the database cannot be listened to: {problem}") from problem
        self._entered = server
        row = (
            server.name,
            server.incarnation,
            server.address,
            server.version,
            micros(server.started_at),
        )
        await self._write("enter_server", row)
        return True

    async def leave(self, at: datetime) -> None:
        """Be listed as stopped, and let the name go."""
        server, self._entered = self._entered, None
        if server is None:
            return
        await self._write("leave_server", (server.name, server.incarnation, micros(at)))
        await self._ask("drop_name", server.name)
        self._named = None

    async def servers(self) -> list[Server]:
        """Every server that was ever here and is not forgotten, by name."""
        return [_server_from(row) for row in await self._db.all("list_servers")]

    async def forget(self, seen_before: datetime) -> None:
        """Take servers off the list that are not connected and were last seen before this instant."""
        for server in await self.servers():
            if not server.is_connected and server.seen_at < seen_before:
                await self._write("forget_server", (server.name, micros(seen_before)))

    async def begin_duty(self, duty: str) -> bool:
        """Have a duty to oneself; False while another server has it, or nobody can know."""
        rows = await self._ask("take_duty", duty)
        return rows is not None and bool(rows[0][0])

    async def end_duty(self, duty: str) -> None:
        """Leave it to whoever comes next."""
        await self._ask("drop_duty", duty)

    async def tell(self, news: str) -> bool:
        """Tell all servers that listen, this one included; False when it cannot be told now."""
        loop = asyncio.get_running_loop()
        if (early := self._told_at + _BETWEEN_TELLINGS - loop.time()) > 0:
            await pause(early)
        self._told_at = loop.time()
        return await self._ask("tell", news) is not None

    async def attend(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """Listen until cancelled, connecting again and again."""
        back_off = _FIRST_BACK_OFF
        try:
            while True:
                try:
                    link = await self._connected()
                    link.hear = hear
                    await link.send([_LISTEN])
                except _Lost:
                    await self._drop()
                    await pause(back_off)
                    back_off = min(2 * back_off, _LONGEST_BACK_OFF)
                    continue
                back_off = _FIRST_BACK_OFF
                self._attending = True
                begun()
                await self._stay(link)
                self._attending = False
        finally:
            self._attending = False

    async def holdings(self, runs: Sequence[RunId]) -> list[Holding]:
        """Who holds these runs; those that are not running are absent."""
        return [
            _holding_from(row) for row in await self._db.all("holdings_of_runs", run_ids=list(runs))
        ]

    async def unbegun(self, gates: Sequence[GateId], but: Sequence[SessionId]) -> list[Holding]:
        """Runs of these gates that other sessions than these hold and that have not begun."""
        rows = await self._db.all("unbegun_elsewhere", gate_ids=list(gates), session_ids=list(but))
        return [_holding_from(row) for row in rows]

    async def leases(self, sessions: Sequence[SessionId]) -> dict[SessionId, datetime]:
        """Until when the leases of these sessions last; closed ones are absent."""
        rows = await self._db.all("leases_of_sessions", session_ids=list(sessions))
        return {SessionId(session): instant(until) for session, until in rows}

    async def ask(self, errands: Sequence[Errand]) -> None:
        """Ask this of the servers that have these sessions."""
        rows = [
            (
                errand.id,
                errand.session_id,
                errand.verb.value,
                errand.company_id,
                errand.run_id,
                errand.token,
                micros(errand.asked_at),
                errand.body,
            )
            for errand in errands
        ]
        await self._write("ask_errand", *rows, write_class=WriteClass.OUTCOME)

    async def asked(self, sessions: Sequence[SessionId]) -> list[Errand]:
        """What is asked of the server that has these sessions, and not answered yet."""
        rows = await self._db.all("unanswered_errands", session_ids=list(sessions))
        return [_errand_from(row) for row in rows]

    async def answer(self, answers: Sequence[tuple[int, Answer, bytes | None]]) -> None:
        """Answer errands, by their ids, with a finding if the verb has one."""
        rows = [(errand, answer.value, finding) for errand, answer, finding in answers]
        await self._write("answer_errand", *rows, write_class=WriteClass.OUTCOME)

    async def answers(self, errands: Sequence[int]) -> dict[int, Answer]:
        """Answers to those of these errands that have been answered."""
        rows = await self._db.all("answers_of_errands", errand_ids=list(errands))
        return {errand: Answer(answer) for errand, answer in rows}

    async def findings(self, errands: Sequence[int]) -> dict[int, bytes | None]:
        """Findings of those of these errands that have been answered."""
        rows = await self._db.all("findings_of_errands", errand_ids=list(errands))
        return dict(rows)

    async def withdraw(self, errands: Sequence[int]) -> None:
        """Whatever the answer, nobody waits for it any more."""
        await self._write("withdraw_errand", *[(errand,) for errand in errands])

    async def forget_errands(self, asked_before: datetime) -> None:
        """Take away what was asked before this instant by servers that died."""
        await self._write("forget_errands", (micros(asked_before),))

    async def close(self) -> None:
        """Stop listening."""
        await self._drop()

    async def _connected(self) -> Link:
        if self._link is None or not self._link.is_open:
            self._link = await self._connector.open_link(FOR_LISTENING)
        return self._link

    async def _stay(self, link: Link) -> None:
        """Until the connection breaks. The one before may have broken so that the database does not
        know it yet: then our name is still that one's for a moment.
        """
        while link.is_open:
            is_ours = self._entered is None or await self._kept_name(link, self._entered.name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if is_ours else _BEFORE_NEXT_TRY):
                    await link.closed.wait()

    async def _kept_name(self, link: Link, name: str) -> bool:
        try:
            return await self._take_name(link, name)
        except _Lost:
            return False

    async def _take_name(self, link: Link, name: str) -> bool:
        if self._named is not link:
            [[row]] = await link.send([self._bound("take_name", name)])
            if row[0]:
                self._named = link
        return self._named is link

    async def _ask(self, query: str, value: str) -> Rows | None:
        link = self._link
        if link is None:
            return None
        try:
            [rows] = await link.send([self._bound(query, value)])
        except (LinkLost, psycopg.Error):
            return None
        return rows

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _write(
        self, query: str, *rows: Row, write_class: WriteClass = WriteClass.MAINTENANCE
    ) -> None:
        await self._db.write(a_piece(write_class, Statement(query, rows)))

    def _bound(self, query: str, value: str) -> Bound:
        return self._shapes[query].bound_row((value,))


def _holding_from(row: Row) -> Holding:
    return Holding(
        run_id=row[0],
        company_id=row[1],
        gate_id=row[2],
        session_id=SessionId(row[3] or 0),
        token=row[4],
        attempt=row[5],
        begun_at=instant_or_none(row[6]),
        created_at=instant(row[7]),
        lease_expires_at=instant_or_none(row[8]),
    )


def _errand_from(row: Row) -> Errand:
    return Errand(
        id=row[0],
        session_id=row[1],
        verb=Verb(row[2]),
        company_id=row[3],
        run_id=row[4],
        token=row[5],
        asked_at=instant(row[6]),
        body=bytes(row[7]),
    )


def _server_from(row: Row) -> Server:
    return Server(
        name=row[0],
        incarnation=row[1],
        address=row[2],
        version=row[3],
        started_at=instant(row[4]),
        seen_at=instant(row[5]),
        left_at=instant_or_none(row[6]),
        is_connected=bool(row[7]),
    )
