"""A caller that never rests, remembers what it was promised, and checks it at the end."""

import itertools
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from runyard.model.errors import RunyardError
from runyard.sdk.client import Client
from runyard.sdk.client.shapes import Run
from tests.support.house import House

CODE = Path(__file__).parent / "code.py"
COMPANY = "acme"
CALLERS = 4
MOST_WAITING = 30
"""Runs that may be under way before the callers wait a moment."""
PAGE = 200
PATIENCE = 60.0
PAUSE = 0.05
"""Seconds between two tries while the server is away."""
RECEIVE_BUFFER = 8 * 1024 * 1024


@dataclass
class History:
    """What was asked for, what was promised, and what was done."""

    asked: set[str] = field(default_factory=set)
    acknowledged: dict[str, int] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """How often each mark was left."""


class Load:
    """Starts runs from several threads; each mark is one run, however often it is asked for."""

    def __init__(self, *, task: str = "Mark", seconds: float = 0.0) -> None:
        self.history = History()
        self.house: House | None = None
        """The server to speak to; None while there is none."""
        self._task = task
        self._input = {"seconds": seconds} if seconds else {}
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self._is_closed = threading.Event()
        self._callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    @contextmanager
    def running(self) -> Iterator[History]:
        """The callers call while the block lasts; marks are counted until `close`."""
        listening = threading.Thread(target=self._listen)
        for thread in (listening, *self._callers):
            thread.start()
        try:
            yield self.history
        finally:
            self.rest()
            self._is_closed.set()
            listening.join()
            self._listener.close()

    def rest(self) -> None:
        """No further starts; what was started may still come to its end."""
        self._over.set()
        for thread in self._callers:
            thread.join()

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                self.history.done[self._listener.recv(200).decode()] += 1
            except TimeoutError:
                continue

    def _call(self) -> None:
        while not self._over.is_set():
            if len(self.history.acknowledged) - len(self.history.done) > MOST_WAITING:
                self._over.wait(PAUSE)
                continue
            mark = f"mark-{next(self._numbers)}"
            self.history.asked.add(mark)
            while mark not in self.history.acknowledged and not self._over.is_set():
                self._ask(mark)

    def _ask(self, mark: str) -> None:
        house = self.house
        if house is None:
            self._over.wait(PAUSE)
            return
        values = {"mark": mark, "port": self._listener.getsockname()[1], **self._input}
        try:
            with Client(house.url, house.token, company=COMPANY, tries=1) as client:
                started = client.start(self._task, values, key=mark)
        except RunyardError as problem:
            self.history.refusals[type(problem).__name__] += 1
            self._over.wait(PAUSE)
            return
        self.history.acknowledged[mark] = started.id


def furnish(house: House) -> None:
    """Make the company and deploy the tasks."""
    with Client(house.url, house.token, company=COMPANY) as client:
        client.create_company(COMPANY)
        client.deploy(CODE)


def check(house: House, history: History, *, at_least: int, may_fail: bool = False) -> list[Run]:
    """The promises, against what the server says in the end; all its runs.

    R1: whatever was acknowledged exists. R2: it came to its end. R3: it ended once, and what it was
    to do was done at least once. `at_least`: so many successes, or the test proves nothing.
    """
    with Client(house.url, house.token, company=COMPANY) as client:
        for run in history.acknowledged.values():
            ended = client.wait(run, timedelta(seconds=PATIENCE))
            assert ended.is_final, f"run {run} is {ended.state}: {client.explain(run)}"
            returned = [a for a in ended.attempts if a.outcome == "returned"]
            assert len(returned) == ended.has_succeeded, f"run {run} ended more than once"
            assert ended.has_succeeded or may_fail, f"run {run}: {ended.cause}, {ended.error}"
        runs = list(all_runs(client))
        diagnosis = client.doctor()
    assert all(c.ok for c in diagnosis.checks if c.name == "promises"), diagnosis
    marks = Counter(run.input["mark"] for run in runs)
    assert [mark for mark, count in marks.items() if count > 1] == [], "one key, several runs"
    assert set(marks) <= history.asked
    assert set(history.acknowledged) <= set(marks), "an acknowledged run is gone"
    succeeded = [run.input["mark"] for run in runs if run.has_succeeded]
    assert len(succeeded) >= at_least, history.refusals
    eventually(lambda: all(history.done[mark] for mark in succeeded), "a mark is missing")
    return runs


def all_runs(client: Client) -> Iterator[Run]:
    """Every run of the company, with its values."""
    page = client.runs(limit=PAGE, values=True)
    yield from page.items
    while page.next is not None:
        page = client.runs(limit=PAGE, values=True, after=page.next)
        yield from page.items


def eventually(holds: Callable[[], bool], problem: str) -> None:
    """Return once this holds; fail when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, problem
        time.sleep(0.01)


# ---------------------------------------------------------------- processes


def descendants(root: int) -> dict[int, int]:
    """Every living descendant of a process, with its parent."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found: dict[int, int] = {}
    edge = {root}
    while edge:
        edge = {pid for pid, parent in parents.items() if parent in edge} - found.keys()
        found.update({pid: parents[pid] for pid in edge})
    return found


def command(process: int) -> str:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def children_of_the_worker(server: int) -> list[int]:
    """The processes that execute tasks: forked, not started, so that they look like their parent."""
    family = descendants(server)
    return sorted(
        pid
        for pid, parent in family.items()
        if parent != server and command(pid) == command(parent)
    )


def writers(server: int) -> list[int]:
    """The processes that write the SQLite databases."""
    return [pid for pid in descendants(server) if "stores.sqlite.writer" in command(pid)]


def kill(process: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
