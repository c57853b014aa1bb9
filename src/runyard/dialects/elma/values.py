"""Contexts: values by variable, as inputs of ours and from outputs of ours, by declared types.

A context is read member by member as raw JSON, so that digits stay as they were written, and only
members of types that look different here are touched: dates, files, tables, and whatever holds
them. Whether the result fits its declaration is judged by its shape, as every input is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import Any, NamedTuple

import msgspec

from runyard.dialects.elma.texts import members_from
from runyard.model.errors import FieldProblem, InputRefused
from runyard.model.ids import FileId
from runyard.model.types import (
    Boolean,
    Date,
    DateTime,
    DecimalNumber,
    Field,
    FileValue,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Table,
    ValueType,
)

NO_INPUT = b"{}"
CTX = "ctx"
_NULL = b"null"
_ZERO_DAY = "0001-01-01"
_ZERO = f"{_ZERO_DAY}T00:00:00"
_INSTANT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<part>\d{1,12}))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?",
    re.ASCII | re.IGNORECASE,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LARGEST = 2**63
_SHORT = 18
"""Digits that any 64-bit number may have."""
_LONGEST_SEEN = 80


class Refused(Exception):
    """A value does not fit."""

    def __init__(self, seen: bytes | str, allowed: str, place: str = "") -> None:
        super().__init__()
        text = seen.decode(errors="replace") if isinstance(seen, bytes) else seen
        self.seen = text if len(text) <= _LONGEST_SEEN else f"{text[:_LONGEST_SEEN]}..."
        self.allowed = allowed
        self.place = place
        """Where inside the variable it stands, such as `[2].due`."""

    def below(self, place: str) -> "Refused":
        """The same, seen from one step further out."""
        return Refused(self.seen, self.allowed, f"{place}{self.place}")


class Read(NamedTuple):
    """A context that was read."""

    input: bytes
    """JSON object of the named inputs."""
    unknown: tuple[str, ...]
    """Names that it has and the process has not."""


_Reader = Callable[[bytes], bytes]
"""One raw value of the dialect as one of ours; raises Refused."""


class Inputs:
    """Reads the contexts of one version."""

    __slots__ = ("_exact", "_folded")

    def __init__(self, fields: Sequence[Field], zone: tzinfo) -> None:
        self._exact = {field.name: _Member(field, zone) for field in fields}
        self._folded = _folded(self._exact)

    def read(self, ctx: str | None) -> Read:
        """The inputs that a context holds; raises InputRefused, MalformedBody.

        A null, an empty file address and the zero instant say that a variable is not set.
        """
        if ctx is None or not ctx.strip():
            return Read(NO_INPUT, ())
        found: dict[str, bytes] = {}
        unknown: list[str] = []
        problems: list[FieldProblem] = []
        for name, raw in members_from(CTX, ctx).items():
            member = self._exact.get(name) or self._folded.get(name.casefold())
            if member is None:
                unknown.append(name)
                continue
            if member.name in found:
                problems.append(_twice(name, member.name))
                continue
            try:
                found[member.name] = member.read(bytes(raw))
            except Refused as refused:
                field = f"{CTX}.{member.name}{refused.place}"
                problems.append(
                    FieldProblem(field=field, seen=refused.seen, allowed=refused.allowed)
                )
        if problems:
            raise InputRefused(problems)
        members = [
            b"%s:%s" % (self._exact[name].quoted, raw)
            for name, raw in found.items()
            if raw != _NULL
        ]
        return Read(b"{%s}" % b",".join(members), tuple(unknown))


class _Member:
    """How one variable is read."""

    __slots__ = ("_reader", "name", "quoted")

    def __init__(self, field: Field, zone: tzinfo) -> None:
        self.name = field.name
        self.quoted = msgspec.json.encode(field.name)
        self._reader = _reader(field.type, zone)

    def read(self, raw: bytes) -> bytes:
        return raw if self._reader is None or raw == _NULL else self._reader(raw)


def _folded(members: Mapping[str, _Member]) -> dict[str, _Member]:
    """By names without case; of those that differ in nothing else only the exact name will do."""
    found: dict[str, _Member] = {}
    shared: set[str] = set()
    for name, member in members.items():
        folded = name.casefold()
        if folded in found:
            shared.add(folded)
        found[folded] = member
    return {name: member for name, member in found.items() if name not in shared}


def _twice(name: str, meant: str) -> FieldProblem:
    seen = f"{name!r} beside another spelling of it"
    return FieldProblem(field=f"{CTX}.{meant}", seen=seen, allowed="one value for each variable")


# ---------------------------------------------------------------- reading


def _reader(kind: ValueType, zone: tzinfo) -> _Reader | None:
    """How values of this type are read; None: as they are."""
    match kind:
        case Nullable(item):
            return _reader(item, zone)
        case ListOf(item):
            return _list_reader(_reader(item, zone))
        case MapOf(item):
            return _map_reader(_reader(item, zone))
        case Record(fields):
            return _record_reader(fields, zone)
        case Table(columns):
            return _table_reader(columns, zone)
        case DateTime():
            return partial(_instant, zone=zone)
        case _:
            return _READERS.get(type(kind))


def _text(raw: bytes, allowed: str) -> str:
    if raw[:1] != b'"':
        raise Refused(raw, allowed)
    return msgspec.json.decode(raw, type=str)


_AN_INSTANT = "an instant such as 2031-05-01T08:00:00Z"


def _instant(raw: bytes, *, zone: tzinfo) -> bytes:
    """RFC 3339; where the offset is missing, the company's time zone is meant."""
    text = _text(raw, _AN_INSTANT)
    if not text or text.startswith(_ZERO):
        return _NULL
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise Refused(text, _AN_INSTANT)
    part = f".{match['part'][:6]}" if match["part"] else ""
    offset = (match["zone"] or "").upper().replace("Z", "+00:00")
    try:
        at = datetime.fromisoformat(f"{match['day']}T{match['time']}{part}{offset}")
    except ValueError:
        raise Refused(text, _AN_INSTANT) from None
    return msgspec.json.encode((at if offset else at.replace(tzinfo=zone)).isoformat())


