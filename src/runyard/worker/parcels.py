"""What runs hand to the server while they execute: steps to record, files to keep, progress."""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable
from io import FileIO
from math import isfinite
from pathlib import Path

import msgspec

from runyard.model.files import FileReference
from runyard.protocol.frames import (
    FILE_WINDOW,
    PART_SIZE,
    FileOffered,
    FilePart,
    FileStored,
    FileTaken,
    FromWorker,
    Progress,
    StepDone,
    StepRecorded,
)
from runyard.worker.child import Child
from runyard.worker.execution import Execution
from runyard.worker.packets import (
    MOST_STEPS,
    Answer,
    FileBytes,
    FileStarted,
    FromChild,
    ProgressMade,
    StepTaken,
    is_step_name,
)

NO_COPY = "the connection to the server broke, and there is no copy to send again"


class Transfer:
    """A file on its way from a child to the server."""

    def __init__(
        self, number: int, child: Child, offered: FileOffered, copy: FileIO | None
    ) -> None:
        self.number = number
        self.child = child
        self.offered = offered
        self.copy = copy
        """What came so far, where it may have to be sent again."""
        self.hash = hashlib.sha256()
        self.received = 0
        self.sent = 0
        self.taken = 0
        """What the server has said to have taken."""
        self.awaited: int | None = None
        """Bytes that the server must have taken before the child may go on."""
        self.is_complete = False
        self.is_sent = False
        self.refusal: FileStored | None = None
        """Came while the child was still sending; it is told at its next stop."""

    def close(self) -> None:
        """It is over."""
        if self.copy is not None:
            self.copy.close()

    def remember(self, data: bytes) -> None:
        """The next bytes have come."""
        if self.copy is None:
            return
        try:
            self.copy.seek(0, os.SEEK_END)
            if self.copy.write(data) == len(data):
                return
        except OSError:  # the disk is full
            pass
        self.copy.close()  # what is on its way is not kept any more
        self.copy = None

    def begin_again(self, number: int) -> None:
        """To be sent from its beginning, under another number."""
        self.number = number
        self.offered = msgspec.structs.replace(self.offered, transfer=number)
        self.sent = self.taken = 0
        self.is_sent = False

    def reference(self, stored: FileStored) -> bytes | None:
        """How the run's output refers to the stored file, or None when it is refused."""
        if stored.file_id is None:
            return None
        return msgspec.json.encode(
            FileReference(
                stored.file_id,
                self.offered.name,
                self.offered.content_type,
                self.offered.size,
                self.hash.hexdigest(),
            )
        )


