"""The one look at DNS for a connection."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Protocol

from runyard.model.errors import OutboundFailed
from runyard.outbound.networks import Address

_AT_ONCE = 8


class Names(Protocol):
    """Knows the addresses of names."""

    async def addresses(self, host: str) -> list[Address]:
        """All addresses of a name, best first; raises OutboundFailed when there are none."""


class SystemNames:
    """Asks the machine's resolver, on threads of its own: a name server that does not answer must
    not hold up what else waits for a thread.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="names")

    async def addresses(self, host: str) -> list[Address]:
        """All addresses of a name, best first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _looked_up, host)

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _looked_up(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise OutboundFailed(f"the name {host!r} cannot be looked up: {said or error}") from None
    # A scope (fe80::1%eth0) belongs to link-local addresses, which are refused anyway.
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return [ip_address(text) for text in texts]
