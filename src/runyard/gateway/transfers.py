"""Files that runs return, part by part."""

import asyncio
from collections.abc import AsyncIterator, Callable

from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.frames import FILE_WINDOW, FilePart

MOST_WAITING = 2 * FILE_WINDOW
"""Bytes that may wait to be written; a sender waits after each window."""


class Transfer:
    """One file on its way in. Parts may come before anybody reads them."""

    def __init__(self, taken: Callable[[int], None]) -> None:
        """`taken` is told the bytes so far whenever the sender may wait for that."""
        self._parts: asyncio.Queue[FilePart | None] = asyncio.Queue()
        self._taken = taken
        self._received = 0
        self._waiting = 0

    def add(self, part: FilePart) -> None:
        """The next part has come; raises ProtocolViolation for more than may be sent now, and for a
        part that is none.
        """
        if not part.data and not part.last:
            raise ProtocolViolation("a part of a file without bytes")
        self._waiting += len(part.data)
        if self._waiting > MOST_WAITING:
            raise ProtocolViolation("more of a file than the server has asked for")
        self._parts.put_nowait(part)

    def break_off(self) -> None:
        """No further part will come."""
        self._parts.put_nowait(None)

    async def parts(self) -> AsyncIterator[bytes]:
        """Its bytes in order; raises ConnectionError when they break off before the end."""
        while True:
            part = await self._parts.get()
            if part is None:
                raise ConnectionError("the worker left before its file was complete")
            yield part.data
            self._waiting -= len(part.data)
            if part.last:
                return
            before, self._received = self._received, self._received + len(part.data)
            if before // FILE_WINDOW != self._received // FILE_WINDOW:
                self._taken(self._received)
