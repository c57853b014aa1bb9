"""The server's end of the socket to a writer process, and the life of that process."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

from runyard.stores.sqlite.pipe import FrameBuffer, framed
from runyard.stores.sqlite.writer import Hello, Welcome

_CHUNK = 64 * 1024  # small enough for the allocator to keep at hand between reads
_SOCKET_BUFFER = 1024 * 1024
_LAST_WRITES_SECONDS = 30


class WriterLink:
    """One writer process. Calls back once per frame and once at its end."""

    def __init__(
        self,
        hello: Hello,
        *,
        kept_open: Sequence[int],
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        """Start the process; `kept_open` are descriptors that it holds as long as it lives."""
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = FrameBuffer()
        self._unsent = memoryview(b"")
        self._socket, theirs = socket.socketpair()
        with theirs:
            for end in (self._socket, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
            self._process = _start_process(theirs, kept_open)
        self._socket.settimeout(0)
        self._loop.add_reader(self._socket.fileno(), self._receive)
        self.send(msgspec.msgpack.encode(hello))

    @property
    def writer_id(self) -> int:
        """The number that the system has given the writer's process."""
        return self._process.pid

    def send(self, body: bytes) -> None:
        """Send a frame; the rest of it follows by itself when the socket takes no more now."""
        data = memoryview(framed(body))
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The reader sees the end of the socket and says so.
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._socket.fileno(), self._send_rest)

    def _send_rest(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._let_go()
            self._process.wait()
            self._on_end()
            return
        self._buffer.feed(data)
        while (frame := self._buffer.next_frame()) is not None:
            self._on_frame(frame)

    def _let_go(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()

    async def close(self) -> None:
        """Let the writer checkpoint and end."""
        self._let_go()
        await self._loop.run_in_executor(None, self._wait)

    def _wait(self) -> None:
        try:
            self._process.wait(_LAST_WRITES_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start_process(theirs: socket.socket, kept_open: Sequence[int]) -> subprocess.Popen[bytes]:
    command = (
        sys.executable,
        *("-I", "-m", "runyard.stores.sqlite.writer"),
        *(str(theirs.fileno()), str(os.getpid())),
    )
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(), *kept_open), env={}
    )


def decode_welcome(frame: bytes) -> Welcome:
    """The writer's first frame."""
    return msgspec.msgpack.decode(frame, type=Welcome)
