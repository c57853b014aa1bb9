"""What is asked for with a call, and how it is answered."""

from msgspec import UNSET, Raw

from runyard.dialects.native import wire
from runyard.model.ids import encode_public_id
from runyard.protocol.shapes import calls as call_shapes
from runyard.stores.contract.calls import CallRecord
from runyard.web.responses import ENCODER

_NO_INPUT = b"{}"
_NULL = Raw(b"null")


def input_of(asked: call_shapes.NewCall) -> bytes:
    """The input as JSON; without any, an empty object."""
    return _NO_INPUT if asked.input is UNSET else bytes(asked.input)


def answer_for(ended: CallRecord, version: int) -> bytes:
    """How a call ended, as JSON. `version`: the number of the one that was executed."""
    started = ended.started_at
    answer = call_shapes.CallAnswer(
        id=ended.id,
        public_id=encode_public_id(ended.public_id),
        state=ended.state,
        cause=ended.cause,
        outputs=_NULL if ended.output is None else Raw(ended.output),
        error=wire.error_shape(ended.error),
        version=version,
        duration=None if started is None else ended.finished_at - started,
    )
    return ENCODER.encode(answer)
