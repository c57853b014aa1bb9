"""The types of inputs and outputs, as short as people write them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runyard.model import types

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import TaskField

PLAIN = {
    types.Text: "text",
    types.Integer: "integer",
    types.Number: "number",
    types.DecimalNumber: "decimal",
    types.Boolean: "boolean",
    types.Date: "date",
    types.DateTime: "datetime",
    types.Email: "email",
    types.FileValue: "file",
    types.AnyValue: "any",
}


def type_text(value_type: types.ValueType) -> str:
    """A type in a few words."""
    match value_type:
        case types.Nullable(item=item):
            return f"{type_text(item)} or null"
        case types.ListOf(item=item):
            return f"list of {type_text(item)}"
        case types.MapOf(value=value):
            return f"map of {type_text(value)}"
        case types.Choice(values=values):
            return "one of " + ", ".join(map(str, values))
        case types.Record(fields=fields):
            return "record of " + _names(fields)
        case types.Table(columns=columns):
            return "table of " + _names(columns)
        case _:
            return PLAIN[type(value_type)]


def signature(fields: Iterable["TaskField"]) -> str:
    """Inputs or outputs on one line; the optional ones with a question mark."""
    return ", ".join(
        f"{field.name}{'' if field.required else '?'}: {type_text(field.type)}" for field in fields
    )


def _names(fields: Iterable[types.Field]) -> str:
    return ", ".join(field.name for field in fields)
