"""The checker of the torture test finds each kind of broken promise, and nothing where none is broken."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from runyard.model.states import Cause, RunState, Trigger
from runyard.protocol.shapes.tasks import TaskName
from runyard.sdk.client.shapes import Run
from tests.faults.evidence import Evidence, Killed, Promise, Silence, breaches

START = 1_000_000.0


def a_run(number: int, mark: str, *, task: str = "Chore", ended: float = START + 2) -> Run:
    """A run that completed."""
    at = datetime.fromtimestamp(START, UTC)
    return Run(
        id=number,
        public_id=f"p{number}",
        task=TaskName(id=1, name=task),
        version=1,
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        priority=50,
        level=0,
        restarted_from=None,
        trigger=Trigger.API,
        schedule_id=None,
        started_by=None,
        created_at=at,
        due_at=None,
        queued_at=at,
        started_at=at,
        finished_at=datetime.fromtimestamp(ended, UTC),
        attempt=1,
        worker_id=1,
        progress=None,
        logged_errors=0,
        input={"mark": mark},
    )


def seen(evidence: Evidence, mark: str, begun: float, ended: float, *, process: int = 7) -> None:
    """It executed from then to then."""
    for kind, at in (("begun", begun), ("ended", ended)):
        evidence.hear(f"{kind} {mark} {process} {START + begun:.6f} {START + at:.6f}")


def sound(task: str = "Chore") -> tuple[Evidence, list[Run]]:
    """Two runs of a task, one after the other, as they should be."""
    evidence = Evidence(asked={"a": task, "b": task})
    evidence.promises = {"a": Promise("a", task, 1), "b": Promise("b", task, 2)}
    seen(evidence, "a", 0.5, 0.9)
    seen(evidence, "b", 1.0, 1.5)
    return evidence, [a_run(1, "a", task=task, ended=START + 0.9), a_run(2, "b", task=task)]


def test_where_every_promise_held_nothing_is_found() -> None:
    evidence, runs = sound("Single")
    evidence.silences.append(Silence(START + 2, None))
    evidence.kills.append(Killed(START + 0.95, (1,)))

    assert breaches(evidence, runs) == []


def vanish(evidence: Evidence, runs: list[Run]) -> None:
    runs.pop()


def double(evidence: Evidence, runs: list[Run]) -> None:
    runs.append(a_run(3, "a"))


def stick(evidence: Evidence, runs: list[Run]) -> None:
    runs[0] = altered(runs[0], state=RunState.RUNNING, cause=None, finished_at=None)


def fail(evidence: Evidence, runs: list[Run]) -> None:
    runs[0] = altered(runs[0], state=RunState.FAILED, cause=Cause.WORKER_LOST)


def pretend(evidence: Evidence, runs: list[Run]) -> None:
    evidence.by_mark.pop("a")


def repeat(evidence: Evidence, runs: list[Run]) -> None:
    seen(evidence, "a", 1.6, 1.7)


def overlap(evidence: Evidence, runs: list[Run]) -> None:
    evidence.asked.update({"a": "Single", "b": "Single"})
    seen(evidence, "a", 0.6, 1.2, process=8)


def break_silence(evidence: Evidence, runs: list[Run]) -> None:
    evidence.silences.append(Silence(START + 0.95, frozenset({"Chore"}), START + 3))


def survive(evidence: Evidence, runs: list[Run]) -> None:
    evidence.kills.append(Killed(START + 1.2, (2,)))


def fire_twice(evidence: Evidence, runs: list[Run]) -> None:
    runs[:] = [altered(run, schedule_id=4, due_at=run.created_at) for run in runs]


def altered(run: Run, **changes: object) -> Run:
    """The same run, otherwise."""
    return msgspec.structs.replace(run, **changes)


@pytest.mark.parametrize(
    ("spoil", "promise"),
    [
        (vanish, "R1"),
        (double, "R3: a was asked"),
        (stick, "R2"),
        (fail, "R3: run 1"),
        (pretend, "R3: run 1"),
        (repeat, "R5"),
        (overlap, "R7"),
        (break_silence, "R6: b"),
        (survive, "R6: run 2"),
        (fire_twice, "R9"),
    ],
)
def test_a_broken_promise_is_found(
    spoil: Callable[[Evidence, list[Run]], None], promise: str
) -> None:
    evidence, runs = sound()

    spoil(evidence, runs)

    found = breaches(evidence, runs)
    assert any(each.startswith(promise) for each in found), found
