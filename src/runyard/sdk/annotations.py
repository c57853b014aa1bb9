"""From Python annotations to the value type language, and values to and fro.

`translate` finds, for an annotation, its value type and how values travel: what msgspec decodes
JSON into (`native`), and, only where that is not yet what the code expects, a function that makes
it so (`read`) and one for the way back (`write`). Where both are None, msgspec does everything.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from runyard.model.errors import InputRefused
from runyard.model.files import FileReference
from runyard.model.shapes import shape
from runyard.model.types import (
    AnyValue,
    Boolean,
    Choice,
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
    Text,
    ValueType,
)
from runyard.model.types import Email as EmailType
from runyard.sdk.files import File, received, returned


class Label:
    """What callers and people call a value, where that differs from its Python name."""

    __slots__ = ("help", "name", "title")

    def __init__(self, *, name: str | None = None, title: str = "", help: str = "") -> None:  # noqa: A002 - the word authors expect
        """Give the name that callers write, the title that people read, a sentence of help."""
        self.name = name
        self.title = title
        self.help = help


class Input(Label):
    """`Annotated[str, Input(name="strZip", title="Zip code", help="Five digits")]`."""


class Output(Label):
    """The same for a field of what a task returns, or for the value it returns."""


class _EmailMark:
    """Marks text as an email address."""


_EMAIL = _EmailMark()
Email = Annotated[str, _EMAIL]
"""Text that is one email address."""


class Unsupported(Exception):
    """An annotation that says something the type language cannot."""


Travel = Callable[[Any], Any]


class Translation(NamedTuple):
    """How an annotation reads in the type language, and how its values travel."""

    kind: ValueType
    native: Any
    """What msgspec decodes the JSON into."""
    read: Travel | None = None
    """From the native value to the one the code expects."""
    write: Travel | None = None
    """From the code's value to one that msgspec encodes."""

    @property
    def is_native(self) -> bool:
        """Whether msgspec does everything."""
        return self.read is None and self.write is None


class Member(NamedTuple):
    """A named part of a record, or a parameter, translated."""

    field: Field
    native: Any
    read: Travel | None
    write: Travel | None


class NotGiven:
    """Stands for a default where there is none."""


NOT_GIVEN: Final = NotGiven()

_NATIVE: Mapping[Any, ValueType] = {
    str: Text(),
    int: Integer(),
    float: Number(),
    bool: Boolean(),
    Decimal: DecimalNumber(),
    date: Date(),
    datetime: DateTime(),
    Any: AnyValue(),
    object: AnyValue(),
}
_BARE: Mapping[Any, Any] = {list: list[Any], dict: dict[str, Any], tuple: tuple[Any, ...]}
_SUPPORTED = (
    "str, int, float, bool, Decimal, date, datetime, Email, File, list, dict, Literal, Enum, "
    "dataclass, TypedDict, NamedTuple, msgspec.Struct, any of them with None, or Any"
)

Path = tuple[type, ...]
"""The records around a place, to notice one that contains itself."""


def translate(annotation: Any, around: Path = ()) -> Translation:  # noqa: ANN401 - any annotation
    """How this annotation reads in the type language; raises Unsupported."""
    annotation, marks = unwrap(annotation)
    if any(mark is _EMAIL for mark in marks):
        return Translation(EmailType(), str)
    if any(isinstance(mark, msgspec.Meta) for mark in marks):
        raise Unsupported("constraints by msgspec.Meta are not part of a declaration")
    annotation = _BARE.get(annotation, annotation) if _is_hashable(annotation) else annotation
    if _is_hashable(annotation) and annotation in _NATIVE:
        native = Any if annotation is object else annotation
        return Translation(_NATIVE[annotation], native)
    if annotation is File:
        return Translation(FileValue(), FileReference, received, returned)
    if isinstance(annotation, type) and not typing.get_origin(annotation):
        return _of_class(annotation, around)
    return _of_generic(annotation, around)


def unwrap(annotation: Any) -> tuple[Any, tuple[object, ...]]:  # noqa: ANN401 - any annotation
    """An annotation without its `Annotated`, new-type and alias wrappers, and what they said."""
    marks: tuple[object, ...] = ()
    while True:
        if typing.get_origin(annotation) is Annotated:
            marks += annotation.__metadata__
            annotation = annotation.__origin__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, marks


