"""Frames as bytes, and back. The one place that knows how the wire looks.

A frame is one msgpack map; its tag stands under `t`. Unknown fields are ignored, so that either
end may be a release ahead; an unknown tag is an error, because nobody could say what it asked.

Values that travel as raw JSON (inputs, outputs, steps) are binary strings on the wire: they are
wrapped here on the way out and unwrapped on the way in, so that both ends only ever see JSON.
"""

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from operator import or_
from typing import get_args

import msgspec

from runyard.model.errors import RunyardError
from runyard.model.ids import RunId
from runyard.model.runs import Outcome, RunError
from runyard.protocol.frames import (
    Assignment,
    Assignments,
    End,
    Ended,
    Frame,
    FromServer,
    FromWorker,
    Step,
    StepDone,
)

FRAME_LIMIT = 16 * 1024 * 1024
"""Most bytes of one frame. Room for the largest value (4 MiB) and everything around it."""

Change = Callable[[msgspec.Raw], msgspec.Raw]


class _WireEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An `End` whose output is binary: a raw value that may be absent cannot be decoded."""

    run_id: RunId
    token: int
    outcome: Outcome
    begun_at: datetime | None = None
    finished_at: datetime
    output: bytes | None = None
    error: RunError | None = None
    logged_errors: int = 0
    signal: int | None = None


class _WireEnded(Frame, frozen=True, tag="ended"):
    ends: tuple[_WireEnd, ...]


_encoder = msgspec.msgpack.Encoder()
_from_worker = msgspec.msgpack.Decoder(
    reduce(or_, (kind for kind in get_args(FromWorker) if kind is not Ended), _WireEnded)
)
_from_server = msgspec.msgpack.Decoder(FromServer)
_binary = msgspec.msgpack.Decoder(bytes)


class ProtocolViolation(RunyardError):
    """The other end said something that the protocol does not allow."""


def encode(frame: FromWorker | FromServer) -> bytes:
    """The frame's bytes; raises ProtocolViolation when they would be too many."""
    data = _encoder.encode(_wrapped(frame))
    _demand_size(len(data))
    return data


def decode_from_worker(data: bytes) -> FromWorker:
    """The frame that a worker sent; raises ProtocolViolation."""
    _demand_size(len(data))
    try:
        frame: FromWorker | _WireEnded = _from_worker.decode(data)
        return _unwrapped_from_worker(frame)
    except msgspec.DecodeError as error:
        raise ProtocolViolation(f"not a frame of a worker: {error}") from error


def decode_from_server(data: bytes) -> FromServer:
    """The frame that a server sent; raises ProtocolViolation."""
    _demand_size(len(data))
    try:
        frame: FromServer = _from_server.decode(data)
        return _unwrapped_from_server(frame)
    except msgspec.DecodeError as error:
        raise ProtocolViolation(f"not a frame of a server: {error}") from error


def _demand_size(size: int) -> None:
    if size > FRAME_LIMIT:
        raise ProtocolViolation(f"a frame of {size} bytes; at most {FRAME_LIMIT} are allowed")


def _wrap(json: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(bytes(json)))


def _unwrap(packed: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(_binary.decode(packed))


def _wrapped(frame: FromWorker | FromServer) -> Frame:
    match frame:
        case Assignments(runs):
            return Assignments(tuple(_assignment(run, _wrap) for run in runs))
        case Ended(ends):
            return _WireEnded(tuple(_to_wire(end) for end in ends))
        case StepDone():
            return msgspec.structs.replace(frame, value=_wrap(frame.value))
        case _:
            return frame


def _unwrapped_from_worker(frame: FromWorker | _WireEnded) -> FromWorker:
    match frame:
        case _WireEnded(ends):
            return Ended(tuple(_from_wire(end) for end in ends))
        case StepDone():
            return msgspec.structs.replace(frame, value=_unwrap(frame.value))
        case _:
            return frame


def _unwrapped_from_server(frame: FromServer) -> FromServer:
    if isinstance(frame, Assignments):
        return Assignments(tuple(_assignment(run, _unwrap) for run in frame.runs))
    return frame


def _assignment(run: Assignment, change: Change) -> Assignment:
    steps = tuple(Step(step.name, step.occurrence, change(step.value)) for step in run.steps)
    return msgspec.structs.replace(run, input=change(run.input), steps=steps)


def _to_wire(end: End) -> _WireEnd:
    fields = msgspec.structs.asdict(end)
    fields["output"] = None if end.output is None else bytes(end.output)
    return _WireEnd(**fields)


def _from_wire(wire: _WireEnd) -> End:
    fields = msgspec.structs.asdict(wire)
    fields["output"] = None if wire.output is None else msgspec.Raw(wire.output)
    return End(**fields)
