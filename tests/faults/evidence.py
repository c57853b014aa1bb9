"""What happened, as seen from outside of Runyard, and what of it no promise allows.

Four sources: what callers were promised (`Promise`), what executing runs said of themselves
(`Execution`), during which time nothing was to start (`Silence`), and what the server tells of each
run in the end. `breaches` compares them.
"""

import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runyard.sdk.client.shapes import Run

RECEIVE_BUFFER = 8 * 1024 * 1024
TOLERANCE = 0.05
"""Seconds by which the clocks of two processes, as Runyard keeps them, may differ."""


def now() -> float:
    """Seconds since 1970: one machine's clock orders what all of its processes did."""
    return time.time()  # noqa: TID251 - the test's clock, and that of its tasks


@dataclass
class Promise:
    """A start that was acknowledged, and when its end was."""

    mark: str
    task: str
    run: int
    ended_at: float | None = None
    """When a caller was told that it had completed."""


@dataclass
class Execution:
    """One attempt's code, from the first word of it that was heard to the last."""

    mark: str
    process: int
    begun_at: float
    last_at: float
    has_ended: bool = False
    cut_at: float | None = None
    """When its machine was stopped: what it says after that proves nothing about leases."""

    @property
    def until(self) -> float:
        """When it surely still executed."""
        return self.last_at if self.cut_at is None else min(self.last_at, self.cut_at)


@dataclass
class Silence:
    """While no run of these tasks may start: from the answer to a pause until it is taken back."""

    since: float
    tasks: frozenset[str] | None
    """None: any."""
    until: float | None = None


@dataclass
class Killed:
    """A kill whose answer said that no code of these runs executes any more."""

    at: float
    runs: tuple[int, ...]


@dataclass
class Evidence:
    """Everything that was seen."""

    promises: dict[str, Promise] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    """Marks that were asked for, and of which task, whatever became of it."""
    refusals: Counter[str] = field(default_factory=Counter)
    executions: dict[tuple[str, int, str], Execution] = field(default_factory=dict)
    by_mark: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    open: dict[tuple[str, int, str], Execution] = field(default_factory=dict)
    """Those that have not said that they ended."""
    silences: list[Silence] = field(default_factory=list)
    kills: list[Killed] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a strike until all was as before, by what was struck."""

    def hear(self, message: str) -> None:
        """A word from an executing run."""
        kind, mark, process, begun_at, at = message.split()
        key = (mark, int(process), begun_at)
        execution = self.executions.get(key)
        if execution is None:
            execution = Execution(mark, int(process), float(begun_at), float(at))
            self.executions[key] = self.open[key] = execution
            self.by_mark[mark].append(execution)
        execution.last_at = max(execution.last_at, float(at))
        if kind == "ended":
            execution.has_ended = True
            self.open.pop(key, None)

    def of(self, mark: str) -> list[Execution]:
        """The executions of one run, first to last."""
        return sorted(self.by_mark.get(mark, ()), key=lambda each: each.begun_at)

    def under_way(self, processes: Iterable[int]) -> list[Execution]:
        """What these processes execute."""
        wanted = set(processes)
        return [each for each in list(self.open.values()) if each.process in wanted]


class Listener:
    """Hears executing runs, on a port of its own."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._evidence.hear(self._socket.recv(300).decode())
            except TimeoutError:
                continue


# ---------------------------------------------------------------- what no promise allows

LIMITS: Mapping[str, int] = {"Single": 1, "Pair": 2}
MEANT_TO_FAIL = "Suicide"
STRUCK = frozenset({"cancelled", "killed_outside"})
"""How runs end that a strike was meant for."""


def breaches(evidence: Evidence, runs: Sequence[Run]) -> list[str]:
    """Every broken promise, in words; none when all held."""
    return [
        *lost(evidence, runs),
        *doubled(runs),
        *stuck(runs),
        *ended_wrongly(evidence, runs),
        *executed_again(evidence, runs),
        *over_limits(evidence),
        *started_in_silence(evidence),
        *alive_after_kill(evidence, runs),
        *fired_twice(runs),
    ]


def lost(evidence: Evidence, runs: Sequence[Run]) -> Iterator[str]:
    """R1: what was acknowledged exists."""
    there = {run.id for run in runs}
    for promise in evidence.promises.values():
        if promise.run not in there:
            yield f"R1: run {promise.run} ({promise.mark}) was acknowledged and is gone"


