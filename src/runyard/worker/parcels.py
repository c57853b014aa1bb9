"""What runs hand to the server while they execute: steps to record, files to keep, progress."""

import hashlib
import itertools
from collections.abc import Callable
from math import isfinite

import msgspec

from runyard.model.files import FileReference
from runyard.protocol.frames import (
    FILE_WINDOW,
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


class Transfer:
    """A file on its way from a child to the server."""

    def __init__(self, number: int, child: Child, packet: FileStarted) -> None:
        self.number = number
        self.child = child
        self.offer = packet
        self.hash = hashlib.sha256()
        self.sent = 0
        self.awaited: int | None = None
        """Bytes that the server must have taken before the child may go on."""
        self.is_complete = False
        self.refusal: FileStored | None = None
        """Came while the child was still sending; it is told at its next stop."""

    def reference(self, stored: FileStored) -> bytes | None:
        """How the run's output refers to the stored file, or None when it is refused."""
        if stored.file_id is None:
            return None
        return msgspec.json.encode(
            FileReference(
                stored.file_id,
                self.offer.name,
                self.offer.content_type,
                self.offer.size,
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
    ) -> None:
        self._send = send
        self._lose = lose
        self._ask = ask
        self._numbers = itertools.count(1)
        self._steps: dict[int, tuple[Child, Execution]] = {}
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
        child, execution = asked
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
        transfer.child.answer(Answer(transfer.reference(frame), frame.detail))

    def taken(self, frame: FileTaken) -> None:
        """The server has taken this much of a file."""
        transfer = self._transfers.get(frame.transfer)
        if transfer is None or transfer.awaited is None or frame.received < transfer.awaited:
            return
        transfer.awaited = None
        transfer.child.answer(Answer(b""))

    def forget(self, child: Child) -> None:
        """The child is dead: nobody waits for its answers."""
        self._steps = {key: asked for key, asked in self._steps.items() if asked[0] is not child}
        transfer = self._transfer_of.pop(child, None)
        if transfer is not None:
            self._transfers.pop(transfer.number, None)

    def _record(self, child: Child, execution: Execution, packet: StepTaken) -> None:
        value = packet.value
        if packet.pieces:
            value = child.take_pieces()
        if not 0 <= packet.occurrence < MOST_STEPS or not is_step_name(packet.name):
            raise ValueError("a step that no run has")
        if any(asker is child for asker, _ in self._steps.values()):
            raise ValueError("a step before the last one was answered")
        request = self._ask()
        self._steps[request] = (child, execution)
        self._send(
            StepDone(
                request,
                execution.assignment.run_id,
                execution.token,
                packet.name,
                packet.occurrence,
                msgspec.Raw(value),
            )
        )

    def _offer(self, child: Child, execution: Execution, packet: FileStarted) -> None:
        if child in self._transfer_of:
            raise ValueError("a file before the last one was kept")
        transfer = Transfer(next(self._numbers), child, packet)
        self._transfers[transfer.number] = self._transfer_of[child] = transfer
        self._send(
            FileOffered(
                transfer=transfer.number,
                run_id=execution.assignment.run_id,
                token=execution.token,
                name=packet.name,
                content_type=packet.content_type,
                size=packet.size,
            )
        )

    def _pass_on(self, child: Child, packet: FileBytes) -> None:
        transfer = self._transfer_of.get(child)
        if transfer is None:
            raise ValueError("bytes of a file that was never offered")
        windows = transfer.sent // FILE_WINDOW
        transfer.sent += len(packet.data)
        if transfer.sent > transfer.offer.size or transfer.awaited is not None:
            raise ValueError("more bytes of a file than were offered or may be sent now")
        if not packet.last and transfer.sent // FILE_WINDOW != windows:
            transfer.awaited = transfer.sent // FILE_WINDOW * FILE_WINDOW
        transfer.is_complete = packet.last
        if transfer.refusal is not None:
            if packet.last or transfer.awaited is not None:
                self._answer(transfer, transfer.refusal)
            return
        transfer.hash.update(packet.data)
        self._send(FilePart(transfer.number, packet.data, packet.last))
