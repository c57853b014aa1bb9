"""Files that runs return, part by part."""

import asyncio
from collections.abc import AsyncIterator

from runyard.protocol.frames import FilePart


class Transfer:
    """One file on its way in. Parts may come before anybody reads them."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[FilePart | None] = asyncio.Queue()

    def add(self, part: FilePart) -> None:
        """The next part has come."""
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
            if part.last:
                return
