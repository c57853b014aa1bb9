"""Shortcuts to calls: what those of all dialects have in common.

Nothing is found out on a short way. Caller, task, version and place are looked at as the ordinary way
has found them; where one of them is not as it was, or the body is not plain, that one sees to the call.
"""

from abc import ABC, abstractmethod

from runyard.engine.calls import Caller, Opening
from runyard.model.errors import RunyardError
from runyard.model.ids import VersionId
from runyard.stores.contract.calls import CallRecord
from runyard.web.failures import note_failure
from runyard.web.house import House
from runyard.web.responses import JSON_LINES, Response
from runyard.web.shortcuts import Exchange

_LINES = JSON_LINES + b"x-execution-id: %d\r\n"


class ShortCall(ABC):
    """The shortcut for one head: who calls, and which task."""

    operation: str
    """The name of its route, under which its answers are counted."""

    def __init__(self, house: House, opening: Opening) -> None:
        self.house = house
        self.opening = opening

    # ------------------------------------------------------------ what a dialect says

    @abstractmethod
    def still_knows_caller(self) -> bool:
        """Whether nothing about the caller has changed since the ordinary way let that one in."""

    @abstractmethod
    def begin(self, body: bytes, caller: Caller) -> bool:
        """Call the task with this body's input, by `Calls.begin`; False when that does not, or when the
        body has to be looked at more closely.
        """

    @abstractmethod
    def is_ready_for(self, version: VersionId) -> bool:
        """Whether what this version returns can be written down at once."""

    @abstractmethod
    async def prepare_for(self, version: VersionId) -> None:
        """See to that."""

    @abstractmethod
    def body_for(self, record: CallRecord) -> bytes:
        """The body of the answer; raises what the dialect answers as an error."""

    @abstractmethod
    def refusal(self, error: RunyardError | None, trace: str = "") -> Response:
        """The answer for an error, as its door would give it; None: `trace` finds it in the log."""

    # ------------------------------------------------------------ the way

    def take(self, body: bytes, exchange: Exchange) -> bool:
        """Call the task with this body's input, if all that was found still holds."""
        if not self.still_knows_caller() or self.house.is_stopping:
            return False
        has_begun = self.begin(body, _Waiting(self, exchange))
        if has_begun:
            self.house.shortened[self.operation] += 1
        return has_begun

    def answer(self, exchange: Exchange, record: CallRecord) -> None:
        """Answer with what came of a call."""
        if not self.is_ready_for(record.version_id):  # another version has taken over meanwhile
            self.house.spawn(self._answer_later(exchange, record))
            return
        try:
            body = self.body_for(record)
        except Exception as error:  # noqa: BLE001 - the outermost layer: nothing passes it unseen
            self.refuse(exchange, error)
        else:
            self.house.answered[self.operation, 200] += 1
            exchange.answer(200, _LINES % record.id, body)

    async def _answer_later(self, exchange: Exchange, record: CallRecord) -> None:
        try:
            await self.prepare_for(record.version_id)
        except Exception as error:  # noqa: BLE001 - somebody waits for an answer, whatever it is
            self.refuse(exchange, error)
        else:
            self.answer(exchange, record)

    def refuse(self, exchange: Exchange, error: Exception) -> None:
        """Answer with an error."""
        if isinstance(error, RunyardError):
            response = self.refusal(error)
        else:
            trace = note_failure(self.house.engine.clock, self.operation, error)
            response = self.refusal(None, trace)
        self.house.answered[self.operation, response.status] += 1
        exchange.answer(response.status, response.lines, response.body)


class _Waiting:
    """Who waits for one call."""

    __slots__ = ("_exchange", "_short")

    def __init__(self, short: ShortCall, exchange: Exchange) -> None:
        self._short = short
        self._exchange = exchange

    def told(self, record: CallRecord) -> None:
        """It was executed."""
        self._short.answer(self._exchange, record)

    def refused(self, reason: Exception) -> None:
        """It was not: no child became free in time, or the task was paused meanwhile, say."""
        self._short.refuse(self._exchange, reason)
