"""Values of the dialect as JSON of our own, by declared types.

Everything that is wrong is told at once, by the place where it stands. Files that come as `data:`
addresses are gathered: whoever reads keeps them and fills in their ids.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from math import isfinite
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from runyard.dialects.automation_anywhere.values import KEYS, MEMBERS, UNSUPPORTED, name_of
from runyard.model.errors import FieldProblem
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

_PLAIN = {name: key for name, key in KEYS.items() if name not in {"DATETIME", "FILE"}}
"""Types whose values hold what they say as it is."""
_NULL = "NULL"
"""The type of a bare null."""
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0*)?")
_LONGEST_NUMBER = 400
_FILE = re.compile(r"(?:.*/files/)?(\d{1,18})(?:/.*)?")
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.-]+=[^;,]*)*)(;base64)?,", re.ASCII)
_LONGEST_SEEN = 80
_MINUTE = timedelta(minutes=1)


class Upload(msgspec.Struct):
    """A file that came inside a value; its id is filled in once it is kept."""

    place: dict[str, Any]
    name: str
    content_type: str
    content: bytes


class _Refused(Exception):
    """A value does not fit."""

    def __init__(self, seen: str, allowed: str) -> None:
        super().__init__()
        self.seen = seen
        self.allowed = allowed


class _Reading:
    """One reading: what is wrong, and which files came."""

    __slots__ = ("problems", "uploads")

    def __init__(self) -> None:
        self.problems: list[FieldProblem] = []
        self.uploads: list[Upload] = []

    def read(self, kind: ValueType, value: Any, path: str) -> Any:  # noqa: ANN401 - any JSON
        try:
            return _READERS[type(kind)](self, kind, value, path)
        except _Refused as refused:
            problem = FieldProblem(field=path, seen=refused.seen, allowed=refused.allowed)
            self.problems.append(problem)
            return None


class Read(msgspec.Struct):
    """What was read: JSON of our own, what is wrong with it, and files to be kept first."""

    values: dict[str, Any]
    problems: list[FieldProblem]
    uploads: list[Upload]


class Inputs:
    """Reads the input of one version."""

    def __init__(self, inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> None:
        self._types = {field.name: field.type for field in inputs}
        self._outputs = frozenset(field.name for field in outputs)

    def read(self, given: Mapping[str, Any]) -> Read:
        """The values by name. A null is taken for a variable that was left out."""
        reading = _Reading()
        values = {}
        for name, value in given.items():
            kind = self._types.get(name)
            if kind is None:
                reading.problems.append(self._unknown(name))
            elif value is not None:
                values[name] = reading.read(kind, value, name)
        return Read(values, reading.problems, reading.uploads)

    def _unknown(self, name: str) -> FieldProblem:
        known = ", ".join(self._types) or "none: the task has no input variable"
        seen = "an output, not marked as input" if name in self._outputs else "an unknown variable"
        return FieldProblem(field=_shown(name), seen=seen, allowed=known)


# ---------------------------------------------------------------- opening values


def _opened(value: Any) -> tuple[str, Any]:  # noqa: ANN401 - any JSON
    """The type that a value says it has, and what it holds."""
    if type(value) is dict and len(value) == 2 and type(name := value.get("type")) is str:
        # Nearly every value is just these two, its type in capitals.
        key = _PLAIN.get(name)
        if key is not None and (held := value.get(key)) is not None:
            return name, held
    match value:
        case dict():
            return _opened_object(value)
        case str():
            return "STRING", value
        case bool():
            return "BOOLEAN", value
        case int() | float():
            return "NUMBER", value
        case list():
            return "LIST", value
        case _:
            return _NULL, None


def _opened_object(value: dict[str, Any]) -> tuple[str, Any]:
    if not _is_value(value):
        return "DICTIONARY", value
    if value.get("expression"):
        raise _Refused("an expression", "a value: expressions belong into the editor")
    name = str(value.get("type") or "STRING").upper()
    if name in UNSUPPORTED:
        raise _Refused(f"a value of type {name}", f"types that are supported: {', '.join(KEYS)}")
    found = value.get(KEYS[name])
    if name == "DATETIME":
        found = found or value.get("datetime")
    if name == "FILE" and isinstance(found, dict):
        found = found.get("string")
    if found is None:
        raise _Refused(f"a {name} without {KEYS[name]!r}", f"its value under {KEYS[name]!r}")
    return name, found


def _is_value(value: dict[str, Any]) -> bool:
    """Whether this is a value of the dialect, and no bare object of the caller's."""
    name = value.get("type")
    if name is None:
        return bool(value) and value.keys() <= MEMBERS | {"type"}
    if not isinstance(name, str):
        return False
    name = name.upper()
    if name in UNSUPPORTED:
        return True
    return name in KEYS and (KEYS[name] in value or value.keys() <= MEMBERS | {"type"})


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SEEN else f"{text[:_LONGEST_SEEN]}..."


