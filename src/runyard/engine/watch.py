"""Who waits for a run to end, and who follows what happens.

Nothing is kept for runs that nobody watches: publishing looks into two dictionaries. Streams have a
ring of the company's recent events to resume from, and a bounded queue each; a client that does
not read gets `Resync` and the end of its stream, never more memory.

On a shared database a run may end through another server, which tells of it; waiting also looks by
itself now and then. What happens at another server is shown here as well: its servers are told which
companies are followed where.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.peers import Peers
from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Run
from runyard.stores.contract.store import Store

RING = 10_000
"""Events of a company that are kept to go on from."""
RING_WEIGHT = 16 * 1024 * 1024
"""Characters of log lines among them."""
CLIENT_QUEUE = 256
MOST_LINES = 1_000
"""Lines of one telling that are shown."""
OWN_LOOK = timedelta(seconds=10)
"""How often a waiter looks for itself although every change should reach it."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, in order within this server."""

    sequence: int


class StateChanged(Event, frozen=True, kw_only=True, tag="state_changed"):
    """A run is in another state now."""

    run: Run


class Lines(Event, frozen=True, kw_only=True, tag="lines"):
    """A run logged these lines."""

    run_id: RunId
    lines: tuple[LogLine, ...]


class Progressed(Event, frozen=True, kw_only=True, tag="progressed"):
    """A run said how far it is."""

    run_id: RunId
    done: float
    total: float | None


class Resync(Event, frozen=True, kw_only=True, tag="resync"):
    """Events were missed: the stream ends here; read the state anew and connect again."""


class Follower:
    """One client's bounded queue."""

    def __init__(self, run: RunId | None) -> None:
        self._run = run
        self._missed: deque[Event] = deque()
        self._events: asyncio.Queue[Event] = asyncio.Queue(CLIENT_QUEUE + 1)
        self._is_behind = False

    async def next(self) -> Event:
        """The next event; `Resync` is the last one."""
        if self._missed:
            return self._missed.popleft()
        return await self._events.get()

    def resume(self, event: Event) -> None:
        """An event of before the following began."""
        self._missed.append(event)

    def offer(self, event: Event, run: RunId) -> None:
        """Something happened to this run."""
        if self._is_behind or (self._run is not None and self._run != run):
            return
        if self._events.qsize() >= CLIENT_QUEUE:
            self._is_behind = True
            self._events.put_nowait(Resync(sequence=event.sequence))
            return
        self._events.put_nowait(event)

    def resync(self, event: Resync) -> None:
        """Events may be missing. Followers of one run look for themselves."""
        if self._run is None and not self._is_behind:
            self._is_behind = True
            self._events.put_nowait(event)


class Ring:
    """A company's recent events, as many as may be kept."""

    def __init__(self) -> None:
        self._events: deque[tuple[Event, RunId]] = deque()
        self._weight = 0

    def add(self, event: Event, run: RunId) -> None:
        """The newest event; the oldest ones make room."""
        self._events.append((event, run))
        self._weight += _weight(event)
        while len(self._events) > RING or self._weight > RING_WEIGHT:
            oldest, _ = self._events.popleft()
            self._weight -= _weight(oldest)

    def since(self, after: int, run: RunId | None) -> list[Event] | None:
        """What happened after this sequence number, to one run or to all; None: not all is known."""
        if not self._events or self._events[0][0].sequence > after + 1:
            return None
        return [e for e, of in self._events if e.sequence > after and (run is None or of == run)]


def _weight(event: Event) -> int:
    return sum(len(line.text) for line in event.lines) if isinstance(event, Lines) else 0


