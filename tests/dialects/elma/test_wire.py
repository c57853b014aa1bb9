"""The mappings of the dialect: total, and as written down."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest

from runyard.dialects.elma import shapes, wire
from runyard.engine.transitions import TRANSITIONS
from runyard.model import errors
from runyard.model.logs import LogLevel
from runyard.model.states import FINAL_STATES, RunState
from runyard.web import errors as web_errors

ENDS = {
    cause
    for moves in TRANSITIONS.values()
    for cause, state in moves.items()
    if state in FINAL_STATES
}


def subclasses(kind: type[errors.RunyardError]) -> set[type[errors.RunyardError]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


# ---------------------------------------------------------------- states


def test_every_end_and_every_state_has_its_word() -> None:
    assert set(wire.ENDED) == ENDS
    assert set(wire.UNENDED) == set(RunState) - FINAL_STATES
    assert set(wire.LEVELS) == set(LogLevel)


def test_only_documented_words_are_ever_sent() -> None:
    documented = {"PREPARE", "QUEUE", "EXECUTING", "DONE", "ERROR"}
    sent = {*wire.ENDED.values(), *(word for stages in wire.UNENDED.values() for word in stages)}

    assert sent == documented == set(get_args(shapes.StatusWord))
    assert set(wire.PRIORITIES) == {"HIGH", "MEDIUM", "LOW"} == set(get_args(shapes.PriorityWord))


def test_what_is_over_looks_over_and_nothing_else_does() -> None:
    for state, stages in wire.UNENDED.items():
        for is_begun, word in ((False, stages.unbegun), (True, stages.begun)):
            assert wire.status_of(state, None, is_begun=is_begun) == word
            assert wire.number_of(word) == 201
    for cause, word in wire.ENDED.items():
        assert wire.status_of(RunState.FAILED, cause, is_begun=True) == word
        assert wire.number_of(word) == 200


@pytest.mark.parametrize(
    ("state", "is_begun", "word"),
    [
        (RunState.PREPARING, False, "PREPARE"),
        (RunState.QUEUED, False, "QUEUE"),
        (RunState.SCHEDULED, False, "QUEUE"),
        (RunState.PARKED, False, "QUEUE"),
        (RunState.RUNNING, False, "QUEUE"),
        (RunState.RUNNING, True, "EXECUTING"),
        (RunState.WAITING, True, "EXECUTING"),
    ],
)
def test_the_words_of_what_is_not_over(state: RunState, word: str, *, is_begun: bool) -> None:
    assert wire.status_of(state, None, is_begun=is_begun) == word


# ---------------------------------------------------------------- priorities, instants


def test_priorities_there_and_back() -> None:
    for word, priority in wire.PRIORITIES.items():
        assert wire.priority_from(word) == priority
        assert wire.priority_word(priority) == word
    for none in (None, "", "EMPTY_P"):
        assert wire.priority_from(none) == 50  # type: ignore[arg-type]


def test_priorities_between_the_words() -> None:
    words = [wire.priority_word(priority) for priority in range(1, 100)]

    assert words == ["HIGH"] * 35 + ["MEDIUM"] * 30 + ["LOW"] * 34


def test_instants_are_utc_to_the_second() -> None:
    at = datetime(2031, 4, 20, 12, 15, 30, 999_999, timezone(timedelta(hours=4)))

    assert wire.stamp(at) == "2031-04-20T08:15:30Z"


# ---------------------------------------------------------------- log lines

VENDORS = re.compile(r"\[[A-Z]{3}\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d \| \[[\w.]+\] \| .*\n")


def test_log_lines_have_the_vendors_form() -> None:
    at = datetime(2031, 4, 20, 8, 15, 41, tzinfo=UTC)
    line = wire.log_line(LogLevel.INFO, at, "Worker.Run", "Process 'Creating profiles' started")

    assert line == (
        "[INF] 2031/04/20 08:15:41 | [Worker.Run] | Process 'Creating profiles' started\n"
    )
    assert {wire.log_line(level, at, "A.B", "x")[1:4] for level in LogLevel} == {
        "VRB",
        "DBG",
        "INF",
        "WRN",
        "ERR",
        "FTL",
    }


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\n[INF] 2031/04/20 08:15:41 | [X.Y] | forged", "a\x0b\x85\u2028b"]
)
def test_a_line_stays_one_line_whatever_it_says(text: str) -> None:
    line = wire.log_line(LogLevel.INFO, datetime.now(UTC), "Worker.Task", text)  # noqa: TID251

    assert VENDORS.fullmatch(line)
    assert len(line.splitlines()) == 1


# ---------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (web_errors.MalformedBody("x"), 400),
        (errors.InputRefused([]), 400),
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (wire.NotTheirs("x"), 403),
        (errors.TaskNotFound("x"), 404),
        (errors.VersionNotFound("x"), 404),
        (errors.RunNotFound("x"), 404),
        (errors.FileNotFound("x"), 404),
        (web_errors.RouteNotFound(), 404),
        (web_errors.MethodNotAllowed(("OPTIONS", "POST")), 405),
        (errors.TaskNotRunnable("x"), 409),
        (errors.TaskWithdrawn("x"), 409),
        (wire.CancelledTooLate("x"), 409),
        (wire.NotOverYet("x"), 409),
        (errors.TooLarge("x"), 413),
        (web_errors.RangeRefused(5), 416),
        (errors.QueueFull("x"), 429),
        (errors.LimitReached("x"), 429),
        (errors.Overloaded("x"), 503),
        (errors.StorageUnavailable("x"), 503),
        (web_errors.Stopping(), 503),
        (errors.RunyardError("x"), 500),
    ],
)
def test_the_numbers_of_errors(error: errors.RunyardError, number: int) -> None:
    failure = wire.failure_of(error)

    assert failure.status == number
    assert failure.error_message


def test_every_error_has_a_number_and_something_to_say() -> None:
    for kind in subclasses(errors.RunyardError):
        assert 400 <= wire.number_of_error(kind) < 600


def test_a_busy_server_says_when_to_come_again_and_a_wrong_method_which_is_right() -> None:
    assert (b"retry-after", b"1") in wire.failure_headers(errors.QueueFull("x"))
    wrong = web_errors.MethodNotAllowed(("OPTIONS", "POST"))
    assert wire.failure_headers(wrong) == [(b"allow", b"POST")]
    assert wire.failure_headers(errors.Unauthenticated("x")) == []


def test_a_fault_of_the_server_tells_where_to_look_and_nothing_else() -> None:
    failure = wire.unexpected_failure("abc123")

    assert failure.status == 500
    assert "abc123" in failure.error_message
    assert "Traceback" not in failure.error_message
