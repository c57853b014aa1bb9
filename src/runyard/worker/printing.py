"""What children print: lines of the log of the run that each executes, as far as they are complete."""

from runyard.model.logs import LogLevel
from runyard.worker.child import STREAMS, Child
from runyard.worker.clock import wall
from runyard.worker.execution import Execution
from runyard.worker.logbook import LineSplitter


class Prints:
    """Cuts what children write to their standard streams into lines."""

    def __init__(self) -> None:
        self._splitters: dict[tuple[int, LogLevel], LineSplitter] = {}

    def add(self, child: Child, level: LogLevel, data: bytes) -> Execution | None:
        """Note what a child has written; the run whose log has grown, if one's has."""
        if not child.pipeline:
            return None  # Nobody's: written after the run that started the writer had ended.
        key = (child.number, level)
        splitter = self._splitters.get(key)
        if splitter is None:
            splitter = self._splitters[key] = LineSplitter()
        text = splitter.feed(data)
        if not text:
            return None
        execution = child.pipeline[0]
        execution.logbook().add_text(text, at=wall(), level=level)
        return execution

    def end(self, child: Child, execution: Execution) -> None:
        """The run is over: what stands there without an end of line is its last line."""
        if not self._splitters:
            return
        for level in STREAMS:
            splitter = self._splitters.pop((child.number, level), None)
            if splitter is not None and (text := splitter.rest()):
                execution.logbook().add_text(text, at=wall(), level=level)
