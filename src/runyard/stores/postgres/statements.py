"""Named queries as PostgreSQL takes them, and values as bytes for them.

A write query takes one array per parameter (`unnest(:run_id::bigint[], ...)`), so that the rows of
many pieces are one statement; a few take single values and run once per row. How a column is
encoded follows from the cast behind its parameter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from struct import pack
from typing import Any, TypeAlias

import msgspec

from runyard.stores.postgres.link import Bound, Prepared
from runyard.stores.queries import Query

Encoded: TypeAlias = tuple[bytes | None, int]
"""A value and its format: 0 text, 1 binary."""

_TEXT = 0
_BINARY = 1
_TEXT_OID = 25
_BYTEA_OID = 17
_ONE_DIMENSION = 1
_FIRST_INDEX = 1
_NULL_LENGTH = pack(">i", -1)

_PARAMETER = re.compile(r"%\((\w+)\)s(::[a-z0-9 ]+(?:\[\])?)?")
_CHANGED_TABLE = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")
_FEEDING_TABLES = frozenset({"runs", "run_inputs", "gates", "sessions"})
"""What a claim looks at; statements that change them come before the claims of their group."""

_to_json = msgspec.json.Encoder().encode


class Shape(msgspec.Struct, frozen=True):
    """How one named query is sent."""

    name: str
    prepared: Prepared
    parameters: tuple[str, ...]
    encoders: tuple[Callable[[Sequence[Any]], Encoded], ...]
    """One per parameter when they are arrays; empty when the query takes single values."""
    is_by_run: bool
    """Takes arrays and its first parameter is the run: rows of many pieces become one statement."""
    answers: bool
    feeds: bool

    def bound(self, rows: Sequence[tuple[Any, ...]]) -> Bound:
        """The query for all these rows at once."""
        encoded = [
            encode(column)
            for encode, column in zip(self.encoders, zip(*rows, strict=True), strict=True)
        ]
        return Bound(self.prepared, [value for value, _ in encoded], [form for _, form in encoded])

    def bound_row(self, row: Sequence[Any]) -> Bound:
        """The query for single values, in the order of its parameters."""
        encoded = [encode_value(value) for value in row]
        return Bound(self.prepared, [value for value, _ in encoded], [form for _, form in encoded])


def shapes_of(queries: Mapping[str, Query]) -> Mapping[str, Shape]:
    """All queries, ready to be sent."""
    return {name: shape_of(query) for name, query in queries.items()}


def shape_of(query: Query) -> Shape:
    """One query, its parameters numbered in the order of its heading."""
    casts: dict[str, str] = {}
    for name, cast in _PARAMETER.findall(query.sql):
        casts.setdefault(name, cast.removeprefix("::"))
    takes_arrays = bool(query.parameters) and all(
        casts.get(name, "").endswith("[]") for name in query.parameters
    )
    encoders = tuple(_ARRAYS[casts[name]] for name in query.parameters) if takes_arrays else ()
    text = numbered(query.sql, query.parameters)
    return Shape(
        name=query.name,
        prepared=Prepared(query.name.encode(), text.encode()),
        parameters=query.parameters,
        encoders=encoders,
        is_by_run=takes_arrays and query.parameters[:1] == ("run_id",),
        answers="RETURNING" in query.sql or not _CHANGED_TABLE.search(query.sql),
        feeds=bool(_FEEDING_TABLES & set(_CHANGED_TABLE.findall(query.sql))),
    )


def numbered(sql: str, parameters: Sequence[str]) -> str:
    """The text with `$1`, `$2`, ... in place of the named parameters."""
    numbers = {name: index for index, name in enumerate(parameters, 1)}
    return _PARAMETER.sub(lambda found: f"${numbers[found[1]]}{found[2] or ''}", sql)


def encode_value(value: Any) -> Encoded:  # noqa: ANN401
    """A single value, as its Python type says."""
    if value is None:
        return None, _TEXT
    if isinstance(value, bytes):
        return value, _BINARY
    if isinstance(value, str):
        return _utf8(value), _TEXT
    if isinstance(value, bool):
        return (b"1" if value else b"0"), _TEXT
    if isinstance(value, (list, tuple, set, frozenset)):
        return _encode_set(list(value))
    return str(value).encode(), _TEXT


def _utf8(text: str) -> bytes:
    """A text as it is sent. A text cannot hold U+0000 there: a single one would end with it unseen, and be
    found by what stands before it.
    """
    return text.replace("\0", "\ufffd").encode()


def _encode_set(values: list[Any]) -> Encoded:
    if values and isinstance(values[0], str):
        return encode_texts(values)
    if values and isinstance(values[0], bytes):
        return encode_bytes(values)
    return encode_numbers(values)


def encode_numbers(column: Sequence[int | float | None]) -> Encoded:
    """Numbers as an array's text: JSON's brackets exchanged, null being a word of both."""
    text = _to_json(column)
    if b"e" in text:
        # Truth is 0 or 1 in the tables.
        text = text.replace(b"true", b"1").replace(b"false", b"0")
    return b"{" + text[1:-1] + b"}", _TEXT


def encode_texts(column: Sequence[str | None]) -> Encoded:
    """Texts as a binary array."""
    return _binary_array(_TEXT_OID, [None if text is None else _utf8(text) for text in column])


def encode_bytes(column: Sequence[bytes | None]) -> Encoded:
    """Bytes as a binary array."""
    return _binary_array(_BYTEA_OID, column)


def _binary_array(element: int, column: Sequence[bytes | None]) -> Encoded:
    count = len(column)
    head = pack(">iiIii", _ONE_DIMENSION, 1, element, count, _FIRST_INDEX)
    parts = chain.from_iterable(
        (_NULL_LENGTH,) if item is None else (len(item).to_bytes(4, "big"), item) for item in column
    )
    return head + b"".join(parts), _BINARY


_ARRAYS: Mapping[str, Callable[[Sequence[Any]], Encoded]] = {
    "bigint[]": encode_numbers,
    "integer[]": encode_numbers,
    "smallint[]": encode_numbers,
    "double precision[]": encode_numbers,
    "text[]": encode_texts,
    "bytea[]": encode_bytes,
}
