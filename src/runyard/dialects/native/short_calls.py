"""Calls over the native API, the short way: for callers who have called this task with this very head."""

from runyard.dialects.native.call_answers import answer_for, input_of
from runyard.engine.calls import Caller, Opening
from runyard.model.errors import RunyardError
from runyard.model.ids import VersionId
from runyard.model.tokens import Token
from runyard.protocol.shapes import calls as call_shapes
from runyard.stores.contract.calls import CallRecord
from runyard.web.door import native_refusal
from runyard.web.house import House
from runyard.web.responses import Response
from runyard.web.short_calls import ShortCall
from runyard.web.validation import struct_from_json


class ShortNativeCall(ShortCall):
    """The shortcut for one head: whose token it has, and which task it calls."""

    operation = "call_task"

    def __init__(self, house: House, secret: str, token: Token, opening: Opening) -> None:
        super().__init__(house, opening)
        self._secret = secret
        self._token = token

    def still_knows_caller(self) -> bool:
        """Whether the secret is recognised, as the same token."""
        return self.house.engine.tokens.recall(self._secret) is self._token

    def begin(self, body: bytes, caller: Caller) -> bool:
        """Call the task, if the body is what it should be."""
        try:
            asked = struct_from_json(body, call_shapes.NewCall)
        except RunyardError:
            return False
        calls = self.house.engine.calls
        return calls.begin(self.opening, input_of(asked), caller, durable=asked.durable)

    def is_ready_for(self, version: VersionId) -> bool:
        """Whether the number of this version is known."""
        return self.house.engine.directory.version_at_hand(version) is not None

    async def prepare_for(self, version: VersionId) -> None:
        """Find it out."""
        await self.house.engine.directory.version(version)

    def body_for(self, record: CallRecord) -> bytes:
        """How the call ended: an answer of 200 whatever came of it."""
        version = self.house.engine.directory.version_at_hand(record.version_id)
        assert version is not None
        return answer_for(record, version.number)

    def refusal(self, error: RunyardError | None, trace: str = "") -> Response:
        """As the native API writes errors down."""
        return native_refusal(error, trace)
