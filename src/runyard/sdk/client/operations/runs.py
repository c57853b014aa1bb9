"""Runs: starting, reading, awaiting and steering them."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from runyard.model.states import Cause, RunState, Trigger
from runyard.protocol.shapes import files as file_shapes
from runyard.protocol.shapes import logs as log_shapes
from runyard.protocol.shapes import runs as run_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import (
    Plan,
    all_pages,
    ask,
    get,
    keyed_post,
    operation,
    paged,
    post,
)
from runyard.sdk.client.shapes import KilledRun, Run, RunPage

LONGEST_WAIT = timedelta(seconds=60)
"""How long one request waits for a run; longer waits are made of several."""


class NewCallback(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to be told when a run has ended."""

    url: str
    headers: Mapping[str, str] = {}
    """What the request carries besides."""


class NewRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run to start."""

    task: str
    """Id, uuid, public id or name."""
    input: Any = {}
    priority: int | None = None
    """1 to 99, lower first. None: the task's, else the company's."""
    due_at: datetime | None = None
    """Not before this instant."""
    parked: bool = False
    """Held until it is released."""
    at_once: bool = False
    """Fails, with the cause no_slot, instead of waiting for a slot."""
    callbacks: tuple[NewCallback, ...] = ()
    """Who is told when it has ended."""


class RunFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs a list shows: those that fit everything that is given."""

    task: str | None = None
    """Id, uuid, public id or name."""
    state: tuple[RunState, ...] = ()
    """Any of these."""
    cause: tuple[Cause, ...] = ()
    """Any of these."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    finished_from: datetime | None = None
    finished_before: datetime | None = None
    worker: int | None = None
    schedule: int | None = None
    trigger: Trigger | None = None
    restarted_from: int | None = None


class RunOperations(Addresses):
    """Runs: starting, reading, awaiting and steering them."""

    @operation
    def start(  # noqa: PLR0913 - the words of one request
        self,
        task: Ref,
        input: Mapping[str, Any] | msgspec.Raw | None = None,  # noqa: A002 - the word of the API
        *,
        priority: int | None = None,
        due_at: datetime | None = None,
        parked: bool = False,
        at_once: bool = False,
        callbacks: Iterable[str | NewCallback] = (),
        key: str | None = None,
    ) -> Plan[run_shapes.StartedRun]:
        """Starts one run of a task. It is on disk when this returns.

        `priority`: 1 to 99, lower first. `due_at`: not before this instant. `parked`: held until it
        is released. `at_once`: fails instead of waiting for a slot. `callbacks`: addresses that get a signed POST when it has ended. `key`: the
        idempotency key; the same key always means the same run.
        """
        new = NewRun(
            task=str(task),
            input={} if input is None else input,
            priority=priority,
            due_at=due_at,
            parked=parked,
            at_once=at_once,
            callbacks=tuple(
                NewCallback(url=each) if isinstance(each, str) else each for each in callbacks
            ),
        )
        return (yield from ask(keyed_post(self._path("runs"), new, key), run_shapes.StartedRun))

    @operation
    def start_many(
        self, runs: Iterable[NewRun], *, key: str | None = None
    ) -> Plan[tuple[run_shapes.StartedRun, ...]]:
        """Starts up to 1,000 runs at once: all of them or, when one is refused, none."""
        request = keyed_post(self._path("runs"), {"runs": tuple(runs)}, key)
        return (yield from ask(request, run_shapes.StartedRuns)).runs

    @operation
    def runs(
        self,
        wanted: RunFilter | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
        values: bool = False,
    ) -> Plan[RunPage]:
        """A page of runs, newest first; `after` is the `next` of the page before.

        `values`: with their input and outputs.
        """
        query = {
            **_filters(wanted or RunFilter()),
            **paged(limit, after),
            "values": "true" if values else None,
        }
        return (yield from ask(get(self._path("runs"), query), RunPage))

    @operation
    def run(self, run: Ref) -> Plan[Run]:
        """One run with its input, outputs, error and attempts."""
        return (yield from ask(get(self._path("runs", run)), Run))

    @operation
    def wait(self, run: Ref, timeout: timedelta | None = None) -> Plan[Run]:
        """The run once it is final, or as it is after the timeout. None: waits for ever."""
        left = timeout
        while True:
            turn = LONGEST_WAIT if left is None else min(left, LONGEST_WAIT)
            waiting = get(self._path("runs", run, "wait"), {"timeout": f"{turn.total_seconds():g}"})
            patient = msgspec.structs.replace(waiting, patience=waiting.patience + turn)
            state = yield from ask(patient, Run)
            left = None if left is None else left - turn
            if state.is_final or (left is not None and not left):
                return (yield from ask(get(self._path("runs", run)), Run))

    @operation
    def cancel(self, run: Ref) -> Plan[Run]:
        """Ends a run, whatever its state; a running one is killed."""
        return (yield from ask(post(self._path("runs", run, "cancel")), Run))

    @operation
    def kill(self, run: Ref) -> Plan[KilledRun]:
        """Ends a running run; answered once none of its code executes any more."""
        return (yield from ask(post(self._path("runs", run, "kill")), KilledRun))

    @operation
    def park(self, run: Ref) -> Plan[Run]:
        """Holds a run that has not begun."""
        return (yield from ask(post(self._path("runs", run, "park")), Run))

    @operation
    def release(self, run: Ref) -> Plan[Run]:
        """Lets a parked run into the queue."""
        return (yield from ask(post(self._path("runs", run, "release")), Run))

    @operation
    def restart(self, run: Ref, *, parked: bool = False, same_version: bool = False) -> Plan[Run]:
        """A new run with the same input, of the current version of its task or of the same one."""
        body = {"parked": parked, "same_version": same_version}
        return (yield from ask(post(self._path("runs", run, "restart"), body), Run))

    @operation
    def history(self, run: Ref) -> Plan[run_shapes.RunHistory]:
        """What happened to a run, moment by moment."""
        return (yield from ask(get(self._path("runs", run, "history")), run_shapes.RunHistory))

    @operation
    def explain(self, run: Ref) -> Plan[tuple[run_shapes.Reason, ...]]:
        """Every reason why a run does not run, and what would clear it. Empty: none."""
        return (
            yield from ask(get(self._path("runs", run, "explain")), run_shapes.Explanation)
        ).reasons

    @operation
    def logs(
        self, run: Ref, *, level: str | None = None, after: int = 0, limit: int = 500
    ) -> Plan[log_shapes.LogPage]:
        """Lines of a run's log after the given number, of at least the given level."""
        query = {"level": level, "after": str(after), "limit": str(limit)}
        return (yield from ask(get(self._path("runs", run, "logs"), query), log_shapes.LogPage))

    @operation
    def run_files(self, run: Ref) -> Plan[tuple[file_shapes.File, ...]]:
        """The files that a run has returned."""
        return (yield from all_pages(get(self._path("runs", run, "files")), file_shapes.FilePage))


def _filters(wanted: RunFilter) -> dict[str, str | list[str]]:
    fields: dict[str, Any] = msgspec.to_builtins(wanted)
    return {
        name: [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
        for name, value in fields.items()
    }
