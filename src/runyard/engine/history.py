"""What happened to a run, moment by moment.

Most of it stands in the run's own row and in its attempts; only what the row forgets (parked,
released, a note of whoever started it) is kept beside it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from runyard.engine.foundation import Foundation
from runyard.model.companies import Company
from runyard.model.errors import RunNotFound
from runyard.model.ids import RunId
from runyard.model.runs import Attempt, Change, Outcome, Run
from runyard.model.states import FINAL_STATES, Cause, RunState


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """From when on a run was in a state."""

    at: datetime
    state: RunState
    attempt: int
    """Attempts that had reached the task's code by then."""
    cause: Cause | None = None
    """Of its end."""
    note: str | None = None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A run's past, and where it stands among its restarts."""

    moments: tuple[Moment, ...]
    restarts: int
    """Runs that were restarted from it."""
    origin: RunId
    """The run at the beginning of its chain of restarts; itself when it is no restart."""


class History:
    """Tells how a run came to be where it is."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store

    async def tell(self, company: Company, run: Run) -> Story:
        """The run's story; raises RunNotFound when it was deleted meanwhile."""
        histories = self._store.histories
        changes = await histories.changes(company.id, run.id)
        attempts = await histories.attempts(company.id, run.id)
        values = await self._store.runs.values(company.id, run.id)
        if values is None:
            raise RunNotFound(f"there is no run {run.id}")
        error = None if values.error is None else f"{values.error.kind}: {values.error.message}"
        ancestors = await histories.ancestors(company.id, run.id) if run.level else []
        return Story(
            moments=moments_of(run, changes, attempts, error),
            restarts=await histories.restarts(company.id, run.id),
            origin=ancestors[-1] if ancestors else run.id,
        )

    async def note(self, company: Company, run: Run) -> str | None:
        """What whoever started it wanted to be remembered."""
        changes = await self._store.histories.changes(company.id, run.id)
        notes = (change.note for change in changes if change.state not in FINAL_STATES)
        return next((note for note in notes if note is not None), None)

    async def changes(self, company: Company, run: Run) -> list[Change]:
        """What was done to it that its row forgets: parked, released, made or ended with a note."""
        return await self._store.histories.changes(company.id, run.id)

    async def steps(self, company: Company, run: RunId) -> list[tuple[str, int, datetime]]:
        """Its recorded steps (name, occurrence, when), in order."""
        return await self._store.histories.recorded_steps(company.id, run)


def moments_of(
    run: Run, changes: Sequence[Change], attempts: Sequence[Attempt], error: str | None
) -> tuple[Moment, ...]:
    """The moments of a run in order; `error` is how its last attempt failed."""
    ended = next((change.note for change in changes if change.state in FINAL_STATES), None)
    changes = [change for change in changes if change.state not in FINAL_STATES]
    found = [*_before_code(run, changes), *_in_code(run, attempts)]
    if run.finished_at is not None:
        end = _moment(run.finished_at, run.state, run.attempt, ended or _end_note(run, error))
        found.append(msgspec.structs.replace(end, cause=run.cause))
    return tuple(sorted(found, key=lambda moment: moment.at))


def _before_code(run: Run, changes: Sequence[Change]) -> Iterator[Moment]:
    if not changes or changes[0].at > run.created_at:
        yield _moment(run.created_at, _first_state(run), 0)
    for change in changes:
        yield _moment(change.at, change.state, 0, change.note)


def _first_state(run: Run) -> RunState:
    is_later = run.put_off_until is not None and run.put_off_until == run.due_at
    return RunState.SCHEDULED if is_later else RunState.QUEUED


def _in_code(run: Run, attempts: Sequence[Attempt]) -> Iterator[Moment]:
    for attempt in attempts:
        if attempt.begun_at is not None:
            yield _moment(
                attempt.begun_at, RunState.RUNNING, attempt.number, _which(attempt.number)
            )
        if run.finished_at is None or attempt.number < run.attempt:
            yield _moment(attempt.finished_at, RunState.SCHEDULED, attempt.number, _failed(attempt))
    if run.finished_at is None and run.begun_at is not None:
        yield _moment(run.begun_at, RunState.RUNNING, run.attempt, _which(run.attempt))


def _which(number: int) -> str:
    return f"attempt {number}"


def _failed(attempt: Attempt) -> str:
    why = attempt.outcome.replace("_", " ")
    if attempt.error is not None and attempt.outcome is not Outcome.LOST:
        why = f"{why}: {attempt.error.kind}: {attempt.error.message}"
    return f"attempt {attempt.number} ended ({why}); another one follows"


def _end_note(run: Run, error: str | None) -> str | None:
    if run.cause is Cause.CANCELLED:
        return "cancelled while it was under way" if run.has_begun else "removed from the queue"
    if run.cause is Cause.NO_SLOT:
        return "no slot was free, and it was not to wait for one"
    return error


def _moment(at: datetime, state: RunState, attempt: int, note: str | None = None) -> Moment:
    return Moment(at=at, state=state, attempt=attempt, note=note)
