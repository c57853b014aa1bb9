"""The server's side of one database file: what waits, what is under way, who is answered."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from runyard.model.errors import Overloaded, RunyardError, StorageUnavailable
from runyard.stores.filters import Listing
from runyard.stores.migrations import Migration
from runyard.stores.queries import Query
from runyard.stores.sqlite.counting import RECOVER
from runyard.stores.sqlite.link import WriterLink, decode_welcome
from runyard.stores.sqlite.readers import Readers
from runyard.stores.sqlite.writer import UNAVAILABLE, Hello, Welcome
from runyard.stores.tables.pieces import CLAIM, Answer, Piece, Row, WriteClass, WriteRefused

MOST_PIECES_WAITING = 5000
MOST_BYTES_WAITING = 32 * 1024 * 1024
_MOST_PIECES_A_GROUP = 400
_MOST_BYTES_A_GROUP = 8 * 1024 * 1024
_RESTART_PAUSE_SECONDS = 1.0

Waiting = tuple[Piece, "asyncio.Future[list[Answer]]"]

_encode = msgspec.msgpack.Encoder().encode
_Reply = tuple[list[list[list[tuple[Any, ...]]] | None], dict[int, tuple[str, str]]]
_decode_reply = msgspec.msgpack.Decoder(_Reply).decode
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class StoreClosed(RunyardError):
    """The store has been closed."""


class CannotOpen(RunyardError):
    """The database cannot be opened."""


def numbered(query: Query) -> str:
    """The SQL with `?1`, `?2`, ... in the order of the heading, for rows as tuples."""
    numbers = {name: f"?{index}" for index, name in enumerate(query.parameters, 1)}
    return _PARAMETER.sub(lambda match: numbers[match[1]], query.sql)


def list_text(query: str, branch: str, listing: Listing) -> str:
    """The text of a list: each range of each branch is told its index, as no statistics are kept."""
    text = query.replace(":branches", _ranges_text(branch, listing))
    if ":places" in text:
        text = text.replace(":places", _ranges_text(branch.replace(":rest", "1"), listing))
    return text.replace(":order", listing.order)


def _ranges_text(branch: str, listing: Listing) -> str:
    ranges = [
        branch.rstrip("\n;")
        .replace(":index", part.index)
        .replace(":rest", part.rest)
        .replace(":condition", condition)
        for part in listing.branches
        for condition in part.ranges()
    ]
    return " UNION ALL ".join(ranges)


class SqliteDatabase:
    """Group commit through a writer process, and reads beside it."""

    def __init__(
        self,
        path: Path,
        queries: Mapping[str, Query],
        migrations: Sequence[Migration],
        *,
        kept_open: Sequence[int] = (),
    ) -> None:
        self.path = path
        self.groups = 0
        self.pieces = 0
        self._queries = queries
        self._migrations = migrations
        self._kept_open = kept_open
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Waiting] = []
        self._waiting_size = 0
        self._under_way: list[Waiting] = []
        self._is_flush_due = False
        self._is_ready = False
        self._is_closing = False
        self._link: WriterLink | None = None
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._readers: Readers | None = None

    # ------------------------------------------------------------ opening and closing

    async def open(self, *, raises_incarnation: bool) -> Welcome:
        """Start the writer, which creates and migrates the file, then the readers."""
        self._start_writer(raises_incarnation=raises_incarnation)
        welcome = await self._welcome
        if welcome.error is not None:
            await self._end_writer()
            raise CannotOpen(welcome.error)
        self._readers = Readers(self.path, self._queries)
        return welcome

    async def close(self) -> None:
        """Write what waits, then end the writer and the readers."""
        self._is_closing = True
        await self._quiet.wait()
        await self._end_writer()
        if self._readers is not None:
            self._readers.close()

    def _start_writer(self, *, raises_incarnation: bool = False) -> None:
        hello = Hello(
            str(self.path),
            list(self._migrations),
            {name: numbered(query) for name, query in self._queries.items()},
            raises_incarnation,
        )
        self._welcome = self._loop.create_future()
        self._link = WriterLink(
            hello, kept_open=self._kept_open, on_frame=self._receive, on_end=self._recover
        )

    async def _end_writer(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # ------------------------------------------------------------ writing

    def write(self, piece: Piece) -> "asyncio.Future[list[Answer]]":
        """Enqueue a piece for the next group."""
        if self._is_closing:
            raise StoreClosed
        if (
            len(self._waiting) >= MOST_PIECES_WAITING
            or self._waiting_size + piece.size > MOST_BYTES_WAITING
        ):
            raise Overloaded
        future: asyncio.Future[list[Answer]] = self._loop.create_future()
        self._waiting.append((piece, future))
        self._waiting_size += piece.size
        self._quiet.clear()
        if not self._under_way and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return future

    @property
    def waiting(self) -> int:
        """How many pieces are not committed yet."""
        return len(self._waiting) + len(self._under_way)

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._waiting or self._under_way or self._link is None or not self._is_ready:
            return
        group = self._under_way = self._take_group()
        is_relaxed = all(piece.is_relaxed for piece, _ in group)
        self._link.send(_encode((is_relaxed, [piece.statements for piece, _ in group])))

    def _take_group(self) -> list[Waiting]:
        """What goes into the next group: everything, unless that is too much."""
        if len(self._waiting) <= _MOST_PIECES_A_GROUP and self._waiting_size <= _MOST_BYTES_A_GROUP:
            group, self._waiting = self._waiting, []
            self._waiting_size = 0
            return group
        return self._take_first()

    def _take_first(self) -> list[Waiting]:
        """The pieces of the most urgent classes, as many as a group takes, in submission order."""
        by_class = sorted(
            range(len(self._waiting)), key=lambda index: self._waiting[index][0].write_class
        )
        taken: set[int] = set()
        size = 0
        for index in by_class[:_MOST_PIECES_A_GROUP]:
            size += self._waiting[index][0].size
            if taken and size > _MOST_BYTES_A_GROUP:
                break
            taken.add(index)
        group = [self._waiting[index] for index in sorted(taken)]
        self._waiting = [entry for index, entry in enumerate(self._waiting) if index not in taken]
        self._waiting_size -= sum(piece.size for piece, _ in group)
        return group

    def _receive(self, frame: bytes) -> None:
        if not self._is_ready:
            self._be_welcomed(decode_welcome(frame))
            return
        answers, errors = _decode_reply(frame)
        group, self._under_way = self._under_way, []
        # The writer works on while the callers are answered.
        self._flush()
        self.groups += 1
        self.pieces += len(group)
        # Claims first: their runs are on the way to a child while others are still being answered.
        for index in sorted(range(len(group)), key=lambda index: _answered_after(group[index][0])):
            future, answer = group[index][1], answers[index]
            if future.done():
                continue
            if answer is not None:
                future.set_result(answer)
            else:
                future.set_exception(_error_from(*errors[index]))
        self._settle()

    def _be_welcomed(self, welcome: Welcome) -> None:
        if not self._welcome.done():
            self._welcome.set_result(welcome)
        self._is_ready = welcome.error is None
        if self._is_ready:
            self._flush()
        else:
            self._refuse_all(str(welcome.error))

    # ------------------------------------------------------------ a writer that died

    def _recover(self) -> None:
        """Start another writer; see the package's text for what becomes of the group under way."""
        was_ready, self._is_ready = self._is_ready, False
        self._link = None
        if not self._welcome.done():
            self._welcome.set_result(Welcome("the writer process ended before it had opened"))
        self._send_again()
        if not was_ready:
            self._refuse_all("the writer process does not start")
        if self._readers is not None:
            pause = 0.0 if was_ready else _RESTART_PAUSE_SECONDS
            self._loop.call_later(pause, self._restart)
        self._settle()

    def _send_again(self) -> None:
        """Sort the group under way: relaxed pieces wait again, of the others nobody can know."""
        group, self._under_way = self._under_way, []
        again: list[Waiting] = []
        for piece, future in group:
            if piece.is_relaxed:
                again.append((_again(piece), future))
            elif not future.done():
                future.set_exception(
                    StorageUnavailable("the writer died; whether this was written is unknown")
                )
        self._waiting[:0] = again
        self._waiting_size += sum(piece.size for piece, _ in again)

    def _refuse_all(self, reason: str) -> None:
        refused, self._waiting = self._waiting, []
        self._waiting_size = 0
        for _, future in refused:
            if not future.done():
                future.set_exception(StorageUnavailable(reason))
        self._settle()

    def _restart(self) -> None:
        if self._link is None and not (self._is_closing and not self._waiting):
            self._start_writer()

    def _settle(self) -> None:
        if not self.waiting:
            self._quiet.set()

    # ------------------------------------------------------------ reading

    async def all(self, query: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """All rows of a query."""
        return await self._reading.all(query, values)

    async def one(self, query: str, /, **values: Any) -> Row | None:  # noqa: ANN401
        """The first row of a query."""
        rows = await self._reading.all(query, values)
        return rows[0] if rows else None

    async def listed(
        self,
        query: str,
        branch: str,
        listing: Listing,
        /,
        **values: Any,  # noqa: ANN401
    ) -> list[Row]:
        """All rows of a query whose text has `:branches` in place of a listing's branches."""
        sql = list_text(self._reading.text(query), self._reading.text(branch), listing)
        return await self._reading.run(query, sql, {**values, **listing.values})

    @property
    def _reading(self) -> Readers:
        if self._readers is None:
            raise StoreClosed
        return self._readers


def _answered_after(piece: Piece) -> bool:
    return piece.write_class is not WriteClass.CLAIM


def _error_from(kind: str, text: str) -> RunyardError:
    if kind == UNAVAILABLE:
        return StorageUnavailable(f"nothing can be written at the moment ({text})")
    return WriteRefused(text)


def _again(piece: Piece) -> Piece:
    """A relaxed piece for a second writer, when the first may have committed it."""
    statements = tuple(
        msgspec.structs.replace(statement, query=RECOVER) if statement.query == CLAIM else statement
        for statement in piece.statements
    )
    return msgspec.structs.replace(piece, statements=statements)
