"""Loading and calling a task as a child does it."""

import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import Email, File, Input, Output, context, log, step, task
from runyard.model.errors import InputRefused
from runyard.model.logs import LogLevel
from runyard.model.runs import Outcome
from runyard.sdk import runtime
from runyard.sdk.channel import AttemptOver, RunContext
from runyard.sdk.testing import MemoryChannel, run
from runyard.sdk.tracebacks import LONGEST_TRACEBACK

HERE = Path(__file__).parent
CONTEXT = RunContext(run_id=7, public_id="p" * 22, attempt=2, task="a task", company="acme")


@pytest.fixture
def channel(tmp_path):
    return MemoryChannel(tmp_path)


def loaded(declared):
    return runtime.LoadedTask(declared.function, HERE)


class Color(Enum):
    RED = "red"


@dataclass
class Line:
    amount: Decimal
    color: Color = Color.RED


@dataclass
class Renamed:
    inner: Annotated[int, Input(name="Inner value")]


class Pair(NamedTuple):
    left: int
    right: Line


class Person(TypedDict):
    name: str
    age: NotRequired[int]


class Point(msgspec.Struct, tag=True, array_like=True):
    x: float
    y: float = 0.5


# ---------------------------------------------------------------- values arrive as annotated

SAMPLES = [
    (str, "a", "a"),
    (int, 5, 5),
    (float, 1.0, 1.0),
    (bool, True, True),
    (Decimal, "1.50", Decimal("1.50")),
    (date, "2026-01-31", date(2026, 1, 31)),
    (datetime, "2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    (Email, "a@b.de", "a@b.de"),
    (Literal["a", 2], 2, 2),
    (Color, "red", Color.RED),
    (list[int], [1, 2], [1, 2]),
    (tuple[date, ...], ["2026-01-31"], (date(2026, 1, 31),)),
    (dict[str, Color], {"x": "red"}, {"x": Color.RED}),
    (dict, {"x": [1, None]}, {"x": [1, None]}),
    (int | None, None, None),
    (Line | None, {"amount": "2", "color": "red"}, Line(Decimal(2))),
    (Line, {"amount": "2", "color": "red"}, Line(Decimal(2))),
    (list[Line], [{"amount": "2", "color": "red"}], [Line(Decimal(2))]),
    (Renamed, {"Inner value": 3}, Renamed(3)),
    (list[Renamed | None], [{"Inner value": 3}, None], [Renamed(3), None]),
    (Pair, {"left": 1, "right": {"amount": "2", "color": "red"}}, Pair(1, Line(Decimal(2)))),
    (
        dict[str, Pair],
        {"x": {"left": 1, "right": {"amount": "2", "color": "red"}}},
        {"x": Pair(1, Line(Decimal(2)))},
    ),
    (Person, {"name": "a", "age": 4}, {"name": "a", "age": 4}),
    (Person, {"name": "a", "age": None}, {"name": "a"}),
    (Point, {"x": 1.0, "y": 0.5}, Point(1.0)),
    (Any, {"x": [1.5]}, {"x": [1.5]}),
]


@pytest.mark.parametrize(("annotation", "written", "value"), SAMPLES)
def test_a_value_arrives_as_annotated_and_leaves_in_the_same_form(annotation, written, value):
    has_named_outputs = isinstance(value, Line | Renamed | Pair | Point) or annotation is Person
    seen = []

    def function(given) -> None:
        seen.append(given)
        return given

    function.__annotations__ = {
        "given": annotation,
        "return": Annotated[annotation, Output(name="out")],
    }
    done = run(task(function), {"given": written})

    assert seen == [value]
    assert type(seen[0]) is type(value)
    if value is None:
        assert done.output is None
    elif has_named_outputs:
        assert done.output == written
    else:
        assert done.output == {"out": written}


@given(st.lists(st.builds(Line, st.decimals(allow_nan=False, allow_infinity=False)), min_size=1))
def test_tables_travel_there_and_back(lines):
    @task
    def same(lines: list[Line]) -> list[Line]:
        return lines

    written = msgspec.to_builtins(lines)
    assert run(same, {"lines": written}).output == {"result": written}


def test_parameters_are_filled_by_their_kind():
    @task
    def function(
        a: int,
        /,
        b: int,
        c: Annotated[int, Input(name="the c")] = 3,
        *,
        d: int,
        e: Pair | None = None,
    ) -> list[int]:
        return [a, b, c, d, 0 if e is None else e.left]

    assert run(function, {"a": 1, "b": 2, "d": 4}).output == {"result": [1, 2, 3, 4, 0]}
    assert run(function, {"a": 1, "b": 2, "the c": 5, "d": 4}).output == {"result": [1, 2, 5, 4, 0]}


def test_asynchronous_tasks_share_a_loop_and_leave_nothing_running():
    import asyncio

    loops, left = [], []

    @task
    async def function(n: int) -> int:
        loops.append(asyncio.get_running_loop())
        left.append(asyncio.ensure_future(asyncio.Event().wait()))
        return n

    task_ = loaded(function)
    channel = MemoryChannel(HERE)
    assert task_.call(b'{"n":1}', CONTEXT, channel) == b'{"result":1}'
    assert task_.call(b'{"n":2}', CONTEXT, channel) == b'{"result":2}'

    assert loops[0] is loops[1]
    assert all(waiting.cancelled() for waiting in left)
    loops[0].close()


# ---------------------------------------------------------------- nothing


def test_what_counts_as_nothing(channel):
    @task
    def no_data() -> None: ...
    @task
    def no_annotation(): ...
    @task
    def none() -> str | None: ...
    @task
    def empty_table() -> list[Line]:
        return []

    @task
    def empty_list() -> list[int]:
        return []

    @task
    def empty_text() -> str:
        return ""

    for nothing in (no_data, no_annotation, none, empty_table):
        assert loaded(nothing).call(b"{}", CONTEXT, channel) is None
    assert loaded(empty_list).call(b"{}", CONTEXT, channel) == b'{"result":[]}'
    assert loaded(empty_text).call(b"{}", CONTEXT, channel) == b'{"result":""}'


# ---------------------------------------------------------------- what goes wrong


def failing(declared, raw=b"{}"):
    with pytest.raises(runtime.TaskFailed) as caught:
        loaded(declared).call(raw, CONTEXT, MemoryChannel(HERE))
    return caught.value


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("wrong"), "ValueError", "wrong"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (GeneratorExit("x"), "GeneratorExit", "x"),
        (
            BaseExceptionGroup("both", [ValueError("a"), SystemExit(1)]),
            "BaseExceptionGroup",
            "both (2 sub-exceptions)",
        ),
        (ValueError("\ud800"), "ValueError", "\\ud800"),
        (MemoryError(), "MemoryError", ""),
    ],
)
def test_whatever_the_code_raises_is_reported(raised, kind, message):
    @task
    def function() -> None:
        raise raised

    failed = failing(function)

    assert failed.outcome == Outcome.RAISED
    assert (failed.error.kind, failed.error.message) == (kind, message)
    assert 'File "test_runtime.py"' in failed.error.traceback
    assert "in function" in failed.error.traceback
    assert 'runtime.py", line' not in failed.error.traceback.replace('"test_runtime.py"', "")


