"""Execute, the short way: for callers who have executed this task with this very head before."""

from runyard.dialects.automation_anywhere.outcomes import returned
from runyard.dialects.automation_anywhere.refusals import refusal
from runyard.dialects.automation_anywhere.versions import Versions
from runyard.dialects.automation_anywhere.writing import Link
from runyard.engine.calls import Caller, Opening
from runyard.engine.tickets import Guest
from runyard.model.errors import RunyardError
from runyard.model.ids import VersionId
from runyard.stores.contract.calls import CallRecord
from runyard.web.house import House
from runyard.web.responses import Response
from runyard.web.short_calls import ShortCall


class ShortExecution(ShortCall):
    """The shortcut for one head: whose token it has, and which task it calls."""

    operation = "execute"

    def __init__(
        self,
        house: House,
        token: str,
        guest: Guest,
        opening: Opening,
        versions: Versions,
        link: Link,
    ) -> None:
        super().__init__(house, opening)
        self._token = token
        self._guest = guest
        self._versions = versions
        self._link = link

    def still_knows_caller(self) -> bool:
        """Whether the token lets the same guest in: what changes about one makes another object."""
        return self.house.engine.tickets.recall(self._token) is self._guest

    def begin(self, body: bytes, caller: Caller) -> bool:
        """Call the task, where the values of the input are plain."""
        values = self._versions.at_hand(self.opening.version_id)
        raw = None if values is None else values.quick.read(body)
        return raw is not None and self.house.engine.calls.begin(self.opening, raw, caller)

    def is_ready_for(self, version: VersionId) -> bool:
        """Whether it is known how values of this version are written."""
        return self._versions.at_hand(version) is not None

    async def prepare_for(self, version: VersionId) -> None:
        """Find that out."""
        await self._versions.of(self.house.engine, version)

    def body_for(self, record: CallRecord) -> bytes:
        """The outputs; raises CallTimedOut, CallFailed."""
        values = self._versions.at_hand(record.version_id)
        assert values is not None
        return values.written(returned(record), self._link)

    def refusal(self, error: RunyardError | None, trace: str = "") -> Response:
        """As the dialect writes errors down."""
        return refusal(error, trace)