def doubled(runs: Sequence[Run]) -> Iterator[str]:
    """R3: one key, one run."""
    marks = Counter(run.input["mark"] for run in runs if "mark" in run.input)
    for mark, count in marks.items():
        if count > 1:
            yield f"R3: {mark} was asked for under one key and became {count} runs"


def stuck(runs: Sequence[Run]) -> Iterator[str]:
    """R2: everything came to its end."""
    for run in runs:
        if not run.is_final:
            yield f"R2: run {run.id} of {run.task.name} is still {run.state}"


def ended_wrongly(evidence: Evidence, runs: Sequence[Run]) -> Iterator[str]:
    """R3: what completed was executed to its end; what failed was killed or meant to fail."""
    killed = {run for kill in evidence.kills for run in kill.runs}
    for run in runs:
        mark = run.input.get("mark", "")
        if run.has_succeeded and mark and not any(e.has_ended for e in evidence.of(mark)):
            yield f"R3: run {run.id} ({mark}) completed, and nothing of it was seen to end"
        is_meant = run.task.name == MEANT_TO_FAIL or run.id in killed or run.cause in STRUCK
        if run.is_final and not run.has_succeeded and not is_meant:
            yield f"R3: run {run.id} ({mark}) {run.state}: {run.cause}"


def executed_again(evidence: Evidence, runs: Sequence[Run]) -> Iterator[str]:
    """R5: once its completion was recorded, nothing of it begins."""
    for run in runs:
        mark = run.input.get("mark", "")
        if not run.has_succeeded or not mark or run.finished_at is None:
            continue
        promise = evidence.promises.get(mark)
        told = promise.ended_at if promise is not None else None
        over = min(run.finished_at.timestamp(), told or float("inf")) + TOLERANCE
        for execution in evidence.of(mark):
            if execution.begun_at > over:
                late = execution.begun_at - over
                yield f"R5: run {run.id} ({mark}) began {late:.3f} s after it had completed"


def over_limits(evidence: Evidence) -> Iterator[str]:
    """R7: never more at once than the task allows."""
    for task, limit in LIMITS.items():
        edges: list[tuple[float, int, str]] = []
        for execution in evidence.executions.values():
            if evidence.asked.get(execution.mark) == task and execution.until > execution.begun_at:
                edges.append((execution.begun_at, 1, execution.mark))
                edges.append((execution.until, -1, execution.mark))
        under_way: Counter[str] = Counter()
        for at, change, mark in sorted(edges):
            under_way[mark] += change
            together = [name for name, count in under_way.items() if count]
            if change > 0 and sum(under_way.values()) > limit:
                yield f"R7: {sum(under_way.values())} of {task} at once at {at:.3f}: {together}"


def started_in_silence(evidence: Evidence) -> Iterator[str]:
    """R6: after an acknowledged pause or closed task, nothing of it starts."""
    for silence in evidence.silences:
        until = silence.until if silence.until is not None else float("inf")
        for execution in evidence.executions.values():
            task = evidence.asked.get(execution.mark)
            is_meant = silence.tasks is None or task in silence.tasks
            if is_meant and silence.since < execution.begun_at < until:
                after = execution.begun_at - silence.since
                yield f"R6: {execution.mark} of {task} began {after:.3f} s after a pause"


def alive_after_kill(evidence: Evidence, runs: Sequence[Run]) -> Iterator[str]:
    """R6: after a confirmed kill, none of its code executes."""
    marks = {run.id: run.input.get("mark", "") for run in runs}
    for kill in evidence.kills:
        for run in kill.runs:
            for execution in evidence.of(marks.get(run, "")):
                if execution.last_at > kill.at:
                    late = execution.last_at - kill.at
                    yield f"R6: run {run} executed {late:.3f} s after its kill was confirmed"


def fired_twice(runs: Sequence[Run]) -> Iterator[str]:
    """R9: a schedule fires once an instant."""
    fired = Counter((run.schedule_id, run.due_at) for run in runs if run.schedule_id is not None)
    for (schedule, at), count in fired.items():
        if count > 1:
            yield f"R9: schedule {schedule} fired {count} times for {at}"
