"""The least that answers a call: decode, one round trip to a warm process with one call in flight, answer.

An ASGI application for uvicorn, which gets the same requests as `execute` and gives the same answers, but
looks at no token, checks no value, and keeps nothing. Its children are forked before the loop runs; a call
takes one that is idle, so no more execute at once than there are children, as with an allocation.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

CHILDREN = 2
_HEAD = struct.Struct("<I")
_JSON = (b"content-type", b"application/json")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Number(msgspec.Struct):
    type: str
    number: str


class _Numbers(msgspec.Struct):
    a: _Number
    b: _Number


class _Asked(msgspec.Struct):
    """The very body that `execute` gets."""

    numbers: _Numbers = msgspec.field(name="botInput")


def _serve(connection: socket.socket) -> None:
    """A child: add what comes, for ever."""
    decode, encode = msgspec.msgpack.Decoder(_Numbers).decode, msgspec.msgpack.Encoder().encode
    while head := connection.recv(4, socket.MSG_WAITALL):
        asked = decode(connection.recv(_HEAD.unpack(head)[0], socket.MSG_WAITALL))
        answer = encode({"result": float(asked.a.number) + float(asked.b.number)})
        connection.sendall(_HEAD.pack(len(answer)) + answer)
    os._exit(0)


def _forked() -> socket.socket:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.fork() == 0:
        here.close()
        _serve(there)
    there.close()
    here.settimeout(0)
    return here


class _Child(asyncio.Protocol):
    """The parent's side of a child: one call at a time."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= 4:
            size = _HEAD.unpack_from(self._buffer)[0]
            if len(self._buffer) >= 4 + size and self.answer is not None:
                self.answer.set_result(bytes(self._buffer[4 : 4 + size]))
                self._buffer.clear()

    async def ask(self, question: bytes) -> bytes:
        """The child's answer."""
        self.answer = asyncio.get_running_loop().create_future()
        self._transport.write(_HEAD.pack(len(question)) + question)  # type: ignore[attr-defined]
        return await self.answer


_sockets = [_forked() for _ in range(CHILDREN)]
_idle: asyncio.Queue[_Child] = asyncio.Queue()
_decode = msgspec.json.Decoder(_Asked).decode
_encode_question = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(dict[str, float]).decode
_encode = msgspec.json.Encoder().encode


async def _connect() -> None:
    while _sockets:
        connection = _sockets.pop()
        _, child = await asyncio.get_running_loop().create_connection(_Child, sock=connection)
        _idle.put_nowait(child)


async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Add two numbers in a child."""
    if _sockets:
        await _connect()
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    asked = _decode(body)
    child = await _idle.get()
    result = _decode_answer(await child.ask(_encode_question(asked.numbers)))
    _idle.put_nowait(child)
    outputs = {name: {"type": "NUMBER", "number": str(value)} for name, value in result.items()}
    out = _encode({"hotBotResult": {"botOutput": outputs}})
    headers = [_JSON, (b"content-length", b"%d" % len(out))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": out})
