"""Inputs that are read at once: whatever is, is read just as the careful way reads it."""

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.dialects.automation_anywhere import shapes
from runyard.dialects.automation_anywhere.quick import QuickInputs
from runyard.dialects.automation_anywhere.reading import Inputs
from runyard.model.errors import RunyardError
from runyard.model.types import (
    Boolean,
    Email,
    Field,
    FileValue,
    Integer,
    ListOf,
    Nullable,
    Number,
    Text,
)
from runyard.web.validation import struct_from_json
from tests.support.executions import bodies, messy_bodies

FIELDS = tuple(
    Field(name=name, parameter=parameter, type=kind, required=False)
    for name, parameter, kind in (
        ("a", "a", Integer()),
        ("b", "b", Number()),
        ("text", "text", Text()),
        ("flag", "flag", Boolean()),
        ("mail", "mail", Email()),
        ("x:y", "xy", Text()),
        ("größe", "groesse", Number()),
    )
)
QUICK = QuickInputs(FIELDS)
CAREFUL = Inputs(FIELDS, ())


def carefully(body: bytes) -> dict[str, object] | None:
    """What the careful way reads; None for what it refuses."""
    try:
        asked = struct_from_json(body, shapes.Execution)
    except RunyardError:
        return None
    given = asked.bot_input if asked.bot_input is not None else asked.bot_input_too
    read = CAREFUL.read(given or {})
    return None if read.problems else read.values


def agree(body: bytes) -> bool:
    """Whether the body was read at once, which must then be right."""
    found = QUICK.read(body)
    if found is None:
        return False
    expected = carefully(body)
    assert expected is not None, body
    # As text: -0.0 and 0.0, 1 and 1.0 are different inputs.
    assert repr(json.loads(found)) == repr(
        {field.name: expected[field.name] for field in FIELDS if field.name in expected}
    )
    assert found == msgspec.json.encode(json.loads(found))
    return True


@given(bodies())
def test_what_is_read_at_once_is_read_right(body: bytes) -> None:
    agree(body)


@given(messy_bodies())
def test_what_is_not_even_json_is_never_read_at_once_but_as_it_would_be(body: bytes) -> None:
    agree(body)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_left_alone(body: bytes) -> None:
    agree(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"botInput":{}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"12"}}}',
        b' {"botInput" : {"a" : {"number" : "007", "type" : "NUMBER"}}} \n',
        b'{"botInput":{"b":{"type":"NUMBER","number":"-0"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"1e-400"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"+1.50E+0003"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":""}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"12:30:45 \\u00e4\\ud83d\\ude00"}}}',
        b'{"botInput":{"flag":{"type":"BOOLEAN","boolean":"true"}}}',
        b'{"botInput":{"mail":{"type":"STRING","string":"not an address"}}}',
        '{"botInput":{"größe":{"type":"NUMBER","number":"1"}}}'.encode(),
    ],
)
def test_plain_inputs_are_read_at_once(body: bytes) -> None:
    assert agree(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"botInput":null}',
        b'{"BotInput":{}}',
        b'{"botInput":{},"botInput":{}}',
        b'{"botInput":{"a":1},"botInput":{}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"1"},"a":{"type":"NUMBER","number":"2"}}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"1","number":"2"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\u003a","string":"b"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\u003A"},"text":null}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\u003a\\u003a"}}, "more": 1}',
        b'{"botInput":{"a":null}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"1.5"}}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"\xd9\xa3"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"1e400"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"NaN"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"1_000"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"12\\n"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":" 12"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":""}}}',
        b'{"botInput":{"b":{"type":"number","number":"1"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":1}}}',
        b'{"botInput":{"flag":{"type":"BOOLEAN","boolean":"TRUE"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\ud800"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\xff"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\xed\xa0\x80"}}}',
        b'{"botInput":{"unknown":{"type":"STRING","string":"x"}}}',
        b'\xef\xbb\xbf{"botInput":{}}',
        b'{"botInput":{}}{}',
        b'{"botInput":' * 5000,
    ],
)
def test_everything_else_is_left_to_the_careful_way(body: bytes) -> None:
    assert QUICK.read(body) is None


@pytest.mark.parametrize("kind", [FileValue(), ListOf(Text()), Nullable(Number())])
def test_a_version_with_an_input_of_another_kind_is_never_read_at_once(kind: object) -> None:
    fields = (*FIELDS, Field(name="more", parameter="more", type=kind, required=False))  # type: ignore[arg-type]

    assert QuickInputs(fields).read(b'{"botInput":{}}') is None


def test_long_numbers_are_read_alike() -> None:
    chance = random.Random(3)
    for digits in (17, 18, 19, 399, 400, 401):
        number = "".join(chance.choices("123456789", k=digits))
        for name in ("a", "b"):
            agree(json.dumps({"botInput": {name: {"type": "NUMBER", "number": number}}}).encode())
