"""The page about types knows every type, and what it shows is so."""

import re
import typing
from pathlib import Path

import pytest

from runyard.model.errors import InputRefused
from runyard.model.shapes import shape
from runyard.model.types import DecimalNumber, Email, Field, Table, ValueType

PAGE = (Path(__file__).parents[2] / "docs" / "types.md").read_text(encoding="utf-8")


def test_every_type_stands_in_the_table():
    tags = {kind.__struct_config__.tag for kind in typing.get_args(ValueType)}
    rows = re.findall(r"(?m)^\|.*?[^\\\n]\| `(\w+)`(?: without columns)? \|", PAGE)
    assert set(rows) == tags


def test_the_refusals_on_the_page_are_what_is_said():
    line = Field(name="amount", parameter="amount", type=DecimalNumber())
    fields = (
        Field(name="customer", parameter="customer", type=Email()),
        Field(name="lines", parameter="lines", type=Table((line,))),
    )
    raw = b'{"custmer": 1, "lines": [{"amount": 1}, {"amount": "a lot"}, {"amount": 2}, 7]}'

    with pytest.raises(InputRefused) as caught:
        shape(fields).accept(raw)
    with pytest.raises(InputRefused) as malformed:
        shape(fields).accept('{\n  \u00a0"lines": []}'.encode())

    shown = [problem for problem in caught.value.problems if problem.field != "customer"]
    assert len(shown) == 3
    for problem in (*shown, *malformed.value.problems):
        assert f"{problem.field}: {problem.seen}; allowed: {problem.allowed}\n" in PAGE
