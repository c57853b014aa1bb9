"""The predicate compiler for lists under filters: allowed columns, bound values.

The text it makes is the same for both databases: columns from a fixed list, parameters as `:name`.
States stand as literals, because partial indexes are only used for literals; they come from the
code table, never from a caller's text.
"""

from collections.abc import Mapping

import msgspec

from runyard.model.states import Cause
from runyard.stores.base import Position, RunFilter
from runyard.stores.codes import (
    CAUSE_CODES,
    FIRST_FINAL_CODE,
    STATE_CODES,
    TRIGGER_CODES,
    micros,
)

_EQUALITIES = ("task_id", "worker_id", "schedule_id", "restarted_from")
_BOUNDS = (
    ("created_from", "created_at >= :created_from"),
    ("created_before", "created_at < :created_before"),
    ("finished_from", "finished_at >= :finished_from"),
    ("finished_before", "finished_at < :finished_before"),
)


class Predicate(msgspec.Struct, frozen=True):
    """A condition and the values it binds."""

    text: str
    values: Mapping[str, int]
    index: str
    """The index that serves it best, for a database that has to be told."""


def runs_predicate(wanted: RunFilter, after: Position | None = None) -> Predicate:
    """The condition for the runs of a company that fit a filter, beyond a position."""
    conditions: list[str] = []
    values: dict[str, int] = {}
    for column in _EQUALITIES:
        value = getattr(wanted, column)
        if value is not None:
            conditions.append(f"{column} = :{column}")
            values[column] = value
    for name, condition in _BOUNDS:
        at = getattr(wanted, name)
        if at is not None:
            conditions.append(condition)
            values[name] = micros(at)
    if wanted.trigger is not None:
        conditions.append("trigger = :trigger")
        values["trigger"] = TRIGGER_CODES[wanted.trigger]
    if wanted.states:
        conditions.append(_one_of("state", {STATE_CODES[state] for state in wanted.states}))
    if wanted.causes:
        conditions.append(_one_of("cause", {CAUSE_CODES[cause] for cause in wanted.causes}))
    if after is not None:
        conditions.append("(created_at, id) < (:after_created_at, :after_id)")
        values["after_created_at"] = micros(after.created_at)
        values["after_id"] = after.run_id
    partial = _partial_index(wanted)
    if partial is not None and partial.condition:
        conditions.append(partial.condition)
    index = partial.name if partial is not None else _whole_index(wanted)
    return Predicate(" AND ".join(conditions) or "1 = 1", values, index)


def _one_of(column: str, codes: set[int]) -> str:
    listed = ", ".join(str(code) for code in sorted(codes))
    return f"{column} IN ({listed})" if len(codes) > 1 else f"{column} = {listed}"


class _PartialIndex(msgspec.Struct, frozen=True):
    """An index on some states only, and the words that say so."""

    name: str
    condition: str
    codes: frozenset[int]


_PARTIAL_INDEXES = (
    _PartialIndex("runs_aside", "state IN (0, 1)", frozenset({0, 1})),
    _PartialIndex("runs_leased", "state IN (4, 5)", frozenset({4, 5})),
    _PartialIndex(
        "runs_unfinished", f"state < {FIRST_FINAL_CODE}", frozenset(range(FIRST_FINAL_CODE))
    ),
    _PartialIndex("runs_unsuccessful", f"state > {FIRST_FINAL_CODE}", frozenset({7, 8})),
)
"""The most selective first. Also for one task's runs: what is under way, or went wrong, is less
than what a task has ever done."""


def _partial_index(wanted: RunFilter) -> _PartialIndex | None:
    if wanted.schedule_id is not None:
        return _PartialIndex("runs_of_schedule", "", frozenset())
    if wanted.restarted_from is not None:
        return _PartialIndex("runs_restarted", "", frozenset())
    codes = {STATE_CODES[state] for state in wanted.states}
    if wanted.causes and not _SUCCESSES.intersection(wanted.causes):
        failures = frozenset({7, 8})
        codes = codes & failures or set(failures)
    if codes:
        for partial in _PARTIAL_INDEXES:
            if codes <= partial.codes:
                return partial
    return None


_SUCCESSES = frozenset({Cause.RETURNED, Cause.RETURNED_NOTHING, Cause.RETURNED_WITH_ERRORS})


def _whole_index(wanted: RunFilter) -> str:
    return "runs_history" if wanted.task_id is None else "runs_of_task"
