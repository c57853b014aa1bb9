"""Contexts: every type there and back, and what is forgiven or refused on the way."""

import json
from contextlib import suppress
from datetime import timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.dialects.elma.files import names_of
from runyard.dialects.elma.texts import struct_from
from runyard.dialects.elma.values import Inputs, Outputs
from runyard.model.errors import InputRefused
from runyard.model.files import StoredFile
from runyard.model.ids import CompanyId, FileId
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
from runyard.web.errors import MalformedBody
from tests.support.kinds import typed_values
from tests.support.turned_clock import BEGINNING

BERLIN = ZoneInfo("Europe/Berlin")


def field(kind: ValueType, name: str = "v") -> Field:
    return Field(name=name, parameter="v", type=kind, required=False)


def read(kind: ValueType, value: Any) -> Any:
    """What a context that has this value says for an input of this type."""
    found = Inputs((field(kind),), BERLIN).read(json.dumps({"v": value}))
    assert not found.unknown
    return json.loads(found.input)


def refusal(kind: ValueType, value: Any) -> str:
    with pytest.raises(InputRefused) as refused:
        read(kind, value)
    return str(refused.value)


def written(kind: ValueType, value: Any, names: dict[FileId, str] | None = None) -> Any:
    output = json.dumps({"v": value}).encode()
    return json.loads(Outputs((field(kind),)).write(output, names or {}))["v"]


# ---------------------------------------------------------------- there and back

SCALARS: dict[ValueType, st.SearchStrategy[Any]] = {
    Text(): st.text(),
    Integer(): st.integers(-(2**63), 2**63 - 1),
    Number(): st.floats(allow_nan=False, allow_infinity=False),
    DecimalNumber(): st.decimals(allow_nan=False, allow_infinity=False).map(str),
    Boolean(): st.booleans(),
    Date(): st.dates().filter(lambda day: day.year > 1).map(lambda day: day.isoformat()),
    DateTime(): st.builds(
        lambda at, minutes: at.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(),
        st.datetimes().filter(lambda at: at.year > 1),
        st.integers(-1439, 1439),
    ),
    Email(): st.sampled_from(["ann@example.com", "o'hara+x@example.org"]),
    Choice(("red", "", 7, 10**12)): st.sampled_from(["red", "", 7, 10**12]),
    AnyValue(): st.text() | st.integers() | st.booleans() | st.lists(st.text()),
}


@given(typed_values(SCALARS))
def test_what_is_written_is_read_as_it_was(found: tuple[ValueType, Any]) -> None:
    kind, value = found
    fields = (field(Nullable(kind) if not isinstance(kind, Nullable | AnyValue) else kind),)
    output = shape(fields).accept(json.dumps({"v": value}).encode())

    context = Outputs(fields).write(output, {})
    again = shape(fields).accept(Inputs(fields, BERLIN).read(context).input)

    assert msgspec.json.decode(again) == msgspec.json.decode(output)


def test_digits_stay_as_they_were_written() -> None:
    fields = (field(DecimalNumber(), "price"), field(ListOf(DecimalNumber()), "prices"))
    found = Inputs(fields, BERLIN).read('{"price":12.50,"prices":[0.1000,1e2]}')

    assert found.input == b'{"price":12.50,"prices":[0.1000,1e2]}'


# ---------------------------------------------------------------- names


def test_names_are_compared_without_case() -> None:
    inputs = Inputs((field(Text(), "StringParam_in"), field(Integer(), "Größe")), BERLIN)

    found = inputs.read('{"stringparam_IN":"x","GRÖSSE":7}')

    assert json.loads(found.input) == {"StringParam_in": "x", "Größe": 7}


def test_names_that_differ_in_case_alone_have_to_be_exact() -> None:
    inputs = Inputs((field(Text(), "Total"), field(Text(), "total")), BERLIN)

    assert json.loads(inputs.read('{"Total":"a","total":"b"}').input) == {
        "Total": "a",
        "total": "b",
    }
    assert inputs.read('{"TOTAL":"c"}').unknown == ("TOTAL",)


def test_unknown_names_are_told_and_passed_over() -> None:
    found = Inputs((field(Text()),), BERLIN).read('{"v":"x","old":1,"older":{"a":[2]}}')

    assert (found.input, found.unknown) == (b'{"v":"x"}', ("old", "older"))


def test_one_variable_in_two_spellings_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"ctx\.v: 'V' beside another spelling"):
        Inputs((field(Text()),), BERLIN).read('{"v":"x","V":"y"}')


def test_outputs_are_in_lower_case_and_complete() -> None:
    outputs = Outputs((field(Text(), "Receipt"), field(Integer(), "Total"), field(Text(), "TOTAL")))

    assert outputs.write(b'{"Receipt":"r","TOTAL":"x"}', {}) == (
        '{"receipt":"r","total":null,"TOTAL":"x"}'
    )


# ---------------------------------------------------------------- no input