class Parcels:
    """Open questions of children to the server; each child has at most one."""

    def __init__(
        self,
        send: Callable[[FromWorker], None],
        *,
        ask: Callable[[], int],
        lose: Callable[[Execution], None],
        keeping_in: Path | None,
    ) -> None:
        """`keeping_in`: a folder for copies of files, so that they can be sent again."""
        self._send = send
        self._folder = keeping_in
        self._lose = lose
        self._ask = ask
        self._numbers = itertools.count(1)
        self._steps: dict[int, tuple[Child, Execution, StepDone]] = {}
        self._transfers: dict[int, Transfer] = {}
        self._transfer_of: dict[Child, Transfer] = {}

    def receive(self, child: Child, execution: Execution, packet: FromChild) -> None:
        """Pass on what a child says; raises ValueError for what it may not say now."""
        match packet:
            case StepTaken():
                self._record(child, execution, packet)
            case FileStarted():
                self._offer(child, execution, packet)
            case FileBytes():
                self._pass_on(child, packet)
            case _:
                raise ValueError(f"a run does not say {type(packet).__name__}")

    def progress(self, execution: Execution, packet: ProgressMade) -> None:
        """Pass on how far a run has come, unless it is no number."""
        if not isfinite(packet.done) or not isfinite(packet.total or 0.0):
            return
        run_id = execution.assignment.run_id
        self._send(Progress(run_id, execution.token, packet.done, packet.total))

    def recorded(self, frame: StepRecorded) -> None:
        """A step is on disk, or the run's lease is gone."""
        asked = self._steps.pop(frame.request, None)
        if asked is None:
            return
        child, execution, _ = asked
        if frame.lost:
            self._lose(execution)
        else:
            child.answer(Answer(b""))

    def stored(self, frame: FileStored) -> None:
        """A file is kept, or refused."""
        transfer = self._transfers.pop(frame.transfer, None)
        if transfer is None:
            return
        if transfer.is_complete or transfer.awaited is not None:
            self._answer(transfer, frame)
        else:
            transfer.refusal = frame

    def _answer(self, transfer: Transfer, frame: FileStored) -> None:
        self._transfer_of.pop(transfer.child, None)
        transfer.close()
        transfer.child.answer(Answer(transfer.reference(frame), frame.detail))

    def taken(self, frame: FileTaken) -> None:
        """The server has taken this much of a file."""
        transfer = self._transfers.get(frame.transfer)
        if transfer is None:
            return
        transfer.taken = max(transfer.taken, frame.received)
        self._pump(transfer)
        if transfer.awaited is not None and transfer.taken >= transfer.awaited:
            transfer.awaited = None
            transfer.child.answer(Answer(b""))

    def ask_again(self) -> None:
        """There is a new connection: steps and files that nobody has confirmed are sent once more."""
        steps, self._steps = self._steps, {}
        for child, execution, step in steps.values():
            self._ask_for(child, execution, step)
        transfers, self._transfers = self._transfers, {}
        for transfer in transfers.values():
            if transfer.copy is None:
                self._answer(transfer, FileStored(transfer.number, None, NO_COPY))
                continue
            transfer.begin_again(next(self._numbers))
            self._transfers[transfer.number] = transfer
            self._send(transfer.offered)
            self._pump(transfer)

    def forget(self, child: Child) -> None:
        """The child is dead: nobody waits for its answers."""
        self._steps = {key: asked for key, asked in self._steps.items() if asked[0] is not child}
        transfer = self._transfer_of.pop(child, None)
        if transfer is not None:
            self._transfers.pop(transfer.number, None)
            transfer.close()

    def _record(self, child: Child, execution: Execution, packet: StepTaken) -> None:
        value = packet.value
        if packet.pieces:
            value = child.take_pieces()
        if not 0 <= packet.occurrence < MOST_STEPS or not is_step_name(packet.name):
            raise ValueError("a step that no run has")
        if any(asker is child for asker, _, _ in self._steps.values()):
            raise ValueError("a step before the last one was answered")
        step = StepDone(
            0,
            execution.assignment.run_id,
            execution.token,
            packet.name,
            packet.occurrence,
            msgspec.Raw(value),
        )
        self._ask_for(child, execution, step)

    def _ask_for(self, child: Child, execution: Execution, step: StepDone) -> None:
        request = self._ask()
        step = msgspec.structs.replace(step, request=request)
        self._steps[request] = (child, execution, step)
        self._send(step)

    def _offer(self, child: Child, execution: Execution, packet: FileStarted) -> None:
        if child in self._transfer_of:
            raise ValueError("a file before the last one was kept")
        number = next(self._numbers)
        offered = FileOffered(
            transfer=number,
            run_id=execution.assignment.run_id,
            token=execution.token,
            name=packet.name,
            content_type=packet.content_type,
            size=packet.size,
        )
        transfer = Transfer(number, child, offered, self._a_copy())
        self._transfers[number] = self._transfer_of[child] = transfer
        self._send(offered)

    def _a_copy(self) -> FileIO | None:
        if self._folder is None:
            return None
        try:
            # Unbuffered: what does not fit onto the disk is noticed when it comes.
            return tempfile.TemporaryFile(buffering=0, dir=self._folder)
        except OSError:  # the disk is full: the file is on its way all the same
            return None

    def _pass_on(self, child: Child, packet: FileBytes) -> None:
        transfer = self._transfer_of.get(child)
        if transfer is None:
            raise ValueError("bytes of a file that was never offered")
        if not packet.data and not packet.last:
            raise ValueError("a part of a file without bytes")
        windows = transfer.received // FILE_WINDOW
        transfer.received += len(packet.data)
        if transfer.received > transfer.offered.size or transfer.awaited is not None:
            raise ValueError("more bytes of a file than were offered or may be sent now")
        if not packet.last and transfer.received // FILE_WINDOW != windows:
            transfer.awaited = transfer.received // FILE_WINDOW * FILE_WINDOW
        transfer.is_complete = packet.last
        if transfer.refusal is None:
            transfer.hash.update(packet.data)
            self._forward(transfer, packet)
        if transfer.refusal is not None and (packet.last or transfer.awaited is not None):
            self._answer(transfer, transfer.refusal)

    def _forward(self, transfer: Transfer, packet: FileBytes) -> None:
        """Send what has just come, unless something before it has to be sent again first."""
        is_next = transfer.sent == transfer.received - len(packet.data)
        transfer.remember(packet.data)
        if is_next and transfer.sent < _window_end(transfer):
            self._send_part(transfer, packet.data, last=packet.last)
        elif transfer.copy is None:
            self._transfers.pop(transfer.number, None)
            transfer.refusal = FileStored(transfer.number, None, NO_COPY)
        else:
            self._pump(transfer)

    def _pump(self, transfer: Transfer) -> None:
        """Send again what the server may be sent now."""
        if transfer.copy is None or transfer.refusal is not None:
            return
        while not transfer.is_sent and transfer.sent < _window_end(transfer):
            transfer.copy.seek(transfer.sent)
            data = transfer.copy.read(PART_SIZE)
            last = transfer.is_complete and transfer.sent + len(data) == transfer.received
            if not data and not last:
                return
            self._send_part(transfer, data, last=last)

    def _send_part(self, transfer: Transfer, data: bytes, *, last: bool) -> None:
        transfer.sent += len(data)
        transfer.is_sent = last
        self._send(FilePart(transfer.number, data, last))


def _window_end(transfer: Transfer) -> int:
    """How far the server may be sent the file."""
    return (transfer.taken // FILE_WINDOW + 1) * FILE_WINDOW
