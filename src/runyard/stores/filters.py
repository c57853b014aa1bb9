"""What a list of runs reads: the compiler from filters to branches, each one walk along an index.

A company's runs stand in several indexes, each in the order of lists: what is in the queue or
running, what is set aside (one range a state), and what has ended (one range a cause). Most changes
of state touch few of them, and whatever a filter asks for is the union of some ranges, so that a
page costs what it shows, however many other runs there are. A filter that has an index of its own
(by trigger, worker, schedule, origin or end) is one range there.

The text made here is the same for both databases: columns from fixed lists, parameters as `:name`;
codes stand as literals, because partial indexes are only used for literals, and come from the code
tables, never from a caller's text. A condition on a column that the branch's index does not hold is
written `column + 0`: no other index can then tempt a planner, whatever its statistics say.
"""

from collections.abc import Mapping, Sequence

import msgspec

from runyard.model.states import FINAL_STATES
from runyard.stores.base import Position, RunFilter
from runyard.stores.codes import (
    CAUSE_CODES,
    END_CODES,
    STATE_CODES,
    TRIGGER_CODES,
    micros,
)

_EQUALITIES = ("task_id", "worker_id", "schedule_id", "restarted_from")
_BOUNDS = (
    ("created_from", "created_at", ">="),
    ("created_before", "created_at", "<"),
    ("finished_from", "finished_at", ">="),
    ("finished_before", "finished_at", "<"),
)
_COMPANY = "company_id"
_QUEUED, _RUNNING = 3, 4
_ASIDE = (0, 1, 2, 5)
_FINAL = frozenset(STATE_CODES[state] for state in FINAL_STATES)
_ENDED = "state >= 6"
_HAS_END = "finished_at IS NOT NULL"


class Branch(msgspec.Struct, frozen=True):
    """A part of a list: one range of an index, or one for each of some codes."""

    index: str
    condition: str
    """What the index can tell."""
    rest: str = "1 = 1"
    """What has to be looked at row by row."""
    column: str = ""
    """If there are choices: the index's column whose every code is a range of its own."""
    choices: Sequence[int] = ()

    def ranges(self) -> list[str]:
        """The condition of each range."""
        if not self.choices:
            return [self.condition]
        return [f"{self.condition} AND {self.column} = {code}" for code in self.choices]


class Listing(msgspec.Struct, frozen=True):
    """All parts of a list; none when no run can fit. They have no run in common."""

    branches: Sequence[Branch]
    values: Mapping[str, int]
    order: str
    """The column whose newest come first."""


def listing_of(wanted: RunFilter, after: Position | None = None) -> Listing:
    """The runs of a company that fit a filter, beyond a position."""
    compiler = _Compiler(wanted, after)
    return Listing(
        compiler.branches(), compiler.values, "finished_at" if wanted.by_end else "created_at"
    )


def calls_of(wanted: RunFilter, after: Position | None = None) -> Listing:
    """The calls of a company that fit a filter, beyond a position: one range of their history."""
    compiler = _Compiler(msgspec.structs.replace(wanted, trigger=None), after)
    return Listing(
        compiler.history("calls_history"),
        compiler.values,
        "finished_at" if wanted.by_end else "created_at",
    )


