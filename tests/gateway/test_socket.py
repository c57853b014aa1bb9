"""A worker's WebSocket: bounded both ways, and over when nobody is at the other end (R12)."""

import asyncio
from datetime import timedelta

import pytest

from runyard.gateway.socket import MOST_UNSENT, MUCH_UNSENT, SocketTransport
from runyard.protocol import frames
from runyard.protocol.codec import encode

LONG = timedelta(minutes=5)
PART = frames.BlobPart("d" * 64, 0, b"x" * frames.PART_SIZE, 10**9)


class Peer:
    """The other end, as the server below sees it: reads when it is told to."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()
        self.sent: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.got: list[dict[str, object]] = []
        self.heard: list[frames.FromWorker] = []
        self.closed: list[str] = []

    async def receive(self) -> dict[str, object]:
        return await self.sent.get()

    async def send(self, message) -> None:
        await self.reads.wait()
        self.got.append(message)

    def transport(self) -> SocketTransport:
        made = SocketTransport(self.receive, self.send)
        made.listen(self.heard.extend, self.closed.append)
        return made

    def says(self, frame: frames.FromWorker) -> None:
        self.sent.put_nowait({"type": "websocket.receive", "bytes": encode(frame)})


async def test_a_worker_that_does_not_read_loses_its_connection_before_memory_is_full() -> None:
    peer = Peer(reads=False)
    transport = peer.transport()

    count = MOST_UNSENT // len(PART.data) + 10
    for _ in range(count):
        transport.send(PART)
    running = asyncio.ensure_future(transport.run(LONG))
    peer.reads.set()
    await asyncio.wait_for(running, 20)

    assert peer.closed == ["the worker does not read what it is sent"]
    assert len(peer.got) < count // 2


async def test_what_can_wait_waits_until_the_worker_has_read() -> None:
    peer = Peer(reads=False)
    transport = peer.transport()
    running = asyncio.ensure_future(transport.run(LONG))
    sent = 0
    try:
        while (sent + 1) * len(encode(PART)) <= MUCH_UNSENT:
            await asyncio.wait_for(transport.drained(), 5)
            transport.send(PART)
            sent += 1
        transport.send(PART)
        waiting = asyncio.ensure_future(transport.drained())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.2)
        peer.reads.set()
        await asyncio.wait_for(waiting, 5)
    finally:
        transport.close()
        await asyncio.wait_for(running, 20)


async def test_a_silent_connection_is_over() -> None:
    peer = Peer()

    await asyncio.wait_for(peer.transport().run(timedelta(milliseconds=50)), 20)

    assert peer.closed == ["no sign of life from the worker"]


async def test_the_last_words_are_sent_before_the_end() -> None:
    peer = Peer()
    transport = peer.transport()
    transport.send(frames.Refusal("locked", "because"))
    transport.close("because")

    await asyncio.wait_for(transport.run(LONG), 20)

    assert [message["type"] for message in peer.got] == ["websocket.send", "websocket.close"]
    assert peer.got[1]["reason"] == "because"


async def test_a_reason_that_is_long_is_cut_where_a_character_ends() -> None:
    peer = Peer()
    transport = peer.transport()
    transport.close("ž" * 500)

    await asyncio.wait_for(transport.run(LONG), 20)

    assert peer.got[0]["reason"] == "ž" * 60


async def test_what_comes_is_heard_in_order_until_it_breaks_off() -> None:
    peer = Peer()
    peer.says(frames.Capacity(1))
    peer.says(frames.Capacity(2))
    peer.sent.put_nowait({"type": "websocket.disconnect", "code": 1006})

    await asyncio.wait_for(peer.transport().run(LONG), 20)

    assert peer.heard == [frames.Capacity(1), frames.Capacity(2)]
    assert peer.closed == ["the connection broke off"]