class Watch:
    """Waiters and followers of runs."""

    def __init__(self, store: Store, clock: Clock, peers: Peers) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._sequence = 0
        self.on_ended: list[Callable[[Sequence[RunId]], None]] = []
        """Called with runs that are final, whoever waits for them."""
        self._waiters: dict[RunId, list[asyncio.Event]] = {}
        self._followers: dict[CompanyId, list[Follower]] = {}
        self._rings: dict[CompanyId, Ring] = {}

    def is_followed(self, company: CompanyId) -> bool:
        """Whether anybody follows events of this company; if not, none need be made."""
        return company in self._followers or self._peers.follow(company)

    def is_followed_here(self, company: CompanyId) -> bool:
        """Whether anybody at this server follows events of this company."""
        return company in self._followers

    def ended(self, runs: Sequence[RunId]) -> None:
        """These runs are final: wake whoever waits for them."""
        self._peers.ended(runs)
        self.heard_ended(runs)

    def heard_ended(self, runs: Sequence[RunId]) -> None:
        """These runs are final, here or through another server."""
        for heard in self.on_ended:
            heard(runs)
        if not self._waiters:
            return
        for run in runs:
            for waiter in self._waiters.pop(run, ()):
                waiter.set()

    async def changed(self, company: CompanyId, runs: Sequence[RunId]) -> None:
        """These runs changed: tell followers, if there are any."""
        self._peers.changed(company, runs)
        await self.show(company, runs)

    async def show(self, company: CompanyId, runs: Sequence[RunId]) -> None:
        """Tell those who follow here of runs that changed here or elsewhere."""
        if company not in self._followers:
            return
        for run in await self._store.runs.find_many(company, runs):
            if company not in self._followers:  # the last one left meanwhile
                return
            self._publish(company, run.id, StateChanged(sequence=self._next(), run=run))

    async def changed_in(self, runs: Mapping[RunId, CompanyId]) -> None:
        """These runs changed, each in its company."""
        for company in set(runs.values()):
            await self.changed(company, [run for run, owner in runs.items() if owner == company])

    def logged(self, company: CompanyId, run: RunId, lines: tuple[LogLine, ...]) -> None:
        """A run logged lines."""
        if lines:
            self._peers.logged(company, run, lines[0].number, lines[-1].number)
        if company in self._followers:
            self._publish(company, run, Lines(sequence=self._next(), run_id=run, lines=lines))

    async def show_lines(self, company: CompanyId, run: RunId, first: int, last: int) -> None:
        """Tell those who follow here of lines that a run logged elsewhere."""
        if company not in self._followers:
            return
        count = min(last - first + 1, MOST_LINES)
        lines = await self._store.logs.read(
            company, run, at_least=LogLevel.TRACE, after=first - 1, limit=count
        )
        if lines and company in self._followers:
            event = Lines(sequence=self._next(), run_id=run, lines=tuple(lines))
            self._publish(company, run, event)

    def progressed(self, company: CompanyId, run: RunId, done: float, total: float | None) -> None:
        """A run reported progress."""
        self._peers.progressed(company, run, done, total)
        self.show_progress(company, run, done, total)

    def show_progress(
        self, company: CompanyId, run: RunId, done: float, total: float | None
    ) -> None:
        """Tell those who follow here how far a run is, here or elsewhere."""
        if company in self._followers:
            event = Progressed(sequence=self._next(), run_id=run, done=done, total=total)
            self._publish(company, run, event)

    async def wait(self, company: CompanyId, run_id: RunId, patience: timedelta) -> Run | None:
        """The run once it is final, or as it is when the time is over."""
        waiter = asyncio.Event()
        deadline = self._clock.monotonic() + patience
        try:
            while True:
                # Whoever was woken is forgotten, but the run may not have ended after all.
                waiters = self._waiters.setdefault(run_id, [])
                if waiter not in waiters:
                    waiters.append(waiter)
                run = await self._store.runs.find(company, run_id)
                left = deadline - self._clock.monotonic()
                if run is None or run.is_final or left <= timedelta():
                    return run
                await self._clock.wait(waiter, min(left, self.look))
        finally:
            waiters = self._waiters.get(run_id, [])
            if waiter in waiters:
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[run_id]

    @property
    def look(self) -> timedelta:
        """How often whoever waits for a change looks by itself."""
        return self._peers.look if self._store.is_shared else OWN_LOOK

    @property
    def hears_everything(self) -> bool:
        """Whether all changes pass through this process; if not, followers must also look."""
        return not self._store.is_shared

    def heard_of_any(self) -> None:
        """Any run may have ended: whoever waits looks."""
        for run in list(self._waiters):
            self.heard_ended((run,))

    def missed(self) -> None:
        """What happened at other servers may have been missed: followers start anew."""
        self.heard_of_any()
        for company, followers in self._followers.items():
            event = Resync(sequence=self._next())
            self._rings.pop(company, None)
            for follower in list(followers):
                follower.resync(event)

    @contextmanager
    def following(
        self, company: CompanyId, run: RunId | None = None, after: int | None = None
    ) -> Iterator[Follower]:
        """Follow a company, or one of its runs, from now on or from after a sequence number."""
        follower = Follower(run)
        for event in self._missed(company, run, after):
            follower.resume(event)
        self._join(company, follower)
        try:
            yield follower
        finally:
            self._leave(company, follower)

    def _missed(self, company: CompanyId, run: RunId | None, after: int | None) -> list[Event]:
        if after is None:
            return []
        ring = self._rings.get(company)
        missed = None if ring is None else ring.since(after, run)
        if missed is None:
            return [] if after == self._sequence else [Resync(sequence=self._sequence)]
        return missed

    def _join(self, company: CompanyId, follower: Follower) -> None:
        is_first = company not in self._followers
        self._followers.setdefault(company, []).append(follower)
        if is_first:
            self._peers.follows(self._followers)

    def _leave(self, company: CompanyId, follower: Follower) -> None:
        followers = self._followers[company]
        followers.remove(follower)
        if not followers:
            del self._followers[company]
            self._peers.follows(self._followers)
            self._rings.pop(company, None)
            # What happens while nobody follows is not kept: going on from here leads to Resync.
            self._next()

    def _publish(self, company: CompanyId, run: RunId, event: Event) -> None:
        ring = self._rings.get(company)
        if ring is None:
            ring = self._rings[company] = Ring()
        ring.add(event, run)
        for follower in self._followers[company]:
            follower.offer(event, run)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence
