"""Named events: the one list of what Runyard says about itself.

An event is a constant in past tense with named fields. Whoever composes a process chooses the sink
(`send_events_to`); tests listen with `listening`. Nothing here is called once per run on the way
that ordinary runs take: those are counted, not told.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

Sink = Callable[[str, dict[str, object]], None]

SERVER_STARTED: Final = "server.started"
"""url, store, incarnation."""
SERVER_STOPPED: Final = "server.stopped"
"""drained: whether every run had ended."""
PEERS_REACHED: Final = "peers.reached"
"""others: the server listens (again) to the servers that share its database; how many it knows."""
WORKER_CONNECTED: Final = "worker.connected"
"""worker_id, session_id, name, slots."""
WORKER_GONE: Final = "worker.gone"
"""worker_id, session_id, held: runs it had, detail."""
WORKER_CUT_OFF: Final = "worker.cut_off"
"""worker_id, session_id, held, detail: a connection broke; the worker may come back."""
WORKER_RESUMED: Final = "worker.resumed"
"""worker_id, session_id, before: session that it goes on with, held."""
WORKER_WAITS: Final = "worker.waits"
"""worker_id, address: a worker that an administrator has to allow has connected."""
WORKER_DISMISSED: Final = "worker.dismissed"
"""worker_id, name, detail: a connected worker was sent away."""
WORKER_SHORT: Final = "worker.short"
"""worker_id, name, detail: its machine has no process, memory or descriptor for another child."""
LINK_FAILED: Final = "worker.link_failed"
"""detail: a conversation with a worker was ended because the server could not answer."""
RUNS_RESCUED: Final = "runs.rescued"
"""count: runs of dead sessions that were retried, put back or failed."""
LATE_REPORT: Final = "run.late_report"
"""run_id, token, session_id: a report under a superseded lease; nothing was changed."""
DISPATCH_DELAYED: Final = "dispatch.delayed"
"""detail: claims could not be written; they are tried again."""
ENDS_DELAYED: Final = "ends.delayed"
"""count, detail: ends could not be written; they are tried again."""
END_REFUSED: Final = "end.refused"
"""run_id, detail: how a run ended cannot be recorded as it was reported; it has failed."""
LINES_DELAYED: Final = "lines.delayed"
"""count, detail: log lines could not be written; they are tried again."""
LINES_REFUSED: Final = "lines.refused"
"""count, detail: log lines that the store can never take were left out."""
CALLS_DELAYED: Final = "calls.delayed"
"""count, detail: records of calls could not be written; they are tried again."""
CALLS_REFUSED: Final = "calls.refused"
"""count, detail: records of calls that the store can never take were left out."""
MAINTENANCE_FAILED: Final = "maintenance.failed"
"""duty, detail: a duty could not be done now; it is tried again."""
CLOCK_JUMPED: Final = "clock.jumped"
"""by: seconds that the clock was set by."""
TASKS_DEPLOYED: Final = "tasks.deployed"
"""company, bundle, versions: how many new ones."""
RUNS_PRUNED: Final = "runs.pruned"
"""company_id, task_id (none: of all its tasks), count."""
SCHEDULE_SKIPPED: Final = "schedule.skipped"
"""schedule_id, detail: a fire time passed without a run."""
LOGIN_REFUSED: Final = "login.refused"
"""address: somebody tried to sign in with a wrong password, or as nobody."""
SYSTEM_CHANGED: Final = "system.changed"
"""system_id, company_id, name, change: created, allowed, locked, changed, renewed or removed, by: id of
the token or user."""
CALLBACK_DIED: Final = "callback.died"
"""callback_id, run_id, host, detail: it was given up; it can be sent again by hand."""
MASTER_KEY_DIFFERS: Final = "master_key.differs"
"""This server's master key is not the one that its database was set up with: it signs and sends no
callbacks."""
REQUEST_FAILED: Final = "request.failed"
"""route, trace, error: an answer 500; the caller was told the trace."""

_sinks: list[Sink] = []


def emit(event: str, /, **fields: object) -> None:
    """Say that something happened."""
    for sink in _sinks:
        sink(event, fields)


def send_events_to(sink: Sink) -> None:
    """Send all events there from now on, in addition to earlier sinks."""
    _sinks.append(sink)


@contextmanager
def sending_events_to(sink: Sink) -> Iterator[None]:
    """Send all events there for the duration of the block, in addition to other sinks."""
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)


@contextmanager
def listening() -> Iterator[list[tuple[str, dict[str, object]]]]:
    """Collect events for the duration of the block."""
    heard: list[tuple[str, dict[str, object]]] = []

    def hear(event: str, fields: dict[str, object]) -> None:
        heard.append((event, fields))

    _sinks.append(hear)
    try:
        yield heard
    finally:
        _sinks.remove(hear)