class _Compiler:
    """Turns one filter into branches."""

    def __init__(self, wanted: RunFilter, after: Position | None) -> None:
        self._wanted = wanted
        self._after, self._looser = _tightest(wanted, after)
        self.values: dict[str, int] = {}
        self._conditions = [*self._equalities(), *self._bounds()]
        self._states = {STATE_CODES[state] for state in wanted.states} or set(STATE_CODES.values())
        self._causes = {CAUSE_CODES[cause] for cause in wanted.causes}
        if self._causes:
            self._states &= _FINAL
        if self._after is not None:
            self.values |= {"after_at": micros(self._after.at), "after_id": self._after.run_id}

    def _equalities(self) -> list[tuple[str, str]]:
        found = []
        for column in _EQUALITIES:
            value = getattr(self._wanted, column)
            if value is not None:
                self.values[column] = value
                found.append((column, f"= :{column}"))
        if self._wanted.trigger is not None:
            self.values["trigger"] = TRIGGER_CODES[self._wanted.trigger]
            found.append(("trigger", "= :trigger"))
        return found

    def _bounds(self) -> list[tuple[str, str]]:
        found = []
        for name, column, comparison in _BOUNDS:
            at = getattr(self._wanted, name)
            if at is not None and name != self._looser:
                self.values[name] = micros(at)
                found.append((column, f"{comparison} :{name}"))
        return found

    # ------------------------------------------------------------ the ways to go

    def branches(self) -> list[Branch]:
        """The ranges of the indexes that serve the filter best."""
        wanted = self._wanted
        if not self._states:
            return []
        if wanted.restarted_from is not None:
            return [
                self._branch("runs_restarted", (_COMPANY, "restarted_from"), "", *self._any_state())
            ]
        if wanted.schedule_id is not None:
            return [
                self._branch("runs_of_schedule", (_COMPANY, "schedule_id"), "", *self._any_state())
            ]
        if wanted.by_end:
            return self._by_end()
        if wanted.worker_id is not None:
            return self._of_worker()
        if wanted.trigger is not None and wanted.task_id is None and not self._is_about_states:
            return [self._branch("runs_by_trigger", (_COMPANY, "trigger"))]
        return self._by_state()

    def history(self, index: str) -> list[Branch]:
        """One range of a history, whatever the filter."""
        return [self._branch(index, (_COMPANY,), *self._any_state())]

    @property
    def _is_about_states(self) -> bool:
        return bool(self._wanted.states or self._causes)

    def _by_end(self) -> list[Branch]:
        if not self._states & _FINAL:
            return []
        return [self._branch("runs_by_end", (_COMPANY,), _HAS_END, *self._any_state())]

    def _of_worker(self) -> list[Branch]:
        found = []
        if causes := self._end_causes():
            found.append(
                _each(self._branch("runs_of_worker", ("worker_id",), _ENDED), "cause", causes)
            )
        if self._states - _FINAL - {_RUNNING}:
            condition = "state <> 4 AND state < 6"
            states = self._any_state()
            found.append(self._branch("runs_tried_of_worker", ("worker_id",), condition, *states))
        if _RUNNING in self._states:
            found.append(self._running())
        return found

    def _by_state(self) -> list[Branch]:
        suffix, keys = "", (_COMPANY,)
        if self._wanted.task_id is not None:
            suffix, keys = "_of_task", ("task_id",)
        found = []
        active = self._states & {_QUEUED, _RUNNING}
        if active == {_RUNNING}:
            found.append(self._running())
        elif active:
            only = ["state + 0 = 3"] if active == {_QUEUED} else []
            condition = "state * 1 >= 3 AND state * 1 <= 4"
            found.append(self._branch(f"runs_active{suffix}", keys, condition, *only))
        if aside := [code for code in _ASIDE if code in self._states]:
            condition = "state <> 3 AND state <> 4 AND state < 6"
            branch = self._branch(f"runs_aside{suffix}", keys, condition)
            found.append(_each(branch, "state", aside))
        if causes := self._end_causes():
            branch = self._branch(f"runs_ended{suffix}", keys, _ENDED)
            found.append(_each(branch, "cause", causes))
        return found

    def _running(self) -> Branch:
        """All that run anywhere are looked at: never more than the workers hold."""
        return self._branch("runs_running", (), "state = 4")

    def _end_causes(self) -> list[int]:
        """How the wanted ended runs have ended."""
        ends = {cause for state in self._states & _FINAL for cause in END_CODES[state]}
        return sorted(ends & self._causes if self._causes else ends)

    # ------------------------------------------------------------ conditions

    def _branch(self, index: str, keys: Sequence[str], part: str = "", *rest: str) -> Branch:
        """A range of an index that begins with these keys, is in the list's order unless it has no
        keys, and holds runs of which `part` is true.
        """
        order = "finished_at" if self._wanted.by_end else "created_at"
        held = {*keys, order} if keys else set()
        told, looked_at = [part] if part else [], list(rest)
        for column, comparison in [(_COMPANY, "= :company_id"), *self._conditions]:
            if column in held:
                told.append(f"{column} {comparison}")
            elif column == _COMPANY and keys:
                told.append(f"{column} + 0 {comparison}")
            else:
                looked_at.append(f"{column} + 0 {comparison}")
        if self._after is not None:
            told.append(f"({order}, id) < (:after_at, :after_id)")
        return Branch(index, " AND ".join(told), " AND ".join(looked_at) or "1 = 1")

    def _any_state(self) -> list[str]:
        """The wanted states and causes, where no index tells them apart."""
        found = []
        if self._wanted.states:
            found.append(_one_of("state", self._states))
        if self._causes:
            found.append(_one_of("cause", self._causes))
        return found


def _tightest(wanted: RunFilter, after: Position | None) -> tuple[Position | None, str | None]:
    """Of two ends of a range the one that holds: the position, or the bound that it makes needless.

    With both, an index may be read from the looser one on.
    """
    name = "finished_before" if wanted.by_end else "created_before"
    before = getattr(wanted, name)
    if after is None or before is None:
        return after, None
    return (after, name) if after.at < before else (None, None)


def _each(branch: Branch, column: str, codes: Sequence[int]) -> Branch:
    return msgspec.structs.replace(branch, column=column, choices=tuple(codes))


def _one_of(column: str, codes: set[int]) -> str:
    listed = ", ".join(str(code) for code in sorted(codes))
    return f"{column} + 0 IN ({listed})"
