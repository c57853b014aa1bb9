"""The child's side of what a run says and asks while it executes: lines, steps, files.

Lines are gathered and sent as one packet per `FLUSH_SIZE` bytes or `FLUSH_DURATION`, and before
the end of the run. A thread for the latter starts with the first line that has to wait; a child
whose runs log nothing never has one.
"""

import os
import socket
import threading
from datetime import timedelta
from pathlib import Path

import msgspec

from runyard.model.files import FileReference
from runyard.model.logs import LogLevel
from runyard.protocol.frames import FILE_WINDOW
from runyard.worker.clock import monotonic, wall
from runyard.worker.packets import (
    INLINE_LIMIT,
    PACKET_LIMIT,
    PIECE_SIZE,
    VALUE_LIMIT,
    FileBytes,
    FileStarted,
    FromChild,
    Lines,
    MayBegin,
    Piece,
    ProgressMade,
    SelfKill,
    StepTaken,
    decode_answer,
    encode,
    is_step_name,
)

FLUSH_SIZE = 64 * 1024
FLUSH_DURATION = timedelta(milliseconds=250)
LINE_LIMIT = 16 * 1024
"""Characters of one line; longer ones are continued on the next."""


class FileNotKept(OSError):
    """The file that a run returned could not be stored."""


class ChildChannel:
    """One for the whole life of a child; `open` and `close` are called around each run."""

    def __init__(
        self, work: socket.socket, answers: socket.socket, files: str, folder: str
    ) -> None:
        self.logged_errors = 0
        self.has_begun = False
        self._work = work
        self._answers = answers
        self._files = files
        self._folder = Path(folder)
        self._run_id = 0
        self._lines: list[tuple[float, int, str]] = []
        self._size = 0
        self._progress: tuple[float, float | None] | None = None
        self._sent_at = 0.0
        self._lock = threading.Lock()
        self._question = threading.Lock()
        self._pending = threading.Event()
        self._flusher: threading.Thread | None = None
        self._pid = os.getpid()

    @property
    def files_folder(self) -> str:
        """Where the worker put what came with the current run, if anything did."""
        return os.path.join(self._files, str(self._run_id))

    def open(self, run_id: int) -> None:
        """A run is about to execute."""
        self._run_id = run_id
        self.logged_errors = 0
        self.has_begun = False

    def close(self) -> None:
        """The run is over: send what is still held back."""
        if self._lines or self._progress:
            self.flush()

    def ask_to_begin(self, run_id: int) -> None:
        """Wait until the worker says that a run may begin; for ever, if it never may."""
        with self._question:
            self._say(MayBegin(run_id))
            self._wait_for_answer()

    # ------------------------------------------------------------ what a run calls

    def begin(self) -> None:
        """The next instruction is the task's own code."""
        self.has_begun = True

    def line(self, level: LogLevel, text: str) -> None:
        """A line for the run's log."""
        if len(text) > LINE_LIMIT:
            self._long_line(level, text)
            return
        with self._lock:
            if level >= LogLevel.ERROR:
                self.logged_errors += 1
            self._lines.append((wall(), int(level), text))
            self._size += len(text) + 16
            if self._size >= FLUSH_SIZE:
                self._send_lines()
                return
        self._wake_flusher()

    def progress(self, done: float, total: float | None) -> None:
        """How far the run says it has come."""
        self._progress = (done, total)
        self._wake_flusher()

    def record(self, name: str, occurrence: int, value: bytes) -> None:
        """Record a step's result; returns once it is on disk."""
        if not is_step_name(name):
            raise ValueError(f"no name of a step: {name[:100]!r}")
        if len(value) > VALUE_LIMIT:
            raise ValueError(f"the step {name!r} returned more than {VALUE_LIMIT:,} bytes")
        with self._question:
            pieces = 0
            if len(value) > INLINE_LIMIT:
                pieces = self._send_pieces(value)
                value = b""
            self._say(StepTaken(self._run_id, name, occurrence, value, pieces))
            self._wait_for_answer()

    def scratch(self) -> Path:
        """The run's own folder."""
        return self._folder

    def fetch(self, file: FileReference) -> Path:
        """The local copy of a file that stands in the run's input."""
        path = Path(self.files_folder, file.digest)
        if not path.is_file():
            raise FileNotFoundError(f"the file {file.name!r} is no longer stored")
        return path

    def keep(self, path: Path, *, name: str, content_type: str) -> FileReference:
        """Store a local file as one that the run returns."""
        with self._question, open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._say(FileStarted(self._run_id, name, content_type, size))
            sent = 0
            while sent < size:
                data = file.read(min(PIECE_SIZE, size - sent))
                if not data:
                    raise FileNotKept(f"{name} became shorter while it was being stored")
                windows, sent = sent // FILE_WINDOW, sent + len(data)
                self._say(FileBytes(data, sent == size))
                if sent < size and sent // FILE_WINDOW != windows:
                    self._wait_for_answer()
            if not size:
                self._say(FileBytes(b"", last=True))
            value = self._wait_for_answer()
        return msgspec.json.decode(value, type=FileReference)

    def announce_signal(self, number: int) -> None:
        """The task is about to send its own process this signal."""
        self._say(SelfKill(self._run_id, number))

    # ------------------------------------------------------------ sending

    def flush(self) -> None:
        """Send all lines and the latest progress."""
        with self._lock:
            self._send_lines()
            if self._progress is not None:
                done, total = self._progress
                self._progress = None
                self._say(ProgressMade(self._run_id, done, total))

    def _send_lines(self) -> None:
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        self._sent_at = monotonic()
        body = _encode_lines(lines)
        if len(body) <= PACKET_LIMIT - 1024:
            self._say(Lines(self._run_id, len(lines), body))
            return
        # Mostly characters of several bytes each: as two packets, then.
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            self._say(Lines(self._run_id, len(half), _encode_lines(half)))

    def _long_line(self, level: LogLevel, text: str) -> None:
        for start in range(0, len(text), LINE_LIMIT):
            self.line(level, text[start : start + LINE_LIMIT])

    def _wake_flusher(self) -> None:
        if self._flusher is None or self._pid != os.getpid():
            self._start_flusher()
        if not self._pending.is_set():
            self._pending.set()

    def _start_flusher(self) -> None:
        if self._pid != os.getpid():
            return  # A copy that the task forked; what it logs is not the run's.
        self._flusher = threading.Thread(target=self._flush_for_ever, daemon=True)
        self._flusher.start()

    def _flush_for_ever(self) -> None:
        never = threading.Event()
        while True:
            self._pending.wait()
            never.wait(FLUSH_DURATION.total_seconds())
            self._pending.clear()
            self.flush()

    def _send_pieces(self, value: bytes) -> int:
        starts = range(0, len(value), PIECE_SIZE)
        for start in starts:
            self._say(Piece(value[start : start + PIECE_SIZE]))
        return len(starts)

    def _say(self, packet: FromChild) -> None:
        self._work.send(encode(packet))

    def _wait_for_answer(self) -> bytes:
        answer = decode_answer(self._answers.recv(PACKET_LIMIT))
        if answer.value is None:
            raise FileNotKept(answer.detail or "refused")
        return answer.value


def _encode_lines(lines: list[tuple[float, int, str]]) -> bytes:
    try:
        return encode(lines)
    except UnicodeEncodeError:
        # Lone surrogates are no text; people see a question mark instead.
        return encode(
            [(at, level, text.encode("utf-8", "replace").decode()) for at, level, text in lines]
        )