def label_of(marks: tuple[object, ...]) -> Label:
    """The label among an annotation's marks; an empty one if there is none."""
    for mark in marks:
        if isinstance(mark, Label):
            return mark
        if isinstance(mark, type) and issubclass(mark, Label):
            return mark()
    return Label()


def name_of(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    """An annotation as its author wrote it, nearly."""
    if isinstance(annotation, type) and not typing.get_origin(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def _is_hashable(annotation: object) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _unsupported(annotation: object) -> Unsupported:
    return Unsupported(f"{name_of(annotation)} is no supported type; supported are {_SUPPORTED}")


# ---------------------------------------------------------------- classes


def _of_class(annotation: type, around: Path) -> Translation:
    if issubclass(annotation, Enum):
        return _of_enum(annotation)
    if _members_by_kind(annotation) is not None:
        return record(annotation, around)
    raise _unsupported(annotation)


def _of_enum(annotation: type[Enum]) -> Translation:
    values = tuple(member.value for member in annotation)
    if not values:
        raise Unsupported(f"{annotation.__qualname__} has no members")
    if not (all(type(v) is str for v in values) or all(type(v) is int for v in values)):
        raise Unsupported(f"the values of {annotation.__qualname__} must all be text or all be int")
    return Translation(Choice(values), annotation)


# ---------------------------------------------------------------- list[...], X | None and the like


def _of_generic(annotation: Any, around: Path) -> Translation:  # noqa: ANN401 - any annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _of_literal(annotation, arguments)
    if origin is typing.Union or origin is types.UnionType:
        return _of_union(annotation, arguments, around)
    if origin is list:
        return _of_list(translate(arguments[0], around), list)
    if origin is tuple and len(arguments) == len(("item", ...)) and arguments[1] is Ellipsis:
        return _of_list(translate(arguments[0], around), tuple)
    if origin is dict:
        return _of_dict(annotation, arguments, around)
    raise _unsupported(annotation)


def _of_literal(annotation: Any, values: tuple[Any, ...]) -> Translation:  # noqa: ANN401 - any annotation
    kept = tuple(value for value in values if value is not None)
    if not kept or not all(type(value) in {str, int} for value in kept):
        raise Unsupported(f"{name_of(annotation)}: only text, int and None can be listed")
    choice = Choice(kept)
    return Translation(choice if len(kept) == len(values) else Nullable(choice), annotation)


def _of_union(annotation: Any, arguments: tuple[Any, ...], around: Path) -> Translation:  # noqa: ANN401 - any annotation
    kept = [argument for argument in arguments if argument is not types.NoneType]
    if len(kept) != 1 or len(kept) == len(arguments):
        raise Unsupported(
            f"{name_of(annotation)}: only one type, with None if need be, can be meant"
        )
    inner = translate(kept[0], around)
    if isinstance(inner.kind, Nullable | AnyValue):
        return inner
    return Translation(
        Nullable(inner.kind),
        inner.native | None,
        _unless_none(inner.read),
        _unless_none(inner.write),
    )


def _of_list(item: Translation, container: type[list[Any]] | type[tuple[Any, ...]]) -> Translation:
    native = list[item.native] if container is list else tuple[item.native, ...]  # type: ignore[name-defined]
    return Translation(
        _list_kind(item.kind), native, _each(item.read, container), _each(item.write, list)
    )


def _list_kind(item: ValueType) -> ValueType:
    match item:
        case Record(fields):
            return Table(fields)
        case MapOf(AnyValue()):
            return Table(())
        case _:
            return ListOf(item)


def _of_dict(annotation: Any, arguments: tuple[Any, ...], around: Path) -> Translation:  # noqa: ANN401 - any annotation
    if unwrap(arguments[0])[0] is not str:
        raise Unsupported(f"{name_of(annotation)}: the names in a dict must be str")
    value = translate(arguments[1], around)
    return Translation(
        MapOf(value.kind),
        dict[str, value.native],  # type: ignore[name-defined]
        _each_value(value.read),
        _each_value(value.write),
    )


def _unless_none(travel: Travel | None) -> Travel | None:
    if travel is None:
        return None
    return lambda value: None if value is None else travel(value)


def _each(travel: Travel | None, container: Callable[[Any], Any]) -> Travel | None:
    if travel is None:
        return None
    return lambda items: container([travel(item) for item in items])


def _each_value(travel: Travel | None) -> Travel | None:
    if travel is None:
        return None
    return lambda values: {name: travel(value) for name, value in values.items()}


# ---------------------------------------------------------------- records


class Part(NamedTuple):
    """A part of a record as its class declares it."""

    name: str
    annotation: Any
    default: Any = NOT_GIVEN
    wire_name: str | None = None
    """Set by the class itself, apart from any label."""
    may_be_absent: bool = False


def record(annotation: type, around: Path = ()) -> Translation:
    """The translation of a class with named parts; raises Unsupported."""
    if annotation in around:
        raise Unsupported(f"{annotation.__qualname__} contains itself")
    members = record_members(annotation, around)
    kind = Record(tuple(member.field for member in members))
    parts = parts_of(annotation)
    if _msgspec_agrees(annotation, members) and not any(part.may_be_absent for part in parts):
        return Translation(kind, annotation)
    absent = frozenset(part.name for part in parts if part.may_be_absent)
    return Translation(
        kind, mirror(members), _read_record(annotation, members, absent), write_record(members)
    )


def is_record(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether this is a class with named parts."""
    return isinstance(annotation, type) and _members_by_kind(annotation) is not None


def record_members(annotation: type, around: Path = ()) -> tuple[Member, ...]:
    """The translated parts of a class; raises Unsupported naming the part."""
    found = [
        translated_member(part, (*around, annotation), f"{annotation.__qualname__}.{part.name}")
        for part in parts_of(annotation)
    ]
    if not found:
        raise Unsupported(f"{annotation.__qualname__} has no fields")
    require_distinct_names(found)
    return tuple(found)


def require_distinct_names(members: list[Member]) -> None:
    """Raise Unsupported if two of these are called the same by callers."""
    names = [member.field.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise Unsupported(f"two values are named {name!r}")


def translated_member(part: Part, around: Path, where: str) -> Member:
    """A parameter or part with its field; raises Unsupported that says where."""
    try:
        found = translate(part.annotation, around)
    except Unsupported as error:
        raise Unsupported(f"{where}: {error}") from None
    kind, read, write = found.kind, found.read, found.write
    native = found.native
    if part.may_be_absent and not isinstance(kind, Nullable | AnyValue):
        kind, native = Nullable(kind), native | None
        read, write = _unless_none(read), _unless_none(write)
    label = label_of(unwrap(part.annotation)[1])
    field = Field(
        name=_valid_name(label.name or part.wire_name or part.name, where),
        parameter=part.name,
        type=kind,
        title=label.title,
        help=label.help,
        required=part.default is NOT_GIVEN and not isinstance(kind, Nullable),
    )
    if part.default is not NOT_GIVEN:
        field = msgspec.structs.replace(
            field, default=_default_json(field, part.default, write, where)
        )
    return Member(field, native, read, write)


def _valid_name(name: str, where: str) -> str:
    if not name.isprintable() or not name.strip() or not {'"', "\\"}.isdisjoint(name):
        raise Unsupported(
            f"{where}: {name!r} is no name; quotes and backslashes cannot be part of one"
        )
    return name


def _default_json(field: Field, default: object, write: Travel | None, where: str) -> str:
    """A default as canonical JSON; raises Unsupported when it does not fit its own annotation."""
    try:
        written = msgspec.json.encode(write(default) if write else default)
        values = shape((msgspec.structs.replace(field, required=True),)).accept(
            msgspec.json.encode({field.name: msgspec.Raw(written)})
        )
    except InputRefused as error:
        problem = error.problems[0]
        raise Unsupported(
            f"{where}: its default is {problem.seen}; allowed: {problem.allowed}"
        ) from None
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise Unsupported(f"{where}: its default cannot be written as JSON: {error}") from None
    raw: msgspec.Raw = msgspec.json.decode(values, type=dict[str, msgspec.Raw])[field.name]
    return bytes(raw).decode()


def parts_of(annotation: type) -> list[Part]:
    """The parts of a class that is a record."""
    find = _members_by_kind(annotation)
    if find is None:
        raise _unsupported(annotation)
    try:
        return find(annotation)
    except NameError as error:
        raise Unsupported(f"{annotation.__qualname__}: {error}") from None


def _members_by_kind(annotation: type) -> Callable[[Any], list[Part]] | None:
    if dataclasses.is_dataclass(annotation):
        return _parts_of_dataclass
    if issubclass(annotation, msgspec.Struct):
        return _parts_of_struct
    if typing.is_typeddict(annotation):
        return _parts_of_typed_dict
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return _parts_of_named_tuple
    return None


def _hints(annotation: type) -> dict[str, Any]:
    return typing.get_type_hints(annotation, include_extras=True)


def _parts_of_dataclass(annotation: type[Any]) -> list[Part]:
    hints = _hints(annotation)
    parts = []
    for field in dataclasses.fields(annotation):
        if not field.init:
            raise Unsupported(f"{annotation.__qualname__}.{field.name} has init=False")
        default: Any = NOT_GIVEN
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        parts.append(Part(field.name, hints[field.name], default))
    return parts


def _parts_of_struct(annotation: type[msgspec.Struct]) -> list[Part]:
    parts = []
    for field in msgspec.structs.fields(annotation):
        default: Any = NOT_GIVEN
        if field.default is not msgspec.NODEFAULT:
            default = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        parts.append(Part(field.name, field.type, default, wire_name=field.encode_name))
    return parts


def _parts_of_typed_dict(annotation: Any) -> list[Part]:  # noqa: ANN401 - a typed dict's class
    required: frozenset[str] = annotation.__required_keys__
    return [
        Part(name, _without_required(hint), may_be_absent=name not in required)
        for name, hint in _hints(annotation).items()
    ]


def _without_required(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    if typing.get_origin(hint) in {typing.Required, typing.NotRequired}:
        return typing.get_args(hint)[0]
    return hint


def _parts_of_named_tuple(annotation: Any) -> list[Part]:  # noqa: ANN401 - a named tuple's class
    hints, defaults = _hints(annotation), annotation._field_defaults
    return [
        Part(name, hints.get(name, Any), defaults.get(name, NOT_GIVEN))
        for name in annotation._fields
    ]


def _msgspec_agrees(annotation: type, members: tuple[Member, ...]) -> bool:
    """Whether msgspec reads and writes this class just as it is declared to callers."""
    if not all(member.read is None and member.write is None for member in members):
        return False
    if issubclass(annotation, msgspec.Struct):
        return _is_plain_struct(annotation, members)
    if any(m.field.name != m.field.parameter or m.field.name.startswith("_") for m in members):
        return False
    return dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation)


def _is_plain_struct(annotation: type[msgspec.Struct], members: tuple[Member, ...]) -> bool:
    config = annotation.__struct_config__
    if config.tag is not None or config.array_like or config.omit_defaults:
        return False
    own_names = [field.encode_name for field in msgspec.structs.fields(annotation)]
    return own_names == [member.field.name for member in members]


def mirror(members: tuple[Member, ...]) -> type[msgspec.Struct]:
    """A struct that msgspec decodes these values into, by the names that callers write."""
    return msgspec.defstruct(
        "Mirror",
        [(member.field.parameter, member.native) for member in members],
        rename={member.field.parameter: member.field.name for member in members},
        forbid_unknown_fields=True,
        gc=False,
    )


def _read_record(annotation: type, members: tuple[Member, ...], absent: frozenset[str]) -> Travel:
    reads = [(member.field.parameter, member.read) for member in members]

    def read(mirrored: Any) -> Any:  # noqa: ANN401 - whatever the class makes
        values = {}
        for name, travel in reads:
            value = getattr(mirrored, name)
            if value is None and name in absent:
                continue
            values[name] = travel(value) if travel else value
        return annotation(**values)

    return read


def write_record(members: tuple[Member, ...]) -> Travel:
    """How an object of such a class becomes one with the names that callers read.

    What is missing is left out and what is not declared is kept, for the declaration to refuse.
    """
    writes = [(member.field.parameter, member.field.name, member.write) for member in members]
    known = frozenset(member.field.parameter for member in members)

    def write(value: Any) -> Any:  # noqa: ANN401 - whatever the code returned
        if isinstance(value, Mapping):
            taken = dict(value)
        else:
            taken = {name: getattr(value, name) for name, _, _ in writes if hasattr(value, name)}
            if not taken:
                return value
        written = {name: part for name, part in taken.items() if name not in known}
        for name, wire_name, travel in writes:
            if name in taken:
                written[wire_name] = travel(taken[name]) if travel else taken[name]
        return written

    return write