@pytest.mark.parametrize("ctx", [None, "", "  ", "null", "{}", " { } ", "\u00a0{\u00a0}"])
def test_no_context_is_no_input(ctx: str | None) -> None:
    assert json.loads(Inputs((field(Text()),), BERLIN).read(ctx).input) == {}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text(), None),
        (Integer(), None),
        (DateTime(), ""),
        (DateTime(), "0001-01-01T00:00:00Z"),
        (DateTime(), "0001-01-01T00:00:00"),
        (DateTime(), "0001-01-01T00:00:00+04:00"),
        (Date(), "0001-01-01T00:00:00Z"),
        (Date(), "0001-01-01"),
        (FileValue(), ""),
        (Record((field(Text(), "a"),)), None),
    ],
)
def test_what_says_that_a_variable_is_not_set(kind: ValueType, value: Any) -> None:
    assert read(Nullable(kind), value) == {}


@pytest.mark.parametrize(
    ("kind", "value"), [(Text(), ""), (Integer(), 0), (Number(), 0.0), (Boolean(), False)]
)
def test_zeros_are_values(kind: ValueType, value: Any) -> None:
    assert read(kind, value) == {"v": value}


@pytest.mark.parametrize(
    ("ctx", "told"),
    [
        ("[1]", "ctx: [1]; allowed: a text that holds a JSON object"),
        ('"x"', 'ctx: "x"; allowed: a text that holds a JSON object'),
        ("5", "ctx: 5; allowed: a text that holds a JSON object"),
    ],
)
def test_a_context_that_is_no_object_is_refused(ctx: str, told: str) -> None:
    with pytest.raises(InputRefused) as refused:
        Inputs((), BERLIN).read(ctx)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("ctx", "told"),
    [
        ("{", "ctx: the JSON ends too early"),
        ("{'v':1}", "ctx: object keys must be strings at line 1, column 2"),
        ('{"v":1,\n"w" 2}', "ctx: expected ':' at line 2, column 5"),
        ('{"v":1,"v":2}', "ctx: an object has the name 'v' twice"),
        ('{\u200b"v":1}', "column 2: an invisible U+200B ZERO WIDTH SPACE"),
        ("\ufeff{}", "an invisible U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    ],
)
def test_a_context_that_is_no_json_is_refused_with_the_place(ctx: str, told: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        Inputs((), BERLIN).read(ctx)
    assert told in str(refused.value)


# ---------------------------------------------------------------- instants


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2031-05-01T00:00:00Z", "2031-05-01T00:00:00+00:00"),
        ("2031-05-01t08:00:00.5+02:00", "2031-05-01T08:00:00.500000+02:00"),
        ("2020-06-29T11:08:29.2068223Z", "2020-06-29T11:08:29.206822+00:00"),
        ("2031-05-01T00:00:00", "2031-05-01T00:00:00+02:00"),
        ("2031-12-01 00:00", "2031-12-01T00:00:00+01:00"),
    ],
)
def test_an_instant_without_offset_is_meant_in_the_companys_time_zone(
    text: str, meant: str
) -> None:
    assert read(DateTime(), text) == {"v": meant}


@pytest.mark.parametrize(
    "value", ["yesterday", "2031-05-01", "2031-13-01T00:00:00Z", "2031-05-01T25:00:00Z", 5, True]
)
def test_what_is_no_instant_is_refused(value: Any) -> None:
    assert "allowed: an instant such as 2031-05-01T08:00:00Z" in refusal(DateTime(), value)


def test_a_day_is_taken_alone_and_from_an_instant() -> None:
    assert read(Date(), "2031-05-01") == {"v": "2031-05-01"}
    assert read(Date(), "2031-05-01T00:00:00Z") == {"v": "2031-05-01"}
    assert "allowed: a day such as 2031-05-01" in refusal(Date(), "May 1st")


# ---------------------------------------------------------------- numbers, files


def test_whole_numbers_have_64_bits() -> None:
    for value in (2**63 - 1, -(2**63), 0):
        assert read(Integer(), value) == {"v": value}
    for value in (2**63, -(2**63) - 1, 10**400):
        assert "allowed: a whole number of 64 bits" in refusal(Integer(), value)


def test_a_file_is_an_address_and_nothing_else() -> None:
    assert read(FileValue(), "https://h/f?id=1&x=a b") == {"v": {"url": "https://h/f?id=1&x=a b"}}
    for value in (17, {"file": 17}, {"url": "https://h/f"}, ["https://h/f"], True):
        assert "allowed: the address of a file" in refusal(FileValue(), value)


def test_files_inside_other_values_are_found() -> None:
    mail = Record((field(Text(), "subject"), field(ListOf(FileValue()), "attachments")))
    found = read(mail, {"Subject": "Hi", "isHtml": False, "attachments": ["http://a/1"]})

    assert found == {"v": {"subject": "Hi", "attachments": [{"url": "http://a/1"}]}}
    assert "ctx.v.attachments[1]: 7; allowed" in refusal(mail, {"attachments": ["http://a", 7]})
    assert read(MapOf(FileValue()), {"a": "http://a/1"}) == {"v": {"a": {"url": "http://a/1"}}}


