"""The two clients. Each only knows how to send, how to wait, and how to read a stream."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from runyard.model.errors import Busy, Refused
from runyard.sdk.client.events import EVENT_STREAM, Event, EventParser, Feed
from runyard.sdk.client.failures import MOST_TRIES, failure, pause_before_try, unreachable
from runyard.sdk.client.operations import Operations
from runyard.sdk.client.requests import Answer, Plan, Request

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
PART_SIZE = 1 << 18
CONNECT_PATIENCE = 10.0
FIRST_ERROR = 400
OnExchange = Callable[[Request, Answer], None]


class _Sender(Operations):
    """What both clients know: where the server is and who asks."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        company: str | None = None,
        tries: int = MOST_TRIES,
        on_exchange: OnExchange | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise Refused(f"{url!r} is no address of a server; it begins with http:// or https://")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Refused("What was given as a token cannot be one.")
        self.url = url.rstrip("/")
        self.company = company
        self._tries = tries
        self._on_exchange = on_exchange
        # Loading the certificates of the world takes 0.1 s; without TLS nobody looks at them. A
        # plain address is on this machine or next to it: no proxy stands between.
        self._has_tls = not self.url.startswith("http://")
        self._headers = {"authorization": f"Bearer {token}", "user-agent": "runyard-client"}

    def _arguments(self, request: Request) -> dict[str, Any]:
        """The request as httpx wants it, but for its body."""
        import httpx

        headers = {**self._headers, "accept": "*/*", **request.headers}
        if request.body is not None:
            headers["content-type"] = request.content_type
        if isinstance(request.body, Path):
            headers["content-length"] = str(request.body.stat().st_size)
        return {
            "method": request.method,
            "url": self.url + request.path,
            "params": {name: value for name, value in request.query.items() if value is not None},
            "headers": headers,
            "timeout": httpx.Timeout(request.patience.total_seconds(), connect=CONNECT_PATIENCE),
        }

    def _feed(self, run: int | None, after_line: int) -> Feed:
        """The stream of a run, or of the company."""
        path = self._path("events") if run is None else self._path("runs", run, "events")
        return Feed(path, run_id=run, after_line=after_line)

    def _judged(self, request: Request, answer: Answer) -> Answer:
        """The answer, once it has been shown to who watches; raises what it refuses."""
        if self._on_exchange is not None:
            self._on_exchange(request, answer)
        if answer.status_code >= FIRST_ERROR:
            raise failure(answer.status_code, answer.headers, answer.body)
        return answer

    def _pause_before(self, number: int, error: Busy) -> float:
        """Seconds until this try; raises the error when there have been enough."""
        if number > self._tries:
            raise error
        return pause_before_try(number, error, random.random()).total_seconds()


