"""The predicate compiler for lists under filters: allowed columns, bound values.

The text it makes is the same for both databases: columns from a fixed list, parameters as `:name`.
States stand as literals, because partial indexes are only used for literals; they come from the
code table, never from a caller's text.
"""

from collections.abc import Mapping

import msgspec

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
        conditions.append(_states_condition({STATE_CODES[state] for state in wanted.states}))
    if wanted.causes:
        codes = ", ".join(str(CAUSE_CODES[cause]) for cause in wanted.causes)
        conditions.append(f"cause IN ({codes})")
    if after is not None:
        conditions.append("(created_at, id) < (:after_created_at, :after_id)")
        values["after_created_at"] = micros(after.created_at)
        values["after_id"] = after.run_id
    return Predicate(" AND ".join(conditions) or "1 = 1", values)


def _states_condition(codes: set[int]) -> str:
    """The state condition, in words that a partial index understands."""
    listed = ", ".join(str(code) for code in sorted(codes))
    condition = f"state IN ({listed})" if len(codes) > 1 else f"state = {listed}"
    for partial, covered in _PARTIALS:
        if codes <= covered:
            return f"{condition} AND {partial}"
    return condition


_PARTIALS = (
    ("state IN (0, 1)", frozenset({0, 1})),
    ("state IN (4, 5)", frozenset({4, 5})),
    (f"state < {FIRST_FINAL_CODE}", frozenset(range(FIRST_FINAL_CODE))),
    (f"state > {FIRST_FINAL_CODE}", frozenset({7, 8})),
)
"""Conditions of partial indexes, with the states they cover, the most selective first."""
