"""The log of a run, from inside: `log.info(...)`, and what is printed or logged by other means.

`print` becomes lines of level info, standard error becomes warnings, and records of the standard
library's `logging` keep their level. Code that uses none of these pays nothing for it: `logging` is
hooked only once something has imported it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from typing import TYPE_CHECKING

from runyard.model.logs import LogLevel
from runyard.sdk.current import CURRENT

if TYPE_CHECKING:
    import logging

LONGEST_LINE = 64 * 1024
"""Characters after which a line that does not end is cut."""


class Log:
    """Writes lines into the log of the run that is executed; into standard error outside of one."""

    __slots__ = ()

    def trace(self, text: object, **values: object) -> None:
        """The finest detail. `values` are added to the text as `name=value`."""
        _write(LogLevel.TRACE, text, values)

    def debug(self, text: object, **values: object) -> None:
        """Detail for whoever looks for a defect."""
        _write(LogLevel.DEBUG, text, values)

    def info(self, text: object, **values: object) -> None:
        """What the task is doing."""
        _write(LogLevel.INFO, text, values)

    def warning(self, text: object, **values: object) -> None:
        """Something that is not as it should be, but can be lived with."""
        _write(LogLevel.WARNING, text, values)

    def error(self, text: object, **values: object) -> None:
        """Something that went wrong; a run that logged one is completed with errors."""
        _write(LogLevel.ERROR, text, values)

    def fatal(self, text: object, **values: object) -> None:
        """Something that went so wrong that little else matters."""
        _write(LogLevel.FATAL, text, values)

    def progress(self, done: float, total: float | None = None) -> None:
        """How far the run has come: so much done, of so much in all where that is known."""
        channel = CURRENT.channel
        if channel is not None:
            channel.progress(float(done), None if total is None else float(total))


log = Log()


def _write(level: LogLevel, text: object, values: dict[str, object]) -> None:
    line = str(text)
    if values:
        line += "".join(f" {name}={value!r}" for name, value in values.items())
    _say(level, line)


def _say(level: LogLevel, text: str) -> None:
    channel = CURRENT.channel
    if channel is not None:
        channel.line(level, text)
    elif (stream := sys.__stderr__) is not None:
        stream.write(f"{level.word} {text}\n")


class CapturedStream(TextIOBase):
    """Stands for standard output or error and turns what is written into lines of the run's log.

    Between runs it passes everything on to the stream it stands for.
    """

    def __init__(self, level: LogLevel, original: object) -> None:
        super().__init__()
        self._level = level
        self._original = original
        self._held = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Whatever is written is text already; this is for those who ask."""
        return "utf-8"

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The real stream's, for child processes; their output is captured by other means."""
        if not hasattr(self._original, "fileno"):
            return super().fileno()
        number: int = self._original.fileno()
        return number

    def write(self, text: str) -> int:
        """Take text; every line that ends goes into the log."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if CURRENT.channel is None:
            self._pass_on(text)
            return len(text)
        # Threads may write at once; each takes what is held in one step, so nothing is said twice.
        held, self._held = self._held, ""
        *lines, rest = (held + text).split("\n")
        for line in lines:
            _say(self._level, line.removesuffix("\r"))
        if len(rest) > LONGEST_LINE:
            _say(self._level, rest)
            rest = ""
        if rest:
            self._held = rest + self._held
        return len(text)

    def _pass_on(self, text: str) -> None:
        if isinstance(self._original, TextIOBase):
            self._original.write(text)
            self._original.flush()

    def finish_line(self) -> None:
        """Log what has been written since the last line break."""
        if self._held:
            held, self._held = self._held, ""
            _say(self._level, held)


def capture() -> None:
    """From now on what this process prints belongs to the run it executes."""
    if CURRENT.streams:
        return
    out = CapturedStream(LogLevel.INFO, sys.stdout)
    err = CapturedStream(LogLevel.WARNING, sys.stderr)
    sys.stdout, sys.stderr = out, err
    CURRENT.streams = (out, err)


@contextmanager
def captured() -> Iterator[None]:
    """Capture until the end of the block, then leave everything as it was."""
    streams = sys.stdout, sys.stderr
    root = sys.modules["logging"].getLogger() if "logging" in sys.modules else None
    level = root.level if root else 0
    capture()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        CURRENT.streams = ()
        if root is not None:
            root.setLevel(level)
            root.handlers[:] = [handler for handler in root.handlers if handler.name != _MARK]


def capture_logging() -> None:
    """Send what `logging` is told into the log too, if anything has imported it by now.

    The root logger is set to info, unless the code chose a level before.
    """
    module = sys.modules.get("logging")
    if module is None or _is_captured(module.getLogger()):
        return
    root: logging.Logger = module.getLogger()
    if root.level == module.WARNING:
        root.setLevel(module.INFO)
    root.addHandler(_into_the_run(module.Handler))


_MARK = "runyard"


def _is_captured(root: "logging.Logger") -> bool:
    return any(handler.name == _MARK for handler in root.handlers)


def _into_the_run(base: type["logging.Handler"]) -> "logging.Handler":
    """A handler that logs into the run. Its class is made here, where `logging` is loaded."""

    class IntoTheRun(base):  # type: ignore[misc,valid-type]
        def emit(self, record: "logging.LogRecord") -> None:
            try:
                text = self.format(record)
            except Exception:  # noqa: BLE001 - a bad format must not end the run; logging's own rule
                self.handleError(record)
            else:
                _say(_level_of(record.levelno), text)

    handler: logging.Handler = IntoTheRun()
    handler.name = _MARK
    return handler


def _level_of(number: int) -> LogLevel:
    """The level for a number of `logging`: 10 is debug, 20 info, 30 warning, 40 error, 50 fatal."""
    return LogLevel(max(0, min(number // 10, LogLevel.FATAL)))
