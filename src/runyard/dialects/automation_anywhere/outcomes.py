"""What came of a call, in the words of the dialect."""

from runyard.dialects.automation_anywhere.wire import CallFailed, CallTimedOut
from runyard.model.runs import RunError
from runyard.model.states import Cause, RunState
from runyard.stores.contract.calls import CallRecord

_TIMED_OUT = "the task took longer than it may in real time; its process was ended"


def returned(record: CallRecord) -> bytes | None:
    """What the task returned; raises CallTimedOut, CallFailed."""
    if record.state is RunState.COMPLETED:
        return record.output
    if record.cause is Cause.TIMED_OUT:
        raise CallTimedOut(_TIMED_OUT, record.id)
    raise CallFailed(*told_of(record.error), record.id)


def told_of(error: RunError | None) -> tuple[str, tuple[str, ...]]:
    """How a task failed, and where."""
    if error is None:
        return "the task was ended", ()
    lines = tuple(line.strip() for line in error.traceback.splitlines() if line.strip())
    return f"{error.kind}: {error.message}", lines
