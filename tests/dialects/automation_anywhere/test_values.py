"""Values of the dialect: every type there and back, and what is forgiven or refused on the way."""

import json
from datetime import timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.dialects.automation_anywhere.reading import Inputs, Read
from runyard.dialects.automation_anywhere.values import KEYS, UNSUPPORTED
from runyard.dialects.automation_anywhere.writing import Outputs
from runyard.model.shapes import shape
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
from tests.support.kinds import typed_values


def link(file: int) -> str:
    return f"http://127.0.0.1:7070/runyard/v1/companies/acme/files/{file}/content"


def read(kind: ValueType, value: Any) -> Read:
    return Inputs((Field(name="v", parameter="v", type=kind),), ()).read({"v": value})


def told(kind: ValueType, value: Any) -> str:
    """What is said about a value that does not fit."""
    found = read(kind, value).problems
    assert found
    return f"{found[0].field}: {found[0].seen}; allowed: {found[0].allowed}"


# ---------------------------------------------------------------- there and back

# JSON has one kind of number: 1.0 and 1 are told apart by nobody but Python.
ANYTHING = st.recursive(
    st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
    lambda inner: (
        st.lists(inner | st.none(), max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)

SCALARS: dict[ValueType, st.SearchStrategy[Any]] = {
    Text(): st.text(),
    Integer(): st.integers(),
    Number(): st.floats(allow_nan=False, allow_infinity=False),
    DecimalNumber(): st.decimals(allow_nan=False, allow_infinity=False).map(str),
    Boolean(): st.booleans(),
    Date(): st.dates().map(lambda day: day.isoformat()),
    DateTime(): st.builds(
        lambda at, minutes: at.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(),
        st.datetimes(),
        st.integers(-1439, 1439),
    ),
    Email(): st.sampled_from(["ann@example.com", "o'hara+x@example.org"]),
    FileValue(): st.integers(1, 2**53).map(lambda number: {"file": number}),
    Choice(("red", "", 7, 10**12)): st.sampled_from(["red", "", 7, 10**12]),
    AnyValue(): ANYTHING,
}


@given(typed_values(SCALARS))
def test_every_value_comes_back_as_it_went(typed: tuple[ValueType, Any]) -> None:
    kind, value = typed
    field = (Field(name="v", parameter="v", type=kind),)
    raw = shape(field).accept(msgspec.json.encode({"v": value}))
    travelled = json.loads(json.dumps(Outputs(field).write(raw, link)))

    back = Inputs(field, ()).read(travelled)

    assert back.problems == []
    assert not back.uploads
    if msgspec.json.decode(raw)["v"] is None:  # what is null at the top is left out
        assert travelled == {}
        return
    again = shape(field).accept(msgspec.json.encode(back.values))
    assert msgspec.json.decode(again) == msgspec.json.decode(raw)


@given(typed_values(SCALARS))
def test_only_the_key_of_its_type_stands_beside_a_type(typed: tuple[ValueType, Any]) -> None:
    kind, value = typed
    field = (Field(name="v", parameter="v", type=kind),)
    raw = shape(field).accept(msgspec.json.encode({"v": value}))

    for written in Outputs(field).write(raw, link).values():
        assert set(written) == {"type", KEYS[written["type"]]}


@given(st.text() | ANYTHING, st.sampled_from(list(SCALARS)))
def test_whatever_comes_is_read_or_refused(value: Any, kind: ValueType) -> None:
    """No value makes the reading fail, and what is read is what the type allows."""
    found = read(kind, value)

    if not found.problems and not found.uploads and kind != Email():
        field = (Field(name="v", parameter="v", type=kind, required=False),)
        assert shape(field).problems(msgspec.json.encode(found.values)) == ()


# ---------------------------------------------------------------- the documented forms


def test_the_documented_sample() -> None:
    outputs = Outputs(
        tuple(Field(name=name, parameter=name, type=Text()) for name in ("State", "Place"))
    )

    assert outputs.write(b'{"State":"California","Place":"San Jose"}', link) == {
        "State": {"type": "STRING", "string": "California"},
        "Place": {"type": "STRING", "string": "San Jose"},
    }


RECORD = Record(
    (
        Field(name="a", parameter="a", type=Integer()),
        Field(name="b", parameter="b", type=Nullable(Text())),
    )
)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Text(), {"type": "string", "string": "x"}, "x"),
        (Text(), {"type": None, "string": "x"}, "x"),
        (Text(), {"type": "NUMBER", "number": "12.50"}, "12.50"),
        (Text(), True, "true"),
        (Text(), 1.5, "1.5"),
        (Integer(), {"type": "NUMBER", "number": "12.0"}, 12),
        (Integer(), {"type": "NUMBER", "number": 12}, 12),
        (Integer(), " 12 ", 12),
        (Integer(), 12.0, 12),
        (Number(), "1e3", 1000.0),
        (DecimalNumber(), 12.5, "12.5"),
        (Boolean(), {"type": "BOOLEAN", "boolean": "TRUE"}, True),
        (Boolean(), {"type": "BOOLEAN", "boolean": False}, False),
        (Date(), "2026-01-31", "2026-01-31"),
        (DateTime(), {"type": "DATETIME", "datetime": "2026-01-31T08:00:00Z"}, None),
        (ListOf(Text()), ["a", {"type": "STRING", "string": "b"}], ["a", "b"]),
        (ListOf(Integer()), {"type": "LIST", "list": ["1", 2]}, [1, 2]),
        (MapOf(Text()), {"type": "x", "y": "z"}, {"type": "x", "y": "z"}),
        (
            MapOf(Text()),
            {
                "type": "PROPERTIES",
                "properties": [
                    {"name": "a", "value": "1", "enabled": True},
                    {"name": "b", "value": "2", "enabled": False},
                ],
            },
            {"a": "1"},
        ),
        (RECORD, {"a": "1"}, {"a": 1}),
        (RECORD, {"type": "DICTIONARY", "dictionary": [{"key": "a", "value": 1}]}, {"a": 1}),
        (Table(RECORD.fields), [{"a": 1, "b": None}], [{"a": 1, "b": None}]),
        (FileValue(), "17", {"file": 17}),
        (FileValue(), 17, {"file": 17}),
        (FileValue(), link(17), {"file": 17}),
        (Nullable(Integer()), {"type": "STRING", "string": ""}, None),
        (AnyValue(), {"type": "NUMBER", "number": "12"}, 12),
        (AnyValue(), {"type": "DICTIONARY", "dictionary": []}, {}),
    ],
)
def test_what_is_forgiven(kind: ValueType, value: Any, wanted: Any) -> None:
    found = read(kind, value)

    assert found.problems == []
    if wanted is not None:
        assert found.values == {"v": wanted}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Text(), ["x"], "LIST"),
        (Integer(), "", "decimal digits"),
        (Integer(), {"type": "BOOLEAN", "boolean": "true"}, "BOOLEAN"),
        (Integer(), "1.5", "a whole number"),
        (Number(), "1e999", "too large"),
        (Number(), "Infinity", "decimal digits"),
        (DecimalNumber(), "NaN", "decimal digits"),
        (Boolean(), "yes", "true or false"),
        (Boolean(), 1, "true or false"),
        (DateTime(), "2026-01-31T08:00:00", "offset"),
        (DateTime(), "tomorrow", "ISO 8601"),
        (Date(), 20260131, "ISO 8601"),
        (Choice(("red", 7)), "blue", "red, 7"),
        (ListOf(Integer()), [1, "x"], "v[1]"),
        (ListOf(Text()), "x", "a LIST"),
        (MapOf(Text()), [], "a DICTIONARY"),
        (MapOf(Text()), {"type": "DICTIONARY", "dictionary": [{"value": 1}]}, "'key'"),
        (RECORD, {"z": 1}, "unknown name 'z'"),
        (RECORD, {"type": "RECORD", "record": {"schema": [], "values": [1]}}, "0 columns"),
        (Table(()), {"type": "TABLE", "table": []}, "a TABLE"),
        (FileValue(), "C:\\scan.pdf", "the id or address"),
        (FileValue(), "data:text/plain;base64,***", "base64"),
        (FileValue(), "data:text/plain", "base64,CONTENT"),
        (AnyValue(), {"type": "NUMBER", "number": "x"}, "decimal digits"),
    ],
)
def test_what_is_refused(kind: ValueType, value: Any, said: str) -> None:
    assert said in told(kind, value)


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_types_that_no_task_declares_are_named(name: str) -> None:
    for kind in (Text(), AnyValue(), ListOf(Text())):
        assert name in told(kind, {"type": name, name.lower(): "x"})


def test_all_27_documented_types_are_known() -> None:
    documented = (
        "STRING NUMBER BOOLEAN FILE ITERATOR LIST DICTIONARY TABLE VARIABLE CONDITIONAL WINDOW "
        "TASKBOT DATETIME UIOBJECT RECORD EXCEPTION CREDENTIAL COORDINATE IMAGE REGION PROPERTIES "
        "TRIGGER CONDITIONALGROUP FORM FORMELEMENT HOTKEY WORKITEM"
    )

    assert UNSUPPORTED | KEYS.keys() == set(documented.split())


def test_a_file_comes_inside_a_value() -> None:
    found = read(FileValue(), "data:text/csv;name=a%20b.csv;base64,YSxi")
    plain = read(FileValue(), {"type": "FILE", "file": {"string": "data:,hello%21"}})

    [upload] = found.uploads
    assert (upload.name, upload.content_type, upload.content) == ("a b.csv", "text/csv", b"a,b")
    assert plain.uploads[0].content == b"hello!"
