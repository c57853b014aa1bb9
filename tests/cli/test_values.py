"""From the words of a command line to a task's input."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.cli.exits import Misused
from runyard.cli.output import readable_json, shown
from runyard.cli.values import Inputs, converted, moment, span
from runyard.model import types
from runyard.sdk.client import Client
from tests.cli.scripted_server import Reply, scripted_server


def field(value_type: types.ValueType) -> types.Field:
    return types.Field(name="it", parameter="it", type=value_type)


@pytest.fixture
def nowhere() -> Iterator[Client]:
    """A client that must not be asked anything."""
    with Client("http://127.0.0.1:9", "secret", company="acme") as client:
        yield client


@pytest.mark.parametrize(
    ("value_type", "text", "expected"),
    [
        (types.Text(), "76131", "76131"),
        (types.Text(), "", ""),
        (types.Text(), "null", "null"),
        (types.Nullable(types.Text()), "null", "null"),
        (types.Email(), "a@b.org", "a@b.org"),
        (types.DecimalNumber(), "12.50", "12.50"),
        (types.Date(), "2026-01-31", "2026-01-31"),
        (types.Integer(), "-5", -5),
        (types.Number(), "2.5", 2.5),
        (types.Boolean(), "yes", True),
        (types.Boolean(), "False", False),
        (types.Nullable(types.Integer()), "", None),
        (types.Nullable(types.Integer()), "null", None),
        (types.Nullable(types.Integer()), "3", 3),
        (types.Choice(("low", 2)), "2", 2),
        (types.Choice(("low", 2)), "low", "low"),
        (types.ListOf(types.Integer()), "[1, 2]", [1, 2]),
        (types.MapOf(types.Text()), '{"a": "b"}', {"a": "b"}),
        (types.AnyValue(), "[1]", [1]),
        (types.AnyValue(), "just text", "just text"),
        (types.FileValue(), "17", {"file": 17}),
    ],
)
def test_a_text_becomes_what_the_task_declares(
    nowhere: Client, value_type: types.ValueType, text: str, expected: Any
) -> None:
    assert converted(nowhere, field(value_type), text) == expected


@pytest.mark.parametrize(
    ("value_type", "text", "complaint"),
    [
        (types.Integer(), "2.5", "whole number"),
        (types.Number(), "many", "number"),
        (types.Boolean(), "maybe", "neither true nor false"),
        (types.ListOf(types.Text()), "a, b", "not JSON"),
        (types.ListOf(types.Text()), "@nowhere.json", "no file"),
        (types.FileValue(), "figures.csv", "@PATH"),
        (types.FileValue(), "@nowhere.csv", "@PATH"),
    ],
)
def test_a_text_that_cannot_become_it_is_refused(
    nowhere: Client, value_type: types.ValueType, text: str, complaint: str
) -> None:
    with pytest.raises(Misused, match=complaint):
        converted(nowhere, field(value_type), text)


def test_json_may_come_from_a_file(nowhere: Client, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"a": 1}]')

    value = converted(nowhere, field(types.ListOf(types.AnyValue())), f"@{tmp_path}/rows.json")

    assert value == [{"a": 1}]


def test_single_values_win_over_the_file(tmp_path: Path) -> None:
    source = tmp_path / "input.json"
    source.write_text('{"zip": "1", "more": true}')
    inputs = Inputs(single=["zip=76131"], all=str(source))

    with a_client_that_sees(a_task("zip")) as client:
        assert inputs.chosen(client, "Zip code") == {"zip": "76131", "more": True}


def test_an_unknown_name_is_met_with_the_known_ones() -> None:
    with a_client_that_sees(a_task("zip")) as client, pytest.raises(Misused, match="mean 'zip'"):
        Inputs(single=["zpi=76131"]).chosen(client, "Zip code")


@pytest.mark.parametrize("text", ["zip", "=76131"])
def test_a_pair_needs_both_sides(text: str) -> None:
    with a_client_that_sees(a_task("zip")) as client, pytest.raises(Misused, match="NAME=VALUE"):
        Inputs(single=[text]).chosen(client, "Zip code")


@pytest.mark.parametrize("content", ["[1]", "{", ""])
def test_a_file_of_inputs_holds_an_object(nowhere: Client, tmp_path: Path, content: str) -> None:
    (tmp_path / "input.json").write_text(content)

    with pytest.raises(Misused, match="JSON object"):
        Inputs(all=str(tmp_path / "input.json")).chosen(nowhere, "Zip code")


def test_instants_and_durations_are_read() -> None:
    assert moment("2026-01-31T08:00:00Z") == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert moment("2026-01-31").tzinfo is not None
    assert span("1h30m") == timedelta(minutes=90)
    with pytest.raises(Misused):
        moment("tomorrow")
    with pytest.raises(Misused):
        span("soon")


@contextmanager
def a_client_that_sees(reply: Reply) -> Iterator[Client]:
    with scripted_server(reply) as server, Client(server.url, "t", company="a") as client:
        yield client


def a_task(*inputs: str) -> Reply:
    """A task with these text inputs, as the API shows it."""
    declared = [
        {"name": n, "title": n, "help": "", "type": {"type": "text"}, "required": True}
        for n in inputs
    ]
    shape = {
        "id": 1,
        "uuid": "0194c8f0-0000-7000-8000-000000000000",
        "public_id": "AZr8",
        "path": "Bots/Zip code",
        "name": "Zip code",
        "key": "Zip code",
        "description": "",
        "version": 1,
        "bundle": "examples",
        "runnable": True,
        "withdrawn": False,
        "inputs": declared,
        "outputs": [],
        "policies": {},
        "requirements": [],
        "created_at": "2026-01-31T08:00:00Z",
    }
    return Reply(200, msgspec.json.encode(shape))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (1234567.891, "1234567.891"),
        (10**15, "1000000000000000"),
        (timedelta(milliseconds=12), "12 ms"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(days=30), "30 d"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
    ],
)
def test_a_cell_shows_a_value_without_losing_any_of_it(value: object, text: str) -> None:
    assert shown(value) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_readable_json_is_still_json(value: object) -> None:
    assert msgspec.json.decode(readable_json(msgspec.json.encode(value))) == value
