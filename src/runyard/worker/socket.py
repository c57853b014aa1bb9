"""A line over the network: one outbound WebSocket at a time."""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from runyard.protocol.codec import FRAME_LIMIT, ProtocolViolation, decode_from_server, encode
from runyard.protocol.frames import FromServer, FromWorker, Refusal
from runyard.worker import VERSION
from runyard.worker.transport import NotConnected, Spawn, Transport, WorkerRefused

PATH = "/worker"
OPENING = timedelta(seconds=10)
CLOSING = timedelta(seconds=2)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
REFUSING = {401: "token", 403: "token"}
LONGEST_REASON = 120


class AddressRefused(ValueError):
    """This is no address of a server; says what is allowed."""

    def __init__(self, address: str) -> None:
        super().__init__("an address such as https://runyard.example.org")
        self.address = address


class SocketLine:
    """Connects to the gateway of a server, or of one of several that share a database, as often as
    need be.
    """

    is_within = False

    def __init__(self, servers: Sequence[str], token: str, *, trusting: Path | None = None) -> None:
        """`trusting`: a file of certificate authorities (PEM) beside those of the machine.

        Raises AddressRefused.
        """
        self._addresses = [gateway_address(server) for server in servers]
        self._token = token
        self._logger = logging.getLogger("runyard.worker.socket")
        self._logger.addHandler(logging.NullHandler())
        self._logger.propagate = False
        self._tls = _tls(trusting)

    async def connect(self, spawn: Spawn) -> Transport:
        """A new connection; raises NotConnected or WorkerRefused. After a failure the next address
        has its turn.
        """
        address = self._addresses[0]
        try:
            connection = await self._opened(address)
        except InvalidStatus as answer:
            self._turn()
            raise _refusal(address, answer) from answer
        except TimeoutError as error:
            self._turn()
            raise NotConnected(f"{address} does not answer") from error
        except (OSError, WebSocketException, EOFError) as error:
            self._turn()
            raise NotConnected(f"{address}: {_told(error)}") from error
        return SocketTransport(connection, spawn)

    def _turn(self) -> None:
        self._addresses.append(self._addresses.pop(0))

    async def _opened(self, address: str) -> ClientConnection:
        return await connect(
            address,
            additional_headers={"Authorization": f"Bearer {self._token}"},
            user_agent_header=f"runyard-worker/{VERSION}",
            compression=None,
            max_size=FRAME_LIMIT,
            ping_interval=None,  # heartbeats are frames of our own
            open_timeout=OPENING.total_seconds(),
            close_timeout=CLOSING.total_seconds(),
            proxy=None if urlsplit(address).hostname in LOOPBACK else True,
            ssl=self._tls if address.startswith("wss:") else None,
            logger=self._logger,
        )


class SocketTransport:
    """One WebSocket to a server."""

    def __init__(self, connection: ClientConnection, spawn: Spawn) -> None:
        self._connection = connection
        self._spawn = spawn
        self._unsent: list[bytes] = []
        self._news = asyncio.Event()
        self._end: str | None = None
        self._closed: Callable[[str], None] | None = None

    def listen(
        self, receive: Callable[[list[FromServer]], None], closed: Callable[[str], None]
    ) -> None:
        """Hand everything that arrives to `receive`; `closed` is called once, last."""
        self._closed = closed
        self._spawn(self._read(receive))
        self._spawn(self._write())

    def send(self, frame: FromWorker) -> None:
        """Send a frame; never waits. After the end of the conversation it goes nowhere."""
        if self._end is None:
            self._unsent.append(encode(frame))
            self._news.set()

    def close(self, detail: str = "") -> None:
        """End the conversation, after what was already sent."""
        if self._end is None:
            self._end = detail
            self._news.set()
            loop = asyncio.get_running_loop()
            loop.call_later(CLOSING.total_seconds(), self._connection.transport.abort)

    def abort(self, detail: str = "") -> None:
        """End the conversation at once: the other end does not listen any more."""
        self._end = self._end or detail
        self._news.set()
        self._connection.transport.abort()
        self._say_closed()

    async def _read(self, receive: Callable[[list[FromServer]], None]) -> None:
        try:
            async for message in self._connection:
                if isinstance(message, str):
                    raise ProtocolViolation("text where frames are bytes")
                receive([decode_from_server(message)])
        except ProtocolViolation as violation:
            self.close(f"protocol violation: {violation}")
        except ConnectionClosed:
            self.close(self._reason())
        else:
            self.close(self._reason())

    async def _write(self) -> None:
        try:
            while self._unsent or self._end is None:
                await self._news.wait()
                self._news.clear()
                unsent, self._unsent = self._unsent, []
                for data in unsent:
                    await self._connection.send(data)
            await self._connection.close(reason=_short(self._end))
        except ConnectionClosed:
            self._end = self._end or self._reason()
        finally:
            self._say_closed()

    def _say_closed(self) -> None:
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed(self._end or "the connection ended")

    def _reason(self) -> str:
        code, reason = self._connection.close_code, self._connection.close_reason
        if reason:
            return reason
        if code in {None, 1006}:
            return "the connection broke off"
        return f"the server closed the connection ({code})"


def gateway_address(server: str) -> str:
    """The WebSocket of a server's gateway; raises AddressRefused."""
    parts = urlsplit(server)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise AddressRefused(server)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + PATH, "", ""))


def _tls(trusting: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if trusting is not None:
        context.load_verify_locations(trusting)
    return context


def _refusal(address: str, answer: InvalidStatus) -> Exception:
    """What an HTTP answer in place of a WebSocket means."""
    status = answer.response.status_code
    detail = _detail(answer.response.body) or f"the server answered {status}"
    if (code := REFUSING.get(status)) is not None:
        return WorkerRefused(Refusal(code, detail))
    return NotConnected(f"{address}: {detail}")


def _detail(body: bytes | bytearray | None) -> str:
    try:
        return str(json.loads(body or b"")["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


def _told(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _short(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")
