"""Heads that came before: what takes the short way, and that nobody can tell by what comes of it."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.server.short_ways import MOST_HEADS, KnownHeads
from tests.support.certificates import self_signed
from tests.support.short_ways import Exchanges, bodies_of, request, serving

BODY = b"0123456789"
KNOWN = request(BODY)
END = KNOWN.find(b"\r\n\r\n") + 4


@pytest.fixture
async def there(memory_path: Path) -> Exchanges:
    """A server that knows a head, and how its connections take single packets."""
    exchanges = Exchanges(memory_path)
    await exchanges.knows(KNOWN)
    return exchanges


@asynccontextmanager
async def connected(
    port: int, **more: object
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)  # type: ignore[arg-type]
    try:
        yield reader, writer
    finally:
        writer.close()


async def body_from(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer."""
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
        return await reader.readexactly(int(lines[b"content-length"]))


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


# ---------------------------------------------------------------- which way


async def test_a_head_takes_the_short_way_from_the_second_time_on(memory_path: Path) -> None:
    exchanges = Exchanges(memory_path)
    line = exchanges.line()

    for each, body in enumerate([b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"]):
        await line.send([request(body)])
        await line.answers(each + 1)

    assert bodies_of(line.written) == [
        b"ordinary:0123456789",
        b"short:abcdefghij",
        b"short:ABCDEFGHIJ",
    ]


@pytest.mark.parametrize(
    ("packets", "way"),
    [
        ([KNOWN], b"short"),
        ([KNOWN[:END], KNOWN[END:]], b"short"),
        ([KNOWN[: END + 3], KNOWN[END + 3 : END + 4], KNOWN[END + 4 :]], b"short"),
        ([KNOWN[:END], *(KNOWN[at : at + 1] for at in range(END, len(KNOWN)))], b"short"),
        ([KNOWN[:20], KNOWN[20:]], b"ordinary"),
        ([KNOWN[: END - 1], KNOWN[END - 1 :]], b"ordinary"),
        ([KNOWN[:3], KNOWN[3:]], b"ordinary"),
        ([b"\r\n" + KNOWN], b"ordinary"),
        ([b"\r\n", KNOWN], b"ordinary"),
    ],
)
async def test_a_known_head_in_one_piece_takes_it_wherever_its_body_is_cut(
    there: Exchanges, packets: list[bytes], way: bytes
) -> None:
    line = there.line()

    await line.send(packets)

    assert await line.answers(1) == [way + b":" + BODY]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.0\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        request(b"abc", b"connection: close\r\n"),
        request(b"abc", b"Connection: keep-alive, close\r\n"),
        request(b"abc", b"connection: keep-alive\r\nconnection: close\r\n"),
        request(b"abc", b"proxy-connection: close\r\n"),
        request(b"abc", b"expect: 100-continue\r\n"),
        request(b"abc", b"upgrade: h2c\r\n"),
        request(b"abc", b"x: " + b"y" * 4096 + b"\r\n"),
        request(b"x" * 65_537),
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3 \r\n\r\nabc",
        request(b"abc") + request(b"def"),
        b"\r\n" + request(b"abc"),
    ],
)
async def test_a_head_that_means_more_than_one_request_is_not_kept(
    memory_path: Path, sent: bytes
) -> None:
    exchanges = Exchanges(memory_path)

    for _ in range(3):
        line = exchanges.line()
        await line.send([sent])
        answers = await line.answers(1)

        assert answers[0].startswith(b"ordinary:")
    assert not exchanges.heads._known


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /echo HTTP/1.1\nhost: x\ncontent-length: 3\n\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\nabc\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\n y\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0x3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length : 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\x00\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n",
    ],
)
async def test_heads_that_readers_might_cut_elsewhere_are_refused_each_time(
    there: Exchanges, sent: bytes
) -> None:
    known = dict(there.heads._known)
    for _ in range(2):
        line = there.line()
        await line.send([KNOWN, sent, KNOWN])

        assert await line.answers(3) == [b"short:" + BODY, b"HTTP/1.1 400 Bad Request"]
        assert line.is_closing()
    assert there.heads._known == known


