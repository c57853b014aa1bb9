"""Untrusted JSON and queries, and what is said about those that do not fit."""

import contextlib
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.errors import InputRefused
from runyard.protocol.shapes import parts
from runyard.web.errors import MalformedBody
from runyard.web.validation import struct_from_json, struct_from_strings


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=10)]


class Car(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    colour: Colour = Colour.RED
    wheels: tuple[Wheel, ...] = ()
    since: timedelta | None = None
    extra: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Named(msgspec.Struct, frozen=True):
    slug: parts.Slug = "a"
    name: parts.Name = "a"
    code: Annotated[str, msgspec.Meta(pattern="^[xy]$")] = "x"


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b'{"slug":"A B"}', "text, 1 to 63 of a-z, 0-9 and inner hyphens"),
        (b'{"name":"a\\nb"}', "text, on one line and without control characters"),
        (b'{"code":"z"}', "text matching regex '^[xy]$'"),
    ],
)
def test_a_pattern_is_said_in_words_where_we_have_some(body: bytes, allowed: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        struct_from_json(body, Named)

    [problem] = refusal.value.problems
    assert problem.allowed == allowed


@pytest.mark.parametrize(
    ("body", "field", "seen", "allowed"),
    [
        (b"{}", "name", "nothing", "it must be given"),
        (b'{"name":5}', "name", "5", "text"),
        (b'{"name":"a","colour":"green"}', "colour", "green", "red, blue"),
        (
            b'{"name":"a","wheels":[{"size":12},{"size":3}]}',
            "wheels[1].size",
            "3",
            "a whole number >= 10",
        ),
        (b'{"name":"a","wheels":[{}]}', "wheels[0].size", "nothing", "it must be given"),
        (b'{"name":"a","wheels":[{"size":12,"x":1}]}', "wheels[0].x", "an unknown name", "size"),
        (
            b'{"name":"a","wheel":1}',
            "wheel",
            "an unknown name",
            "name, colour, wheels, since, extra",
        ),
        (b'{"name":"a","since":"soon"}', "since", "soon", "Invalid ISO8601 duration"),
        (b'{"name":"a","wheels":[{"size":"12"}]}', "wheels[0].size", '"12"', "a whole number"),
        (b'{"name":"a","wheels":[{"size":"big"}]}', "wheels[0].size", "big", "a whole number"),
        (b'{"name":"a","wheels":[{"size":""}]}', "wheels[0].size", '""', "a whole number"),
        (b'{"name":"a","wheels":true}', "wheels", "true", "a list"),
        (b'{"name":"a","since":5}', "since", "5", "duration or null"),
        (b"[]", "body", "[]", "an object"),
        (b"null", "body", "null", "an object"),
        (b'{"name":["' + b"x" * 200 + b'"]}', "name", '["' + "x" * 78 + "...", "text"),
    ],
)
def test_a_value_that_does_not_fit_names_field_seen_and_allowed(
    body: bytes, field: str, seen: str, allowed: str
) -> None:
    with pytest.raises(InputRefused) as refused:
        struct_from_json(body, Car)

    [problem] = refused.value.problems
    assert (problem.field, problem.seen, problem.allowed) == (field, seen, allowed)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b"  \n", "the body is empty"),
        (b'{"name":"a"', "ends too early"),
        (b'{"name":"a",}', "line 1, column 13"),
        (b'{\n  "name": "a"\n  "colour": "red"\n}', "line 3, column 3"),
        ('{"name":\u00a0"a"}'.encode(), "an invisible U+00A0 NO-BREAK SPACE"),
        ("{\u200b}".encode(), "an invisible U+200B ZERO WIDTH SPACE"),
        ("\ufeff{}".encode(), "an invisible U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ('{"name":\u201ca\u201d}'.encode(), "the character U+201C LEFT DOUBLE QUOTATION MARK"),
        (b'{"name":"\xff"}', "not UTF-8"),
        (b'{"name":"a","extra":"\xff"}', "not UTF-8"),
        (b'{"name":"a","name":"b"}', "the name 'name' twice"),
        (b'{"name":"a","extra":{"x":[{"y":1,"y":2}]}}', "the name 'y' twice"),
        (b'{"name":"a","extra":{"y":1,"y":"\\u003a"}}', "the name 'y' twice"),
        (b'{"name":"a","extra":{"y":1,"y":"\\u003A"}}', "the name 'y' twice"),
        (b'{"name":"a","extra":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "too deeply"),
        (b'{"name":"a"} {}', "trailing"),
        (b'{"name":"a","extra":' + b"9" * 5000 + b"}", "more digits than can be read"),
        (b'{"name":"\\ud800"}', "half of a character"),
        (b'{"name":"a', "ends too early"),
        (b"{'name':'a'}", "line 1, column 2"),
    ],
)
def test_json_that_cannot_be_read_is_refused_with_place_and_reason(body: bytes, words: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        struct_from_json(body, Car)

    assert words in refused.value.detail


def test_raw_values_are_passed_on_as_they_came() -> None:
    car = struct_from_json(b'{"name":"a","extra":{"n": 1.50}}', Car)

    assert bytes(car.extra) == b'{"n": 1.50}'


@given(body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with contextlib.suppress(MalformedBody, InputRefused):
        assert struct_from_json(body, Car).name is not None


def test_query_values_become_typed_or_are_refused() -> None:
    assert struct_from_strings({"size": "12"}, Wheel) == Wheel(12)
    with pytest.raises(InputRefused) as refused:
        struct_from_strings({"size": "twelve"}, Wheel)
    assert refused.value.problems[0].seen == "twelve"


def test_a_name_where_none_is_known_is_told_so() -> None:
    with pytest.raises(InputRefused) as refused:
        struct_from_strings({"x": "1"}, Nothing)
    assert refused.value.problems[0].allowed == "nothing"


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """Takes no fields."""


class Free(msgspec.Struct):
    """Takes any fields."""


def test_a_name_repeated_after_many_others_is_found_at_once() -> None:
    # Each name was counted among all: this would take half an hour, 16 MB would have taken a day.
    names = ",".join(f'"{number}":0' for number in range(300_000))

    with pytest.raises(MalformedBody, match="'z' twice"):
        struct_from_json(f'{{{names},"z":1,"z":2}}'.encode(), Free)


TEXTS = st.text(alphabet='ab:"{}[],\\ é', max_size=4)
VALUES = st.recursive(
    TEXTS | st.integers(0, 9),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXTS, parts, max_size=3),
    max_leaves=8,
)


@given(extra=VALUES, name=TEXTS)
def test_whatever_stands_in_text_no_name_is_thought_to_be_there_twice(
    extra: object, name: str
) -> None:
    value = {"name": "a", "extra": {name: extra}}

    assert struct_from_json(msgspec.json.encode(value), Car).name == "a"


@given(first=VALUES, second=VALUES, name=TEXTS)
def test_whatever_stands_around_it_a_name_that_is_there_twice_is_refused(
    first: object, second: object, name: str
) -> None:
    # Small bodies are judged by a count of colons, which text may have as well.
    parts = (msgspec.json.encode(part) for part in (name, first, name, second))
    body = b'{"name":"a","extra":[{%s:%s,%s:%s}]}' % tuple(parts)

    with pytest.raises(MalformedBody, match="twice"):
        struct_from_json(body, Car)
