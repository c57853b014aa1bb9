"""Types and shapes: every type has one JSON form, and every problem is named."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.errors import FieldProblem, InputRefused
from runyard.model.files import FileReference
from runyard.model.ids import FileId
from runyard.model.misfits import MOST_PROBLEMS, misfits
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

LEAVES = (
    Text(),
    Integer(),
    Number(),
    DecimalNumber(),
    Boolean(),
    Date(),
    DateTime(),
    Email(),
    FileValue(),
    AnyValue(),
    Choice(("red", "green", 3)),
)


def field(name, kind, **more):
    return Field(name=name, parameter=name, type=kind, **more)


def problems_of(fields, raw):
    with pytest.raises(InputRefused) as caught:
        shape(fields).accept(raw)
    return caught.value.problems


def problems_if_refused(fields, raw):
    """What is said against a value: nothing if it is accepted, at least one thing if not."""
    judge = shape(fields)
    try:
        judge.accept(raw)
    except InputRefused as refused:
        found = refused.problems
    else:
        return ()
    assert found
    assert found == judge.problems(raw)
    return found


# ---------------------------------------------------------------- any type, any value of it

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"\\'),
    min_size=1,
    max_size=8,
)


def named(kinds):
    return st.lists(
        st.tuples(NAMES, kinds), min_size=1, max_size=3, unique_by=lambda pair: pair[0]
    ).map(lambda pairs: tuple(field(name, kind) for name, kind in pairs))


def containers(kinds):
    return (
        kinds.map(ListOf)
        | kinds.map(MapOf)
        | kinds.filter(lambda kind: not isinstance(kind, Nullable | AnyValue)).map(Nullable)
        | named(kinds).map(Record)
        | named(kinds).map(Table)
    )


TYPES = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=6)
INSTANTS = st.datetimes(
    timezones=st.sampled_from((UTC, timezone(timedelta(hours=5, minutes=45)))),
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - as above
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


VALUES_OF_LEAVES = {
    Text: TEXTS,
    Integer: st.integers(),
    Number: st.floats(allow_nan=False, allow_infinity=False),
    DecimalNumber: st.decimals(allow_nan=False, allow_infinity=False).map(str),
    Boolean: st.booleans(),
    Date: st.dates().map(date.isoformat),
    DateTime: INSTANTS.map(lambda instant: json.loads(msgspec.json.encode(instant))),
    Email: st.sampled_from(("a@b.de", "first.last+tag@mail.example.co.uk", "ü@münchen.example")),
    FileValue: st.integers(1, 2**40).map(lambda number: {"file": number}),
    AnyValue: PLAIN,
}


def values_of(kind: ValueType):
    """Values of this type in their canonical JSON form, as Python's parser would give it."""
    match kind:
        case Choice(values):
            return st.sampled_from(values)
        case ListOf(item):
            return st.lists(values_of(item), max_size=3)
        case MapOf(item):
            return st.dictionaries(TEXTS, values_of(item), max_size=3)
        case Nullable(item):
            return st.none() | values_of(item)
        case Record(fields):
            return st.fixed_dictionaries({part.name: values_of(part.type) for part in fields})
        case Table(columns):
            return st.lists(values_of(Record(columns)), max_size=3)
        case _:
            return VALUES_OF_LEAVES[type(kind)]


TYPES_WITH_VALUES = TYPES.flatmap(lambda kind: st.tuples(st.just(kind), values_of(kind)))


@given(TYPES_WITH_VALUES)
def test_a_value_in_its_canonical_form_is_accepted_unchanged(pair):
    kind, value = pair
    judge = shape((field("value", kind),))

    accepted = judge.accept(json.dumps({"value": value}).encode())

    assert json.loads(accepted) == {"value": value}
    assert judge.accept(accepted) == accepted
    assert judge.problems(accepted) == ()


@given(TYPES_WITH_VALUES)
def test_the_slow_way_finds_nothing_wrong_with_what_the_fast_way_accepts(pair):
    kind, value = pair
    assert misfits((field("value", kind),), json.dumps({"value": value}).encode()) == ()


@given(TYPES, PLAIN)
def test_whatever_is_refused_is_refused_with_a_reason(kind, value):
    problems = problems_if_refused((field("value", kind),), json.dumps({"value": value}).encode())
    assert all(p.field and p.seen and p.allowed for p in problems)


@given(TYPES)
def test_a_type_survives_being_stored_and_sent(kind):
    declared = field("value", kind, title="Title", help="Help", required=False, default="null")
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(declared), type=Field) == declared


@given(st.binary(max_size=40))
def test_no_bytes_break_the_judging(raw):
    problems = problems_if_refused((field("value", AnyValue()),), raw)
    assert all(p.field and p.seen and p.allowed for p in problems)


# ---------------------------------------------------------------- one form per type


