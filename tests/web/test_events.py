"""Server-sent events: what is sent, and the four ends of a stream."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from runyard.model.errors import Unauthenticated
from runyard.web.asgi import Message
from runyard.web.events import EventStream, OpenStreams, ServerSentEvent

SOON = timedelta(milliseconds=1)


class Reader:
    """The other end of a connection."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone = asyncio.Event()
        self.arrived = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        self.arrived.set()

    @property
    def text(self) -> str:
        return b"".join(m.get("body", b"") for m in self.messages).decode()

    async def until(self, words: str) -> None:
        while words not in self.text:
            self.arrived.clear()
            await self.arrived.wait()


async def valid() -> None:
    """The token is as good as it was."""


def events(*found: ServerSentEvent, ends: bool = True) -> AsyncGenerator[ServerSentEvent, None]:
    async def generate() -> AsyncGenerator[ServerSentEvent, None]:
        for event in found:
            yield event
        if not ends:
            await asyncio.Event().wait()

    return generate()


def test_an_event_is_one_block() -> None:
    event = ServerSentEvent("state", {"text": "two\nlines"}, "7")

    assert event.encode() == b'event: state\nid: 7\ndata: {"text":"two\\nlines"}\n\n'


async def test_a_stream_ends_with_its_source() -> None:
    reader = Reader()
    source = events(ServerSentEvent("a", 1), ServerSentEvent("b", 2))

    await EventStream(source, OpenStreams(), valid).send(reader.receive, reader.send)

    assert reader.text == "event: a\ndata: 1\n\nevent: b\ndata: 2\n\n"
    assert reader.messages[-1].get("more_body", False) is False


async def test_a_stream_ends_with_its_reader() -> None:
    reader = Reader()
    stream = EventStream(events(ServerSentEvent("a", 1), ends=False), OpenStreams(), valid)

    async with asyncio.TaskGroup() as group:
        group.create_task(stream.send(reader.receive, reader.send))
        await reader.until("data: 1")
        reader.gone.set()

    assert reader.text == "event: a\ndata: 1\n\n"


async def test_a_stream_ends_with_its_server() -> None:
    reader, streams = Reader(), OpenStreams()
    stream = EventStream(events(ServerSentEvent("a", 1), ends=False), streams, valid)

    async with asyncio.TaskGroup() as group:
        group.create_task(stream.send(reader.receive, reader.send))
        await reader.until("data: 1")
        streams.end()

    assert streams.is_ending


async def test_a_quiet_stream_is_kept_alive() -> None:
    reader = Reader()
    stream = EventStream(events(ends=False), OpenStreams(), valid, keep_alive=SOON)

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(stream.send(reader.receive, reader.send))
        async with asyncio.timeout(10):
            while reader.text.count(": keep-alive\n\n") < 2:
                await asyncio.wait([sending], timeout=SOON.total_seconds())
        reader.gone.set()


async def without_end() -> AsyncGenerator[ServerSentEvent, None]:
    number = 0
    while True:
        yield ServerSentEvent("a", number)
        await asyncio.wait([asyncio.ensure_future(turn())])
        number += 1


async def turn() -> None:
    """Let others have their turn."""


async def test_a_stream_with_events_all_the_time_ends_with_its_token() -> None:
    # It was looked at only while nothing happened: a busy stream outlived a revoked token for ever.
    reader, looks = Reader(), 0

    async def valid_twice() -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise Unauthenticated

    stream = EventStream(without_end(), OpenStreams(), valid_twice, look=SOON)
    async with asyncio.timeout(10):
        await stream.send(reader.receive, reader.send)

    assert looks == 3


async def test_a_stream_that_nobody_reads_ends_with_its_token() -> None:
    stuck, ended = asyncio.Event(), 0

    async def revoked() -> None:
        raise Unauthenticated

    async def send(message: Message) -> None:
        nonlocal ended
        if message.get("more_body"):
            await stuck.wait()
        ended += message["type"] == "http.response.body"

    stream = EventStream(without_end(), OpenStreams(), revoked, look=SOON)
    async with asyncio.timeout(10):
        await stream.send(Reader().receive, send)

    assert ended == 1


async def test_a_stream_of_work_does_not_take_the_bodys_messages() -> None:
    reader = Reader()
    reader.gone.set()

    await EventStream(events(ServerSentEvent("a", 1)), OpenStreams()).send(
        reader.receive, reader.send
    )

    assert "data: 1" in reader.text


async def test_head_gets_the_headers_alone() -> None:
    reader = Reader()

    await EventStream(events(ends=False), OpenStreams(), valid).send_head(reader.send)

    assert reader.text == ""
    assert reader.messages[0]["status"] == 200
