"""The tasks of `examples/`, on the data that comes with them."""

import csv
import importlib.util
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from runyard.model.logs import LogLevel
from runyard.model.runs import Outcome
from runyard.sdk.inspection import static_requirements
from runyard.sdk.testing import run

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = EXAMPLES / "data"


@pytest.fixture(scope="module")
def example():
    """Imports one of the examples, as a module of its own name."""
    imported = []

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        imported.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in imported:
        sys.modules.pop(name, None)


def test_the_bundle_says_what_it_needs():
    assert static_requirements(EXAMPLES) == ("zipcodes>=2,<4",)


def test_the_report_adds_up_the_orders_that_can_be_read(example):
    done = run(example("csv_report").csv_report, {"orders": DATA / "orders.csv"})

    figures = done.output
    assert (figures["orders"], figures["skipped"]) == (117, 3)
    assert (figures["first"], figures["last"]) == ("2026-01-02", "2026-02-07")
    assert Decimal(figures["revenue"]) == sum(Decimal(r["revenue"]) for r in figures["regions"])
    assert figures["orders"] == sum(region["orders"] for region in figures["regions"])
    assert figures["report"]["name"] == "report.md"
    assert "| South | 40 | 28,849.43 |" in done.files["report.md"].decode()
    assert [text for level, text in done.lines if level is LogLevel.WARNING] == [
        "line 32 skipped: a quantity of -2",
        "line 79 skipped: the price 'n/a'",
        "line 103 skipped: day is out of range for month",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "orders.csv has no column ordered, price, product, quantity, region"),
        ("ordered,region,product,quantity,price\n", "orders.csv has no order that can be read"),
    ],
)
def test_a_file_without_orders_is_an_error(example, tmp_path, text, message):
    file = tmp_path / "orders.csv"
    file.write_text(text)

    done = run(example("csv_report").csv_report, {"orders": file})

    assert done.outcome == Outcome.RAISED
    assert done.error.message == message


def test_the_readings_succeed_on_their_second_attempt_without_reading_twice(example):
    task = example("meter_readings").meter_readings

    first = run(task)
    second = run(task, attempt=2, steps=first.steps)

    assert first.outcome == Outcome.RAISED
    assert first.error.message == "the meters did not answer (attempt 1)"
    assert second.output["readings"] == 120
    assert second.output["suspicious"] == 4
    assert second.output["attempts"] == 2
    assert second.progress[-1] == (120.0, 120.0)
    said = [text for _, text in first.lines + second.lines]
    assert said.count("reading readings.csv") == 1


def test_every_state_has_a_name():
    with (DATA / "states.csv").open(encoding="utf-8", newline="") as file:
        names = {row["letters"]: row["name"] for row in csv.DictReader(file)}
    assert names["TX"] == "Texas"
    assert len(names) == len(set(names.values())) == 51 + 8 + 3


def test_an_order_is_taken_with_its_scan_and_enclosures(example, tmp_path):
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1")
    asked = {
        "StringParam_in": "Ada",
        "FileParam_in": tmp_path / "scan.pdf",
        "DateTimeParam_in": "2031-05-02T00:00:00Z",
        "BoolParam_in": True,
        "DoubleParam_in": 12.2,
        "IntParam_in": 76,
        "ArrayParam_in": [tmp_path / "scan.pdf"] * 2,
    }

    done = run(example("order_intake").order_intake, asked)

    assert done.output["StringValue_out"] == "Ada (taken)"
    assert done.output["DateTimeValue_out"] == "2031-05-01T00:00:00Z"
    assert (done.output["DoubleValue_out"], done.output["IntValue_out"]) == (927.2, 76)
    assert done.files["receipt.txt"].decode().splitlines() == [
        "Order of Ada",
        "Due on 02 May 2031",
        "Total 927.20",
        *["Enclosed: scan.pdf, 6 bytes"] * 3,
    ]


def test_an_order_needs_nothing_but_its_customer(example):
    done = run(example("order_intake").order_intake, {"StringParam_in": "Ada"})

    assert done.outcome == Outcome.RETURNED
    assert done.output["DateTimeValue_out"] is None