@pytest.mark.parametrize(
    ("kind", "written", "canonical"),
    [
        (Number(), "1", "1.0"),
        (DecimalNumber(), "12.50", '"12.50"'),
        (DecimalNumber(), "12345678901234567890.123456789", '"12345678901234567890.123456789"'),
        (DecimalNumber(), '" 1_000.5 "', '"1000.5"'),
        (Integer(), "123456789012345678901234567890", "123456789012345678901234567890"),
        (DateTime(), '"2026-01-31 08:00:00z"', '"2026-01-31T08:00:00Z"'),
        (DateTime(), '"2026-01-31T08:00:00+01:00"', '"2026-01-31T08:00:00+01:00"'),
        (FileValue(), "17", "17"),
        (FileValue(), '{"file": 17, "color": "red"}', '{"file":17}'),
        (AnyValue(), '{"b": 1, "a": [ ]}', '{"b":1,"a":[]}'),
        (Text(), '"NaN"', '"NaN"'),
    ],
)
def test_other_spellings_become_the_canonical_form(kind, written, canonical):
    accepted = shape((field("value", kind),)).accept(f' {{ "value" : {written} }} '.encode())
    assert accepted == f'{{"value":{canonical}}}'.encode()


@pytest.mark.parametrize(
    ("kind", "written", "seen", "allowed"),
    [
        (Text(), "5", "the number 5", "text"),
        (Text(), "null", "null", "text"),
        (Integer(), "1.5", "the number 1.5", "a whole number"),
        (Integer(), "true", "true", "a whole number"),
        (Integer(), '"5"', 'the text "5"', "a whole number"),
        (Integer(), "9" * 5000, "the number " + "9" * 60 + "…", "a whole number"),
        (Number(), '"5"', 'the text "5"', "a number"),
        (Number(), "1e999", "the number 1E+999", "a number"),
        (DecimalNumber(), '"NaN"', 'the text "NaN"', "an exact number"),
        (DecimalNumber(), '"-Infinity"', 'the text "-Infinity"', "an exact number"),
        (DecimalNumber(), '"twelve"', 'the text "twelve"', "an exact number"),
        (Boolean(), "0", "the number 0", "true or false"),
        (Date(), '"31.01.2026"', 'the text "31.01.2026"', "a date such as 2026-01-31"),
        (Date(), '"2026-02-30"', 'the text "2026-02-30"', "a date"),
        (DateTime(), '"2026-01-31T08:00:00"', 'the text "2026-01-31T08:00:00"', "with its offset"),
        (DateTime(), '"2026-01-31"', 'the text "2026-01-31"', "a date and time"),
        (Email(), '"a b@c.de"', 'the text "a b@c.de"', "an email address"),
        (Email(), '"a@b.de\\n"', 'the text "a@b.de\\n"', "an email address"),
        (Email(), '"nobody"', 'the text "nobody"', "an email address"),
        (FileValue(), '"17"', 'the text "17"', "a file"),
        (FileValue(), '{"name":"a"}', "an object", "a file"),
        (Choice(("red", 3)), '"blue"', 'the text "blue"', 'one of "red", 3'),
        (ListOf(Text()), '"a"', 'the text "a"', "a list, each item text"),
        (MapOf(Text()), "[1]", "a list of 1", "an object"),
        (Nullable(Integer()), '"x"', 'the text "x"', "a whole number, or null"),
        (AnyValue(), "1e999", "the number 1E+999", "any value"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_is_allowed(kind, written, seen, allowed):
    [problem] = problems_of((field("value", kind),), f'{{"value":{written}}}'.encode())

    assert problem.field == "value"
    assert problem.seen == seen
    assert allowed in problem.allowed


# ---------------------------------------------------------------- defaults


def test_a_missing_input_becomes_its_default_or_null():
    fields = (
        field("count", Integer(), required=False, default="3"),
        field("note", Nullable(Text()), required=False),
        field("tags", ListOf(Text()), required=False, default='["new"]'),
        field("line", Record((field("unit", Text(), required=False, default='"m"'),))),
    )

    accepted = shape(fields).accept(b'{"line":{}}')

    assert json.loads(accepted) == {
        "count": 3,
        "note": None,
        "tags": ["new"],
        "line": {"unit": "m"},
    }


def test_no_input_is_all_defaults():
    assert shape(()).accept(b"{}") == b"{}"
    assert shape((field("a", Integer(), required=False, default="1"),)).accept(b"{}") == b'{"a":1}'
    assert [p.field for p in problems_of((field("a", Integer()),), b"{}")] == ["a"]


# ---------------------------------------------------------------- all problems at once

ORDER = (
    field("customer", Email()),
    field("ordered", Date()),
    field("lines", Table((field("amount", DecimalNumber()), field("unit", Choice(("m", "kg")))))),
    field("notes", MapOf(ListOf(Text())), required=False, default="{}"),
)


def test_all_problems_are_listed_with_their_paths():
    raw = b"""{"customr": "a@b.de", "ordered": "soon", "notes": {"x y": ["a", 1]},
               "lines": [{"amount": 1, "unit": "m"}, {"amount": "a", "unit": "l", "colour": 1}, 7]}"""

    found = {p.field: (p.seen, p.allowed) for p in problems_of(ORDER, raw)}

    assert found.keys() == {
        "customer",
        "customr",
        "ordered",
        "lines[1].amount",
        "lines[1].unit",
        "lines[1].colour",
        "lines[2]",
        'notes["x y"][1]',
    }
    assert found["customer"] == ("nothing", "an email address")
    assert found["lines[1].unit"] == ('the text "l"', 'one of "m", "kg"')
    assert found["customr"][1].endswith("did you mean customer?")
    assert found["lines[1].colour"] == ("an unknown name", "one of the names amount, unit")


def test_an_unknown_name_where_none_is_known():
    [problem] = problems_of((), b'{"zip": 1}')
    assert problem == FieldProblem(field="zip", seen="an unknown name", allowed="no names at all")


def test_very_many_problems_are_counted_instead_of_listed():
    raw = json.dumps({"value": ["x"] * 1000}).encode()

    found = problems_of((field("value", ListOf(Integer())),), raw)

    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].seen == "900 further problems"


# ---------------------------------------------------------------- text that is not JSON


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"", "nothing"),
        (b"  ", "nothing"),
        (
            '{"a":\n \u00a01}'.encode(),
            "invisible character U+00A0 (NO-BREAK SPACE) at line 2, column 2",
        ),
        (
            "\ufeff{}".encode(),
            "invisible character U+FEFF (ZERO WIDTH NO-BREAK SPACE) at line 1, column 1",
        ),
        ('{"a":"x\u200b",\u200b}'.encode(), "U+200B (ZERO WIDTH SPACE) at line 1, column 11"),
        (b'{"a":"x\ny"}', "U+000A (line break) at line 1, column 8"),
        ("{“a”:1}".encode(), "U+201C (LEFT DOUBLE QUOTATION MARK), at line 1, column 2"),
        (b"{'a':1}", "`'` at line 1, column 2"),
        (b'{"a":1,}', "at line 1, column 8"),
        (b'{"a":', "it ends at line 1, column 6"),
        (b'{"a":"NaN","b":NaN}', "at line 1, column 16 (JSON has no NaN)"),
        (b'{"a":-Infinity}', "at line 1, column 6 (JSON has no -Infinity)"),
        (b'{"a":"\xff"}', "byte 0xFF at line 1, column 7, which is not UTF-8"),
        (b'{"a":"\\ud800"}', "half of an escaped character"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "values nested too deeply"),
        (b"[1]", "a list of 1"),
        (b"1", "the number 1"),
    ],
)
def test_malformed_json_is_located_and_invisible_characters_are_named(raw, seen):
    [problem] = problems_of((field("a", AnyValue()),), raw)
    assert seen in problem.seen


