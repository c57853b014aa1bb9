"""The log of a task, as one string.

Callers have no other way to learn why a task failed, so its last line says it. What Runyard did is
told between the lines of the task itself: passed over variables, the beginning and the end of each
attempt, a cancel. Values of variables are never told. What is longer than 1 MiB loses its middle.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from runyard.dialects.elma.wire import log_line
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Attempt, Change, Run, RunError
from runyard.model.states import FINAL_STATES, Cause, RunState
from runyard.model.tasks import Task, Version

QUEUE, WORKER, CODE = "Server.Queue", "Worker.Run", "Worker.Task"
"""Who says a line: the server, what executes, the task's own code."""
HALF = 512 * 1024
"""Bytes kept of the beginning and of the end."""
PAGE = 1_000
TAIL = 8_000
"""Lines of a very long log that are looked at for its end."""

_WHY: dict[Cause, str] = {
    Cause.RAISED: "the process failed",
    Cause.KILLED_OUTSIDE: "the process was killed from outside",
    Cause.TIMED_OUT: "the process took longer than it may",
    Cause.CODE_NOT_LOADED: "the code of the process could not be loaded",
    Cause.WORKER_LOST: "the bot was lost",
    Cause.OUTPUT_INVALID: "what the process returned does not fit its output variables",
    Cause.INPUT_INVALID: "the input does not fit the variables of the process",
    Cause.NO_SLOT: "no slot was free, and it was not to wait for one",
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A run, with what its log tells besides its lines."""

    run: Run
    task: Task
    version: Version
    error: RunError | None


async def log_of(engine: Engine, company: Company, case: Case) -> str:
    """The log of a task as it stands."""
    run = case.run
    changes = await engine.history.changes(company, run)
    attempts: Sequence[Attempt] = ()
    if run.attempt > 1 or (run.attempt == 1 and run.begun_at is None):
        attempts = await engine.runs.attempts(company, run.id)
    text = CappedText()
    for line in _before(case, changes):
        text.add(line)
    last = await engine.logs.last_kept(company.id, run.id)
    teller = _Teller(case, attempts)
    if last:
        await _lines(engine, company, case, teller, text)
    for line in teller.rest():
        text.add(line)
    for line in _end(case, changes, teller.last):
        text.add(line)
    return text.joined()


async def _lines(
    engine: Engine, company: Company, case: Case, teller: "_Teller", text: "CappedText"
) -> None:
    run, after = case.run, 0
    while lines := await engine.logs.kept(company.id, run.id, after, PAGE):
        for line in lines:
            for told in teller.tell(line):
                text.add(told)
        after = lines[-1].number
        if len(lines) < PAGE:
            break
        if text.is_past_half:
            end = await engine.logs.last_kept(company.id, run.id) - TAIL
            text.skip(max(0, end - after))
            after = max(after, end)
    if after >= PAGE and (dropped := await engine.logs.dropped(company.id, run.id)):
        told = f"{dropped:,} lines were not kept: the process logged more than is"
        text.add(log_line(LogLevel.WARNING, run.finished_at or run.created_at, QUEUE, told))


class CappedText:
    """Lines whose beginning and end are kept, and a word about what lay between."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._head_size = self._tail_size = 0
        self._left_out = 0
        self._is_head_full = False

    @property
    def is_past_half(self) -> bool:
        """Whether the beginning is complete."""
        return self._is_head_full

    def add(self, line: str) -> None:
        """One more line."""
        size = _size(line)
        if not self._is_head_full and self._head_size + size <= HALF:
            self._head.append(line)
            self._head_size += size
            return
        self._is_head_full = True
        self._tail.append(line)
        self._tail_size += size
        while self._tail_size > HALF and len(self._tail) > 1:
            self._tail_size -= _size(self._tail.popleft())
            self._left_out += 1

    def skip(self, lines: int) -> None:
        """So many lines are not even looked at."""
        if lines:
            self._left_out += len(self._tail) + lines
            self._tail.clear()
            self._tail_size = 0

    def joined(self) -> str:
        """The whole text."""
        gap = []
        if self._left_out:
            stamp = self._head[-1].partition(" | ")[0][len("[INF] ") :] if self._head else ""
            gap = [f"[WRN] {stamp} | [{QUEUE}] | {self._left_out:,} lines are left out here\n"]
        return "".join((*self._head, *gap, *self._tail))


def _size(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode())


class _Teller:
    """Tells lines in order, with the beginnings and ends of attempts between them."""

    def __init__(self, case: Case, attempts: Sequence[Attempt]) -> None:
        self._case = case
        self._attempts = {attempt.number: attempt for attempt in attempts}
        self._told = 0
        """Attempts whose beginning has been told."""
        self.last: LogLine | None = None

    def tell(self, line: LogLine) -> Iterator[str]:
        """A line, and what comes before it."""
        yield from self._up_to(line.attempt)
        self.last = line
        yield log_line(line.level, line.at, CODE if line.attempt else QUEUE, line.text)

    def rest(self) -> Iterator[str]:
        """What comes after the last line: attempts that logged nothing, and how they ended."""
        yield from self._up_to(self._case.run.attempt)
        if not self._case.run.is_final and self._case.run.begun_at is None:
            yield from self._ended(self._told)

    def _up_to(self, attempt: int) -> Iterator[str]:
        while self._told < min(attempt, self._case.run.attempt):
            yield from self._ended(self._told)
            self._told += 1
            if (at := self._begun_at(self._told)) is not None:
                version, name = self._case.version.number, self._case.task.name
                which = f"version {version}, attempt {self._told}"
                yield log_line(LogLevel.INFO, at, WORKER, f"Process {name!r} started: {which}")

    def _begun_at(self, number: int) -> datetime | None:
        run = self._case.run
        if number == run.attempt and run.begun_at is not None:
            return run.begun_at
        known = self._attempts.get(number)
        return run.started_at if known is None else known.begun_at

    def _ended(self, number: int) -> Iterator[str]:
        """How an attempt ended that another one follows."""
        attempt = self._attempts.get(number)
        if attempt is not None:
            why = str(attempt.outcome).replace("_", " ")
            if attempt.error is not None:
                why = _said(attempt.error)
            told = f"Attempt {number} ended: {why}; another one follows"
            yield log_line(LogLevel.WARNING, attempt.finished_at, WORKER, told)


def _before(case: Case, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        if change.state not in FINAL_STATES and change.note:
            yield log_line(LogLevel.WARNING, change.at, QUEUE, change.note)
        elif change.state is RunState.PARKED:
            yield log_line(LogLevel.INFO, change.at, QUEUE, "Held aside by an operator")


def _end(case: Case, changes: Sequence[Change], last: LogLine | None) -> Iterator[str]:
    run = case.run
    if run.finished_at is None or run.cause is None:
        return
    if run.state is RunState.COMPLETED:
        yield log_line(LogLevel.INFO, run.finished_at, WORKER, _finished(case))
    elif run.cause is Cause.CANCELLED:
        note = next((c.note for c in changes if c.state in FINAL_STATES and c.note), None)
        told = note or ("Cancelled while it was under way" if run.has_begun else "Cancelled")
        yield log_line(LogLevel.WARNING, run.finished_at, QUEUE, told)
    elif not _is_said_already(case.error, last):
        why = _WHY[run.cause] if case.error is None else _said(case.error)
        source = WORKER if run.has_begun else QUEUE
        yield log_line(LogLevel.ERROR, run.finished_at, source, why)


def _finished(case: Case) -> str:
    errors = case.run.logged_errors
    logged = f"; it logged {errors:,} error{'s' if errors > 1 else ''}" if errors else ""
    return f"Process {case.task.name!r} finished{logged}"


def _is_said_already(error: RunError | None, last: LogLine | None) -> bool:
    """Whether the server itself has said it last, as it does of files that it cannot fetch."""
    return (
        error is not None
        and last is not None
        and not last.attempt
        and last.level is LogLevel.ERROR
        and last.text == error.message
    )


def _said(error: RunError) -> str:
    return f"{error.kind}: {error.message}"
