"""Errors as HTTP shows them."""

from datetime import timedelta

import pytest

import runyard.web.errors
from runyard.model import errors
from runyard.web.problems import code_of, headers_of, problem_from, status_of


def kinds_of(root: type[errors.RunyardError]) -> list[type[errors.RunyardError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds_of(child))]


OF_HTTP = [
    kind
    for kind in kinds_of(errors.RunyardError)
    if kind.__module__ in {errors.__name__, runyard.web.errors.__name__}
    and kind is not errors.RunyardError
]


@pytest.mark.parametrize("kind", OF_HTTP, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_of_its_family(kind: type[errors.RunyardError]) -> None:
    families = {
        errors.NotFound: {404},
        errors.Conflict: {409},
        errors.Refused: {400, 401, 403, 405, 413, 415, 416},
        errors.OutboundFailed: {502},
        errors.Busy: {429, 503},
        errors.ValueLost: {500},
    }

    [family] = [root for root in families if issubclass(kind, root)]

    assert status_of(kind) in families[family]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.RunNotFound, "run_not_found"),
        (errors.IllegalTransition, "illegal_transition"),
        (errors.InputRefused, "input_refused"),
    ],
)
def test_a_code_is_the_name_of_the_condition(kind: type[errors.RunyardError], code: str) -> None:
    assert code_of(kind) == code


def test_codes_are_unique() -> None:
    codes = [code_of(kind) for kind in OF_HTTP]

    assert len(codes) == len(set(codes))


def test_a_problem_tells_condition_and_circumstances() -> None:
    problem = problem_from(errors.RunNotFound("there is no run '7'"))

    assert problem.title == "No run has this id."
    assert problem.detail == "there is no run '7'"
    assert problem.type == "urn:runyard:problem:run_not_found"


def test_refused_code_names_file_and_line() -> None:
    problem = problem_from(errors.CodeRefused("bad indent", file="a.py", line=3))

    assert (problem.file, problem.line) == ("a.py", 3)


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (errors.Overloaded(retry_after=timedelta(milliseconds=200)), (b"retry-after", b"1")),
        (errors.QueueFull(retry_after=timedelta(seconds=7)), (b"retry-after", b"7")),
        (errors.Unauthenticated(), (b"www-authenticate", b"Bearer")),
        (errors.TooLarge(), (b"connection", b"close")),
    ],
)
def test_an_error_brings_its_headers(
    error: errors.RunyardError, header: tuple[bytes, bytes]
) -> None:
    assert headers_of(error) == [header]
