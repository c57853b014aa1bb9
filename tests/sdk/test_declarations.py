"""What a function's signature and its decorator declare, and what is refused."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict

import msgspec
import pytest

from runyard import Email, File, Input, Output, Retry, task
from runyard.model import types as t
from runyard.model.errors import CodeRefused
from runyard.model.tasks import Policies, RetryPolicy
from runyard.sdk.annotations import Unsupported, translate
from runyard.sdk.durations import duration
from runyard.sdk.signature import read_signature


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1


class Unit(StrEnum):
    METRE = "m"


@dataclass
class Line:
    amount: Decimal
    unit: Unit = Unit.METRE
    tags: list[str] = field(default_factory=list)


class Person(TypedDict):
    name: str
    age: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: int = 2


class Point(msgspec.Struct, rename={"x": "X"}):
    x: float
    y: float = 0.0


Zip = NewType("Zip", str)


def f(name, kind, **more):
    return t.Field(name=name, parameter=name, type=kind, **more)


LINE = (
    f("amount", t.DecimalNumber()),
    f("unit", t.Choice(("m",)), required=False, default='"m"'),
    f("tags", t.ListOf(t.Text()), required=False, default="[]"),
)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, t.Text()),
        (int, t.Integer()),
        (float, t.Number()),
        (bool, t.Boolean()),
        (Decimal, t.DecimalNumber()),
        (date, t.Date()),
        (datetime, t.DateTime()),
        (Email, t.Email()),
        (File, t.FileValue()),
        (Any, t.AnyValue()),
        (object, t.AnyValue()),
        (Zip, t.Text()),
        (list, t.ListOf(t.AnyValue())),
        (dict, t.MapOf(t.AnyValue())),
        (list[int], t.ListOf(t.Integer())),
        (tuple[int, ...], t.ListOf(t.Integer())),
        (dict[str, list[date]], t.MapOf(t.ListOf(t.Date()))),
        (str | None, t.Nullable(t.Text())),
        (list[Email | None], t.ListOf(t.Nullable(t.Email()))),
        (Literal["a", 2], t.Choice(("a", 2))),
        (Literal["a", None], t.Nullable(t.Choice(("a",)))),
        (Literal["a"] | None, t.Nullable(t.Choice(("a",)))),
        (Color, t.Choice(("red", "blue"))),
        (Size, t.Choice((1,))),
        (Unit, t.Choice(("m",))),
        (Line, t.Record(LINE)),
        (list[Line], t.Table(LINE)),
        (list[dict], t.Table(())),
        (list[dict[str, Any]], t.Table(())),
        (list[dict[str, int]], t.ListOf(t.MapOf(t.Integer()))),
        (
            Person,
            t.Record((f("name", t.Text()), f("age", t.Nullable(t.Integer()), required=False))),
        ),
        (
            Pair,
            t.Record(
                (f("left", t.Integer()), f("right", t.Integer(), required=False, default="2"))
            ),
        ),
        (
            Point,
            t.Record(
                (
                    t.Field(name="X", parameter="x", type=t.Number()),
                    f("y", t.Number(), required=False, default="0.0"),
                )
            ),
        ),
    ],
)
def test_annotations_and_the_types_they_mean(annotation, kind):
    assert translate(annotation).kind == kind


class Mixed(Enum):
    A = "a"
    B = 2


@dataclass
class Nested:
    bad: set[int]


@dataclass
class Selfish:
    again: "list[Selfish]"


@dataclass
class Hidden:
    made: int = field(init=False)


@dataclass
class Nothing:
    pass


@dataclass
class Twice:
    a: Annotated[int, Input(name="x")]
    x: int


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (set[int], "set[int] is no supported type; supported are str, int,"),
        (bytes, "bytes is no supported type"),
        (complex, "complex is no supported type"),
        (int | str, "only one type, with None if need be"),
        (dict[int, str], "the names in a dict must be str"),
        (tuple[int, str], "tuple[int, str] is no supported type"),
        (Literal[True], "only text, int and None can be listed"),
        (Mixed, "must all be text or all be int"),
        (Nested, "Nested.bad: set[int] is no supported type"),
        (Hidden, "Hidden.made has init=False"),
        (Nothing, "Nothing has no fields"),
        (Twice, "two values are named 'x'"),
        (Annotated[int, msgspec.Meta(gt=0)], "constraints by msgspec.Meta"),
        (Annotated[int, Input(name='a"b')] | None, None),
    ],
)
def test_annotations_that_mean_nothing_are_refused_with_the_reason(annotation, reason):
    if reason is None:
        assert translate(annotation).kind == t.Nullable(t.Integer())
        return
    with pytest.raises(Unsupported) as caught:
        translate(annotation)
    assert reason in str(caught.value)


def test_a_record_that_contains_itself_is_refused():
    globals()["Selfish"] = Selfish
    with pytest.raises(Unsupported, match="Selfish contains itself"):
        translate(Selfish)


# ---------------------------------------------------------------- signatures


def test_parameters_are_inputs_with_names_titles_and_defaults():
    def function(
        plain: int,
        labelled: Annotated[str, Input(name="iStrZip", title="Zip code", help="Five digits")],
        maybe: str | None,
        *,
        line: Line = Line(Decimal("1.50"), tags=["a"]),  # noqa: B008 - a default as authors write it
        when: date = date(2026, 1, 31),
        color: Color = Color.BLUE,
        chosen: str | None = "x",
    ) -> None: ...

    read = read_signature(function)

    fields = {member.field.parameter: member.field for member in read.inputs}
    assert fields["plain"] == f("plain", t.Integer())
    assert fields["labelled"] == t.Field(
        name="iStrZip", parameter="labelled", type=t.Text(), title="Zip code", help="Five digits"
    )
    assert fields["maybe"] == f("maybe", t.Nullable(t.Text()), required=False)
    assert json.loads(fields["line"].default) == {"amount": "1.50", "unit": "m", "tags": ["a"]}
    assert fields["when"].default == '"2026-01-31"'
    assert fields["color"].default == '"blue"'
    assert fields["chosen"].default == '"x"'
    assert read.by_name == {"line", "when", "color", "chosen"}
    assert read.outputs == ()


def test_a_class_with_fields_is_named_outputs():
    class Found(NamedTuple):
        state: Annotated[str, Output(name="State")]
        place: str | None = None

    def function() -> Found: ...
    def or_nothing() -> Found | None: ...

    expected = (
        t.Field(name="State", parameter="state", type=t.Text()),
        f("place", t.Nullable(t.Text()), required=False),
    )
    assert read_signature(function).outputs == expected
    assert read_signature(or_nothing).outputs == expected


def test_anything_else_is_one_output_named_result():
    def function() -> list[int]: ...
    def named() -> Annotated[int, Output(name="Answer", title="The answer")]: ...
    def missing(): ...

    assert read_signature(function).outputs == (f("result", t.ListOf(t.Integer())),)
    assert read_signature(named).outputs == (
        t.Field(name="Answer", parameter="Answer", type=t.Integer(), title="The answer"),
    )
    assert read_signature(missing).outputs == ()


def no_annotation(a) -> None: ...
def bad_parameter(a: int, b: set[int]) -> None: ...
def bad_default(a: int = "x") -> None: ...
def none_default(a: str = None) -> None: ...  # noqa: RUF013 - that is the point
def naive_default(a: datetime = datetime(2026, 1, 1)) -> None: ...  # noqa: DTZ001 - that is the point
def many(*values: int) -> None: ...
def more(**values: int) -> None: ...
def same_names(a: int, b: Annotated[int, Input(name="a")]) -> None: ...
def bad_name(a: Annotated[int, Input(name='a"b')]) -> None: ...
def bad_return() -> set[int]: ...
def unknown(a: "Missing") -> None: ...  # noqa: F821 - that is the point
def yields() -> int:
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (no_annotation, "parameter a has no annotation"),
        (bad_parameter, "parameter b: set[int] is no supported type"),
        (bad_default, 'parameter a: its default is the text "x"; allowed: a whole number'),
        (none_default, "parameter a: its default is null; allowed: text"),
        (naive_default, "parameter a: its default is the text"),
        (many, "parameter values: * and ** parameters"),
        (more, "parameter values: * and ** parameters"),
        (same_names, "two values are named 'a'"),
        (bad_name, "parameter a: 'a\"b' is no name"),
        (bad_return, "the return value: set[int] is no supported type"),
        (unknown, "an annotation cannot be resolved: name 'Missing' is not defined"),
        (yields, "it yields; a task returns its outputs"),
    ],
)
def test_signatures_that_declare_nothing_clear_are_refused(function, reason):
    with pytest.raises(Unsupported) as caught:
        read_signature(function)
    assert reason in str(caught.value)


# ---------------------------------------------------------------- the decorator


def test_a_task_is_still_the_function():
    @task
    def zip_code(zip: str) -> str:  # noqa: A002 - as in the tutorial
        """Where a US zip code lies."""
        return zip + "!"

    assert zip_code("76131") == "76131!"
    assert zip_code.__name__ == "zip_code"
    assert (zip_code.name, zip_code.key, zip_code.path) == ("zip_code", "zip_code", "Bots/zip_code")
    assert zip_code.description == "Where a US zip code lies."
    assert zip_code.policies == Policies()


def test_options_become_policies():
    @task(
        "Zip code",
        path="Bots/Zip code",
        key="zip",
        timeout="1m30s",
        retries=2,
        retry=Retry(delay="2s", factor=3, cap="1m", jitter=0),
        concurrency=4,
        priority=20,
        labels=["gpu", "eu", "gpu"],
        retention=timedelta(days=7),
        requirements=["httpx>=0.27", "zipcodes"],
    )
    def declared() -> None: ...

    assert declared.policies == Policies(
        timeout=timedelta(seconds=90),
        retry=RetryPolicy(
            retries=2,
            delay=timedelta(seconds=2),
            factor=3.0,
            cap=timedelta(minutes=1),
            jitter=0.0,
        ),
        concurrency=4,
        priority=20,
        labels=("eu", "gpu"),
        retention=timedelta(days=7),
    )
    assert declared.requirements == ("httpx>=0.27", "zipcodes")
    assert (declared.name, declared.key) == ("Zip code", "zip")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration"),
        ({"timeout": 30}, "timeout: 30 is not a duration"),
        ({"timeout": "0s"}, "timeout: '0s' is not longer than nothing"),
        ({"retention": timedelta(-1)}, "retention"),
        ({"retries": -1}, "retries=-1 must be a whole number, 0 to 1000"),
        ({"retries": True}, "retries=True must be a whole number"),
        ({"retry": 3}, "retry=3 must be a Retry(...)"),
        ({"retries": 1, "retry": Retry(retries=2)}, "retries=1 contradicts Retry(retries=2)"),
        ({"concurrency": 0}, "concurrency=0 must be a whole number, 1 or more"),
        ({"priority": 100}, "priority=100 must be a whole number, 1 to 99"),
        ({"labels": "gpu"}, "labels='gpu' must be a list of text"),
        ({"labels": ["a b"]}, "labels: 'a b' must be"),
        ({"requirements": ["--index-url http://x"]}, "requirements: '--index-url http://x'"),
        ({"requirements": ["httpx\n--pre"]}, "requirements:"),
        ({"path": "/a"}, "path='/a' must be names"),
        ({"path": "a/../b"}, "path='a/../b' must be names"),
        ({"name": ""}, "name='' must be 1 to 200 visible characters"),
        ({"name": " a"}, "name=' a' begins or ends with a blank"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_with_file_and_line(options, reason):
    def function() -> None: ...

    with pytest.raises(CodeRefused) as caught:
        task(**options)(function)

    assert caught.value.detail.startswith("task function: ")
    assert reason in caught.value.detail
    assert caught.value.file == __file__
    assert caught.value.line == function.__code__.co_firstlineno


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="knows no option timeot"):
        task(timeot="30s")


@pytest.mark.parametrize("thing", [str, 5, "text".upper])
def test_only_functions_become_tasks(thing):
    with pytest.raises(CodeRefused, match="makes functions tasks"):
        task()(thing)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"factor": 0.5}, "factor=0.5"),
        ({"jitter": 2}, "jitter=2"),
        ({"delay": "now"}, "'now' is not a duration"),
    ],
)
def test_a_retry_that_cannot_be_meant_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        Retry(**options)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30s", timedelta(seconds=30)),
        ("1h30m", timedelta(minutes=90)),
        (" 2 d ", timedelta(days=2)),
        ("250ms", timedelta(milliseconds=250)),
        ("1.5h", timedelta(minutes=90)),
        ("1w", timedelta(weeks=1)),
        (timedelta(seconds=5), timedelta(seconds=5)),
    ],
)
def test_durations_as_people_write_them(written, meant):
    assert duration(written) == meant


@pytest.mark.parametrize("written", ["", "s", "5", "5 parsecs", "-5s", "99999999999999w", None])
def test_durations_that_are_none(written):
    with pytest.raises(ValueError, match=r"duration|longer"):
        duration(written)
