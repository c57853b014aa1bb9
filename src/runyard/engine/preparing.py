"""Preparing: the files that an input names by address are fetched before its run is queued.

A run is started in state preparing, in the hand of the server that started it, which says so again
every now and then. Each file is fetched through the guarded client into the blob store, tried three
times, and written down with its place in the input; the last one done, the input names the stored
files instead of addresses and the run goes where it was to go: into the queue, to its due instant, or
aside. A file that cannot be had fails the run, and its log says why.

A server that dies, or stops, leaves its preparations to whoever looks next; files that were fetched
already are not fetched again. A run that is cancelled meanwhile is let go of.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from runyard.engine.fetching import FetchFailed, Fetching, FetchRefused, FileOwner
from runyard.engine.files import Files
from runyard.engine.foundation import Foundation
from runyard.engine.logbook import Logbook
from runyard.engine.patience import AFTER_FAILURE, until_done
from runyard.engine.ranks import rank
from runyard.engine.transitions import sources, target
from runyard.model.errors import Busy
from runyard.model.files import FileReference
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel
from runyard.model.runs import Run, RunError
from runyard.model.states import Cause, RunState
from runyard.outbound.base import Outbound
from runyard.stores.contract.preparations import HELD_FOR, Preparation, Prepared
from runyard.stores.contract.runs import Move, NewRun
from runyard.telemetry import MAINTENANCE_FAILED, emit

KEPT_EVERY = timedelta(seconds=20)
MOST_RUNS = 128
"""Runs that one server prepares at once."""
LONGEST_LOOK = timedelta(minutes=1)
"""A server that has nothing to do asks the database no more often than that."""
SPOKEN_FILES = 20
"""Up to so many files of a run each have a log line of their own; of more, every tenth part has."""


class Preparing:
    """Prepares runs."""

    def __init__(
        self, foundation: Foundation, files: Files, logbook: Logbook, outbound: Outbound
    ) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._secrets = foundation.secrets
        self._dispatcher = foundation.dispatcher
        self._watch = foundation.watch
        self._logbook = logbook
        self.fetching = Fetching(self._clock, files, outbound, logbook)
        self.ageing = timedelta()
        self.on_scheduled: Callable[[], None] = _nothing
        """Called when a prepared run is due later."""
        self.how_to_open: Callable[[Run], Awaitable[str]] = _no_other_way
        """What else opens an address to a run's files, as its refusal says."""
        self._ended: WeakValueDictionary[RunId, asyncio.Event] = WeakValueDictionary()
        """Set when a run that is in hand here has ended."""
        self._in_hand: set[RunId] = set()
        self._waiting: deque[Preparation] = deque()
        self._wakeup = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        foundation.watch.on_ended.append(self._hear)

    # ------------------------------------------------------------ who prepares what

    def begin(self, runs: Sequence[NewRun]) -> None:
        """These runs have been started, held by this server."""
        for run in runs:
            if run.preparation is not None:
                self._waiting.append(
                    Preparation(
                        run_id=run.id,
                        company_id=run.company_id,
                        parked=run.preparation.parked,
                        allowed=run.preparation.allowed,
                    )
                )
        self._start_waiting()

    async def open(self) -> None:
        """Take up what an earlier life of this server left."""
        if not self._store.is_shared:
            await self._store.preparations.release(self._clock.now(), None)

    async def run(self) -> None:
        """Prepare until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._look_forever())
            group.create_task(self._keep_forever())
            self._start_waiting()

    async def close(self) -> None:
        """Leave what is not prepared to others."""
        if self._in_hand or self._waiting:
            await self._store.preparations.release(self._clock.now(), self._store.incarnation)

    def _start_waiting(self) -> None:
        while self._group is not None and self._waiting and len(self._in_hand) < MOST_RUNS:
            preparation = self._waiting.popleft()
            if preparation.run_id not in self._in_hand:
                self._in_hand.add(preparation.run_id)
                self._group.create_task(self._prepare(preparation))

    def _hear(self, runs: Sequence[RunId]) -> None:
        if self._in_hand and not self._in_hand.isdisjoint(runs):
            for run in self._in_hand.intersection(runs):
                if (ended := self._ended.get(run)) is not None:
                    ended.set()

    async def _look_forever(self) -> None:
        while True:
            try:
                sleep = await self._look()
            except Exception as error:  # noqa: BLE001 - the supervisor of this duty
                detail = f"{type(error).__name__}: {error}"
                emit(MAINTENANCE_FAILED, duty="preparing", detail=detail)
                sleep = AFTER_FAILURE
            await self._clock.wait(self._wakeup, sleep)

    async def _look(self) -> timedelta:
        """Take over what nobody prepares any more; how long there will be nothing."""
        due_at = await self._store.preparations.next_due_at()
        now = self._clock.now()
        if due_at is None or due_at > now:
            return LONGEST_LOOK if due_at is None else min(due_at - now, LONGEST_LOOK)
        room = MOST_RUNS - len(self._in_hand) - len(self._waiting)
        if room > 0:
            self._waiting.extend(
                await self._store.preparations.take(
                    now, now + HELD_FOR, self._store.incarnation, room
                )
            )
            self._start_waiting()
        return timedelta(seconds=1)

    async def _keep_forever(self) -> None:
        while True:
            await self._clock.wait(asyncio.Event(), KEPT_EVERY)
            if self._in_hand or self._waiting:
                try:
                    until = self._clock.now() + HELD_FOR
                    await self._store.preparations.keep(self._store.incarnation, until)
                except Busy as problem:
                    emit(MAINTENANCE_FAILED, duty="preparing", detail=problem.detail)

    # ------------------------------------------------------------ one run

    async def _prepare(self, preparation: Preparation) -> None:
        run_id = preparation.run_id
        ended = self._ended[run_id] = asyncio.Event()
        try:
            await _unless(ended, self._prepared(preparation))
            if ended.is_set():
                await self._store.preparations.forget([run_id])
        except Exception as error:  # noqa: BLE001 - the database is away, or one run meets a defect
            detail = f"{type(error).__name__}: {error}"
            emit(MAINTENANCE_FAILED, duty="preparing", detail=detail)
            await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
            self._waiting.append(preparation)
        self._in_hand.discard(run_id)
        self._start_waiting()

    async def _prepared(self, preparation: Preparation) -> None:
        company, run_id = preparation.company_id, preparation.run_id
        run = await self._store.runs.find(company, run_id)
        if run is None or run.state is not RunState.PREPARING:
            await self._store.preparations.forget([run_id])
            return
        try:
            prepared = await self._fetched(run, preparation)
        except FetchFailed as failure:
            detail = failure.detail
            if isinstance(failure, FetchRefused):
                detail += await self.how_to_open(run)
            await self._logbook.note(run.company_id, run.id, LogLevel.ERROR, detail)
            await self._fail(run, "InputFileNotFetched", detail)
            return
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - one run that cannot be prepared must not end all others
            kind = type(error).__name__
            await self._fail(run, kind, str(error) or kind)
            return
        await self._release(run, preparation, prepared)

    async def _fetched(self, run: Run, preparation: Preparation) -> bytes:
        """The run's input with the files in place of their addresses."""
        values = await self._store.runs.values(run.company_id, run.id)
        assert values is not None, "every run has an input"
        shape = await self._directory.input_shape(run.version_id)
        addresses = shape.addresses_in(values.input)
        known: dict[int, FileReference] = {
            file.place: file.reference()
            for file in await self._store.files.fetched_for(run.company_id, run.id)
            if file.place is not None
        }
        missing = [place for place in range(len(addresses)) if place not in known]
        again = f", {len(known)} of them before" if known else ""
        told = f"fetching {_files(len(addresses))}{again}"
        await self._logbook.note(run.company_id, run.id, LogLevel.INFO, told)
        owner = FileOwner(run=run, allowed=preparation.allowed, speaks=_speaking(len(addresses)))
        known |= await self.fetching.all(owner, {place: addresses[place] for place in missing})
        return shape.with_fetched(values.input, known)

    async def _release(self, run: Run, preparation: Preparation, prepared: bytes) -> None:
        now = self._clock.now()
        cause = Cause.PREPARED
        if preparation.parked:
            cause = Cause.PREPARED_PARKED
        elif run.due_at is not None and run.due_at > now:
            cause = Cause.PREPARED_POSTPONED
        queued = cause is Cause.PREPARED
        if queued:
            self._dispatcher.expect(run.gate_id, run.company_id)
        try:
            await self._end(
                Move(
                    run_id=run.id,
                    company_id=run.company_id,
                    sources=sources(cause),
                    state=target(cause),
                    at=now,
                    rank=rank(now, run.priority, self.ageing) if queued else None,
                    put_off_until=now if queued else None,
                    is_recorded=True,
                ),
                Prepared(input=prepared),
            )
        finally:
            if queued:
                self._dispatcher.notice_again(run.gate_id, run.company_id)
        if cause is Cause.PREPARED_POSTPONED:
            self.on_scheduled()

    async def _fail(self, run: Run, kind: str, message: str) -> None:
        await self._end(
            Move(
                run_id=run.id,
                company_id=run.company_id,
                sources=sources(Cause.INPUT_INVALID)[:1],
                state=target(Cause.INPUT_INVALID),
                cause=Cause.INPUT_INVALID,
                at=self._clock.now(),
            ),
            Prepared(error=self._secrets.error(RunError(kind=kind, message=message))),
        )

    async def _end(self, move: Move, prepared: Prepared) -> None:
        moved = await until_done(
            self._clock, "preparing", lambda: self._store.runs.end_preparing(move, prepared)
        )
        if moved is not None:
            # Its own end wakes nobody here: what prepared it is at its end, too.
            self._ended.pop(move.run_id, None)
            if moved.is_final:
                self._watch.ended([moved.id])
            await self._watch.changed(moved.company_id, [moved.id])


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, but give it up when the event comes first."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        waiting.cancel()
        working.cancel()
        await asyncio.wait((working,))


def _files(count: int) -> str:
    return "an input file" if count == 1 else f"{count} input files"


def _speaking(count: int) -> Callable[[int], bool]:
    """Of how many files that were fetched the log tells."""
    if count <= SPOKEN_FILES:
        return lambda done: True
    return lambda done: done % (count // 10) == 0


def _nothing() -> None:
    """Before anybody cares."""


async def _no_other_way(run: Run) -> str:
    """Before anybody opens anything."""
    return ""