def test_a_traceback_has_only_frames_of_the_tasks_own_code():
    @task
    def function() -> None:
        try:
            msgspec.json.decode(b"{")
        except msgspec.DecodeError as error:
            sorted([2, 1], key=lambda _: int("x")) or error

    failed = failing(function)

    files = [
        line.split('"')[1] for line in failed.error.traceback.splitlines() if "  File " in line
    ]
    assert set(files) == {"test_runtime.py"}
    assert "During handling of the above exception" in failed.error.traceback


def test_a_traceback_is_cut_to_its_last_part():
    @task
    def function() -> None:
        raise ValueError("é" * 100_000)

    failed = failing(function)

    assert len(failed.error.traceback.encode()) <= LONGEST_TRACEBACK
    assert failed.error.traceback.startswith("...\n")
    assert len(failed.error.message) < 5000


def test_an_error_that_cannot_be_shown_is_still_reported():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    @task
    def function() -> None:
        raise Broken

    failed = failing(function)
    assert failed.outcome == Outcome.RAISED
    assert failed.error.message.endswith("that cannot be shown as text)")


def test_recursion_without_end_is_raised():
    @task
    def function() -> None:
        def again():
            again()

        again()

    assert failing(function).error.kind == "RecursionError"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":"x"}', 'a: the text "x"; allowed: a whole number'),
        (b"{}", "a: nothing; allowed: a whole number"),
        (b'{"a":1,"b":2}', "b: an unknown name; allowed: one of the names a"),
        (b"{", "malformed JSON"),
        (b"", "nothing"),
    ],
)
def test_an_input_that_no_longer_fits_never_reaches_the_code(raw, message):
    begun = []

    @task
    def function(a: int) -> None:
        begun.append(a)

    failed = failing(function, raw)

    assert failed.outcome == Outcome.INPUT_INVALID
    assert message in failed.error.message
    assert begun == []


def test_a_class_that_refuses_its_values_makes_the_input_invalid():
    @dataclass
    class Positive:
        n: int

        def __post_init__(self):
            if self.n < 0:
                raise ValueError("n must not be negative")

    def function(p) -> None: ...

    function.__annotations__ = {"p": Positive, "return": None}
    failed = failing(task(function), b'{"p":{"n":-1}}')
    assert failed.outcome == Outcome.INPUT_INVALID
    assert "n must not be negative" in failed.error.message


