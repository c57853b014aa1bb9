"""The dialect's value types, and how our types are called in it. Pure.

A value is `{"type": T, "<key of T>": ...}`; scalars travel as text. A task's declared types decide how
a value is read, so a caller may also send a bare JSON value, or text for a number.
"""

from collections.abc import Mapping

from runyard.model.types import (
    AnyValue,
    Boolean,
    Choice,
    Date,
    DateTime,
    DecimalNumber,
    Email,
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

KEYS: Mapping[str, str] = {
    "STRING": "string",
    "NUMBER": "number",
    "BOOLEAN": "boolean",
    "LIST": "list",
    "DICTIONARY": "dictionary",
    "TABLE": "table",
    "RECORD": "record",
    "DATETIME": "string",
    "FILE": "file",
    "PROPERTIES": "properties",
}
"""The types that Runyard reads, and where their values stand."""

UNSUPPORTED = frozenset(
    (
        "ITERATOR",
        "VARIABLE",
        "CONDITIONAL",
        "WINDOW",
        "TASKBOT",
        "UIOBJECT",
        "EXCEPTION",
        "CREDENTIAL",
        "COORDINATE",
        "IMAGE",
        "REGION",
        "TRIGGER",
        "CONDITIONALGROUP",
        "FORM",
        "FORMELEMENT",
        "HOTKEY",
        "WORKITEM",
    )
)
"""Types that the dialect names besides; no task of Runyard declares them."""

MEMBERS = frozenset(KEYS.values()) | {"datetime", "expression", "credential", "subtype"}
"""What else stands in a value beside its type."""

_NAMES: Mapping[type[ValueType], str] = {
    Text: "STRING",
    Email: "STRING",
    Integer: "NUMBER",
    Number: "NUMBER",
    DecimalNumber: "NUMBER",
    Boolean: "BOOLEAN",
    Date: "DATETIME",
    DateTime: "DATETIME",
    FileValue: "FILE",
    ListOf: "LIST",
    MapOf: "DICTIONARY",
    Record: "RECORD",
    Table: "TABLE",
    AnyValue: "ANY",
}


def name_of(kind: ValueType) -> str:
    """What the dialect calls a declared type."""
    match kind:
        case Nullable(item):
            return name_of(item)
        case Choice(values):
            return "NUMBER" if all(isinstance(value, int) for value in values) else "STRING"
        case _:
            return _NAMES[type(kind)]
