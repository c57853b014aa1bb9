"""Errors of task code as people get to see them: only the frames of their own code."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.model.runs import RunError

if TYPE_CHECKING:
    import traceback

LONGEST_TRACEBACK = 16 * 1024
"""Bytes."""
LONGEST_MESSAGE = 4 * 1024
"""Characters."""
_CUT = "...\n"


def error_of(raised: BaseException, folder: Path) -> RunError:
    """What was raised, with a traceback of the frames inside this folder."""
    return RunError(
        kind=type(raised).__qualname__,
        message=_message(raised),
        traceback=_traceback(raised, folder),
    )


def _message(raised: BaseException) -> str:
    try:
        message = str(raised)
    except Exception:  # noqa: BLE001 - the task's own class may fail at this in any way
        message = f"(a {type(raised).__qualname__} that cannot be shown as text)"
    message = message.encode(errors="backslashreplace").decode()
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "…"


def _traceback(raised: BaseException, folder: Path) -> str:
    import traceback  # most children never show an error

    try:
        shown = traceback.TracebackException.from_exception(raised)
        for part in _with_causes(shown):
            _keep_own_frames(part, folder)
        text = "".join(shown.format())
    except Exception:  # noqa: BLE001 - as above: showing the error must not become another one
        return ""
    return _last_bytes(text)


def _with_causes(
    shown: "traceback.TracebackException",
) -> "Iterator[traceback.TracebackException]":
    waiting = [shown]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [p for p in (part.__cause__, part.__context__) if p is not None]
        waiting += part.exceptions or ()


def _keep_own_frames(part: "traceback.TracebackException", folder: Path) -> None:
    inside = f"{folder}/"
    own = [frame for frame in part.stack if frame.filename.startswith(inside)]
    for frame in own:
        # Loads the line before the name is shortened to what people call the file.
        _ = frame.line
        frame.filename = frame.filename.removeprefix(inside)
    part.stack[:] = own


def _last_bytes(text: str) -> str:
    raw = text.encode(errors="backslashreplace")
    if len(raw) <= LONGEST_TRACEBACK:
        return raw.decode()
    kept = raw[-(LONGEST_TRACEBACK - len(_CUT)) :].decode(errors="ignore")
    return _CUT + kept