@dataclass
class Outputs:
    count: int
    when: datetime | None = None


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("text", "(whole value) is the text"),
        ({"count": 1, "extra": 2}, "extra is an unknown name"),
        (Outputs("x"), 'count is the text "x"; declared: a whole number'),
        (Outputs(1, datetime(2026, 1, 1)), 'when is the text "2026-01-01T00:00:00"'),  # noqa: DTZ001 - that is the point
        (Outputs(object()), "cannot be written as JSON"),
        ([1], "(whole value) is a list of 1"),
    ],
)
def test_outputs_that_do_not_fit_their_declaration_are_refused(returned, message):
    @task
    def function() -> Outputs:
        return returned

    failed = failing(function)

    assert failed.outcome == Outcome.OUTPUT_INVALID
    assert message in failed.error.message


def test_outputs_that_contain_themselves_or_no_number_are_refused():
    @task
    def endless() -> list:
        items: list = []
        items.append(items)
        return items

    @task
    def no_number() -> float:
        return float("nan")

    @task
    def undeclared() -> None:
        return 5

    assert failing(endless).outcome == Outcome.OUTPUT_INVALID
    assert "result is null; declared: a number" in failing(no_number).error.message
    assert failing(undeclared).error.message == "it declares no data and returned a int"


def test_outputs_are_brought_into_their_canonical_form():
    @task
    def function() -> list[Decimal]:
        return [1, 2.5, Decimal("3.10")]  # type: ignore[list-item]

    assert run(function).output == {"result": ["1", "2.5", "3.10"]}


def test_the_channel_can_end_an_attempt_whatever_the_code_catches(channel):
    class Lost(AttemptOver):
        pass

    class Ending(MemoryChannel):
        def record(self, name, occurrence, value):
            raise Lost

    @task
    def function() -> None:
        try:
            step("one", int, "1")
        except Exception:  # noqa: BLE001 - what authors write
            log.info("caught")

    with pytest.raises(Lost):
        loaded(function).call(b"{}", CONTEXT, Ending(HERE))


# ---------------------------------------------------------------- context, log, steps, files


def test_code_knows_its_run(channel):
    seen = []

    @task
    def function() -> None:
        seen.append(
            (context.run_id, context.public_id, context.attempt, context.task, context.company)
        )
        (context.scratch / "a").write_text("x")

    loaded(function).call(b"{}", CONTEXT, channel)

    assert seen == [(7, "p" * 22, 2, "a task", "acme")]
    with pytest.raises(RuntimeError, match="not executed by a run"):
        context.run_id  # noqa: B018 - asking is the test
    with pytest.raises(RuntimeError, match="not executed by a run"):
        context.scratch  # noqa: B018 - as above


def test_log_lines_prints_and_logging_are_captured_with_their_level():
    import logging

    @task
    def function() -> None:
        log.trace("t")
        log.fatal("f", code=5)
        print("a\nb", end="")  # noqa: T201 - it is captured
        print("c")  # noqa: T201 - it is captured
        print("oops", file=sys.stderr)  # noqa: T201 - it is captured
        logging.getLogger("lib").error("e %s", 1)
        logging.getLogger("lib").debug("not shown")
        logging.getLogger("lib").info("i")
        print("no line break", end="")  # noqa: T201 - it is captured
        log.progress(1, 4)
        log.progress(2)

    before = sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)
    done = run(function)

    assert done.lines == [
        (LogLevel.TRACE, "t"),
        (LogLevel.FATAL, "f code=5"),
        (LogLevel.INFO, "a"),
        (LogLevel.INFO, "bc"),
        (LogLevel.WARNING, "oops"),
        (LogLevel.ERROR, "e 1"),
        (LogLevel.INFO, "i"),
        (LogLevel.INFO, "no line break"),
    ]
    assert done.progress == [(1.0, 4.0), (2.0, None)]
    assert before == (
        sys.stdout,
        sys.stderr,
        logging.getLogger().level,
        list(logging.getLogger().handlers),
    )


def test_outside_of_a_run_the_log_goes_to_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    log.warning("careful", n=1)
    log.progress(1, 2)
    assert capsys.readouterr().err == "warning careful n=1\n"


def test_a_recorded_step_is_not_executed_again():
    calls = []

    def read(n: int) -> list[Line]:
        calls.append(n)
        return [Line(Decimal(n))]

    @task
    def function() -> list[Line]:
        first = step(read, 1)
        second = step(read, 2)
        named = step("other", read, 3)
        assert all(isinstance(line, Line) for line in first)
        return [*first, *second, *named]

    first = run(function)
    again = run(function, attempt=2, steps=first.steps)

    assert calls == [1, 2, 3]
    assert first.output == again.output
    assert first.steps.keys() == {("read", 0), ("read", 1), ("other", 0)}


