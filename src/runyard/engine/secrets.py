"""What must not be told: every secret of this installation, made unreadable wherever it turns up.

Most say what they are (`runyard.model.masking`). The UUIDs of systems look like any others, so their
digests are kept in memory, and each UUID in a text is held against them: three microseconds for one,
next to nothing for text that has none, or where there are no systems.
"""

import asyncio
import hashlib
import re
from datetime import timedelta

from msgspec.structs import replace

from runyard.engine.clock import Clock
from runyard.model.errors import Busy
from runyard.model.logs import LogLine
from runyard.model.masking import HIDDEN, masked
from runyard.model.runs import RunError
from runyard.stores.contract.store import Store
from runyard.telemetry import MAINTENANCE_FAILED, emit

AFTER_FAILURE = timedelta(seconds=1)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_DASHES = 4


class Secrets:
    """Makes secrets unreadable."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._digests: frozenset[bytes] = frozenset()
        self._wakeup = asyncio.Event()

    async def open(self) -> None:
        """Learn what there is."""
        self._digests = frozenset(await self._store.systems.digests())

    def forget(self) -> None:
        """A system may have another UUID, here or at another server: learn anew, soon."""
        self._wakeup.set()

    async def run(self) -> None:
        """Learn anew whenever something may be different, until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                await self.open()
            except Busy as problem:  # the database is away
                emit(MAINTENANCE_FAILED, duty="secrets", detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = masked(text)
        if self._digests and text.count("-") >= _DASHES:
            return _UUID.sub(self._unless_known, text)
        return text

    def lines(self, lines: tuple[LogLine, ...]) -> tuple[LogLine, ...]:
        """The lines without secrets; the very same where there are none."""
        if all(self.text(line.text) == line.text for line in lines):
            return lines
        return tuple([replace(line, text=self.text(line.text)) for line in lines])

    def error(self, error: RunError | None) -> RunError | None:
        """The error without secrets."""
        if error is None:
            return None
        return RunError(
            kind=self.text(error.kind),
            message=self.text(error.message),
            traceback=self.text(error.traceback),
        )

    def _unless_known(self, found: re.Match[str]) -> str:
        uuid = found[0].lower()
        is_secret = hashlib.sha256(uuid.encode()).digest() in self._digests
        return f"{HIDDEN}{uuid[-4:]}" if is_secret else found[0]
