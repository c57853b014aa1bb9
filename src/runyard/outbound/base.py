"""The Outbound contract: what the engine may ask to be sent, and what it may rely on.

Nothing is visited that `allow_outbound` does not open and that is not the public internet's; no
request takes longer, brings more or comes slower than its limits say; answers are bytes and
numbers, however they are meant. Every way in which it cannot succeed is an AddressRefused, which
no second try changes, or an OutboundFailed, which one may.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from runyard.model.errors import OutboundFailed
from runyard.outbound.addresses import Allowances, WebAddress

MEBIBYTE = 1024 * 1024
NO_MORE: Final = Allowances()
"""Nothing beside what the operator allows everybody."""


class OutboundLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how much, how slowly."""

    connect: timedelta = timedelta(seconds=10)
    """Until the connection stands, TLS included."""
    pause: timedelta = timedelta(seconds=30)
    """Between two signs of life of the other side."""
    total: timedelta = timedelta(seconds=60)
    """From asking to the last byte, redirects included."""
    size: int = MEBIBYTE
    """Bytes of the answer's body."""
    pace: int = 0
    """Bytes a second that a body must bring on average, after the first ten seconds."""
    redirects: int = 0
    """How many are followed, for GET alone; the answer of another one is the answer."""


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to send."""

    address: WebAddress
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    limits: OutboundLimits = OutboundLimits()
    allowed: Allowances = NO_MORE
    """What this request may visit beside what the operator allows everybody."""


class OutboundAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, whole."""

    status_code: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated one the last."""
    body: bytes


class OutboundStream(Protocol):
    """An answer whose body is still coming."""

    @property
    def status_code(self) -> int:
        """What the other side answered."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated one the last."""

    @property
    def address(self) -> WebAddress:
        """Where the answer comes from, after redirects."""

    def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises OutboundFailed once a limit is reached or it breaks off."""


class Outbound(Protocol):
    """Sends requests out of Runyard."""

    def refuse(self, address: WebAddress, allowed: Allowances = NO_MORE) -> None:
        """Raise AddressRefused where the address itself shows that it may not be visited. Names are
        judged when they are looked up."""

    async def send(self, request: OutboundRequest) -> OutboundAnswer:
        """Send it and read the whole answer; raises AddressRefused, OutboundFailed."""

    def stream(self, request: OutboundRequest) -> AbstractAsyncContextManager[OutboundStream]:
        """Send it and read the answer in parts; entering raises AddressRefused, OutboundFailed."""


class Nowhere:
    """Sends nothing: for an engine that has no way out."""

    def refuse(self, address: WebAddress, allowed: Allowances = NO_MORE) -> None:
        """Nothing is refused beforehand: it may leave through another server."""

    async def send(self, request: OutboundRequest) -> OutboundAnswer:
        """Refuse."""
        raise _no_way_out(request)

    @asynccontextmanager
    async def stream(self, request: OutboundRequest) -> AsyncIterator[OutboundStream]:
        """Refuse."""
        if request is not None:
            raise _no_way_out(request)
        yield


def _no_way_out(request: OutboundRequest) -> OutboundFailed:
    return OutboundFailed(f"{request.address.shown} cannot be reached: there is no way out")
