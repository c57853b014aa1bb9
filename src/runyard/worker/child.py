"""A child as the worker sees it: its channels, and the runs that it was sent."""

import asyncio
import os
import select
import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from runyard.model.logs import LogLevel
from runyard.worker.execution import Ending, Execution
from runyard.worker.packets import PACKET_LIMIT, PIECES_LIMIT, Answer, encode
from runyard.worker.zygote import Zygote

PIPE_SIZE = 256 * 1024
PACKETS_AT_ONCE = 64
"""Packets that are read from one child before anybody else has a turn."""
READS_AT_ONCE = 8
"""Reads of the standard streams at the end of a run; more than a pipe holds."""
STREAMS = (LogLevel.INFO, LogLevel.WARNING)
"""Levels of what comes from standard output and from standard errors."""


class Audience(Protocol):
    """Who hears of a child."""

    def heard(self, child: "Child", data: bytes) -> bool:
        """The child said something: one packet. Whether it may have said more by now; if it has all the
        same, that is heard a moment later.
        """

    def printed(self, child: "Child", level: LogLevel, data: bytes) -> None:
        """Something was written to the child's standard streams."""

    def died(self, child: "Child", code: int) -> None:
        """The child and all that it started are dead. Status, or minus the signal. Of one that is
        `unborn` there was nothing.
        """


