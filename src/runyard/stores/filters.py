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

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from runyard.model.states import FINAL_STATES, Trigger
from runyard.stores.codes import CAUSE_CODES, END_CODES, STATE_CODES, TRIGGER_CODES, micros
from runyard.stores.contract.listing import Position, RunFilter

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
_RARE_TRIGGERS = {Trigger.RESTART}
"""Few runs have come like this, whoever uses Runyard."""
_WORKER = "worker_id"
"""May work for several companies, so that its runs have to be passed over, too."""
_BY_END, _CALLS_BY_END = "runs_by_end", "calls_by_end"
_ONLY_QUEUED = "state + 0 = 3"
"""What runs stands in the same index, and is few."""
_NOTHING = "1 = 1"
_ENDED = "state >= 6"
_HAS_END = "finished_at IS NOT NULL"


class Branch(msgspec.Struct, frozen=True):
    """A part of a list: one range of an index, or one for each of some codes."""

    index: str
    condition: str
    """What the index can tell."""
    rest: str = _NOTHING
    """What has to be looked at row by row."""
    column: str = ""
    """If there are choices: the index's column whose every code is a range of its own."""
    choices: Sequence[int] = ()
    passes_over: bool = False
    """Whether runs may have to be passed over, however many, because `rest` does not hold."""

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

    @property
    def all_fit(self) -> bool:
        """Whether the indexes tell all that is asked for."""
        return all(branch.rest == _NOTHING for branch in self.branches)

    @property
    def passes_over(self) -> bool:
        """Whether what fits may be few among many."""
        return any(branch.passes_over for branch in self.branches)


def listing_of(wanted: RunFilter, after: Position | None = None) -> Listing:
    """The runs of a company that fit a filter, beyond a position."""
    return listings_of(wanted, after)[0]


def listings_of(wanted: RunFilter, after: Position | None = None) -> list[Listing]:
    """Ways to the same runs: the first is in the order of the list, the others are of use where
    they are short.
    """
    compiler = _Compiler(wanted, after)
    order = "finished_at" if wanted.by_end else "created_at"
    return [Listing(way, compiler.values, order) for way in compiler.ways()]


def outside_of(wanted: RunFilter) -> Listing:
    """The runs that fit a filter but for the instants of their creation."""
    older = msgspec.structs.replace(wanted, created_from=None, created_before=wanted.created_from)
    newer = msgspec.structs.replace(wanted, created_before=None, created_from=wanted.created_before)
    parts = []
    if wanted.created_from is not None:
        parts.append(listing_of(older))
    if wanted.created_before is not None:
        parts.append(listing_of(newer))
    return Listing(
        [branch for part in parts for branch in part.branches],
        {name: value for part in parts for name, value in part.values.items()},
        "created_at",
    )


def calls_of(wanted: RunFilter, after: Position | None = None) -> Listing:
    """The calls of a company that fit a filter, beyond a position: one range of their history."""
    compiler = _Compiler(msgspec.structs.replace(wanted, trigger=None), after)
    order = "finished_at" if wanted.by_end else "created_at"
    return Listing(compiler.calls(), compiler.values, order)


class _Compiler:
    """Turns one filter into branches."""

    def __init__(self, wanted: RunFilter, after: Position | None) -> None:
        self._wanted = wanted
        self._after, self._looser = _tightest(wanted, after)
        self.values: dict[str, int] = {}
        self._conditions = [*self._equalities(), *self._bounds()]
        self._states = {STATE_CODES[state] for state in wanted.states} or set(STATE_CODES.values())
        self._causes = {CAUSE_CODES[cause] for cause in wanted.causes}
        if self._causes or wanted.by_end:
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

    def ways(self) -> list[list[Branch]]:
        """The ranges of each index that serves the filter: what is in the order of the list first,
        then what is likely fewer.
        """
        if not self._states:
            return [[]]
        found = [*self._by_end(), *self._of_origin(), *self._of_what_ran()]
        is_about_more = self._is_about_states or self._wanted.worker_id is not None
        if is_about_more and self._wanted.task_id is None:
            found.append(self._by_state())
        if self._wanted.trigger not in {None, *_RARE_TRIGGERS}:
            found.append(self._along("runs_by_trigger", "trigger"))
        return found or [self._by_state()]

    def calls(self) -> list[Branch]:
        """One range of the calls' history, whatever the filter."""
        return self._along(_CALLS_BY_END if self._wanted.by_end else "calls_history")

    @property
    def _is_about_states(self) -> bool:
        return bool(self._wanted.states or self._causes)

    def _by_end(self) -> list[list[Branch]]:
        return [self._along(_BY_END, part=_HAS_END)] if self._wanted.by_end else []

    def _of_origin(self) -> Iterator[list[Branch]]:
        wanted = self._wanted
        if wanted.restarted_from is not None:
            yield self._along("runs_restarted", "restarted_from")
        if wanted.schedule_id is not None:
            yield self._along("runs_of_schedule", "schedule_id")
        if wanted.trigger in _RARE_TRIGGERS:
            yield self._along("runs_by_trigger", "trigger")

    def _of_what_ran(self) -> Iterator[list[Branch]]:
        if self._wanted.task_id is not None:
            yield self._by_state("_of_task", "task_id")
        if self._wanted.worker_id is not None:
            yield self._of_worker()

    def _along(self, index: str, *keys: str, part: str = "") -> list[Branch]:
        """One range of an index that does not tell states apart."""
        return [self._branch(index, (_COMPANY, *keys), part, *self._any_state())]

    def _of_worker(self) -> list[Branch]:
        found = []
        if causes := self._end_causes():
            found.append(_each(self._branch("runs_of_worker", (_WORKER,), _ENDED), "cause", causes))
        if self._states - _FINAL - {_RUNNING}:
            condition = "state <> 4 AND state < 6"
            states = self._any_state()
            found.append(self._branch("runs_tried_of_worker", (_WORKER,), condition, *states))
        if _RUNNING in self._states:
            found.append(self._running())
        return found

    def _by_state(self, suffix: str = "", key: str = _COMPANY) -> list[Branch]:
        keys, found = (key,), []
        active = self._states & {_QUEUED, _RUNNING}
        if active == {_RUNNING}:
            found.append(self._running())
        elif active:
            only = [_ONLY_QUEUED] if active == {_QUEUED} else []
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
        order = "finished_at" if index in {_BY_END, _CALLS_BY_END} else "created_at"
        held = {*keys, order} if keys else set()
        told, looked_at = [part] if part else [], list(rest)
        for column, comparison in [(_COMPANY, "= :company_id"), *self._conditions]:
            if column in held:
                told.append(f"{column} {comparison}")
            elif column == _COMPANY and keys and keys[0] != _WORKER:
                told.append(f"{column} + 0 {comparison}")
            else:
                looked_at.append(f"{column} + 0 {comparison}")
        if self._after is not None:
            at = "finished_at" if self._wanted.by_end else "created_at"
            if at == order:
                told.append(f"({at}, id) < (:after_at, :after_id)")
            else:
                looked_at.append(f"({at} + 0, id + 0) < (:after_at, :after_id)")
        passes_over = bool(keys) and any(each != _ONLY_QUEUED for each in looked_at)
        return Branch(
            index, " AND ".join(told), " AND ".join(looked_at) or _NOTHING, passes_over=passes_over
        )

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