def test_a_written_file_is_the_name_under_which_it_is_downloaded() -> None:
    reference = {"file": 7, "name": "a.pdf", "content_type": "x/y", "size": 1, "digest": "0"}
    mail = Record((field(ListOf(FileValue()), "attachments"),))

    assert written(FileValue(), reference, {FileId(7): "a (2).pdf"}) == "a (2).pdf"
    assert written(FileValue(), reference) == "a.pdf"
    assert written(mail, {"attachments": [reference]}) == {"attachments": ["a.pdf"]}
    assert written(MapOf(FileValue()), {"x": reference}) == {"x": "a.pdf"}


def a_file(number: int, name: str) -> StoredFile:
    return StoredFile(
        id=FileId(number),
        company_id=CompanyId(1),
        run_id=None,
        name=name,
        content_type="x/y",
        size=1,
        digest="0",
        created_at=BEGINNING,
    )


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["a.txt", "b.txt"], ["a.txt", "b.txt"]),
        (["a.txt", "a.txt", "a.txt"], ["a.txt", "a (2).txt", "a (3).txt"]),
        (["a.txt", "a.txt", "a (2).txt"], ["a.txt", "a (3).txt", "a (2).txt"]),
        (["a", "a", ".b", ".b"], ["a", "a (2)", ".b", ".b (2)"]),
        (["x.tar.gz", "x.tar.gz"], ["x.tar.gz", "x.tar (2).gz"]),
    ],
)
def test_files_of_one_name_are_kept_apart(names: list[str], kept: list[str]) -> None:
    files = [a_file(number, name) for number, name in enumerate(names, 1)]

    assert list(names_of(files).values()) == kept


# ---------------------------------------------------------------- tables, columns


def test_a_table_is_taken_with_and_without_its_fields_and_written_with_them() -> None:
    table = Table((Field(name="n", parameter="n", type=Integer(), title="Number"),))
    rows = [{"n": 1}, {"N": 2}]
    described = {"fields": [{"name": "n", "caption": "Number", "type": "int"}], "values": rows}

    assert read(table, rows) == read(table, described) == {"v": [{"n": 1}, {"n": 2}]}
    assert written(table, [{"n": 1}]) == {
        "fields": [
            {"name": "n", "caption": "Number", "type": "int", "isArray": False, "required": True}
        ],
        "values": [{"n": 1}],
    }
    assert "allowed: a table" in refusal(table, {"rows": []})


def test_a_list_of_columns_is_taken_in_its_object() -> None:
    assert read(ListOf(Text()), {"columns": ["A", "B"]}) == {"v": ["A", "B"]}
    assert read(ListOf(Text()), ["A"]) == {"v": ["A"]}


def test_what_has_no_declared_form_is_kept_as_it_is() -> None:
    value = {"subject": "x", "attachments": ["https://h/f"], "date": "0001-01-01T00:00:00Z"}

    assert read(AnyValue(), value) == {"v": value}


# ---------------------------------------------------------------- bodies


class Body(msgspec.Struct):
    a: str


def test_no_break_spaces_are_spaces_outside_of_texts_only() -> None:
    body = '\u00a0{\u00a0"a"\u00a0:\u00a0"x\u00a0\\"\u00a0y"}\u00a0'.encode()

    assert struct_from(body, Body).a == 'x\u00a0"\u00a0y'


@pytest.mark.parametrize(
    "body",
    [
        "\u00a0".encode() + b'"' + rb"\"" * 30_000,
        "\u00a0".encode() + rb"\"" * 30_000,
        "\u00a0".encode() + b'"' * 60_001,
        "\u00a0".encode() * 30_000,
        "\u00a0".encode() * 3_000_000,
    ],
    ids=["a text that nothing ends", "escaped quotes", "quotes", "spaces", "too many spaces"],
)
def test_a_body_is_gone_through_once(body: bytes) -> None:
    # Each quote was taken for the beginning of a text: this would take minutes.
    with pytest.raises((MalformedBody, InputRefused)):
        struct_from(body, Body)


def test_other_invisible_characters_are_named() -> None:
    with pytest.raises(MalformedBody, match=r"line 1, column 2: an invisible U\+200B"):
        struct_from('{\u200b"a":"x"}'.encode(), Body)


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    with suppress(MalformedBody, InputRefused):
        assert isinstance(struct_from(body, Body), Body)


@given(st.text(max_size=60))
def test_whatever_a_context_says_is_read_or_refused(ctx: str) -> None:
    with suppress(MalformedBody, InputRefused):
        json.loads(Inputs((field(Text()),), BERLIN).read(ctx).input)