class Child:
    """One warm process. Owned by the pool (or by an inspection), which hears what it says."""

    def __init__(
        self,
        number: int,
        zygote: Zygote,
        folder: Path,
        audience: Audience,
    ) -> None:
        self.number = number
        self.zygote = zygote
        self.folder = folder
        self.user: int | None = None
        self.pid: int | None = None
        self.pipeline: deque[Execution] = deque()
        """What was sent and has not ended; the first of them may have begun."""
        self.known: set[int] = set()
        """Versions that it has loaded."""
        self.runs = 0
        self.resident = 0
        self.ending: Ending | None = None
        self.condemned: Execution | None = None
        """For which run Runyard ended it."""
        self.deaths: list[asyncio.Future[None]] = []
        """Of runs whose end was asked for and that end with it."""
        self._pieces: list[bytes] = []
        self._pieces_size = 0
        self.announced_signal: int | None = None
        self.idle_since = 0.0
        self.audience = audience
        self._loop = asyncio.get_running_loop()
        with (
            ExitStack() as opened
        ):  # what is open already, when there is no descriptor for the rest
            self._work, self._theirs = _a_pair(opened)
            self._answers, self._their_answers = _a_pair(opened)
            self._streams = (_a_pipe(opened), _a_pipe(opened))
            opened.pop_all()
        self.is_handed_over = False
        """Whether there is a process, or will be one as soon as its zygote comes to it."""
        self.is_given_up = False
        """Whether its end was asked for."""
        self.unborn = ""
        """Why there never was a process."""
        self._poll = select.poll()
        self._open()

    def _open(self) -> None:
        self._work.settimeout(0)
        self._answers.settimeout(0)
        self._loop.add_reader(self._work.fileno(), self._read_packets)
        for level, (reading, _) in zip(STREAMS, self._streams, strict=True):
            os.set_blocking(reading, False)
            self._poll.register(reading, select.POLLIN)
            self._loop.add_reader(reading, self._read_stream, reading, level)

    def hand_over(self) -> tuple[int, ...]:
        """The descriptors that go to the process: work, answers, output, errors."""
        return (
            self._theirs.fileno(),
            self._their_answers.fileno(),
            *(writing for _, writing in self._streams),
        )

    def handed_over(self) -> None:
        """The process has its descriptors; keep only the end where work can be taken back."""
        self.is_handed_over = True
        self._their_answers.close()
        for _, writing in self._streams:
            os.close(writing)

    # ------------------------------------------------------------ work

    def send(self, packet: bytes) -> bool:
        """Put a packet before the child; False when its channel does not take any."""
        try:
            self._work.send(packet)
        except OSError:
            return False  # Code in the child has closed or stuffed the channel.
        return True

    def answer(self, answer: Answer) -> None:
        """Answer the child's open question."""
        try:
            self._answers.send(encode(answer))
        except OSError:
            return  # It has died since it asked.

    def add_piece(self, data: bytes) -> None:
        """Keep part of a value until the packet that it belongs to; raises ValueError."""
        self._pieces_size += len(data) + 64  # empty ones take room, too
        if self._pieces_size > PIECES_LIMIT:
            raise ValueError("pieces of no value")
        self._pieces.append(data)

    def take_pieces(self) -> bytes:
        """The value that the pieces since the last one make."""
        pieces, self._pieces, self._pieces_size = self._pieces, [], 0
        return b"".join(pieces)

    def take_back(self) -> list[bytes]:
        """The packets that the child has not taken; it will not see them any more."""
        packets: list[bytes] = []
        while True:
            try:
                packet = self._theirs.recv(PACKET_LIMIT, socket.MSG_DONTWAIT)
            except OSError:
                return packets
            if not packet:  # Shut down from inside the child: this would come for ever.
                return packets
            packets.append(packet)

    def take_back_runs(self) -> list[Execution]:
        """The runs that the child has not taken; it will not see them any more."""
        if not self.pipeline:
            return []
        count = len(self.take_back())
        runs = [self.pipeline.pop() for _ in range(count)]
        runs.reverse()
        return runs

    # ------------------------------------------------------------ reading

    def _read_packets(self) -> None:
        receive = self._work.recv
        heard = self.audience.heard
        # A child that talks without end must not keep the worker from everything else.
        for _ in range(PACKETS_AT_ONCE):
            try:
                data = receive(PACKET_LIMIT)
            except OSError:
                return
            may_go_on = heard(self, data)
            if not data:  # Shut down from inside the child: this would come for ever.
                self._loop.remove_reader(self._work.fileno())
                return
            if not may_go_on:
                return

    def _read_stream(self, descriptor: int, level: LogLevel) -> None:
        try:
            data = os.read(descriptor, PIPE_SIZE)
        except BlockingIOError:
            return
        if data:
            self.audience.printed(self, level, data)
        else:
            self._loop.remove_reader(descriptor)

    def read_streams(self) -> None:
        """Read what was written to the standard streams until now; cheap when it is nothing."""
        for _ in range(READS_AT_ONCE):  # A thread of the task may be writing still.
            ready = [
                descriptor for descriptor, event in self._poll.poll(0) if event & select.POLLIN
            ]
            if not ready:
                return
            for level, (reading, _) in zip(STREAMS, self._streams, strict=True):
                if reading in ready:
                    self._read_stream(reading, level)

    def read_last(self) -> None:
        """Read everything that the process left behind; it is dead."""
        while self._has_packets():
            self._read_packets()
        self.read_streams()

    def _has_packets(self) -> bool:
        try:
            return bool(self._work.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def files_of(self, execution: Execution) -> Path:
        """The folder with what comes with a run, read-only for the child."""
        return self.folder / "files" / str(execution.run_id)

    def confirm_deaths(self) -> None:
        """It is dead: tell whoever waits for the end of a run in it."""
        for death in self.deaths:
            if not death.done():
                death.set_result(None)

    def close(self) -> None:
        """Forget it; the process is dead. Its folder stays for the nursery to remove."""
        if not self.is_handed_over:
            self.handed_over()
        self._loop.remove_reader(self._work.fileno())
        for reading, _ in self._streams:
            self._loop.remove_reader(reading)
            os.close(reading)
        for channel in (self._work, self._theirs, self._answers):
            channel.close()


def _a_pair(opened: ExitStack) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        opened.callback(end.close)
    return pair


def _a_pipe(opened: ExitStack) -> tuple[int, int]:
    pipe = os.pipe()
    for end in pipe:
        opened.callback(os.close, end)
    return pipe
