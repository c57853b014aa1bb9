"""The client: redirects judged like first addresses, and limits to time, size and pace.

No cookies, no proxies from the environment, no passwords from a file in somebody's home, no
compressed bodies that unfold into gigabytes: a request is what its caller wrote, and nothing else.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

import certifi
import httpcore

from runyard.model.errors import OutboundFailed
from runyard.outbound.addresses import Allowances, WebAddress, read_redirect
from runyard.outbound.base import NO_MORE, OutboundAnswer, OutboundLimits, OutboundRequest
from runyard.outbound.connections import Connections
from runyard.outbound.guard import GuardedNetwork, refuse
from runyard.outbound.names import Names, SystemNames

_GRACE_SECONDS = 10.0
"""A body may take so long before its pace counts."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_FOR_OTHERS = frozenset({"authorization", "cookie"})
"""Headers that a redirect to another origin does not get."""


def system_trust() -> ssl.SSLContext:
    """The certificate authorities that the machine trusts, and the usual public ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class OutboundClient:
    """Sends every request that leaves Runyard.

    async with OutboundClient(allowances) as outbound:
        answer = await outbound.send(OutboundRequest(address=read_address("https://example.com/")))
    """

    def __init__(
        self,
        allowed: Allowances,
        *,
        names: Names | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._system_names = SystemNames()
        self._names = names or self._system_names
        self._trust = trust
        self._kept: Connections | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._system_names.close()
        if self._kept is not None:
            await self._kept.close()

    def refuse(self, address: WebAddress, allowed: Allowances = NO_MORE) -> None:
        """Raise AddressRefused where the address itself shows that it may not be visited."""
        if (found := address.literal) is not None:
            refuse(found, address.host, address.port, self._allowed + allowed)

    async def send(self, request: OutboundRequest) -> OutboundAnswer:
        """Send it and read the whole answer."""
        async with self.stream(request) as answer:
            body = b"".join([part async for part in answer.parts()])
            return OutboundAnswer(status_code=answer.status_code, headers=answer.headers, body=body)

    @asynccontextmanager
    async def stream(self, request: OutboundRequest) -> AsyncIterator["Incoming"]:
        """Send it and read the answer in parts."""
        async with self._connections(request.allowed) as connections:
            ends_at = asyncio.get_running_loop().time() + request.limits.total.total_seconds()
            at, headers = request.address, dict(request.headers)
            for _ in range(1 + request.limits.redirects):
                async with _answered(connections, request, at, headers, ends_at) as answer:
                    location = headers_of(answer).get("location")
                    is_last = request.method != "GET" or not request.limits.redirects
                    if is_last or answer.status not in _REDIRECTS or location is None:
                        yield Incoming(answer, at, request.limits, ends_at)
                        return
                there = read_redirect(at, location)
                if not there.is_same_origin(at):
                    headers = {n: v for n, v in headers.items() if n.lower() not in _NOT_FOR_OTHERS}
                at = there
            most = request.limits.redirects
            raise OutboundFailed(f"{request.address.shown} redirects more than {most} times")

    @asynccontextmanager
    async def _connections(self, extra: Allowances) -> AsyncIterator[Connections]:
        """Kept connections; where more is allowed than usual, some for this request alone, so that
        nobody else ever finds such a connection open.
        """
        if not extra.entries:
            if self._kept is None:
                self._kept = self._new_connections(self._allowed)
            yield self._kept
            return
        connections = self._new_connections(self._allowed + extra)
        try:
            yield connections
        finally:
            await connections.close()

    def _new_connections(self, allowed: Allowances) -> Connections:
        if self._trust is None:
            self._trust = system_trust()
        return Connections(GuardedNetwork(self._names, allowed), self._trust)


@asynccontextmanager
async def _answered(
    connections: Connections,
    request: OutboundRequest,
    at: WebAddress,
    headers: Mapping[str, str],
    ends_at: float,
) -> AsyncIterator[httpcore.Response]:
    """One request and the head of its answer; what is not read of the body goes with the connection."""
    where = (at.scheme.encode(), at.host.encode(), at.port)
    connection = await connections.take(where)
    try:
        with told(at, request.limits):
            async with asyncio.timeout_at(ends_at):
                answer = await connection.handle_async_request(_asked(request, at, headers))
        try:
            yield answer
        finally:
            await answer.aclose()
    finally:
        await connections.give_back(where, connection)


class Incoming:
    """An answer whose body is still coming."""

    def __init__(
        self, answer: httpcore.Response, address: WebAddress, limits: OutboundLimits, ends_at: float
    ) -> None:
        self._answer = answer
        self._limits = limits
        self._ends_at = ends_at
        self.address = address
        self.status_code = answer.status
        self.headers: Mapping[str, str] = headers_of(answer)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        self._refuse_announced()
        coming = self._answer.aiter_stream()
        loop = asyncio.get_running_loop()
        began_at, size = loop.time(), 0
        while True:
            with told(self.address, self._limits):
                async with asyncio.timeout_at(self._ends_at):
                    part = await anext(coming, None)
            if part is None:
                return
            size += len(part)
            self._refuse_excess(size, loop.time() - began_at)
            yield part

    def _refuse_announced(self) -> None:
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise OutboundFailed(f"{self.address.shown} answers encoded as {encoding[:40]!r}")
        length = self.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._limits.size:
            raise OutboundFailed(
                f"{self.address.shown} has {int(length):,} bytes; at most {self._limits.size:,}"
            )

    def _refuse_excess(self, size: int, seconds: float) -> None:
        if size > self._limits.size:
            most = f"{self._limits.size:,}"
            raise OutboundFailed(f"{self.address.shown} sends more than {most} bytes")
        if seconds > _GRACE_SECONDS and size < self._limits.pace * seconds:
            raise OutboundFailed(
                f"{self.address.shown} sends {size / seconds:,.0f} bytes a second; "
                f"at least {self._limits.pace:,}"
            )


def headers_of(answer: httpcore.Response) -> dict[str, str]:
    """Headers by lower-case name; of a repeated one the last."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers
    }


