"""JSON of our own as values of the dialect, by declared types. Pure.

What is null at the top is left out; deeper down it is a bare null, since the dialect has no word for it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from runyard.dialects.automation_anywhere.values import name_of
from runyard.model.types import (
    AnyValue,
    Boolean,
    Choice,
    Date,
    DateTime,
    DecimalNumber,
    Email,
    Field,
    FileValue,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Table,
    Text,
    ValueType,
)

Json = dict[str, Any]
Link = Callable[[int], str]
"""The address of a file by its id."""


class Outputs:
    """Writes the output of one version."""

    def __init__(self, outputs: tuple[Field, ...]) -> None:
        self._types = {field.name: field.type for field in outputs}

    def write(self, raw: bytes | None, link: Link) -> Json:
        """The values by name; those that are null are left out."""
        if raw is None:
            return {}
        return {
            name: written(self._types[name], value, link)
            for name, value in msgspec.json.decode(raw).items()
            if value is not None
        }


def written(kind: ValueType, value: Any, link: Link) -> Any:  # noqa: ANN401 - any JSON
    """One value of the dialect."""
    return None if value is None else _WRITERS[type(kind)](kind, value, link)


def _text(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    return {"type": "STRING", "string": value}


def _number(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return {"type": "NUMBER", "number": text}


def _boolean(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    return {"type": "BOOLEAN", "boolean": "true" if value else "false"}


def _datetime(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    return {"type": "DATETIME", "string": value}


def _date(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    return {"type": "DATETIME", "string": f"{value}T00:00:00Z"}


def _file(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    number = value["file"] if isinstance(value, dict) else value
    return {"type": "FILE", "file": {"type": "STRING", "string": link(number)}}


def _choice(kind: ValueType, value: Any, link: Link) -> Json:  # noqa: ANN401
    return _text(kind, value, link) if isinstance(value, str) else _number(kind, value, link)


def _nullable(kind: Nullable, value: Any, link: Link) -> Any:  # noqa: ANN401
    return written(kind.item, value, link)


def _list(kind: ListOf, value: Any, link: Link) -> Json:  # noqa: ANN401
    return {"type": "LIST", "list": [written(kind.item, item, link) for item in value]}


def _map(kind: MapOf, value: Any, link: Link) -> Json:  # noqa: ANN401
    entries = [{"key": k, "value": written(kind.value, v, link)} for k, v in value.items()]
    return {"type": "DICTIONARY", "dictionary": entries}


def _record(kind: Record, value: Any, link: Link) -> Json:  # noqa: ANN401
    schema = [{"name": field.name, "type": name_of(field.type)} for field in kind.fields]
    cells = [written(field.type, value.get(field.name), link) for field in kind.fields]
    return {"type": "RECORD", "record": {"schema": schema, "values": cells}}


def _table(kind: Table, value: Any, link: Link) -> Json:  # noqa: ANN401
    columns = kind.columns or _columns_of(value)
    schema = [
        {"name": field.name, "type": name_of(field.type), "subtype": "UNDEFINED"}
        for field in columns
    ]
    rows = [
        {"values": [written(field.type, row.get(field.name), link) for field in columns]}
        for row in value
    ]
    return {"type": "TABLE", "table": {"schema": schema, "rows": rows}}


def _columns_of(rows: list[Json]) -> tuple[Field, ...]:
    """Every column that any row has, in the order in which they come."""
    names = dict.fromkeys(name for row in rows for name in row)
    return tuple(Field(name=name, parameter=name, type=AnyValue()) for name in names)


def _any(kind: ValueType, value: Any, link: Link) -> Any:  # noqa: ANN401
    match value:
        case bool():
            return _boolean(kind, value, link)
        case int() | float():
            return _number(kind, value, link)
        case list():
            return _list(ListOf(AnyValue()), value, link)
        case dict():
            return _map(MapOf(AnyValue()), value, link)
        case _:
            return _text(kind, value, link)


_WRITERS: Mapping[type[ValueType], Callable[[Any, Any, Link], Any]] = {
    Text: _text,
    Email: _text,
    Integer: _number,
    Number: _number,
    DecimalNumber: _number,
    Boolean: _boolean,
    Date: _date,
    DateTime: _datetime,
    FileValue: _file,
    AnyValue: _any,
    Choice: _choice,
    Nullable: _nullable,
    ListOf: _list,
    MapOf: _map,
    Record: _record,
    Table: _table,
}
