"""What the table code is given: writing through groups, reading beside them."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from runyard.model.errors import StorageUnavailable
from runyard.stores.filters import Branch, Listing
from runyard.stores.postgres.link import Bound, Prepared, Row
from runyard.stores.postgres.readers import Readers
from runyard.stores.postgres.statements import Shape, encode_value, numbered
from runyard.stores.postgres.writer import Writer
from runyard.stores.queries import Query
from runyard.stores.tables.pieces import Answer, Piece

_MOST_PREPARED = 250_000
"""Characters of lists that are planned once: callers make up filters, and each plan stays with each
connection, where it takes some 250 bytes for a character of its text.
"""
_BRANCHES, _CONDITION, _REST, _CHOICES, _ORDER = (
    f"%({name})s" for name in ("branches", "condition", "rest", "choices", "order")
)
_NAMED, _PARAMETER = re.compile(r":([a-z_]+)"), r"%(\1)s::bigint"


class PostgresDatabase:
    """Group commit and reads over the connections of one server."""

    def __init__(
        self,
        writer: Writer,
        readers: Readers,
        queries: Mapping[str, Query],
        shapes: Mapping[str, Shape],
    ) -> None:
        self.writer = writer
        self._readers = readers
        self._queries = queries
        self._shapes = shapes
        self._lists: dict[str, bytes] = {}
        """Texts of lists that have been asked for, and the names they are prepared under."""
        self._prepared_size = 0
        self._is_closed = False

    def write(self, piece: Piece) -> "asyncio.Future[list[Answer]]":
        """Enqueue a piece for the next group."""
        if self._is_closed:
            raise StorageUnavailable("the store is closed")
        return self.writer.write(piece)

    async def close(self) -> None:
        """Write what waits, then let go of the writing connections."""
        self._is_closed = True
        await self.writer.close()

    async def all(self, query: str, /, **values: Any) -> list[Row]:  # noqa: ANN401
        """All rows of a query."""
        shape = self._shapes[query]
        return await self._readers.read(
            shape.bound_row([values[name] for name in shape.parameters])
        )

    async def one(self, query: str, /, **values: Any) -> Row | None:  # noqa: ANN401
        """The first row of a query."""
        rows = await self.all(query, **values)
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
        text, bound = list_text(self._queries, (query, branch), listing, values)
        encoded = [encode_value(value) for value in bound]
        return await self._readers.read(
            Bound(
                Prepared(self._name_of(text), text.encode()),
                [value for value, _ in encoded],
                [form for _, form in encoded],
            )
        )

    def _name_of(self, text: str) -> bytes:
        """Under which name a list is prepared; none when there are too many kinds already."""
        name = self._lists.get(text, b"")
        if not name and self._prepared_size < _MOST_PREPARED:
            name = self._lists[text] = b"list_%d" % len(self._lists)
            self._prepared_size += len(text)
        return name


def list_text(
    queries: Mapping[str, Query],
    names: tuple[str, str],
    listing: Listing,
    values: Mapping[str, Any],
) -> tuple[str, list[Any]]:
    """The text of a list with its branches, and the values of its parameters in order."""
    query, branch = (queries[name].sql.rstrip("\n;") for name in names)
    branches = " UNION ALL ".join(
        text for part in listing.branches for text in _branch_texts(branch, part)
    )
    bound = {**values, **listing.values}
    text = query.replace(_BRANCHES, branches).replace(_ORDER, listing.order)
    return numbered(text, tuple(bound)), list(bound.values())


def _branch_texts(text: str, part: Branch) -> list[str]:
    """The branch with all its choices, if its text asks for them, or one text for each range."""
    if _CHOICES not in text:
        return [_branch_text(text, condition, part.rest) for condition in part.ranges()]
    condition = f"{part.condition} AND {part.column} = choice" if part.choices else part.condition
    choices = ",".join(str(code) for code in part.choices) or "0"
    return [_branch_text(text.replace(_CHOICES, f"'{{{choices}}}'"), condition, part.rest)]


def _branch_text(text: str, condition: str, rest: str) -> str:
    return text.replace(_CONDITION, _NAMED.sub(_PARAMETER, condition)).replace(
        _REST, _NAMED.sub(_PARAMETER, rest)
    )
