"""The same measurement for every peer, run by a producer program in the peer's environment.

End to end means: from just before the first start is sent until the peer has recorded the last one as done.
Pick-up means: from just before a start is sent on an idle system until the first line of the task's code, both
read from the machine's monotonic clock, which all processes share.
"""

import argparse
import contextlib
import json
import math
import os
import random
import socket
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

BATCH = 100
PRODUCERS = 16
_DEADLINE_SECONDS = 300.0


class Peer(ABC):
    """What a peer must be able to do to be measured; a worker of it is running already."""

    has_batches = True

    @abstractmethod
    def start(self, count: int, producers: int) -> None:
        """Start no-op tasks one by one, by so many producers at the same time."""

    @abstractmethod
    def start_batches(self, count: int, producers: int) -> None:
        """Start no-op tasks in batches of BATCH by the peer's own call for that."""

    @abstractmethod
    def finished(self) -> int:
        """How many tasks are recorded as done since the beginning."""

    @abstractmethod
    def start_timed(self, address: str) -> None:
        """Start one task that reports when it was sent and when it began to this socket address."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all connections."""


def report_start(sent_ns: int, address: str) -> None:
    """Called as the first line of a timed task: tell the waiting producer how long the way took."""
    took = time.monotonic_ns() - sent_ns
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reporting:
        reporting.sendto(str(took).encode(), address)


def end_to_end(peer: Peer, count: int, producers: int, *, batched: bool = False) -> float:
    """Tasks a second from the first start to the last recorded completion."""
    before = peer.finished()
    began = time.monotonic()
    (peer.start_batches if batched else peer.start)(count, producers)
    _wait_finished(peer, before + count)
    return count / (time.monotonic() - began)


def _wait_finished(peer: Peer, wanted: int) -> None:
    end = time.monotonic() + _DEADLINE_SECONDS
    while (seen := peer.finished()) < wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{seen} of {wanted} tasks are done")
        time.sleep(0.02)


def pick_up(peer: Peer, samples: int) -> list[float]:
    """Milliseconds from sending a start to the task's first line, one at a time on an idle system."""
    with _listening() as (listener, address):
        took = []
        for _ in range(samples):
            time.sleep(random.uniform(0.05, 0.15))
            peer.start_timed(address)
            took.append(int(listener.recv(64)) / 1e6)
    return took


@contextlib.contextmanager
def _listening() -> Iterator[tuple[socket.socket, str]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        address = str(Path(folder) / "starts")
        listener.bind(address)
        os.chmod(folder, 0o711)
        os.chmod(address, 0o777)
        listener.settimeout(30)
        yield listener, address


def shares(count: int, producers: int, size: int = 1) -> list[int]:
    """How many tasks each producer starts: whole batches of a size, the first producer takes what is left."""
    even = count // producers // size * size
    return [count - even * (producers - 1)] + [even] * (producers - 1)


def percentile(values: list[float], part: float) -> float:
    """The nearest-rank percentile, `part` in (0, 1]."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def plan_from_arguments() -> argparse.Namespace:
    """What the benchmark asks of this producer program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--count", type=int, required=True, help="tasks of one throughput figure")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument(
        "--samples", type=int, required=True, help="of the pick-up time, over all rounds"
    )
    return parser.parse_args()


def measure(peer: Peer, plan: argparse.Namespace) -> None:
    """Measure what the plan asks and write every metric's values, one a round, to stdout as JSON."""
    figures: dict[str, list[float]] = {}
    end_to_end(peer, 200, 4)  # warm
    for _ in range(plan.rounds):
        time.sleep(1)
        figures.setdefault("one_by_one", []).append(end_to_end(peer, plan.count, PRODUCERS))
        figures.setdefault("one_by_one_1", []).append(end_to_end(peer, plan.count // 2, 1))
        if peer.has_batches:
            count = math.ceil(plan.count / BATCH) * BATCH * 2
            batches = [end_to_end(peer, count, producers, batched=True) for producers in (1, 4)]
            figures.setdefault("batched", []).append(max(batches))
        time.sleep(1)
        took = pick_up(peer, plan.samples // plan.rounds)
        figures.setdefault("pickup_p50", []).append(percentile(took, 0.50))
        figures.setdefault("pickup_p99", []).append(percentile(took, 0.99))
    peer.close()
    json.dump(figures, sys.stdout)