def _asked(
    request: OutboundRequest, at: WebAddress, headers: Mapping[str, str]
) -> httpcore.Request:
    """One request as the library takes it, at this address."""
    sent = {"Host": at.authority, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
    if request.body or request.method not in ("GET", "HEAD"):
        sent["Content-Length"] = str(len(request.body))
    limits = request.limits
    pause = limits.pause.total_seconds()
    timeouts = {
        "connect": limits.connect.total_seconds(),
        "read": pause,
        "write": pause,
    }
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=at.scheme, host=at.host, port=at.port, target=at.target),
        headers=list(sent.items()),
        content=request.body,
        extensions={"timeout": timeouts},
    )


@contextmanager
def told(at: WebAddress, limits: OutboundLimits) -> Iterator[None]:
    """Say what goes wrong in here in words for whoever named the address."""
    try:
        yield
    except httpcore.ConnectTimeout:
        seconds = limits.connect.total_seconds()
        raise OutboundFailed(f"{at.shown} accepts no connection within {seconds:g} s") from None
    except (httpcore.ReadTimeout, httpcore.WriteTimeout):
        seconds = limits.pause.total_seconds()
        raise OutboundFailed(f"{at.shown} is silent for {seconds:g} s") from None
    except TimeoutError:
        seconds = limits.total.total_seconds()
        raise OutboundFailed(f"{at.shown} takes longer than {seconds:g} s") from None
    except httpcore.ConnectError as error:
        raise OutboundFailed(f"{at.shown} cannot be reached: {_reason(error)}") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OutboundFailed(f"{at.shown} breaks off: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The innermost reason, which libraries wrap."""
    inner: BaseException = error
    while (under := inner.__cause__ or inner.__context__) is not None:
        inner = under
    return str(inner) or type(inner).__name__