def _misfit(kind: ValueType, name: str, held: Any, allowed: str = "") -> _Refused:  # noqa: ANN401
    return _Refused(f"{name} {_shown(held)!r}", allowed or f"a {name_of(kind)}")


# ---------------------------------------------------------------- scalars

_Reader = Callable[[_Reading, Any, Any, str], Any]


def _text(reading: _Reading, kind: ValueType, value: Any, path: str) -> str:  # noqa: ANN401
    name, held = _opened(value)
    if isinstance(held, str) and name not in {"LIST", "DICTIONARY", "TABLE", "RECORD"}:
        return held
    if isinstance(held, bool):
        return "true" if held else "false"
    if isinstance(held, int | float):
        return msgspec.json.encode(held).decode()
    raise _misfit(kind, name, held)


def _number_text(kind: ValueType, value: Any) -> str:  # noqa: ANN401
    """The digits of a number that came as a number or as text."""
    name, held = _opened(value)
    if name not in {"NUMBER", "STRING"} or isinstance(held, bool):
        raise _misfit(kind, name, held)
    text = held.strip() if isinstance(held, str) else msgspec.json.encode(held).decode()
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise _misfit(kind, name, held, "decimal digits, such as 12.5")
    return text


def _whole(reading: _Reading, kind: ValueType, value: Any, path: str) -> int:  # noqa: ANN401
    text = _number_text(kind, value)
    match = _WHOLE.fullmatch(text)
    if match is not None:
        return int(match[1])
    number = float(text)
    if not isfinite(number) or not number.is_integer():
        raise _misfit(kind, "NUMBER", text, "a whole number")
    return int(number)


def _float(reading: _Reading, kind: ValueType, value: Any, path: str) -> float:  # noqa: ANN401
    text = _number_text(kind, value)
    number = float(text)
    if not isfinite(number):
        raise _misfit(kind, "NUMBER", text, "a number that is not too large")
    return number


def _decimal(reading: _Reading, kind: ValueType, value: Any, path: str) -> str:  # noqa: ANN401
    return _number_text(kind, value)


def _boolean(reading: _Reading, kind: ValueType, value: Any, path: str) -> bool:  # noqa: ANN401
    name, held = _opened(value)
    if isinstance(held, bool):
        return held
    if isinstance(held, str) and name in {"BOOLEAN", "STRING"}:
        word = held.strip().lower()
        if word in {"true", "false"}:
            return word == "true"
    raise _misfit(kind, name, held, "true or false")


def _instant(kind: ValueType, value: Any) -> tuple[str, datetime]:  # noqa: ANN401
    name, held = _opened(value)
    try:
        if name not in {"DATETIME", "STRING"}:
            raise ValueError
        return held, datetime.fromisoformat(held)
    except (ValueError, TypeError):
        allowed = "ISO 8601, such as 2026-01-31T08:00:00+01:00"
        raise _misfit(kind, name, held, allowed) from None


def _datetime(reading: _Reading, kind: ValueType, value: Any, path: str) -> str:  # noqa: ANN401
    held, at = _instant(kind, value)
    offset = at.utcoffset()
    if offset is None or offset % _MINUTE:
        raise _misfit(kind, "DATETIME", held, "ISO 8601 with an offset, such as ...+01:00 or ...Z")
    return at.isoformat()


def _date(reading: _Reading, kind: ValueType, value: Any, path: str) -> str:  # noqa: ANN401
    _, at = _instant(kind, value)
    return date(at.year, at.month, at.day).isoformat()


def _choice(reading: _Reading, kind: Choice, value: Any, path: str) -> str | int:  # noqa: ANN401
    name, held = _opened(value)
    for wanted in kind.values:
        if held == wanted and not isinstance(held, bool):
            return wanted
    for wanted in kind.values:
        if isinstance(held, str) and held.strip() == str(wanted):
            return wanted
    raise _misfit(kind, name, held, ", ".join(map(str, kind.values)))


def _file(reading: _Reading, kind: ValueType, value: Any, path: str) -> Any:  # noqa: ANN401
    if isinstance(value, dict) and isinstance(value.get("file"), int):
        return {"file": value["file"]}
    name, held = _opened(value)
    allowed = "the id or address of a file, or a data: address"
    if isinstance(held, int) and not isinstance(held, bool):
        return {"file": held}
    if not isinstance(held, str) or name not in {"FILE", "STRING", "NUMBER"}:
        raise _misfit(kind, name, held, allowed)
    if held.startswith("data:"):
        return _uploaded(reading, kind, held, path)
    match = _FILE.fullmatch(held)
    if match is None:
        raise _misfit(kind, name, held, allowed)
    return {"file": int(match[1])}


def _uploaded(reading: _Reading, kind: ValueType, address: str, path: str) -> dict[str, Any]:
    match = _DATA.match(address)
    if match is None:
        raise _misfit(kind, "FILE", address, "data:TYPE;name=NAME;base64,CONTENT")
    content = address[match.end() :]
    try:
        held = base64.b64decode(content, validate=True) if match[3] else unquote_to_bytes(content)
    except (binascii.Error, ValueError):
        raise _misfit(kind, "FILE", address, "content in base64") from None
    named = re.search(r";name=([^;,]*)", match[2] or "")
    name = unquote_to_bytes(named[1]).decode(errors="replace") if named else path.split(".")[-1]
    place: dict[str, Any] = {}
    content_type = match[1] or "text/plain"
    reading.uploads.append(Upload(place, name or "file", content_type, held))
    return place