async def test_a_shortcut_that_declines_leaves_the_whole_request_to_the_ordinary_way(
    there: Exchanges,
) -> None:
    line = there.line()
    there.echo.declines = True
    await line.send([KNOWN])
    await line.answers(1)
    await line.send([KNOWN[:END], KNOWN[END:]])
    await line.answers(2)
    there.echo.declines = False
    await line.send([KNOWN])

    assert await line.answers(3) == [b"ordinary:" + BODY] * 2 + [b"short:" + BODY]


def test_the_heads_that_are_kept_are_bounded() -> None:
    class Never:
        def take(self, body: bytes, exchange: object) -> bool:
            raise AssertionError

    heads = KnownHeads()
    for each in range(MOST_HEADS * 3):
        heads.keep(b"%d" % each, 1, Never())

    assert len(heads._known) <= MOST_HEADS
    assert heads.find(b"%d" % (MOST_HEADS * 3 - 1)) is not None


# ---------------------------------------------------------------- where requests end


async def test_a_body_that_looks_like_a_known_request_is_a_body(there: Exchanges) -> None:
    """Answered before it has come: what comes then is no request, whatever it looks like."""
    inner = KNOWN
    outer = request(inner, b"x: outer\r\n")
    end = len(outer) - len(inner)
    there.echo.reads = False
    line = there.line()
    await line.send([outer[:end]])
    assert await line.answers(1) == [b"ordinary:"]

    await line.send([outer[end:], KNOWN])

    assert await line.answers(2) == [b"ordinary:", b"ordinary:"]
    assert not there.echo.waiting


@pytest.mark.parametrize("pace", ["quick", "slow"])
async def test_what_follows_a_body_is_never_a_part_of_it(there: Exchanges, pace: str) -> None:
    there.echo.is_slow = pace == "slow"
    line = there.line()

    await line.send([KNOWN[:END], KNOWN[END:], b"XYZ / HTTP/9.9\r\n\r\n"])
    if there.echo.is_slow:
        there.echo.answer()

    assert await line.answers(3) == [b"short:" + BODY, b"HTTP/1.1 400 Bad Request"]
    assert line.is_closing()


@pytest.mark.parametrize("more", [b"X", b"XYZ / HTTP/9.9\r\n\r\n"])
async def test_a_packet_with_more_than_a_request_is_left_to_the_parser(
    there: Exchanges, more: bytes
) -> None:
    line = there.line()
    await line.send([KNOWN + more, b"\r\n\r\n"])

    assert (await line.answers(2))[-1] == b"HTTP/1.1 400 Bad Request"
    assert line.is_closing()
    assert b"short" not in line.written


async def test_what_comes_while_an_answer_is_made_is_answered_afterwards_in_order(
    there: Exchanges,
) -> None:
    there.echo.is_slow = True
    line = there.line()
    await line.send([KNOWN, request(b"a" * 10) + request(b"b" * 10), request(b"c" * 10)[:20]])
    await line.send([request(b"c" * 10)[20:] + request(b"d" * 10)])
    assert line.written == b""

    there.echo.answer()

    expected = [b"short:" + BODY, *(b"ordinary:" + each * 10 for each in (b"a", b"b", b"c", b"d"))]
    assert await line.answers(5) == expected


async def test_what_comes_just_after_an_answer_waits_for_what_came_before_it(
    there: Exchanges,
) -> None:
    there.echo.is_slow = True
    line = there.line()
    await line.send([KNOWN, request(b"a" * 10)])
    there.echo.is_slow = False

    there.echo.answer()
    line.protocol.data_received(request(b"b" * 10))  # in the very same turn of the loop

    answers = await line.answers(3)
    assert [each.partition(b":")[2] for each in answers] == [BODY, b"a" * 10, b"b" * 10]


