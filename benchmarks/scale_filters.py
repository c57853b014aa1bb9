"""The lists that `benchmarks.scale` asks for: by each condition, by any two, and as callers ask.

`few` marks conditions that twenty runs fit, `none` such as no run fits.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec

from benchmarks.population import CLOSED_TASKS, RARE, RARE_TASK, SPAN, WORKERS, Town
from runyard.model.ids import RunId, ScheduleId, WorkerId
from runyard.model.states import FINAL_STATES, Cause, RunState, Trigger
from runyard.stores.contract.listing import RunFilter

Condition: TypeAlias = Callable[[Town], Mapping[str, Any]]
"""Fields of a filter, in this installation."""


class Wanted(msgspec.Struct, frozen=True):
    """A list that is measured."""

    name: str
    condition: Condition
    has_middle: bool = False
    """Whether a page deep in the middle makes sense for it."""

    def filter(self, town: Town) -> RunFilter:
        """The filter of the list."""
        return RunFilter(**self.condition(town))

    @property
    def fewest(self) -> int:
        """So many runs are on its first page at least."""
        return RARE if self.name.endswith(" few") else 0


# ---------------------------------------------------------------- conditions


def _task(number: int) -> Condition:
    return lambda town: {"task_id": town.task_id(0, number)}


def _states(*states: RunState) -> Condition:
    return lambda _: {"states": states}


def _cause(cause: Cause) -> Condition:
    return lambda _: {"causes": (cause,)}


def _between(what: str, begin: float, end: float) -> Condition:
    """Between these parts of the month, counted back from now."""
    return lambda town: {
        f"{what}_from": town.now - SPAN * begin,
        f"{what}_before": town.now - SPAN * end,
    }


def _worker(number: int) -> Condition:
    return lambda town: {"worker_id": WorkerId(town.worker + number)}


def _schedule(number: int) -> Condition:
    return lambda town: {"schedule_id": ScheduleId(town.schedule + number)}


def _trigger(trigger: Trigger) -> Condition:
    return lambda _: {"trigger": trigger}


def _all(*conditions: Condition) -> Condition:
    return lambda town: {name: value for each in conditions for name, value in each(town).items()}


_FAILED = _states(RunState.FAILED)
_RESTARTED: Condition = lambda town: {"restarted_from": RunId(town.run)}  # noqa: E731 - a value like those above
_CONDITIONS: Mapping[str, Condition] = {
    "task": _task(2),
    "state": _FAILED,
    "cause": _cause(Cause.RAISED),
    "created": _between("created", 0.6, 0.4),
    "finished": _between("finished", 0.6, 0.4),
    "worker": _worker(1),
    "schedule": _schedule(1),
    "restarted from": _RESTARTED,
    "trigger": _trigger(Trigger.API),
}
"""One of each kind."""


# ---------------------------------------------------------------- lists


def lists() -> Iterator[Wanted]:
    """All of them."""
    yield from _single()
    yield from _usual()
    for (name, one), (other_name, other) in itertools.combinations(_CONDITIONS.items(), 2):
        yield Wanted(f"{name} + {other_name}", _all(one, other))
    yield from _sparse()


def _single() -> Iterator[Wanted]:
    yield Wanted("all", _all(), has_middle=True)
    yield Wanted("task", _task(2), has_middle=True)
    yield Wanted("task few", _task(RARE_TASK))
    for state in RunState:
        yield Wanted(f"state {state}", _states(state), has_middle=state in FINAL_STATES)
    yield Wanted("states queued, running", _states(RunState.QUEUED, RunState.RUNNING))
    bad = _states(RunState.FAILED, RunState.CANCELLED)
    yield Wanted("states failed, cancelled", bad, has_middle=True)
    yield Wanted("cause raised", _cause(Cause.RAISED), has_middle=True)
    yield Wanted("cause few", _cause(Cause.CODE_NOT_LOADED))
    for what in ("created", "finished"):
        middle = _between(what, 0.5, 0.5)
        for end in ("from", "before"):
            yield Wanted(f"{what} {end}", _only(middle, f"{what}_{end}"))
        yield Wanted(f"{what} between", _between(what, 0.6, 0.4), has_middle=True)
    yield Wanted("worker", _worker(1), has_middle=True)
    yield Wanted("worker few", _worker(WORKERS - 1))
    yield Wanted("schedule", _schedule(1), has_middle=True)
    yield Wanted("schedule few", _schedule(0))
    yield Wanted("restarted from, few", _RESTARTED)
    for trigger in (Trigger.API, Trigger.SCHEDULE, Trigger.DIALECT):
        yield Wanted(f"trigger {trigger}", _trigger(trigger), has_middle=True)
    yield Wanted("trigger restart, few", _trigger(Trigger.RESTART))


def _only(condition: Condition, field: str) -> Condition:
    return lambda town: {field: condition(town)[field]}


def _usual() -> Iterator[Wanted]:
    """What consoles and dialects ask together."""
    queued, completed = _states(RunState.QUEUED), _states(RunState.COMPLETED)
    yield Wanted("task, queued", _all(_task(CLOSED_TASKS[0]), queued))
    yield Wanted("task, completed", _all(_task(2), completed), has_middle=True)
    lately = _all(_task(2), _FAILED, _between("created", 0.9, 0))
    yield Wanted("task, failed, created between", lately, has_middle=True)
    yield Wanted("the same, never asked before", _all(lately, _a_moment_later()))
    yield Wanted("task, cause, one or none", _all(_task(1), _cause(Cause.CODE_NOT_LOADED)))
    yield Wanted("worker, failed", _all(_worker(1), _FAILED))
    who = _all(_worker(1), _trigger(Trigger.API))
    yield Wanted("failed, worker, api", _all(_FAILED, who))
    yield Wanted("task, failed, worker, api", _all(_task(2), _FAILED, who))
    yield Wanted("task, failed, worker, api, created between", _all(lately, who))


def _a_moment_later() -> Condition:
    """A bound that is another one each time, so that no total is remembered."""
    moments = itertools.count()
    return lambda town: {
        "created_from": town.now - SPAN * 0.9 + timedelta(microseconds=next(moments))
    }


def _sparse() -> Iterator[Wanted]:
    """Two conditions of which one is rare, or that meet seldom or never."""
    restart, dialect = _trigger(Trigger.RESTART), _trigger(Trigger.DIALECT)
    queued = _states(RunState.QUEUED)
    yield Wanted("few of a task + worker", _all(_task(RARE_TASK), _worker(1)))
    yield Wanted("few of a task + finished", _all(_task(RARE_TASK), _between("finished", 0.6, 0.4)))
    yield Wanted("few of a worker + task", _all(_worker(WORKERS - 1), _task(2)))
    yield Wanted("few restarts + task", _all(restart, _task(2)))
    yield Wanted("few restarts + state", _all(restart, _FAILED))
    yield Wanted("trigger dialect + task", _all(dialect, _task(2)))
    yield Wanted("trigger dialect + queued, none", _all(dialect, queued))
    yield Wanted("schedule + queued, none", _all(_schedule(1), queued))
