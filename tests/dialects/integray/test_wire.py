"""The mappings of the dialect: total, and as written down."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from runyard.dialects.integray import wire
from runyard.dialects.integray.statuses import (
    ENDED,
    NAMES,
    UNENDED,
    Statuses,
    StatusId,
    group_of,
    is_final,
    states,
)
from runyard.engine.transitions import TRANSITIONS
from runyard.model import errors
from runyard.model.logs import LogLevel
from runyard.model.states import FINAL_STATES, Cause, RunState, Trigger
from runyard.web import errors as web_errors

ENDS = {
    cause
    for moves in TRANSITIONS.values()
    for cause, state in moves.items()
    if state in FINAL_STATES
}


def test_every_end_and_every_state_has_its_status() -> None:
    assert set(ENDED) == ENDS
    assert set(UNENDED) == set(RunState) - FINAL_STATES
    assert set(NAMES) == set(StatusId)
    assert set(wire.TRIGGERS) == set(Trigger)
    assert set(wire.LEVELS) == set(LogLevel)


def test_the_ids_are_those_that_are_documented() -> None:
    assert [int(status) for status in StatusId] == [
        1,
        100,
        101,
        200,
        201,
        202,
        *range(300, 308),
        999,
    ]
    assert {group_of(status) for status in StatusId} == {
        "Scheduled",
        "In progress",
        "Finished",
        "Failed",
        "Parked",
    }
    assert [int(s) for s in StatusId if is_final(s)] == [200, 201, 202, *range(300, 308)]


@pytest.mark.parametrize("state", [s for s in RunState if s not in FINAL_STATES])
@pytest.mark.parametrize("has_begun", [True, False])
@pytest.mark.parametrize("is_stranded", [True, False])
def test_a_run_that_has_not_ended_is_found_by_its_status(
    state: RunState,
    has_begun: bool,  # noqa: FBT001
    is_stranded: bool,  # noqa: FBT001
) -> None:
    """Whatever `of` says of a state, `states` must lead a list back to it."""
    status = Statuses().of(state, None, has_begun=has_begun, is_stranded=is_stranded)

    assert state in states(status)
    if state is RunState.PARKED:
        assert status == 999
    elif has_begun or state is RunState.WAITING:
        assert status == 100
    else:
        assert status == (101 if is_stranded and state is RunState.QUEUED else 1)


@pytest.mark.parametrize("killed", [StatusId.CANCELLED, StatusId.AGENT_KILLED])
@pytest.mark.parametrize("cause", sorted(ENDS))
@pytest.mark.parametrize("has_begun", [True, False])
def test_a_run_that_has_ended_is_found_by_its_status(
    killed: StatusId,
    cause: Cause,
    has_begun: bool,  # noqa: FBT001
) -> None:
    statuses = Statuses(killed)

    status = statuses.of(RunState.FAILED, cause, has_begun=has_begun)

    assert cause in statuses.causes(status)
    if cause is Cause.CANCELLED:
        assert status == (killed if has_begun else 303)


def all_errors() -> list[type[errors.RunyardError]]:
    found, waiting = [], [errors.RunyardError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ in {errors.__name__, web_errors.__name__, wire.__name__}:
            found.append(kind)
        waiting += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_that_the_dialect_knows(
    kind: type[errors.RunyardError],
) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "why")

    problem = wire.problem_shape(error, "trace")

    assert problem.status in {400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503}
    assert problem.title
    assert problem.detail == "why"
    if issubclass(kind, errors.NotFound):
        assert problem.status == 404
    if issubclass(kind, errors.Conflict):
        assert problem.status == 409
    if issubclass(kind, errors.Unauthenticated):
        assert problem.code == "unauthorized"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-03-01T08:00:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T08:00:00.120Z", datetime(2026, 3, 1, 8, 0, 0, 120_000, tzinfo=UTC)),
        ("2026-03-01T08:00:00+02:00", datetime(2026, 3, 1, 6, tzinfo=UTC)),
        ("2026-03-01T08:00:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        ("9999-12-31T23:59:59-02:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_instants_are_read_as_utc_unless_they_say_otherwise(
    text: str, found: datetime | None
) -> None:
    assert wire.instant_from(text) == found


def test_instants_are_shown_in_utc_with_milliseconds() -> None:
    at = datetime(2026, 3, 1, 8, 0, 0, 120_999, tzinfo=timezone(timedelta(hours=2)))

    assert wire.stamp(at) == "2026-03-01T06:00:00.120Z"
    assert wire.stamp(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000Z"
    assert wire.stamp_or_none(None) is None
