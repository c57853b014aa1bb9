"""The tasks of the torture test. While they execute they say so, outside of Runyard, to whoever listens.

A message is `kind mark process begun_at now`, instants in seconds since 1970: every machine of
the test is this one, so its clock orders what happened.
"""

import os
import signal
import socket
import time

from runyard import Retry, task

BEAT = 0.02
STUBBORN = Retry(retries=200, delay="100ms", cap="200ms")


class Witness:
    """Tells of one execution, by datagrams, which no death can hold back."""

    def __init__(self, mark: str, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._head = f"{mark} {os.getpid()} {_now()}"

    def tell(self, kind: str) -> None:
        """Say that it has begun, is still there, or has ended."""
        self._socket.sendto(f"{kind} {self._head} {_now()}".encode(), self._to)

    def stay(self, seconds: float) -> None:
        """Execute for so long, in sight."""
        self.tell("begun")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(BEAT, left))
            self.tell("there")
        self.tell("ended")
        self._socket.close()


def _now() -> str:
    return f"{time.time():.6f}"  # noqa: TID251 - a task keeps its own time


@task("Chore", timeout="60s", retry=STUBBORN)
def chore(mark: str, port: int, seconds: float = 0.0) -> str:
    """Any number of these may execute at once."""
    Witness(mark, port).stay(seconds)
    return mark


@task("Single", timeout="60s", retry=STUBBORN, concurrency=1)
def single(mark: str, port: int, seconds: float = 0.0) -> str:
    """One of these at a time."""
    Witness(mark, port).stay(seconds)
    return mark


@task("Pair", timeout="60s", retry=STUBBORN, concurrency=2)
def pair(mark: str, port: int, seconds: float = 0.0) -> str:
    """Two of these at a time."""
    Witness(mark, port).stay(seconds)
    return mark


@task("Suicide", timeout="10s", retry=Retry(retries=2, delay="100ms", cap="100ms"))
def suicide(mark: str, port: int) -> str:
    """Kills its own child, each time."""
    Witness(mark, port).tell("begun")
    os.kill(os.getpid(), signal.SIGKILL)
    return mark


@task("Tick", timeout="60s", retry=STUBBORN)
def tick(port: int) -> str:
    """What a schedule starts."""
    Witness("tick", port).stay(0.0)
    return "tick"