async def test_what_is_held_while_an_answer_is_made_is_bounded(there: Exchanges) -> None:
    there.echo.is_slow = True
    line = there.line()
    many = KNOWN * 10

    sent = 0
    await line.send([KNOWN])
    while line.is_read and sent < 10_000:
        await line.send([many])
        sent += 1
    assert sent * len(many) < 128 * 1024
    there.echo.answer()

    answers = await line.answers(1 + sent * 10)
    assert answers[0] == b"short:" + BODY
    assert answers[1:] == [b"ordinary:" + BODY] * (sent * 10)


@pytest.mark.parametrize("seed", range(60))
async def test_however_requests_are_cut_into_packets_each_gets_its_own_answer(
    there: Exchanges, seed: int
) -> None:
    chance = random.Random(seed)
    there.echo.declines = chance.random() < 0.2
    bodies = [
        chance.choice([b"%010d" % each, b"%d" % each, KNOWN[: chance.randrange(30)], b"\r\n\r\n"])
        for each in range(20)
    ]
    stream = b"".join(map(request, bodies))
    likely = [at for at in range(len(stream)) if stream[at:].startswith((b"POST", b"\r\n\r\n"))]
    places = [*chance.sample(likely, 20), *chance.sample(range(len(stream)), chance.randrange(20))]
    cuts = [0, *sorted({min(at + chance.choice([0, 0, 4]), len(stream)) for at in places})]
    packets = [stream[a:b] for a, b in zip(cuts, [*cuts[1:], len(stream)], strict=True) if a < b]
    line = there.line()

    await line.send(packets)

    answers = await line.answers(len(bodies))
    assert [answer.partition(b":")[2] for answer in answers] == bodies


async def test_connections_with_the_same_head_get_their_own_answers(there: Exchanges) -> None:
    there.echo.is_slow = True
    lines = [there.line() for _ in range(50)]
    for each, line in enumerate(lines):
        await line.send([request(b"%010d" % each)])

    random.Random(1).shuffle(there.echo.waiting)
    while there.echo.waiting:
        there.echo.answer()

    for each, line in enumerate(lines):
        assert bodies_of(line.written) == [b"short:%010d" % each]


# ---------------------------------------------------------------- ends


async def test_an_answer_for_a_caller_who_has_left_goes_nowhere(memory_path: Path) -> None:
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        exchanges.echo.is_slow = True
        async with connected(exchanges.port) as (_, writer):
            writer.write(KNOWN)
            await exchanges.echo.has_waiting()
        await until_alone(exchanges)
        exchanges.echo.answer()
        exchanges.echo.is_slow = False

        async with connected(exchanges.port) as (reader, writer):
            writer.write(KNOWN)
            assert await body_from(reader) == b"short:" + BODY


async def until_alone(exchanges: Exchanges) -> None:
    """Return once the server has no connection; nothing tells."""
    async with asyncio.timeout(20):
        while exchanges.http.server_state.connections:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)  # noqa: TID251


async def test_nothing_is_left_of_a_connection_that_broke_within_a_body(memory_path: Path) -> None:
    """Its timer was set again and again."""
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        async with connected(exchanges.port) as (reader, writer):
            writer.write(KNOWN)
            await body_from(reader)
            [connection] = exchanges.http.server_state.connections
            writer.write(KNOWN[: END + 2])
            async with asyncio.timeout(20):
                while not connection._begun:  # type: ignore[union-attr]  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # noqa: TID251 - nothing tells
            handle = writer.get_extra_info("socket")
            reset = struct.pack("ii", 1, 0)
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.transport.abort()
        await until_alone(exchanges)
        before = connection.timeout_keep_alive_task
        connection.timeout_keep_alive_handler()  # type: ignore[union-attr]

        assert before is not None  # a broken connection does not cancel it
        assert connection.timeout_keep_alive_task is before


