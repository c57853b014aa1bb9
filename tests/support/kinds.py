"""Types of values with values of them, as hypothesis draws them; each dialect says what it has for scalars."""

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from runyard.model.types import AnyValue, Field, ListOf, MapOf, Nullable, Record, Table, ValueType

Scalars = Mapping[ValueType, st.SearchStrategy[Any]]
"""Every type that holds no other, and its values."""

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@st.composite
def typed_values(draw: Callable[[Any], Any], scalars: Scalars) -> tuple[ValueType, Any]:
    """A type, and a value of it."""
    kind = draw(_kinds(scalars))
    return kind, draw(_values_of(kind, scalars))


@st.composite
def _kinds(draw: Callable[[Any], Any], scalars: Scalars, depth: int = 2) -> ValueType:
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        scalar: ValueType = draw(st.sampled_from(list(scalars)))
        return scalar
    inner = _kinds(scalars, depth=depth - 1)
    match draw(st.sampled_from(["list", "map", "record", "table", "nullable"])):
        case "list":
            return ListOf(draw(inner))
        case "map":
            return MapOf(draw(inner))
        case "record":
            return Record(_fields_of(draw, inner))
        case "table":
            return Table(_fields_of(draw, inner))
        case _:
            return Nullable(draw(st.sampled_from([k for k in scalars if k != AnyValue()])))


def _fields_of(
    draw: Callable[[Any], Any], inner: st.SearchStrategy[ValueType]
) -> tuple[Field, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return tuple(Field(name=name, parameter=name, type=draw(inner)) for name in names)


def _values_of(kind: ValueType, scalars: Scalars) -> st.SearchStrategy[Any]:
    match kind:
        case Nullable(item):
            return st.none() | _values_of(item, scalars)
        case ListOf(item):
            return st.lists(_values_of(item, scalars), max_size=3)
        case MapOf(item):
            return st.dictionaries(st.text(), _values_of(item, scalars), max_size=3)
        case Record(fields):
            return _rows_of(fields, scalars)
        case Table(columns):
            return st.lists(_rows_of(columns, scalars), max_size=3)
        case _:
            return scalars[kind]


def _rows_of(fields: tuple[Field, ...], scalars: Scalars) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({f.name: _values_of(f.type, scalars) for f in fields})