def _day(raw: bytes) -> bytes:
    """A day, alone or as the day of an instant."""
    allowed = "a day such as 2031-05-01"
    text = _text(raw, allowed)
    if not text or text.startswith(_ZERO_DAY):
        return _NULL
    if not _DAY.fullmatch(text) and not _INSTANT.fullmatch(text):
        raise Refused(text, allowed)
    return msgspec.json.encode(text[:10])


def _whole(raw: bytes) -> bytes:
    """A whole number of 64 bits; what is no number at all is for the shape to refuse."""
    if len(raw) > _SHORT and raw.lstrip(b"-").isdigit():
        is_near = len(raw) <= _SHORT + 2
        if not is_near or not -_LARGEST <= int(raw) < _LARGEST:
            raise Refused(raw, "a whole number of 64 bits")
    return raw


def _file(raw: bytes) -> bytes:
    """The address of a file, which is fetched before the task is queued."""
    text = _text(raw, "the address of a file: http://... or https://...")
    return msgspec.json.encode({"url": text}) if text else _NULL


_READERS: Mapping[type[ValueType], _Reader] = {Date: _day, Integer: _whole, FileValue: _file}


def _parts(raw: bytes, kind: Any, allowed: str) -> Any:  # noqa: ANN401 - a type has no type of its own
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, RecursionError):
        raise Refused(raw, allowed) from None


def _list_reader(item: _Reader | None) -> _Reader:
    """A list; the names of columns stand in an object of their own."""

    def read(raw: bytes) -> bytes:
        if raw[:1] == b"{":
            raw = _only(raw, "columns", "a list")
        if item is None:
            return raw
        values = _parts(raw, list[msgspec.Raw], "a list")
        return b"[%s]" % b",".join(
            _below(f"[{place}]", item, bytes(value)) for place, value in enumerate(values)
        )

    return read


def _map_reader(item: _Reader | None) -> _Reader | None:
    if item is None:
        return None

    def read(raw: bytes) -> bytes:
        values = _parts(raw, dict[str, msgspec.Raw], "an object")
        return b"{%s}" % b",".join(
            b"%s:%s" % (msgspec.json.encode(name), _below(f".{name}", item, bytes(value)))
            for name, value in values.items()
        )

    return read


def _record_reader(fields: Sequence[Field], zone: tzinfo) -> _Reader:
    """An object of named values: a mail, a row. Members that are not declared are passed over."""
    members = {field.name: _Member(field, zone) for field in fields}
    folded = _folded(members)

    def read(raw: bytes) -> bytes:
        found: dict[str, bytes] = {}
        for name, value in _parts(raw, dict[str, msgspec.Raw], "an object").items():
            member = members.get(name) or folded.get(name.casefold())
            if member is not None:
                found[member.name] = _below(f".{member.name}", member.read, bytes(value))
        return b"{%s}" % b",".join(
            b"%s:%s" % (members[name].quoted, value) for name, value in found.items()
        )

    return read


def _table_reader(columns: Sequence[Field], zone: tzinfo) -> _Reader:
    """The rows of a table, bare or in an object that describes its fields as well."""
    row = _record_reader(columns, zone) if columns else None
    rows = _list_reader(row)

    def read(raw: bytes) -> bytes:
        return rows(_only(raw, "values", "a table") if raw[:1] == b"{" else raw)

    return read


def _only(raw: bytes, name: str, what: str) -> bytes:
    """The member of this name; raises Refused."""
    allowed = f"{what}: an array, or an object whose {name!r} is one"
    found = _parts(raw, dict[str, msgspec.Raw], allowed).get(name)
    if found is None:
        raise Refused(raw, allowed)
    return bytes(found)