class Client(_Sender):
    """Drives a Runyard server; each method returns when the server has answered.

    `url`: the server's address. `token`: a native token. `company`: the slug of the company that
    everything is done in. `tries`: how often a request is sent that may be repeated.
    `on_exchange` is called with each request and its answer, such as to log them. Use it in a
    `with` statement, or `close` it. Threads may share it.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        company: str | None = None,
        tries: int = MOST_TRIES,
        on_exchange: OnExchange | None = None,
    ) -> None:
        import httpx

        super().__init__(url, token, company=company, tries=tries, on_exchange=on_exchange)
        self._http = httpx.Client(trust_env=self._has_tls, verify=self._has_tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def events(self, run: int | None = None, *, after_line: int = 0) -> Iterator[Event]:
        """What happens from now on in the company, or to one run until its end.

        A run's stream starts with its state and the log lines after `after_line`. Lost connections
        are taken up again.
        """
        feed = self._feed(run, after_line)
        tries = 1
        while not feed.is_over:
            try:
                for event in self._listen(feed):
                    tries = 1
                    yield event
                reason: Busy = unreachable(self.url, EOFError("the stream ended"))
            except Busy as error:
                reason = error
            if not feed.is_over:
                tries += 1
                time.sleep(self._pause_before(tries, reason))

    def carry_out(self, plan: Plan[T]) -> T:
        """The result of an operation."""
        try:
            request = next(plan)
            while True:
                request = plan.send(self._answer(request))
        except StopIteration as end:
            result: T = end.value
            return result

    def _answer(self, request: Request) -> Answer:
        tries = 1
        while True:
            try:
                return self._send(request)
            except Busy as error:
                if not request.is_repeatable:
                    raise
                tries += 1
                time.sleep(self._pause_before(tries, error))

    def _send(self, request: Request) -> Answer:
        import httpx

        try:
            content = _parts(request.body) if isinstance(request.body, Path) else request.body
            with self._http.stream(content=content, **self._arguments(request)) as response:
                answer = Answer(
                    status_code=response.status_code,
                    headers=_headers(response),
                    body=self._body(request, response),
                )
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return self._judged(request, answer)

    def _body(self, request: Request, response: "httpx.Response") -> bytes:
        if response.is_error:
            return response.read()
        if request.save_to is not None:
            with request.save_to.open("wb") as file:
                for part in response.iter_bytes(PART_SIZE):
                    file.write(part)
            return b""
        if request.on_event is not None and _is_stream(response):
            parser = EventParser()
            for part in response.iter_bytes():
                for event in parser.feed(part):
                    request.on_event(event)
            return b""
        return response.read()

    def _listen(self, feed: Feed) -> Iterator[Event]:
        import httpx

        request, parser = feed.request(), EventParser()
        try:
            with self._http.stream(**self._arguments(request)) as response:
                if response.is_error:
                    raise failure(response.status_code, _headers(response), response.read())
                for part in response.iter_bytes():
                    for received in parser.feed(part):
                        event = feed.receive(received)
                        if event is not None:
                            yield event
                        if feed.is_over:
                            return
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error


class AsyncClient(_Sender):
    """Drives a Runyard server from a program with an event loop; its methods are awaited.

    `url`: the server's address. `token`: a native token. `company`: the slug of the company that
    everything is done in. `tries`: how often a request is sent that may be repeated.
    `on_exchange` is called with each request and its answer, such as to log them. Use it in an
    `async with` statement, or await `close`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        company: str | None = None,
        tries: int = MOST_TRIES,
        on_exchange: OnExchange | None = None,
    ) -> None:
        import httpx

        super().__init__(url, token, company=company, tries=tries, on_exchange=on_exchange)
        self._http = httpx.AsyncClient(trust_env=self._has_tls, verify=self._has_tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends its connections."""
        await self._http.aclose()

    async def events(self, run: int | None = None, *, after_line: int = 0) -> AsyncIterator[Event]:
        """What happens from now on in the company, or to one run until its end.

        A run's stream starts with its state and the log lines after `after_line`. Lost connections
        are taken up again.
        """
        feed = self._feed(run, after_line)
        tries = 1
        while not feed.is_over:
            try:
                async for event in self._listen(feed):
                    tries = 1
                    yield event
                reason: Busy = unreachable(self.url, EOFError("the stream ended"))
            except Busy as error:
                reason = error
            if not feed.is_over:
                tries += 1
                await _sleep(self._pause_before(tries, reason))

    async def carry_out(self, plan: Plan[T]) -> T:
        """The result of an operation."""
        try:
            request = next(plan)
            while True:
                request = plan.send(await self._answer(request))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _answer(self, request: Request) -> Answer:
        tries = 1
        while True:
            try:
                return await self._send(request)
            except Busy as error:
                if not request.is_repeatable:
                    raise
                tries += 1
                await _sleep(self._pause_before(tries, error))

    async def _send(self, request: Request) -> Answer:
        import httpx

        try:
            content = _later(request.body) if isinstance(request.body, Path) else request.body
            async with self._http.stream(content=content, **self._arguments(request)) as response:
                answer = Answer(
                    status_code=response.status_code,
                    headers=_headers(response),
                    body=await self._body(request, response),
                )
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return self._judged(request, answer)

    async def _body(self, request: Request, response: "httpx.Response") -> bytes:
        if response.is_error:
            return await response.aread()
        if request.save_to is not None:
            file = await asyncio.to_thread(request.save_to.open, "wb")
            with file:
                async for part in response.aiter_bytes(PART_SIZE):
                    await asyncio.to_thread(file.write, part)
            return b""
        if request.on_event is not None and _is_stream(response):
            parser = EventParser()
            async for part in response.aiter_bytes():
                for event in parser.feed(part):
                    request.on_event(event)
            return b""
        return await response.aread()

    async def _listen(self, feed: Feed) -> AsyncIterator[Event]:
        import httpx

        request, parser = feed.request(), EventParser()
        try:
            async with self._http.stream(**self._arguments(request)) as response:
                if response.is_error:
                    raise failure(response.status_code, _headers(response), await response.aread())
                async for part in response.aiter_bytes():
                    for received in parser.feed(part):
                        event = feed.receive(received)
                        if event is not None:
                            yield event
                        if feed.is_over:
                            return
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error


async def _sleep(seconds: float) -> None:
    # The client runs in programs of others, which have no Clock of ours.
    await asyncio.sleep(seconds)  # noqa: TID251


def _headers(response: "httpx.Response") -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _is_stream(response: "httpx.Response") -> bool:
    return str(response.headers.get("content-type", "")).startswith(EVENT_STREAM)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(PART_SIZE):
            yield part


async def _later(path: Path) -> AsyncIterator[bytes]:
    """The parts of a file, each read when it is wanted and away from the event loop."""
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        while part := await asyncio.to_thread(file.read, PART_SIZE):
            yield part
