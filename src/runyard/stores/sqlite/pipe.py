"""Frames on a socket: four bytes of length, then the body."""

import socket
import struct

_HEAD = struct.Struct("<I")
_CHUNK = 64 * 1024  # small enough for the allocator to keep at hand between reads


def framed(body: bytes) -> bytes:
    """A body as it goes over the socket."""
    return _HEAD.pack(len(body)) + body


class FrameBuffer:
    """Cuts received bytes into frames."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        self._received += data

    def next_frame(self) -> bytes | None:
        """The next whole frame, if there is one."""
        if len(self._received) < _HEAD.size:
            return None
        (length,) = _HEAD.unpack_from(self._received)
        end = _HEAD.size + length
        if len(self._received) < end:
            return None
        frame = bytes(memoryview(self._received)[_HEAD.size : end])
        del self._received[:end]
        return frame


class BlockingPipe:
    """Whole frames on a socket, for a process that does nothing else meanwhile."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = FrameBuffer()

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """The next frame; None when the other side is gone."""
        while (frame := self._buffer.next_frame()) is None:
            data = self._socket.recv(_CHUNK)
            if not data:
                return None
            self._buffer.feed(data)
        return frame

    def send(self, body: bytes) -> None:
        """Send a frame."""
        self._socket.sendall(framed(body))