# ---------------------------------------------------------------- files inside values

ATTACHMENTS = (
    field("main", FileValue()),
    field("more", ListOf(Nullable(FileValue())), required=False, default="[]"),
    field("rows", Table((field("scan", FileValue()),)), required=False, default="[]"),
    field("named", MapOf(FileValue()), required=False, default="{}"),
    field("other", AnyValue(), required=False, default="null"),
)


def test_the_files_that_a_value_mentions_are_found_and_filled_in():
    judge = shape(ATTACHMENTS)
    accepted = judge.accept(
        b'{"main":1,"more":[{"file":2},null],"rows":[{"scan":3}],"named":{"x":4},"other":{"file":9}}'
    )
    stored = {
        FileId(n): FileReference(FileId(n), f"{n}.txt", "text/plain", n, "00") for n in range(1, 5)
    }

    filled = judge.with_files(accepted, stored)

    assert judge.files_in(accepted) == (1, 2, 3, 4)
    assert judge.files_in(filled) == (1, 2, 3, 4)
    assert judge.accept(filled) == filled
    assert json.loads(filled)["rows"] == [
        {
            "scan": {
                "file": 3,
                "name": "3.txt",
                "content_type": "text/plain",
                "size": 3,
                "digest": "00",
            }
        }
    ]
    assert json.loads(filled)["other"] == {"file": 9}


def test_files_that_do_not_exist_are_all_named():
    judge = shape(ATTACHMENTS)
    accepted = judge.accept(b'{"main":1,"rows":[{"scan":3}]}')

    with pytest.raises(InputRefused) as caught:
        judge.with_files(accepted, {})

    assert [(p.field, p.seen) for p in caught.value.problems] == [
        ("main", "file 1"),
        ("rows[0].scan", "file 3"),
    ]


def test_what_a_caller_claims_about_a_file_is_replaced_by_what_is_known():
    judge = shape((field("main", FileValue()),))
    accepted = judge.accept(b'{"main":{"file":1,"name":"nice.txt","digest":"ff","size":0}}')
    known = FileReference(FileId(1), "real.txt", "text/plain", 5, "00")

    assert json.loads(judge.with_files(accepted, {FileId(1): known}))["main"]["name"] == "real.txt"


def test_a_shape_without_files_looks_for_none():
    judge = shape((field("a", Text()),))
    assert judge.files_in(b"not even JSON") == ()
    assert judge.with_files(b"not even JSON", {}) == b"not even JSON"


def test_decimals_keep_their_digits():
    accepted = shape((field("a", DecimalNumber()),)).accept(b'{"a":0.10}')
    assert Decimal(json.loads(accepted)["a"]).as_tuple() == Decimal("0.10").as_tuple()