@pytest.mark.parametrize("sent", [KNOWN[:END], KNOWN[:-1]])
async def test_a_body_that_does_not_come_is_not_waited_for(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("runyard.server.connections._PATIENCE", timedelta(milliseconds=300))
    monkeypatch.setattr("runyard.server.http._LOOK_EVERY", 1)
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        async with connected(exchanges.port) as (reader, writer):
            writer.write(KNOWN)
            assert await body_from(reader) == b"short:" + BODY
            writer.write(sent)

            assert await rest(reader) == b""


async def test_a_caller_is_waited_for_as_long_as_the_answer_takes(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.server.connections._PATIENCE", timedelta(milliseconds=100))
    monkeypatch.setattr("runyard.server.http._LOOK_EVERY", 1)
    monkeypatch.setattr("runyard.server.http._KEEP_ALIVE", timedelta(seconds=1))
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        async with connected(exchanges.port) as (reader, writer):
            writer.write(KNOWN)
            await body_from(reader)  # which sets the timer of a second
            exchanges.echo.is_slow = True
            writer.write(KNOWN)
            await exchanges.echo.has_waiting()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await reader.read(1)
            exchanges.echo.answer()

            assert await body_from(reader) == b"short:" + BODY
            assert await rest(reader) == b""  # then it is closed for doing nothing


async def test_a_caller_who_never_reads_loses_the_connection(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.server.connections._PATIENCE", timedelta(milliseconds=300))
    monkeypatch.setattr("runyard.server.http._LOOK_EVERY", 1)
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        exchanges.echo.more = bytes(30_000_000)
        async with connected(exchanges.port) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(KNOWN)
            await until_alone(exchanges)
            writer.transport.resume_reading()  # type: ignore[attr-defined]

            assert len(await rest(reader)) < 30_000_000


async def test_a_server_that_stops_answers_what_it_has_begun(memory_path: Path) -> None:
    async with serving(memory_path) as exchanges:
        await exchanges.knows(KNOWN)
        exchanges.echo.is_slow = True
        async with (
            connected(exchanges.port) as (idle, _),
            connected(exchanges.port) as (waiting, asking),
            connected(exchanges.port) as (half, sending),
        ):
            asking.write(KNOWN)
            await exchanges.echo.has_waiting()
            sending.write(KNOWN[: END + 2])
            async with asyncio.timeout(20):
                while not any(c._begun for c in exchanges.http.server_state.connections):  # type: ignore[union-attr]  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # noqa: TID251 - nothing tells
            exchanges.http.should_exit = True
            assert await rest(idle) == b""
            sending.write(KNOWN[END + 2 :])
            exchanges.echo.answer()

            answered, read = await rest(waiting), await rest(half)

    assert bodies_of(answered) == [b"short:" + BODY]
    assert bodies_of(read) == [b"ordinary:" + BODY]
    for each in (answered, read):
        assert b"\r\nconnection: close\r\n" in each


async def test_too_many_connections_are_refused_on_either_way(memory_path: Path) -> None:
    async with (
        serving(memory_path, connections_limit=2) as exchanges,
        connected(exchanges.port) as (reader, writer),
    ):
        writer.write(KNOWN)
        assert await body_from(reader) == b"ordinary:" + BODY
        async with connected(exchanges.port) as (other, asking):
            asking.write(KNOWN)
            assert await body_from(other) == b"Service Unavailable"
        while len(exchanges.http.server_state.connections) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # noqa: TID251 - nothing tells
        writer.write(KNOWN)
        assert await body_from(reader) == b"short:" + BODY


async def test_the_short_way_is_there_over_tls(memory_path: Path) -> None:
    certificate, key = self_signed(memory_path)
    given = {"tls_cert": str(certificate), "tls_key": str(key)}
    trusting = ssl.create_default_context(cafile=str(certificate))

    async with (
        serving(memory_path, **given) as exchanges,
        connected(exchanges.port, ssl=trusting) as (reader, writer),
    ):
        answers = []
        for packets in ([KNOWN], [KNOWN], [KNOWN[:END], KNOWN[END:]]):
            for packet in packets:
                writer.write(packet)
                await writer.drain()
            answers.append(await body_from(reader))

    assert answers == [b"ordinary:" + BODY, b"short:" + BODY, b"short:" + BODY]
