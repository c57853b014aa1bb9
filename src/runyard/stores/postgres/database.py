"""What the table code is given: writing through groups, reading beside them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from runyard.model.errors import StorageUnavailable
from runyard.stores.filters import Predicate
from runyard.stores.postgres.link import Bound, Prepared, Row
from runyard.stores.postgres.readers import Readers
from runyard.stores.postgres.statements import Shape, encode_value, numbered
from runyard.stores.postgres.writer import Writer
from runyard.stores.queries import Query
from runyard.stores.tables.pieces import Answer, Piece

_PREDICATE = "%(predicate)s"


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

    async def filtered(
        self,
        query: str,
        predicate: Predicate,
        /,
        **values: Any,  # noqa: ANN401
    ) -> list[Row]:
        """All rows of a query whose text has `:predicate` in place of a condition."""
        return await self._readers.read(bind_filtered(self._queries[query], predicate, values))


def bind_filtered(query: Query, predicate: Predicate, values: Mapping[str, Any]) -> Bound:
    """A query with its predicate. It has no name: there are too many kinds to keep them prepared."""
    condition = _named(predicate.text, predicate.values)
    bound = {**values, **predicate.values}
    names: Sequence[str] = tuple(bound)
    text = numbered(query.sql.replace(_PREDICATE, condition), names)
    encoded = [encode_value(bound[name]) for name in names]
    return Bound(
        Prepared(b"", text.encode()), [value for value, _ in encoded], [form for _, form in encoded]
    )


def _named(text: str, names: Mapping[str, Any]) -> str:
    # Longer names first: one may be the beginning of another.
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f":{name}", f"%({name})s::bigint")
    return text
