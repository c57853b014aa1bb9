"""Execute, the short way: for callers who have executed this task with this very head before.

Nothing is found out here. Token, task, version and place are looked at as `execution` has found them;
where one of them is not as it was, or the input is not plain, `execution` sees to the call.
"""

from runyard.dialects.automation_anywhere.outcomes import returned
from runyard.dialects.automation_anywhere.refusals import refusal
from runyard.dialects.automation_anywhere.versions import Versions
from runyard.dialects.automation_anywhere.writing import Link
from runyard.engine.calls import Opening
from runyard.engine.tickets import Guest
from runyard.model.errors import RunyardError
from runyard.stores.contract.calls import CallRecord
from runyard.web.failures import note_failure
from runyard.web.house import House
from runyard.web.responses import ENCODER, JSON_LINES, Response
from runyard.web.shortcuts import Exchange

OPERATION = "execute"
_LINES = JSON_LINES + b"x-execution-id: %d\r\n"


class ShortExecution:
    """The shortcut for one head: whose token it has, and which task it calls."""

    def __init__(
        self,
        house: House,
        token: str,
        guest: Guest,
        opening: Opening,
        versions: Versions,
        link: Link,
    ) -> None:
        self._house = house
        self._token = token
        self._guest = guest
        self._opening = opening
        self._versions = versions
        self._link = link

    def take(self, body: bytes, exchange: Exchange) -> bool:
        """Execute the task with this body's input, if all that was found still holds."""
        house, opening = self._house, self._opening
        # As long as it is the same object, nothing about the token and its user has changed.
        if house.engine.tickets.recall(self._token) is not self._guest or house.is_stopping:
            return False
        values = self._versions.at_hand(opening.version_id)
        raw = None if values is None else values.quick.read(body)
        if raw is None:
            return False
        return house.engine.calls.begin(opening, raw, _Caller(self, exchange))

    def answer(self, exchange: Exchange, record: CallRecord) -> None:
        """Answer with what came of a call."""
        values = self._versions.at_hand(record.version_id)  # perhaps another version took over
        if values is None:
            self._house.spawn(self._answer_later(exchange, record))
            return
        try:
            output = values.outputs.write(returned(record), self._link)
            body = ENCODER.encode({"hotBotResult": {"botOutput": output}})
        except RunyardError as error:
            self.refuse(exchange, refusal(error))
        except Exception as error:  # noqa: BLE001 - the outermost layer: nothing passes it unseen
            trace = note_failure(self._house.engine.clock, OPERATION, error)
            self.refuse(exchange, refusal(None, trace))
        else:
            self._house.answered[OPERATION, 200] += 1
            exchange.answer(200, _LINES % record.id, body)

    async def _answer_later(self, exchange: Exchange, record: CallRecord) -> None:
        await self._versions.of(self._house.engine, record.version_id)
        self.answer(exchange, record)

    def refuse(self, exchange: Exchange, response: Response) -> None:
        """Answer with what it is refused for."""
        self._house.answered[OPERATION, response.status] += 1
        exchange.answer(response.status, response.lines, response.body)


class _Caller:
    """Who waits for one execution."""

    __slots__ = ("_exchange", "_short")

    def __init__(self, short: ShortExecution, exchange: Exchange) -> None:
        self._short = short
        self._exchange = exchange

    def told(self, record: CallRecord) -> None:
        """It was executed."""
        self._short.answer(self._exchange, record)

    def refused(self, reason: RunyardError) -> None:
        """It was not: no child became free in time, or the task was paused meanwhile."""
        self._short.refuse(self._exchange, refusal(reason))
