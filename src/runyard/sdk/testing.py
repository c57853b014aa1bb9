"""Runs a task inside a test, with JSON going in and coming out, as a child would.

    from runyard.sdk.testing import run

    def test_fort_worth():
        done = run(zip_code, {"zip": "76131"})
        assert done.output == {"state": "Texas", "place": "Fort Worth"}

The input is judged and completed as the server does it, so wrong input is refused here too. A file
is given as a `pathlib.Path`. What the task logs, prints, records and returns is kept in the answer.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from runyard.model.files import FileReference
from runyard.model.ids import FileId
from runyard.model.logs import LogLevel
from runyard.model.runs import Outcome, RunError
from runyard.model.shapes import shape
from runyard.sdk.channel import RunContext
from runyard.sdk.files import File
from runyard.sdk.logs import captured
from runyard.sdk.runtime import LoadedTask, TaskFailed
from runyard.sdk.signature import read_signature
from runyard.sdk.tasks import Task


class Done(msgspec.Struct, kw_only=True):
    """How a run ended, and what it said until then."""

    outcome: Outcome
    output: dict[str, Any] | None = None
    """The named outputs as JSON; None when the task returned nothing, or failed."""
    error: RunError | None = None
    lines: list[tuple[LogLevel, str]] = []
    """What was logged and printed."""
    progress: list[tuple[float, float | None]] = []
    steps: dict[tuple[str, int], bytes] = {}
    """What was recorded, as JSON; hand it to another `run` to see that nothing is repeated."""
    files: dict[str, bytes] = {}
    """Contents of the files that were returned, by name."""


class MemoryChannel:
    """A channel that keeps everything in memory, and files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.done = Done(outcome=Outcome.RETURNED)
        self._folder = folder
        self._stored: dict[str, Path] = {}

    def add(self, path: Path) -> FileReference:
        """Store a file, as an upload or as an output."""
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        kept = self._folder / f"stored-{digest}"
        shutil.copyfile(path, kept)
        self._stored[digest] = kept
        shown = File(path)
        number = FileId(len(self._stored))
        return FileReference(number, shown.name, shown.content_type, len(raw), digest)

    def begin(self) -> None:
        """Nobody needs to know."""

    def line(self, level: LogLevel, text: str) -> None:
        """Keep a line."""
        self.done.lines.append((level, text))

    def progress(self, done: float, total: float | None) -> None:
        """Keep a progress report."""
        self.done.progress.append((done, total))

    def record(self, name: str, occurrence: int, value: bytes) -> None:
        """Keep a step."""
        self.done.steps[name, occurrence] = value

    def scratch(self) -> Path:
        """The folder."""
        folder = self._folder / "scratch"
        folder.mkdir(exist_ok=True)
        return folder

    def fetch(self, file: FileReference) -> Path:
        """Where a stored file is."""
        return self._stored[file.digest]

    def keep(self, path: Path, *, name: str, content_type: str) -> FileReference:
        """Store a returned file."""
        stored = self.add(path)
        self.done.files[name] = path.read_bytes()
        return msgspec.structs.replace(stored, name=name, content_type=content_type)


def run(
    task: Task[..., Any],
    input: Mapping[str, Any] | None = None,  # noqa: A002 - the word for it everywhere in Runyard
    *,
    attempt: int = 1,
    steps: Mapping[tuple[str, int], bytes] | None = None,
) -> Done:
    """Run a task in this process and say how that ended.

    `input` has the names that callers use; whatever msgspec writes as JSON may stand in it, and a
    `Path` for a file. `steps` are those of earlier attempts. Raises InputRefused for input that the
    server would refuse; what goes wrong later is in the answer.
    """
    with tempfile.TemporaryDirectory() as name, captured():
        folder = Path(name)
        channel = MemoryChannel(folder)
        known = dict(steps or {})
        channel.done.steps.update(known)
        context = RunContext(
            run_id=1,
            public_id="0" * 22,
            attempt=attempt,
            task=task.name,
            company="test",
            steps=known,
        )
        loaded = LoadedTask(task.function, Path(task.function.__code__.co_filename).parent)
        try:
            output = loaded.call(_accepted(task, input or {}, channel), context, channel)
        except TaskFailed as failed:
            channel.done.outcome = failed.outcome
            channel.done.error = failed.error
        else:
            channel.done.output = None if output is None else msgspec.json.decode(output)
        return channel.done


def _accepted(task: Task[..., Any], values: Mapping[str, Any], channel: MemoryChannel) -> bytes:
    """The input as the server would hand it on."""
    files: dict[FileId, FileReference] = {}

    def stored(value: Any) -> Any:  # noqa: ANN401 - whatever JSON cannot say by itself
        if not isinstance(value, Path):
            raise TypeError(f"{value!r} cannot be written as JSON")
        reference = channel.add(value)
        files[reference.file] = reference
        return reference.file

    judge = shape(tuple(member.field for member in read_signature(task.function).inputs))
    raw = judge.accept(msgspec.json.encode(values, enc_hook=stored))
    return judge.with_files(raw, files)