def test_an_asynchronous_step_is_awaited():
    calls = []

    async def fetch(n: int) -> tuple[int, ...]:
        calls.append(n)
        return (n,)

    @task
    async def function() -> list[int]:
        return list(await step(fetch, 1)) + list(await step("b", fetch, 2))

    first = run(function)

    assert run(function, steps=first.steps).output == first.output == {"result": [1, 2]}
    assert calls == [1, 2]


def test_a_step_gives_the_same_kind_of_value_each_time():
    @task
    def function() -> bool:
        def plain():
            return (1, 2)

        return step(plain) == [1, 2]

    first = run(function)
    assert first.output == run(function, steps=first.steps).output == {"result": True}


def test_a_step_whose_result_cannot_be_recorded_says_so():
    @task
    def function() -> None:
        step("made", object)

    error = run(function).error
    assert error.kind == "TypeError"
    assert error.message.startswith("the result of step 'made' cannot be recorded")


def test_outside_of_a_run_a_step_is_just_a_call():
    assert step(int, "5") == step("name", int, "5") == 5


@dataclass
class WithFile:
    report: File
    others: list[File]


def test_files_go_in_and_come_out(tmp_path):
    given_file = tmp_path / "given.csv"
    given_file.write_text("a,b\n")

    @task
    def function(table: File, more: list[File | None]) -> WithFile:
        assert (table.name, table.content_type, table.size) == ("given.csv", "text/csv", 4)
        assert table.read_text() == "a,b\n"
        with table.open() as raw:
            assert table.read_bytes() == raw.read() == b"a,b\n"
        assert more[1] is None
        with table.open("r") as lines:
            text = lines.read().upper()
        made = context.scratch / "plain.bin"
        made.write_bytes(b"\x00")
        return WithFile(
            File.write("report.md", text),
            [
                File.write("report.md", b"x", content_type="a/b"),
                File(made, name="renamed.bin"),
                table,
            ],
        )

    done = run(function, {"table": given_file, "more": [given_file, None]})

    assert done.error is None
    report, others = done.output["report"], done.output["others"]
    assert (report["name"], report["content_type"], report["size"]) == (
        "report.md",
        "text/markdown",
        4,
    )
    assert [(o["name"], o["content_type"]) for o in others] == [
        ("report.md", "a/b"),
        ("renamed.bin", "application/octet-stream"),
        ("given.csv", "text/csv"),
    ]
    assert done.files["renamed.bin"] == b"\x00"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\\b", "a\nb"])
def test_a_files_name_is_never_a_path(name):
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        File.write(name, b"")


def test_returning_what_is_no_file_is_an_invalid_output():
    @task
    def text() -> File:
        return "report.md"  # type: ignore[return-value]

    @task
    def missing() -> File:
        return File("/nowhere/at/all")

    assert run(text).outcome == Outcome.OUTPUT_INVALID
    assert run(missing).outcome == Outcome.OUTPUT_INVALID


def test_the_test_runner_refuses_what_the_server_refuses():
    @task
    def function(a: int) -> None: ...

    with pytest.raises(InputRefused):
        run(function, {"b": 1})


# ---------------------------------------------------------------- loading


def test_a_task_that_cannot_be_loaded_is_reported(tmp_path):
    (tmp_path / "broken_module_a.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "no_task_b.py").write_text("x = 1\n")

    for module, function, kind in (
        ("broken_module_a", "x", "ModuleNotFoundError"),
        ("no_task_b", "x", "TypeError"),
        ("no_task_b", "y", "AttributeError"),
        ("missing_module_c", "y", "ModuleNotFoundError"),
    ):
        with pytest.raises(runtime.NotLoaded) as caught:
            runtime.load(str(tmp_path), module, function)
        assert caught.value.outcome == Outcome.NOT_LOADED
        assert caught.value.error.kind == kind


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path):
    """Loading belongs to a child's process: take back what it changes for good."""
    import logging

    from runyard.sdk.current import CURRENT

    before = sys.stdout, sys.stderr, list(sys.path), list(logging.getLogger().handlers)
    yield
    sys.stdout, sys.stderr = before[:2]
    sys.path[:] = before[2]
    logging.getLogger().handlers[:] = before[3]
    CURRENT.streams = ()
    for name in [
        n
        for n, m in sys.modules.items()
        if str(getattr(m, "__file__", "")).startswith(str(tmp_path))
    ]:
        del sys.modules[name]
