"""Handing runs to children: the packet, the files beside it, and taking both back."""

import shutil
from collections.abc import Callable
from pathlib import Path

from runyard.worker.child import Child
from runyard.worker.clock import monotonic
from runyard.worker.execution import Execution
from runyard.worker.packets import (
    INLINE_LIMIT,
    WORK_FILE,
    Finished,
    Load,
    RecordedStep,
    Work,
    WorkFile,
    encode,
)

Staging = Callable[[str], Path]
"""Where the files of something lie until its child is known, by its name."""


def packet_for(child: Child, execution: Execution) -> bytes:
    """What tells a child to execute a run; what is too large for a packet is put beside the child."""
    assignment = execution.assignment
    version = int(assignment.version_id)
    load = None
    if version not in child.known:
        introduction = execution.introduction
        load = Load(
            introduction.module, introduction.function, introduction.task, introduction.company
        )
    work = Work(
        execution.run_id,
        version,
        assignment.public_id,
        assignment.attempt,
        bytes(assignment.input),
        load,
        tuple(RecordedStep(s.name, s.occurrence, bytes(s.value)) for s in assignment.steps),
        monotonic(),
    )
    packet = encode(work)
    if execution.staged is None and len(packet) <= INLINE_LIMIT:
        return packet
    return placed(child, execution, packet)


def placed(child: Child, execution: Execution, packet: bytes) -> bytes:
    """Put what does not fit into a packet beside the child; the packet to send instead."""
    folder = child.files_of(execution)
    if execution.staged is None:
        folder.mkdir(0o755, exist_ok=True)
    else:
        execution.staged.rename(folder)
        execution.staged = None
    folder.chmod(0o755)
    execution.has_folder = True
    if len(packet) <= INLINE_LIMIT:
        return packet
    (folder / WORK_FILE).write_bytes(packet)
    return encode(WorkFile(execution.run_id))


def output_of(child: Child, packet: Finished) -> bytes | None:
    """The output that a child reports, put together where it came in pieces."""
    if not packet.pieces:
        return packet.output
    return child.take_pieces()


def reclaimed(child: Child, execution: Execution, staging: Staging) -> None:
    """The child does not execute this: its files wait for the next one."""
    execution.child = None
    if execution.has_folder:
        execution.staged = staging(f"{execution.run_id}-{execution.token}")
        child.files_of(execution).rename(execution.staged)
        execution.has_folder = False


def drop_files(execution: Execution) -> None:
    """Remove the files that came with a run, wherever they lie."""
    if execution.staged is not None:
        shutil.rmtree(execution.staged, ignore_errors=True)
        execution.staged = None
    if execution.has_folder and execution.child is not None:
        shutil.rmtree(execution.child.files_of(execution), ignore_errors=True)
        execution.has_folder = False
