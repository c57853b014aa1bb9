"""Filters, sorting and pages of the dialect's lists.

A filter is a tree: leaves compare a field with a value, groups join filters. Values nearly always come
as text, so they are compared by the type of their column.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Literal, TypeVar

import msgspec

from runyard.dialects.automation_anywhere.shapes import ListRequest, PageShown
from runyard.model.errors import FieldProblem, InputRefused
from runyard.web.responses import ENCODER, Response

DEFAULT_LENGTH = 100
LONGEST = 10_000
DEEPEST = 20
"""Groups inside groups."""

T = TypeVar("T")
Row = dict[str, Any]
Test = Callable[[Row], bool]
Kind = Literal["text", "number", "boolean", "instant"]


class Column(msgspec.Struct, frozen=True):
    """A field that lists are filtered and sorted by."""

    kind: Kind
    source: str = ""
    """The member of the row that it is, where that has another name."""


Columns = Mapping[str, Column]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": lt,
    "le": le,
    "eq": eq,
    "ne": ne,
    "ge": ge,
    "gt": gt,
}
OPERATORS = ("NONE", *_COMPARISONS, "substring", "and", "or", "not")


class Selection(msgspec.Struct, frozen=True):
    """The part of a list that was asked for, and where it stands in the whole."""

    rows: list[Row]
    page: PageShown


def selected(rows: Sequence[msgspec.Struct], wanted: ListRequest, columns: Columns) -> Selection:
    """The part of these rows that was asked for; raises InputRefused."""
    plain: list[Row] = [msgspec.to_builtins(row) for row in rows]
    offset, length = window(wanted)
    fits = judge(wanted.filter, columns)
    found = in_order([row for row in plain if fits(row)], wanted, columns)
    page = PageShown(offset=offset, total=len(plain), total_filter=len(found))
    return Selection(narrowed(found[offset : offset + length], wanted, columns), page)


def answered(selection: Selection) -> Response:
    """A selection as it is answered."""
    body = {"list": selection.rows, "page": msgspec.to_builtins(selection.page)}
    return Response(ENCODER.encode(body))


def window(wanted: ListRequest) -> tuple[int, int]:
    """Which part of the list: how many to leave out, and how many at most; raises InputRefused."""
    page = wanted.page
    offset = 0 if page is None or page.offset is None else page.offset
    length = DEFAULT_LENGTH if page is None or not page.length else page.length
    _refuse_outside("page.offset", offset, 0, 2**53)
    _refuse_outside("page.length", length, 0, LONGEST)
    return offset, length


def judge(asked: Row | None, columns: Columns) -> Test:
    """Whether a row fits a filter; raises InputRefused for what is none."""
    return _test(asked, columns, "filter", 0) if asked else _always


def in_order(rows: list[Row], wanted: ListRequest, columns: Columns) -> list[Row]:
    """The rows in the order that was asked for; as they come where that leaves it open."""
    for place, by in reversed(list(enumerate(wanted.sort or ()))):
        field = by.get("field")
        column = _column(field, columns, f"sort[{place}].field")
        source, kind = column.source or str(field), column.kind
        direction = str(by.get("direction") or "asc").lower()
        if direction not in {"asc", "desc"}:
            raise _refused(f"sort[{place}].direction", direction, "asc, desc")
        key = _sort_key(source, kind)
        rows = sorted(rows, key=key, reverse=direction == "desc")
    return rows


def narrowed(rows: list[Row], wanted: ListRequest, columns: Columns) -> list[Row]:
    """The rows with only those members that were asked for."""
    if not wanted.fields:
        return rows
    names = set(wanted.fields)
    for name in names:
        if rows and name not in rows[0]:
            _column(name, columns, "fields")
    return [{key: value for key, value in row.items() if key in names} for row in rows]


# ---------------------------------------------------------------- tests


def _test(asked: Any, columns: Columns, path: str, depth: int) -> Test:  # noqa: ANN401 - any JSON
    if not isinstance(asked, dict):
        raise _refused(path, str(asked)[:40], "an object with operator, field and value")
    if depth > DEEPEST:
        raise _refused(path, "a deeper group", f"at most {DEEPEST} groups inside one another")
    operator = _operator(asked, path)
    if operator in {"and", "or", "not"}:
        return _group(operator, asked, columns, path, depth)
    if operator == "none":
        return _always
    field = asked.get("field")
    column = _column(field, columns, f"{path}.field")
    return _leaf(operator, column.source or str(field), column, asked.get("value"), path)


def _operator(asked: Row, path: str) -> str:
    operator = str(asked.get("operator") or "NONE").lower()
    if operator not in {known.lower() for known in OPERATORS}:
        raise _refused(f"{path}.operator", operator[:40], ", ".join(OPERATORS))
    return operator


def _group(operator: str, asked: Row, columns: Columns, path: str, depth: int) -> Test:
    operands = asked.get("operands") or []
    if not isinstance(operands, list):
        raise _refused(f"{path}.operands", str(operands)[:40], "an array of filters")
    tests = [
        _test(operand, columns, f"{path}.operands[{place}]", depth + 1)
        for place, operand in enumerate(operands)
        if operand
    ]
    if not tests:
        return _always
    match operator:
        case "and":
            return lambda row: all(test(row) for test in tests)
        case "or":
            return lambda row: any(test(row) for test in tests)
        case _:
            return lambda row: not all(test(row) for test in tests)


def _leaf(operator: str, source: str, column: Column, value: Any, path: str) -> Test:  # noqa: ANN401
    if operator == "substring":
        text = str(value or "").casefold()
        return lambda row: text in str(row.get(source) or "").casefold()
    compare = _COMPARISONS[operator]
    wanted = _typed(column.kind, value)
    if wanted is None:
        if operator not in {"eq", "ne"}:
            raise _refused(f"{path}.value", str(value)[:40], f"a {column.kind}")
        # A word that no row can have is no mistake: `status ne ANY` means all of them.
        is_null = value is None
        if operator == "eq":
            return lambda row: is_null and _typed(column.kind, row.get(source)) is None
        return lambda row: not is_null or _typed(column.kind, row.get(source)) is not None

    def fits(row: Row) -> bool:
        seen = _typed(column.kind, row.get(source))
        return compare is ne if seen is None else compare(seen, wanted)

    return fits


def _typed(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A value as its column has it; None for null and for what cannot be one."""
    if value is None:
        return None
    try:
        match kind:
            case "number":
                return None if isinstance(value, bool) else float(value)
            case "boolean":
                return {"true": True, "false": False}.get(str(value).lower())
            case "instant":
                at = datetime.fromisoformat(str(value))
                return at.replace(tzinfo=UTC) if at.tzinfo is None else at
            case "text":
                return str(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _sort_key(source: str, kind: Kind) -> Callable[[Row], tuple[bool, Any]]:
    def key(row: Row) -> tuple[bool, Any]:
        value = _typed(kind, row.get(source))
        return (value is not None, value.casefold() if isinstance(value, str) else value or 0)

    def instant_key(row: Row) -> tuple[bool, Any]:
        value = _typed(kind, row.get(source))
        return (value is not None, datetime.min.replace(tzinfo=UTC) if value is None else value)

    return instant_key if kind == "instant" else key


def _column(field: Any, columns: Columns, path: str) -> Column:  # noqa: ANN401 - any JSON
    column = columns.get(field) if isinstance(field, str) else None
    if column is None:
        raise _refused(path, str(field)[:80], ", ".join(columns))
    return column


def _always(row: Row) -> bool:
    return True


def _refuse_outside(field: str, seen: int, least: int, most: int) -> None:
    if not least <= seen <= most:
        raise _refused(field, str(seen), f"{least} to {most}")


def _refused(field: str, seen: str, allowed: str) -> InputRefused:
    return InputRefused([FieldProblem(field=field, seen=seen, allowed=allowed)])
