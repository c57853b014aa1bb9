"""The shape of a write, shared by both databases, and what a database must be able to do.

A *piece* is one atomic write. It is a plain value: statements by name, with rows as tuples in the
order in which the query's heading in the `.sql` file names its parameters. A database merges the
pieces of a group as it likes, as long as each piece answers as if it had run alone, after all
pieces submitted before it:

- The statements of a piece run in order, the rows of a statement in order.
- A statement's answer is the list of rows that its RETURNING (or SELECT) gave, for all its rows
  together. Guards are conditions in the SQL, so losers are absent from the answer.
- `needs`: when a statement answers fewer rows than this, the rest of the piece is skipped (later
  answers are empty lists). Statements before it in the same piece have then changed nothing.
- `follows`: the index of an earlier statement of the piece. Only rows run whose first value is
  among the first values of that statement's answer.
- A row's first value is the run's id wherever the query's first parameter is `run_id`; a database
  may rely on that to tell which pieces concern the same run. Within one piece a statement names a
  run at most once, except `delete_...`, `insert_chunk`, `keep_step` and those of callbacks, which may
  answer a row more than once.

`claim_runs` is the one statement that is no query of its own: its single row is (session_id,
worker_id, first_token, at, ((company_id, count, (gate_id, ...)), ...)), and its answer holds the
rows (run_id, public_id, company_id, task_id, version_id, gate_id, token, attempt, rank, value,
digest); each database has a strategy module for it.
"""

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

import msgspec

from runyard.model.errors import RunyardError
from runyard.stores.filters import Listing

Row: TypeAlias = tuple[Any, ...]
Answer: TypeAlias = list[Row]

CLAIM = "claim_runs"


class WriteClass(IntEnum):
    """Who goes first when the write queue is long."""

    OUTCOME = 0
    CLAIM = 1
    START = 2
    MAINTENANCE = 3


class WriteRefused(RunyardError):
    """The database refused a write that its guards should have caught: a defect."""


class Statement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One named query and the rows it runs for."""

    query: str
    rows: Sequence[Row]
    needs: int = 0
    follows: int = -1


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One atomic write."""

    write_class: WriteClass
    statements: tuple[Statement, ...]
    size: int
    """About how many bytes it holds, for back-pressure."""
    is_relaxed: bool = False
    """Whether it may become durable later, with the next piece that is not relaxed."""


class Database(Protocol):
    """What the table code needs of a database."""

    def write(self, piece: Piece) -> "asyncio.Future[list[Answer]]":
        """Enqueue a piece now; the answers of its statements once it is committed. Raises
        Overloaded at once when too much is waiting.
        """

    async def all(self, query: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """All rows of a query. A list as a value stands for a set of integers or texts."""

    async def one(self, query: str, /, **values: Any) -> Row | None:  # noqa: ANN401
        """The first row of a query."""

    async def listed(
        self,
        query: str,
        branch: str,
        listing: Listing,
        /,
        **values: Any,  # noqa: ANN401
    ) -> list[Row]:
        """All rows of a query whose text has `:branches` in place of a listing's branches, each of
        which is the text of `branch` with the condition of one range.
        """


def enqueue(db: Database, piece: Piece) -> "asyncio.Future[list[Answer]]":
    """Enqueue a piece; a refusal reaches whoever awaits it, not whoever calls."""
    try:
        return db.write(piece)
    except RunyardError as refusal:
        refused: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        refused.set_exception(refusal)
        return refused


def a_piece(
    write_class: WriteClass, *statements: Statement, size: int = 200, is_relaxed: bool = False
) -> Piece:
    """A piece of these statements."""
    return Piece(write_class, statements, size, is_relaxed)
