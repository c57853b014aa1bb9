"""How the writer keeps `run_counts`: what a group changes is gathered, and added before its commit.

The three statements through which almost all runs pass are counted from their rows and answers,
which costs less than a microsecond a run. Whatever else may change a run's state is watched by
SQLite itself (its pre-update hook), so that a statement nobody thought of here is counted too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import apsw

from runyard.stores.codes import GONE_CODE

Rows: TypeAlias = Sequence[Sequence[Any]]
Key: TypeAlias = tuple[int, int, int, int]
"""Company, task, state and cause (0: none)."""

RECOVER = "recover_claim"
"""In place of `claim_runs` when a claim is sent again to another writer."""

_QUEUED, _RUNNING = 3, 4
_COMPANY, _TASK, _STATE, _CAUSE = 2, 3, 6, 7
"""Places of the columns in a row of `runs`."""

_ADD = """
INSERT INTO run_counts (company_id, task_id, state, cause, lane, count) VALUES (?, ?, ?, ?, 0, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
_COMES_OR_GOES = re.compile(r"\b(?:INSERT INTO|DELETE FROM)\s+runs\b")
_CHANGES = re.compile(r"\bUPDATE\s+runs\s+SET\b(.*?)\bWHERE\b", re.S)


class Counting:
    """What the transaction under way has changed so far."""

    def __init__(self, db: apsw.Connection, queries: Mapping[str, str]) -> None:
        self._db = db
        self._changes: dict[Key, int] = {}
        self._watched = frozenset(name for name, sql in queries.items() if moves_runs(sql)) | {
            RECOVER
        }
        self._counted: Mapping[str, Callable[[Rows, Rows], None]] = {
            "insert_run": self._started,
            "finish_run": self._finished,
            "claim_runs": self._claimed,
        }

    def is_watched(self, query: str) -> bool:
        """Whether a statement is to be executed under `watch`; others are told to `note`."""
        return query in self._watched and query not in self._counted

    def note(self, query: str, rows: Rows, answer: Rows) -> None:
        """Count what a statement has done."""
        count = self._counted.get(query)
        if count is not None:
            count(rows, answer)

    def watch(self, execute: Callable[[], Rows]) -> Rows:
        """Execute a statement and count what it does to runs, row by row."""
        self._db.preupdate_hook(self._see)
        try:
            return execute()
        finally:
            self._db.preupdate_hook(None)

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._changes.clear()

    def settle(self) -> None:
        """Add what has changed to the kept counts."""
        if self._changes:
            self._db.executemany(
                _ADD, [(*key, change) for key, change in self._changes.items() if change]
            )
            self._changes.clear()

    # ------------------------------------------------------------ what happened

    def _add(self, key: Key, change: int) -> None:
        self._changes[key] = self._changes.get(key, 0) + change

    def _started(self, rows: Rows, _answer: Rows) -> None:
        for row in rows:
            self._add((row[_COMPANY], row[_TASK], row[_STATE], 0), 1)

    def _claimed(self, _rows: Rows, answer: Rows) -> None:
        for row in answer:
            self._add((row[2], row[3], _QUEUED, 0), -1)
            self._add((row[2], row[3], _RUNNING, 0), 1)

    def _finished(self, rows: Rows, answer: Rows) -> None:
        ends = {row[0]: row for row in rows} if len(rows) > 1 else {rows[0][0]: rows[0]}
        for run, task in answer:
            _, company, _, state, cause, *_ = ends[run]
            self._add((company, task, _RUNNING, 0), -1)
            self._add((company, task, state, cause or 0), 1)

    def _see(self, update: Any) -> None:  # noqa: ANN401 - apsw.PreUpdate, which is made by C code
        if update.table_name != "runs":
            return
        if update.op != "INSERT":
            self._add(_key_of(update.old), -1)
        if update.op != "DELETE":
            self._add(_key_of(update.new), 1)
        else:
            company, task, _, _ = _key_of(update.old)
            self._add((company, task, GONE_CODE, 0), 1)


def _key_of(row: Sequence[Any]) -> Key:
    return row[_COMPANY], row[_TASK], row[_STATE], row[_CAUSE] or 0


def moves_runs(sql: str) -> bool:
    """Whether a statement makes or deletes runs, or changes their state."""
    if _COMES_OR_GOES.search(sql):
        return True
    return any(re.search(r"\bstate\s*=", changed) for changed in _CHANGES.findall(sql))
