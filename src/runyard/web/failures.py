"""What failed and must not: noted where the operator finds it, told to the caller as a word only."""

import traceback

from runyard.engine.clock import Clock
from runyard.telemetry import REQUEST_FAILED, emit


def note_failure(clock: Clock, route: str, error: Exception) -> str:
    """Note it in the server's log; the word under which it stands there."""
    trace = clock.new_uuid().hex
    lines = "".join(traceback.format_exception(error))
    emit(REQUEST_FAILED, route=route, trace=trace, error=lines)
    return trace
