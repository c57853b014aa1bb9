"""What a function's signature declares: its inputs and outputs, and how their values travel."""

import types
import typing
from collections.abc import Callable
from inspect import Parameter, isasyncgenfunction, isgeneratorfunction, signature
from typing import Any, NamedTuple

from runyard.model.types import Field, Nullable, Table
from runyard.sdk.annotations import (
    NOT_GIVEN,
    Member,
    Part,
    Travel,
    Unsupported,
    is_record,
    label_of,
    record,
    record_members,
    require_distinct_names,
    translate,
    translated_member,
    unwrap,
    write_record,
)

RESULT = "result"
"""Name of the only output of a function that returns one bare value."""


class Signature(NamedTuple):
    """The translated signature of a task's function."""

    inputs: tuple[Member, ...]
    by_name: frozenset[str]
    """Parameters that can be handed over by name only; they come last."""
    outputs: tuple[Field, ...]
    """Empty: it returns no data."""
    write: Travel | None
    """From what is returned to what msgspec encodes as the outputs. None: msgspec does it alone."""
    is_bare: bool
    """Whether what is returned is one value, to be put under the name of the only output."""
    may_be_empty_table: bool
    """Whether the only output is a table, so that one without rows is nothing."""


def read_signature(function: Callable[..., Any]) -> Signature:
    """What this function declares; raises Unsupported naming the parameter or the return value."""
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise Unsupported("it yields; a task returns its outputs")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise Unsupported(f"an annotation cannot be resolved: {error}") from None
    parameters = list(signature(function).parameters.values())
    members = [_input(parameter, hints) for parameter in parameters]
    require_distinct_names(members)
    by_name = frozenset(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
    return _with_outputs(tuple(members), by_name, hints.get("return", type(None)))


def _input(parameter: Parameter, hints: dict[str, Any]) -> Member:
    where = f"parameter {parameter.name}"
    if parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
        raise Unsupported(f"{where}: * and ** parameters declare no inputs; name each one")
    if parameter.name not in hints:
        raise Unsupported(f"{where} has no annotation; say what type it has")
    default = NOT_GIVEN if parameter.default is Parameter.empty else parameter.default
    return translated_member(Part(parameter.name, hints[parameter.name], default), (), where)


def _with_outputs(
    inputs: tuple[Member, ...],
    by_name: frozenset[str],
    annotation: Any,  # noqa: ANN401 - any annotation
) -> Signature:
    if annotation is type(None):
        return Signature(inputs, by_name, (), None, is_bare=False, may_be_empty_table=False)
    try:
        return _with_data(inputs, by_name, annotation)
    except Unsupported as error:
        raise Unsupported(f"the return value: {error}") from None


def _with_data(
    inputs: tuple[Member, ...],
    by_name: frozenset[str],
    annotation: Any,  # noqa: ANN401 - any annotation
) -> Signature:
    bare, marks = unwrap(annotation)
    named = _without_none(bare)
    if is_record(named):
        members = record_members(named)
        outputs = tuple(_always_given(member.field) for member in members)
        write = None if record(named).is_native else write_record(members)
        return Signature(inputs, by_name, outputs, write, is_bare=False, may_be_empty_table=False)
    found, label = translate(annotation), label_of(marks)
    name = label.name or RESULT
    output = Field(name=name, parameter=name, type=found.kind, title=label.title, help=label.help)
    may_be_empty_table = isinstance(found.kind, Table)
    return Signature(
        inputs, by_name, (output,), found.write, is_bare=True, may_be_empty_table=may_be_empty_table
    )


def _without_none(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """The record in `Record | None`: such a task has named outputs, or returns nothing."""
    if typing.get_origin(annotation) not in {typing.Union, types.UnionType}:
        return annotation
    rest = [unwrap(part)[0] for part in typing.get_args(annotation) if part is not type(None)]
    return rest[0] if len(rest) == 1 and is_record(rest[0]) else annotation


def _always_given(field: Field) -> Field:
    """An output has no default: whatever the class has stands in the output."""
    required = field.required or field.default is not None
    return Field(
        name=field.name,
        parameter=field.parameter,
        type=field.type,
        title=field.title,
        help=field.help,
        required=required and not isinstance(field.type, Nullable),
    )
