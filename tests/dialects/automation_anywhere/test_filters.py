"""Filters, sorting and pages: every operator, every tolerance, every refusal."""

from typing import Any

import msgspec
import pytest

from runyard.dialects.automation_anywhere.filters import (
    DEFAULT_LENGTH,
    OPERATORS,
    Column,
    Selection,
    selected,
)
from runyard.dialects.automation_anywhere.shapes import ListRequest
from runyard.model.errors import InputRefused


class Thing(msgspec.Struct):
    id: str
    name: str | None
    at: str | None
    ready: bool


THINGS = [
    Thing("2", "Zip code", "2026-03-01T08:00:00Z", ready=True),
    Thing("10", "zip report", "2026-03-01T09:30:00+01:00", ready=False),
    Thing("9", "Other", None, ready=True),
    Thing("11", None, "2026-03-02T00:00:00.123456789Z", ready=False),
]
COLUMNS = {
    "id": Column("number"),
    "number": Column("number", "id"),
    "name": Column("text"),
    "ready": Column("boolean"),
    "at": Column("instant"),
}


def chosen(**asked: Any) -> Selection:
    return selected(THINGS, msgspec.convert(asked, ListRequest), COLUMNS)


def ids(**asked: Any) -> list[str]:
    return [row["id"] for row in chosen(**asked).rows]


def leaf(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"operator": operator, "field": field, "value": value}


@pytest.mark.parametrize(
    ("field", "operator", "value", "wanted"),
    [
        ("id", "eq", "2", ["2"]),
        ("id", "eq", 2, ["2"]),
        ("number", "eq", "10", ["10"]),
        ("id", "ne", "2", ["10", "9", "11"]),
        ("id", "lt", "10", ["2", "9"]),
        ("id", "le", "10", ["2", "10", "9"]),
        ("id", "gt", "10", ["11"]),
        ("id", "ge", "10", ["10", "11"]),
        ("id", "eq", "ANY", []),
        ("name", "ne", "ANY", ["2", "10", "9", "11"]),
        ("name", "substring", "ZIP", ["2", "10"]),
        ("name", "substring", "*", []),
        ("name", "eq", "Other", ["9"]),
        ("name", "eq", None, ["11"]),
        ("name", "ne", None, ["2", "10", "9"]),
        ("ready", "eq", "true", ["2", "9"]),
        ("ready", "eq", True, ["2", "9"]),
        ("ready", "ne", "true", ["10", "11"]),
        ("at", "lt", "2026-03-01T08:15:00Z", ["2"]),
        ("at", "ge", "2026-03-01T08:30:00", ["10", "11"]),
        ("at", "eq", "2026-03-01T08:30:00Z", ["10"]),
        ("name", "NONE", None, ["2", "10", "9", "11"]),
    ],
)
def test_leaves(field: str, operator: str, value: Any, wanted: list[str]) -> None:
    assert ids(filter=leaf(field, operator, value)) == wanted
    if operator != "NONE":
        assert ids(filter=leaf(field, operator.upper(), value)) == wanted


def test_groups_inside_groups() -> None:
    ready, small = leaf("ready", "eq", "true"), leaf("id", "lt", "5")
    either = {"operator": "or", "operands": [small, leaf("id", "gt", 10)]}

    assert ids(filter={"operator": "and", "operands": [ready, small]}) == ["2"]
    assert ids(filter=either) == ["2", "11"]
    assert ids(filter={"operator": "not", "operands": [either]}) == ["10", "9"]
    assert ids(
        filter={"operator": "and", "operands": [ready, {"operator": "not", "operands": [small]}]}
    ) == ["9"]


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        {"operator": "NONE"},
        {"operator": "and", "operands": []},
        {"operator": "and", "operands": None},
        {"operator": "and", "operands": [{}]},
        {"operator": None},
    ],
)
def test_filters_that_let_all_pass(asked: Any) -> None:
    assert len(ids(filter=asked)) == 4


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"filter": leaf("id", "like", 1)}, "filter.operator"),
        ({"filter": leaf("colour", "eq", 1)}, "filter.field: colour"),
        ({"filter": leaf("id", "lt", "x")}, "filter.value"),
        ({"filter": {"operator": "and", "operands": 1}}, "filter.operands"),
        (
            {"filter": {"operator": "or", "operands": [leaf("x", "eq", 1)]}},
            "filter.operands[0].field",
        ),
        ({"sort": [{"field": "colour"}]}, "sort[0].field"),
        ({"sort": [{"field": "id", "direction": "up"}]}, "sort[0].direction"),
        ({"fields": ["colour"]}, "fields: colour"),
        ({"page": {"offset": -1}}, "page.offset"),
        ({"page": {"length": 10_001}}, "page.length"),
    ],
)
def test_what_is_refused_is_named(asked: dict, told: str) -> None:
    with pytest.raises(InputRefused, match=told.replace("[", r"\[").replace(".", r"\.")):
        chosen(**asked)


def test_deep_nesting_is_refused() -> None:
    asked: dict[str, Any] = leaf("id", "eq", 1)
    for _ in range(40):
        asked = {"operator": "not", "operands": [asked]}

    with pytest.raises(InputRefused, match="deeper"):
        chosen(filter=asked)


def test_rows_are_sorted_by_several_fields() -> None:
    assert ids(sort=[{"field": "id", "direction": "asc"}]) == ["2", "9", "10", "11"]
    assert ids(sort=[{"field": "id", "direction": "desc"}]) == ["11", "10", "9", "2"]
    assert ids(sort=[{"field": "ready", "direction": "desc"}, {"field": "id"}]) == [
        "2",
        "9",
        "10",
        "11",
    ]
    assert ids(sort=[{"field": "name"}]) == ["11", "9", "2", "10"]
    assert ids(sort=[{"field": "at", "direction": "DESC"}]) == ["11", "10", "2", "9"]


def test_pages() -> None:
    two = chosen(page={"offset": 1, "length": 2}, filter=leaf("id", "ge", "9"))

    assert [row["id"] for row in two.rows] == ["9", "11"]
    assert (two.page.offset, two.page.total, two.page.total_filter) == (1, 4, 3)
    assert ids(page=None) == ids(page={}) == ids(page={"length": 0}) == ids()
    assert ids(page={"offset": 50, "length": None}) == []
    assert DEFAULT_LENGTH == 100


def test_only_some_members() -> None:
    assert chosen(fields=["id", "name"]).rows[0] == {"id": "2", "name": "Zip code"}
    assert len(chosen(fields=[]).rows[0]) == 4


def test_every_documented_operator_is_known() -> None:
    documented = {"NONE", "lt", "le", "eq", "ne", "ge", "gt", "substring", "and", "or", "not"}

    assert set(OPERATORS) == documented
