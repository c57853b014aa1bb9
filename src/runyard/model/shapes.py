"""Shapes judge values: is this JSON what these fields declare?

A shape is built from stored fields alone, never from a task's code. The fast way is one decode into
a struct generated from the fields and one encode, which gives every value its canonical JSON: names
in the declared order, defaults filled in, one form per type. Only a value that fails is looked at
again, slowly, to name everything that is wrong with it (`runyard.model.misfits`).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from runyard.model.errors import FieldProblem, InputRefused
from runyard.model.files import FileAddress, FileReference
from runyard.model.ids import FileId
from runyard.model.misfits import EMAIL_LENGTH, EMAIL_PATTERN, WHOLE, item_of, misfits
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

NO_VALUES: Final = b"{}"
MOST_SHAPES = 4096
"""Shapes kept; beyond that the least recently used are built again."""

_ADDRESS_MARK = b'"url"'
"""Stands in every value that names a file by its address."""

# These decode as decimals but are none; a value that contains one of them is looked at slowly.
_NOT_FINITE = (b'nan"', b'infinity"')


class _MentionedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file as callers may write it: its id, or the address to fetch it from.

    What else is said about it is kept as it is; whether that is true is for `Shape.with_files` to
    see to.
    """

    file: int | msgspec.UnsetType = msgspec.UNSET
    url: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET
    digest: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.file is msgspec.UNSET) == (self.url is msgspec.UNSET):
            raise ValueError("either a file or a url")


class Shape:
    """What JSON may stand for these fields."""

    __slots__ = ("_decoder", "_empty", "_has_decimals", "fields", "has_files")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self.has_files = _mentions(fields, FileValue)
        """Whether files may stand in a value at a declared place."""
        self._has_decimals = _mentions(fields, DecimalNumber)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_struct(fields))
        self._empty = None if any(f.required for f in fields) else self._canonical(NO_VALUES)

    def accept(self, raw: bytes) -> bytes:
        """The canonical JSON of this value, defaults filled in; raises InputRefused.

        The error lists everything that is wrong, not only the first thing.
        """
        if raw == NO_VALUES and self._empty is not None:
            return self._empty
        try:
            return self._canonical(raw)
        except (ValueError, RecursionError) as error:
            raise InputRefused(self._explain(raw, error)) from None

    def problems(self, raw: bytes) -> tuple[FieldProblem, ...]:
        """What is wrong with this value; empty when it fits."""
        try:
            self._canonical(raw)
        except (ValueError, RecursionError) as error:
            return self._explain(raw, error)
        return ()

    def files_in(self, raw: bytes) -> tuple[FileId, ...]:
        """The files that this (accepted) value mentions, in order, repeated ones included.

        Costs nothing when the fields have no files.
        """
        if not self.has_files:
            return ()
        found: list[FileId] = []

        def note(_: str, mentioned: Any) -> None:  # noqa: ANN401 - any JSON
            if (file_id := _id_of(mentioned)) is not None:
                found.append(file_id)

        _replace_files(self.fields, msgspec.json.decode(raw), note)
        return tuple(found)

    def addresses_in(self, raw: bytes) -> tuple[FileAddress, ...]:
        """The files that this (accepted) value names by address, in order.

        Costs nothing when the fields have no files.
        """
        if not self.has_files or _ADDRESS_MARK not in raw:
            return ()
        found: list[FileAddress] = []

        def note(path: str, mentioned: Any) -> None:  # noqa: ANN401 - any JSON
            if (address := _address_of(path, mentioned)) is not None:
                found.append(address)

        _replace_files(self.fields, msgspec.json.decode(raw), note)
        return tuple(found)

    def refuse_addresses(self, raw: bytes) -> None:
        """Raise InputRefused when this (accepted) value names files by address where none is fetched."""
        if addresses := self.addresses_in(raw):
            raise InputRefused(
                [
                    FieldProblem(field=a.path, seen=f"the address {a.url[:200]}", allowed="a file")
                    for a in addresses
                ]
            )

    def with_fetched(self, raw: bytes, files: Mapping[int, FileReference]) -> bytes:
        """This (accepted) value with the files that were fetched, by the place of their address."""
        places = itertools.count()

        def fill(path: str, mentioned: Any) -> Any:  # noqa: ANN401 - any JSON
            is_address = _address_of(path, mentioned) is not None
            return files[next(places)] if is_address else mentioned

        return msgspec.json.encode(_replace_files(self.fields, msgspec.json.decode(raw), fill))

    def with_files(self, raw: bytes, files: Mapping[FileId, FileReference]) -> bytes:
        """This (accepted) value with each file's full form; raises InputRefused for unknown ids."""
        if not self.has_files:
            return raw
        unknown: list[FieldProblem] = []

        def fill(path: str, mentioned: Any) -> Any:  # noqa: ANN401 - any JSON
            if (file_id := _id_of(mentioned)) is None:
                return mentioned
            known = files.get(file_id)
            if known is None:
                allowed = "the id of a file that exists"
                unknown.append(FieldProblem(field=path, seen=f"file {file_id}", allowed=allowed))
            return known

        filled = _replace_files(self.fields, msgspec.json.decode(raw), fill)
        if unknown:
            raise InputRefused(unknown)
        return msgspec.json.encode(filled)

    def _canonical(self, raw: bytes) -> bytes:
        canonical = msgspec.json.encode(self._decoder.decode(raw))
        if self._has_decimals and _may_hold_non_finite(canonical) and misfits(self.fields, raw):
            raise ValueError("a number that is not finite")
        return canonical

    def _explain(self, raw: bytes, error: Exception) -> tuple[FieldProblem, ...]:
        found = misfits(self.fields, raw)
        return found or (FieldProblem(field=WHOLE, seen=str(error), allowed="see its declaration"),)


