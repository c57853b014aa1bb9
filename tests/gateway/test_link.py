"""What workers say, as the engine hears it."""

from datetime import UTC, datetime

import msgspec
import pytest

from runyard.gateway.link import _attempt_end
from runyard.model.ids import RunId
from runyard.model.runs import Outcome, RunError
from runyard.protocol.frames import End

AT = datetime(2026, 3, 1, tzinfo=UTC)


def an_end(**given: object) -> End:
    return msgspec.structs.replace(
        End(run_id=RunId(1), token=1, outcome=Outcome.KILLED, finished_at=AT), **given
    )


@pytest.mark.parametrize(
    ("error", "number", "message"),
    [
        (None, 9, "killed by SIGKILL from outside"),
        (RunError(kind="Killed", message="gone"), 15, "gone; killed by SIGTERM from outside"),
        (RunError(kind="Killed", message="it got SIGKILL"), 9, "it got SIGKILL"),
        (None, 200, "killed by signal 200 from outside"),
    ],
)
def test_the_signal_that_came_from_outside_is_told(
    error: RunError | None, number: int, message: str
) -> None:
    # It was dropped on its way to the engine.
    told = _attempt_end(an_end(error=error, signal=number)).error

    assert told is not None
    assert (told.kind, told.message) == ("Killed", message)


def test_an_error_without_a_signal_is_told_as_it_is() -> None:
    error = RunError(kind="ValueError", message="no")

    assert _attempt_end(an_end(error=error)).error == error
    assert _attempt_end(an_end()).error is None
