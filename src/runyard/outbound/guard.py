"""Connects to addresses that were judged, and to nothing else.

It stands where the HTTP library opens its connections. A name is looked up once, every address it
has is judged, and the connection goes to one of exactly these; TLS and the Host header go on to use
the name. That DNS says something else a moment later changes nothing.
"""

import ssl
from collections.abc import Iterable

import httpcore

from runyard.model.errors import AddressRefused
from runyard.outbound.addresses import Allowances, literal
from runyard.outbound.names import Names
from runyard.outbound.networks import Address, rule_against

SETTING = "allow_outbound"
_TRIED = 4
"""Addresses of one name that are tried, one after the other."""


def refuse(address: Address, host: str, port: int, allowed: Allowances) -> None:
    """Raise AddressRefused unless this address of the host may be visited."""
    rule = rule_against(address)
    if rule is None or allowed.cover_host(host, port) or allowed.cover_address(address, port):
        return
    shown = f"[{address}]" if address.version == 6 else str(address)
    named = "" if str(address) == host else f"{host} has the address {address}, and "
    raise AddressRefused(
        f"{named}{address} may not be visited (rule: {rule}); the operator can allow it with the "
        f"setting {SETTING}, such as --allow-outbound {shown}:{port}"
    )


class Connected(httpcore.AsyncNetworkStream):
    """A connection that is closed when nobody waits for its TLS any more; the library's own is not,
    when what waits for it is cancelled.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> bytes:
        """The next bytes."""
        return await self._stream.read(max_bytes, timeout)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> None:
        """Send these bytes."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Let go."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> httpcore.AsyncNetworkStream:
        """Go on in TLS."""
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> object:
        """What is known of the connection."""
        return self._stream.get_extra_info(info)


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """The network as far as it may be visited."""

    def __init__(self, names: Names, allowed: Allowances) -> None:
        self._names = names
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the host's addresses, all of which may be visited."""
        *others, last = await self._judged(host, port)
        for address in others:
            try:
                return await self._connected(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connected(last, port, timeout)

    async def _connected(
        self,
        address: Address,
        port: int,
        timeout: float | None,  # noqa: ASYNC109 - handed on
    ) -> httpcore.AsyncNetworkStream:
        return Connected(await self._network.connect_tcp(str(address), port, timeout))

    async def _judged(self, host: str, port: int) -> list[Address]:
        """The addresses to try. One that may not be visited refuses the name as a whole: nobody
        means a name that is here and there at once.
        """
        written = literal(host)
        addresses = [written] if written is not None else await self._names.addresses(host)
        for address in addresses:
            refuse(address, host, port, self._allowed)
        return addresses[:_TRIED]

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: sockets of this machine are not on the network."""
        raise AddressRefused(f"{path} is a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Only for the library's own retries, of which there are none."""
        await self._network.sleep(seconds)
