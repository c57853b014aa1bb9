"""Frames as bytes, and back. The one place that knows how the wire looks.

A frame is one msgpack map; its tag stands under `t`. Unknown fields are ignored, so that either
end may be a release ahead; an unknown tag is an error, because nobody could say what it asked.

Values that travel as raw JSON (inputs, outputs, steps) are binary strings on the wire: they are
wrapped here on the way out and unwrapped on the way in, so that both ends only ever see JSON.
"""

from collections.abc import Callable

import msgspec

from runyard.model.errors import RunyardError
from runyard.protocol.frames import (
    Assignment,
    Assignments,
    End,
    Ended,
    FromServer,
    FromWorker,
    Step,
    StepDone,
)

FRAME_LIMIT = 16 * 1024 * 1024
"""Most bytes of one frame. Room for the largest value (4 MiB) and everything around it."""

Change = Callable[[msgspec.Raw], msgspec.Raw]

_encoder = msgspec.msgpack.Encoder()
_from_worker = msgspec.msgpack.Decoder(FromWorker)
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
        frame: FromWorker = _from_worker.decode(data)
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


def _wrapped(frame: FromWorker | FromServer) -> FromWorker | FromServer:
    match frame:
        case Assignments(runs):
            return Assignments(tuple(_assignment(run, _wrap) for run in runs))
        case Ended(ends):
            return Ended(tuple(_end(end, _wrap) for end in ends))
        case StepDone():
            return msgspec.structs.replace(frame, value=_wrap(frame.value))
        case _:
            return frame


def _unwrapped_from_worker(frame: FromWorker) -> FromWorker:
    match frame:
        case Ended(ends):
            return Ended(tuple(_end(end, _unwrap) for end in ends))
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


def _end(end: End, change: Change) -> End:
    if end.output is None:
        return end
    return msgspec.structs.replace(end, output=change(end.output))
