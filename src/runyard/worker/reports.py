"""What the worker tells the server about its runs, gathered per turn of the event loop.

One frame carries all beginnings of a turn and one all ends; a run that began and ended within a
turn is only mentioned among the ends. Lines go out before the end of their run, else in batches.
"""

import asyncio
from collections.abc import Callable

from runyard.model.ids import RunId
from runyard.protocol.frames import Begun, End, FromWorker, Start
from runyard.protocol.outbox import in_frames
from runyard.worker.clock import instant
from runyard.worker.execution import Execution
from runyard.worker.logbook import BATCH_DURATION


class Reports:
    """What has happened and was not sent yet."""

    def __init__(self, send: Callable[[FromWorker], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._begun: list[Execution] = []
        self._ends: list[End] = []
        self._talking: dict[Execution, None] = {}
        self._is_due = False
        self._lines_timer: asyncio.TimerHandle | None = None

    def begun(self, execution: Execution) -> None:
        """The run has reached its task's code."""
        self._begun.append(execution)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def ended(self, execution: Execution, end: End) -> None:
        """The attempt is over."""
        if execution.log is not None:
            execution.log.finish(self._send)
            self._talking.pop(execution, None)
        execution.is_announced = True
        self._ends.append(end)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def lines(self, execution: Execution) -> None:
        """The run's log has grown."""
        log = execution.logbook()
        if log.is_full:
            log.send(self._send)
            return
        if log.has_ready:
            self._talking[execution] = None
            if self._lines_timer is None:
                self._lines_timer = self._loop.call_later(
                    BATCH_DURATION.total_seconds(), self._send_lines
                )

    def forget(self, execution: Execution) -> None:
        """Nobody wants to know any more."""
        execution.is_announced = True
        self._talking.pop(execution, None)

    def flush(self) -> None:
        """Send everything now."""
        self._send_lines()
        self._flush()

    def _flush(self) -> None:
        self._is_due = False
        begun, self._begun = self._begun, []
        starts = [self._start(execution) for execution in begun if not execution.is_announced]
        if starts:
            self._send(Begun(tuple(starts)))
        if self._ends:
            ends, self._ends = self._ends, []
            for frame in in_frames(ends):
                self._send(frame)

    def _start(self, execution: Execution) -> Start:
        execution.is_announced = True
        return Start(RunId(execution.run_id), execution.token, instant(execution.begun_at or 0.0))

    def _send_lines(self) -> None:
        if self._lines_timer is not None:
            self._lines_timer.cancel()
            self._lines_timer = None
        talking, self._talking = self._talking, {}
        for execution in talking:
            execution.logbook().send(self._send)
