"""Inside a zygote: fork children on request, end them on request, report their end.

One loop, one thread. It imports nothing of anybody's task code. Everything that a child leaves
behind is adopted here and killed before the child's end is reported.
"""

import gc
import os
import select
import signal
import socket
import sys
import traceback
from array import array

import msgspec

from runyard.worker import child_main, isolation
from runyard.worker.descendants import children_of, end_tree
from runyard.worker.packets import (
    PACKET_LIMIT,
    ChildSpec,
    Exited,
    Fork,
    Forked,
    KillChild,
    NotForked,
    ZygoteReady,
    decode_from_pool,
    encode,
)
from runyard.worker.zygote_spec import ZygoteSpec

DESCRIPTORS_PER_CHILD = 4


def main(text: str) -> None:
    """Be a zygote until the worker ends."""
    spec = msgspec.json.decode(text, type=ZygoteSpec)
    # Not SIGKILL: whatever the children started must end with them, and that takes a zygote.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    isolation.die_with_parent(spec.worker, signal.SIGUSR1)
    isolation.adopt_descendants()
    os.setsid()
    Zygote(spec).serve()


class Zygote:
    """The state of one zygote: its children by the number that the worker gave them."""

    def __init__(self, spec: ZygoteSpec) -> None:
        self._spec = spec
        self._socket = socket.socket(fileno=spec.socket)
        os.set_inheritable(spec.socket, False)  # noqa: FBT003 - the standard library's signature
        self._numbers: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._wake, wakeup = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakeup, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Do what the worker asks until its end of the socket is closed."""
        own_users, detail = self._prepare_users()
        gc.collect()
        gc.freeze()
        self._say(ZygoteReady(own_users, detail))
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                self._drain_wakeups()
                self._reap()
            if os.getppid() != self._spec.worker:
                break
            if self._socket.fileno() in ready and not self._obey():
                break
        self._end_all()

    def _end_all(self) -> None:
        for pid in tuple(self._numbers):
            end_tree(pid)
            _wait_for(pid)
        self._numbers.clear()
        while self._end_strays():
            continue

    def _prepare_users(self) -> tuple[bool, str]:
        if not self._spec.own_users:
            return False, ""
        try:
            isolation.make_reachable(self._spec.reachable)
        except OSError as error:
            return False, f"children of other users would not reach their code: {error}"
        return True, ""

    def _obey(self) -> bool:
        data, descriptors = self._receive()
        if not data:
            return False
        match decode_from_pool(data):
            case Fork(number, spec):
                self._fork(number, spec, descriptors)
            case KillChild(number):
                self._kill(number)
        return True

    def _receive(self) -> tuple[bytes, list[int]]:
        room = socket.CMSG_SPACE(DESCRIPTORS_PER_CHILD * array("i").itemsize)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                PACKET_LIMIT, room, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:  # the pool closed with something of this zygote's unread
            return b"", []
        descriptors = array("i")
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
        return data, list(descriptors)

    def _fork(self, number: int, spec: ChildSpec, descriptors: list[int]) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._close(descriptors)
            self._say(NotForked(number, error.strerror or str(error)))
            return
        if pid == 0:
            self._become_child(zygote, spec, descriptors)
        self._close(descriptors)
        self._numbers[pid] = number
        self._pids[number] = pid
        self._say(Forked(number, pid))

    def _close(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_child(self, zygote: int, spec: ChildSpec, descriptors: list[int]) -> None:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            child_main.live(zygote, spec, descriptors, self._spec)
        except BaseException:  # noqa: BLE001 - the last frame of a child: nobody else would see it
            traceback.print_exc()
        finally:
            # Nothing of the zygote's own loop may go on in a child, whatever happened.
            os._exit(70)

    def _kill(self, number: int) -> None:
        pid = self._pids.get(number)
        if pid is not None:
            end_tree(pid)

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            return

    def _reap(self) -> None:
        ended = self._collect()
        while self._end_strays():
            ended += self._collect()
        for number, code in ended:
            self._say(Exited(number, code))

    def _collect(self) -> list[tuple[int, int]]:
        ended: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            number = self._numbers.pop(pid, None)
            if number is not None:
                self._pids.pop(number, None)
                ended.append((number, os.waitstatus_to_exitcode(status)))

    def _end_strays(self) -> bool:
        """Kill what children left behind. Whether there was anything."""
        strays = [pid for pid in children_of(os.getpid()) if pid not in self._numbers]
        for pid in strays:
            end_tree(pid)
        for pid in strays:
            _wait_for(pid)
        return bool(strays)

    def _say(self, packet: ZygoteReady | Forked | Exited | NotForked) -> None:
        try:
            self._socket.send(encode(packet))
        except OSError:
            sys.exit(0)


def _wait_for(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
