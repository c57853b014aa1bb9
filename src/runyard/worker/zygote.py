"""A zygote as the worker sees it: a process to ask for children and for their end."""

import array
import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from runyard.worker.environments import Environment
from runyard.worker.packets import (
    PACKET_LIMIT,
    ChildSpec,
    Exited,
    Fork,
    Forked,
    FromPool,
    KillChild,
    NotForked,
    ZygoteReady,
    decode_from_zygote,
    encode,
)
from runyard.worker.zygote_spec import ZygoteSpec

_BOOT = (
    "import sys; sys.path += [{sdk!r}]; from runyard.worker.zygote_main import main; main({spec!r})"
)
_EMPTY_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}


class Told(NamedTuple):
    """Who is told what becomes of the children, each by its number, and of the zygote."""

    forked: Callable[[int, int], None]
    """It exists, as this process."""
    unborn: Callable[[int, str], None]
    """It never existed, and why."""
    exited: Callable[[int, int], None]
    """It is dead, with this status or minus this signal."""
    gone: Callable[["Zygote"], None]


class Zygote:
    """One running zygote. Requests made before it is ready are kept for it."""

    def __init__(
        self,
        environment: Environment,
        *,
        reachable: tuple[str, ...],
        own_users: bool,
        told: "Told",
    ) -> None:
        self.environment = environment
        self.own_users = False
        self.detail = ""
        self._ready: list[Callable[[], None]] | None = []
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = self._start(theirs, reachable, own_users=own_users)
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.settimeout(0)
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._unsent: list[tuple[bytes, tuple[int, ...]]] = []

    def _start(
        self, theirs: socket.socket, reachable: tuple[str, ...], *, own_users: bool
    ) -> "subprocess.Popen[bytes]":
        spec = ZygoteSpec(
            socket=theirs.fileno(),
            worker=os.getpid(),
            reachable=reachable,
            own_users=own_users,
            executable=self.environment.python,
            sdk=self.environment.sdk,
            packages=self.environment.packages,
        )
        boot = _BOOT.format(sdk=self.environment.sdk, spec=msgspec.json.encode(spec).decode())
        # The thread that starts it must outlive it (its parent-death signal says so): the loop's.
        # Neither the interpreter nor the packages of the environment: what requirements bring is
        # task code, and a zygote has the worker's rights.
        return subprocess.Popen(
            [self.environment.base_python, "-I", "-S", "-B", "-c", boot],
            stdin=subprocess.DEVNULL,
            env=_EMPTY_ENVIRONMENT,
            pass_fds=(theirs.fileno(),),
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call this once the zygote has said what it can do; at once when it has."""
        if self._ready is None:
            callback()
        else:
            self._ready.append(callback)

    def fork(self, number: int, spec: ChildSpec, descriptors: tuple[int, ...]) -> None:
        """Ask for a child that gets these descriptors; they may be closed afterwards."""
        self._ask(Fork(number, spec), descriptors)

    def kill(self, number: int) -> None:
        """Ask for the end of a child and of all that it started."""
        self._ask(KillChild(number), ())

    def close(self) -> None:
        """End the zygote, and its children with it."""
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._unsent.clear()
        self._process.wait()

    def _ask(self, packet: FromPool, descriptors: tuple[int, ...]) -> None:
        data = encode(packet)
        if self._unsent or not self._send(data, descriptors):
            self._keep(data, descriptors)

    def _send(self, data: bytes, descriptors: tuple[int, ...]) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._socket.sendmsg([data], rights if descriptors else [])
        except BlockingIOError:
            return False
        except OSError:
            return True  # It has gone; `_read` hears of it.
        return True

    def _keep(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        self._unsent.append((data, tuple(os.dup(descriptor) for descriptor in descriptors)))
        self._loop.add_writer(self._socket.fileno(), self._send_rest)

    def _send_rest(self) -> None:
        while self._unsent:
            data, descriptors = self._unsent[0]
            if not self._send(data, descriptors):
                return
            del self._unsent[0]
            for descriptor in descriptors:
                os.close(descriptor)
        self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(PACKET_LIMIT)
            except BlockingIOError:
                return
            except OSError:
                if self._socket.fileno() < 0:
                    return  # Closed by what the last packet led to.
                data = b""
            if not data:
                self.close()
                self._told.gone(self)
                return
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        match decode_from_zygote(data):
            case ZygoteReady(own_users, detail):
                self.own_users, self.detail = own_users, detail
                waiting, self._ready = self._ready or [], None
                for callback in waiting:
                    callback()
            case Forked(number, pid):
                self._told.forked(number, pid)
            case NotForked(number, reason):
                self._told.unborn(number, reason)
            case Exited(number, code):
                self._told.exited(number, code)