# ---------------------------------------------------------------- what holds values


def _nullable(reading: _Reading, kind: Nullable, value: Any, path: str) -> Any:  # noqa: ANN401
    if value is None:
        return None
    if not isinstance(kind.item, Text | Choice | AnyValue) and _opened(value) == ("STRING", ""):
        return None
    return reading.read(kind.item, value, path)


def _list(reading: _Reading, kind: ListOf, value: Any, path: str) -> list[Any]:  # noqa: ANN401
    name, held = _opened(value)
    if name != "LIST" or not isinstance(held, list):
        raise _misfit(kind, name, held)
    return [reading.read(kind.item, item, f"{path}[{place}]") for place, item in enumerate(held)]


def _map(reading: _Reading, kind: MapOf, value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    entries = _entries(kind, value)
    return {key: reading.read(kind.value, item, f"{path}.{key}") for key, item in entries.items()}


def _entries(kind: ValueType, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """The named values of a dictionary, a record, properties, or a bare object."""
    name, held = _opened(value)
    match name, held:
        case "DICTIONARY", dict():
            return held
        case "DICTIONARY", list():
            return {_key(kind, entry): entry.get("value") for entry in held}
        case "PROPERTIES", list():
            return {
                _key(kind, entry, "name"): entry.get("value")
                for entry in held
                if isinstance(entry, dict) and entry.get("enabled", True) is not False
            }
        case "RECORD", {"schema": list() as columns, "values": list() as cells}:
            return _row(kind, columns, cells)
        case _:
            raise _misfit(kind, name, held)


def _key(kind: ValueType, entry: Any, member: str = "key") -> str:  # noqa: ANN401
    key = entry.get(member) if isinstance(entry, dict) else None
    if not isinstance(key, str):
        raise _misfit(kind, "an entry", entry, f"entries with {member!r} and 'value'")
    return key


def _row(kind: ValueType, columns: list[Any], cells: Any) -> dict[str, Any]:  # noqa: ANN401
    names = [_key(kind, column, "name") for column in columns]
    if not isinstance(cells, list) or len(names) != len(cells):
        raise _misfit(kind, "values", cells, f"one value for each of {len(names)} columns")
    return dict(zip(names, cells, strict=True))


def _record(reading: _Reading, kind: Record, value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    return _named(reading, kind.fields, _entries(kind, value), path)


def _named(
    reading: _Reading, fields: tuple[Field, ...], entries: dict[str, Any], path: str
) -> dict[str, Any]:
    types = {field.name: field.type for field in fields}
    found = {}
    for key, item in entries.items():
        kind = types.get(key)
        if kind is None:
            raise _Refused(f"an unknown name {_shown(key)!r}", ", ".join(types))
        if item is not None or isinstance(kind, Nullable | AnyValue):
            found[key] = reading.read(kind, item, f"{path}.{key}")
    return found


def _table(reading: _Reading, kind: Table, value: Any, path: str) -> list[Any]:  # noqa: ANN401
    rows = []
    for place, row in enumerate(_rows(kind, value)):
        where = f"{path}[{place}]"
        if kind.columns:
            rows.append(_named(reading, kind.columns, row, where))
        else:
            rows.append({k: reading.read(_ANY, item, f"{where}.{k}") for k, item in row.items()})
    return rows


def _rows(kind: ValueType, value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    name, held = _opened(value)
    match name, held:
        case "LIST", list():
            return [_entries(kind, row) for row in held]
        case "TABLE", {"schema": list() as columns, "rows": list() as rows}:
            cells = [row.get("values") if isinstance(row, dict) else row for row in rows]
            return [_row(kind, columns, values) for values in cells]
        case _:
            raise _misfit(kind, name, held)


def _any(reading: _Reading, kind: ValueType, value: Any, path: str) -> Any:  # noqa: ANN401
    name, held = _opened(value)
    match name:
        case "LIST":
            return _list(reading, ListOf(_ANY), value, path)
        case "TABLE":
            return _table(reading, Table(()), value, path)
        case "DICTIONARY" | "RECORD" | "PROPERTIES":
            return _map(reading, MapOf(_ANY), value, path)
        case "NUMBER" if isinstance(held, str):
            text = _number_text(kind, value)
            return int(text) if re.fullmatch(r"[+-]?\d+", text) else _float(reading, kind, text, "")
        case "BOOLEAN":
            return _boolean(reading, kind, value, path)
        case _:
            return held


_ANY = AnyValue()

_READERS: Mapping[type[ValueType], _Reader] = {
    Text: _text,
    Email: _text,
    Integer: _whole,
    Number: _float,
    DecimalNumber: _decimal,
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