@lru_cache(maxsize=MOST_SHAPES)
def shape(fields: tuple[Field, ...]) -> Shape:
    """The shape of these fields. Keep it at hand where many values are judged by it."""
    return Shape(fields)


def _may_hold_non_finite(canonical: bytes) -> bool:
    lowered = canonical.lower()
    return any(mark in lowered for mark in _NOT_FINITE)


# ---------------------------------------------------------------- from fields to structs


def _struct(fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    """A struct that decodes what these fields allow and encodes it in canonical form."""
    attributes = {f"f{place}": field for place, field in enumerate(fields)}
    return msgspec.defstruct(
        "Values",
        [(name, *_declared(field)) for name, field in attributes.items()],
        rename={name: field.name for name, field in attributes.items()},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _declared(field: Field) -> tuple[Any, ...]:
    decoded = _decoded(field.type)
    if field.required:
        return (decoded,)
    if field.default is None:
        return (decoded, None)
    default = msgspec.json.decode(field.default.encode(), type=decoded)
    # One value serves all: what is decoded here is only ever encoded again.
    return (decoded, msgspec.field(default_factory=lambda: default))


_DECODED: Mapping[type[ValueType], Any] = {
    Text: str,
    Integer: int,
    Number: float,
    DecimalNumber: Decimal,
    Boolean: bool,
    Date: date,
    DateTime: Annotated[datetime, msgspec.Meta(tz=True)],
    Email: Annotated[str, msgspec.Meta(pattern=EMAIL_PATTERN, max_length=EMAIL_LENGTH)],
    FileValue: int | _MentionedFile,
    AnyValue: Any,
}


def _decoded(kind: ValueType) -> Any:  # noqa: ANN401 - a type expression has no type of its own
    """The Python type that msgspec decodes values of this type into."""
    match kind:
        case Nullable(item):
            return _decoded(item) | None
        case Choice(values):
            return Literal[values]
        case ListOf() | Table():
            return list[_decoded(item_of(kind))]  # type: ignore[misc]
        case MapOf(item):
            return dict[str, _decoded(item)]  # type: ignore[misc]
        case Record(fields):
            return _struct(fields)
        case _:
            return _DECODED[type(kind)]


# ---------------------------------------------------------------- files inside values


def _mentions(fields: tuple[Field, ...], wanted: type[ValueType]) -> bool:
    return any(isinstance(kind, wanted) for field in fields for kind in _parts(field.type))


def _parts(kind: ValueType) -> Iterator[ValueType]:
    """The type and all types inside it."""
    yield kind
    match kind:
        case Nullable(item) | ListOf(item) | MapOf(item):
            yield from _parts(item)
        case Record(fields) | Table(fields):
            for field in fields:
                yield from _parts(field.type)
        case _:
            pass


_Replace = Callable[[str, Any], Any]


def _id_of(mentioned: Any) -> FileId | None:  # noqa: ANN401 - any JSON
    """The id that a mentioned file has; None for one that is only an address."""
    found = mentioned.get("file") if isinstance(mentioned, dict) else mentioned
    return None if found is None else FileId(found)


def _address_of(path: str, mentioned: Any) -> FileAddress | None:  # noqa: ANN401 - any JSON
    if not isinstance(mentioned, dict) or "url" not in mentioned:
        return None
    return FileAddress(
        path=path,
        url=mentioned["url"],
        name=mentioned.get("name"),
        content_type=mentioned.get("content_type"),
    )


def _replace_files(
    fields: tuple[Field, ...], value: Mapping[str, Any], replace: _Replace, path: str = ""
) -> dict[str, Any]:
    """The value of these fields with whatever `replace` gives for each mentioned file and where it is."""
    types = {field.name: field.type for field in fields}
    return {
        name: _replaced(types[name], part, replace, f"{path}.{name}" if path else name)
        for name, part in value.items()
    }


def _replaced(kind: ValueType, value: Any, replace: _Replace, path: str) -> Any:  # noqa: ANN401 - any JSON
    if value is None:
        return None
    match kind:
        case FileValue():
            return replace(path, value)
        case Nullable(item):
            return _replaced(item, value, replace, path)
        case ListOf() | Table():
            item = item_of(kind)
            return [_replaced(item, v, replace, f"{path}[{i}]") for i, v in enumerate(value)]
        case MapOf(item):
            return {n: _replaced(item, v, replace, f'{path}["{n}"]') for n, v in value.items()}
        case Record(fields):
            return _replace_files(fields, value, replace, path)
        case _:
            return value