def _below(place: str, reader: _Reader, raw: bytes) -> bytes:
    try:
        return raw if raw == _NULL else reader(raw)
    except Refused as refused:
        raise refused.below(place) from None


# ---------------------------------------------------------------- writing

FileNames = Mapping[FileId, str]
"""The name by which each file is downloaded."""
_Writer = Callable[[bytes, FileNames], bytes]
"""One raw value of ours as one of the dialect."""


class Outputs:
    """Writes the contexts that tasks of one version end with."""

    __slots__ = ("_members", "has_files")

    def __init__(self, fields: Sequence[Field]) -> None:
        taken: set[str] = set()
        self._members: list[tuple[str, bytes, _Writer | None]] = []
        for field in fields:
            lowered = field.name.lower()
            shown = field.name if lowered in taken else lowered
            taken.add(shown)
            self._members.append((field.name, msgspec.json.encode(shown), _writer(field.type)))
        self.has_files = any(_holds_files(field.type) for field in fields)
        """Whether `names` is looked at."""

    def write(self, output: bytes, names: FileNames) -> str:
        """The context: every output variable, null where it was not set."""
        values = msgspec.json.decode(output, type=dict[str, msgspec.Raw])
        members = [
            b"%s:%s" % (shown, _written(writer, values.get(name), names))
            for name, shown, writer in self._members
        ]
        return (b"{%s}" % b",".join(members)).decode()


def _written(writer: _Writer | None, raw: msgspec.Raw | None, names: FileNames) -> bytes:
    value = _NULL if raw is None else bytes(raw)
    return value if writer is None or value == _NULL else writer(value, names)


def _holds_files(kind: ValueType) -> bool:
    match kind:
        case FileValue():
            return True
        case Nullable(item) | ListOf(item) | MapOf(item):
            return _holds_files(item)
        case Record(fields) | Table(fields):
            return any(_holds_files(field.type) for field in fields)
        case _:
            return False


def _writer(kind: ValueType) -> _Writer | None:
    """How values of this type are written; None: as they are."""
    match kind:
        case Nullable(item):
            return _writer(item)
        case FileValue():
            return _file_name
        case ListOf(item):
            return _list_writer(_writer(item))
        case MapOf(item):
            return _map_writer(_writer(item))
        case Record(fields):
            return _record_writer(fields)
        case Table(columns):
            return _table_writer(columns)
        case _:
            return None


class _FileReference(msgspec.Struct):
    file: int
    name: str = "file"


def _file_name(raw: bytes, names: FileNames) -> bytes:
    file = msgspec.json.decode(raw, type=_FileReference)
    return msgspec.json.encode(names.get(FileId(file.file), file.name))


def _list_writer(item: _Writer | None) -> _Writer | None:
    if item is None:
        return None

    def write(raw: bytes, names: FileNames) -> bytes:
        values = msgspec.json.decode(raw, type=list[msgspec.Raw])
        return b"[%s]" % b",".join(_written(item, value, names) for value in values)

    return write


def _map_writer(item: _Writer | None) -> _Writer | None:
    if item is None:
        return None

    def write(raw: bytes, names: FileNames) -> bytes:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return b"{%s}" % b",".join(
            b"%s:%s" % (msgspec.json.encode(name), _written(item, value, names))
            for name, value in values.items()
        )

    return write


def _record_writer(fields: Sequence[Field]) -> _Writer | None:
    writers = {field.name: _writer(field.type) for field in fields}
    if not any(writers.values()):
        return None

    def write(raw: bytes, names: FileNames) -> bytes:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return b"{%s}" % b",".join(
            b"%s:%s" % (msgspec.json.encode(name), _written(writers[name], value, names))
            for name, value in values.items()
        )

    return write


def _table_writer(columns: Sequence[Field]) -> _Writer:
    """An object with the table's fields and its rows; fields of rows that declare none are left out."""
    fields = msgspec.json.encode([_described(column) for column in columns])
    row = _record_writer(columns)
    rows = _list_writer(row)

    def write(raw: bytes, names: FileNames) -> bytes:
        values = raw if rows is None else rows(raw, names)
        return b'{"fields":%s,"values":%s}' % (fields, values)

    return write


def _described(column: Field) -> dict[str, object]:
    kind = column.type.item if isinstance(column.type, Nullable) else column.type
    is_array = isinstance(kind, ListOf)
    return {
        "name": column.name,
        "caption": column.title or column.name,
        "type": _type_word(kind.item if isinstance(kind, ListOf) else kind),
        "isArray": is_array,
        "required": column.required,
    }


_WORDS: Mapping[type[ValueType], str] = {
    Boolean: "bool",
    DateTime: "datetime",
    Date: "datetime",
    Number: "double",
    DecimalNumber: "double",
    FileValue: "file",
    Integer: "int",
}


def _type_word(kind: ValueType) -> str:
    """What the dialect calls a type."""
    inner = kind.item if isinstance(kind, Nullable) else kind
    return _WORDS.get(type(inner), "string")
