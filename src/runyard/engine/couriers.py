"""Sending callbacks: at least once, in parallel, and never at the expense of runs.

Three steps, each written down before the next:

ripen    the callbacks of runs that have ended become due
hold     this server takes due ones in hand, for a minute; nobody else sends them meanwhile
settle   delivered, due again after a pause, or dead

Every receiver (scheme, host and port) has a lane of its own. A lane sends a few at a time, fewer
when its receiver is slow or does not answer, and takes hold of no more than it will send soon; so
a slow receiver keeps nobody waiting but itself, on every server.

A server that dies leaves what it held to become due by itself; its receiver may then get a callback
twice, and knows it by its id.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from runyard.engine.callbacks import Callbacks
from runyard.engine.foundation import Foundation
from runyard.engine.patience import AFTER_FAILURE, until_done
from runyard.engine.signatures import signed_headers
from runyard.model.callbacks import Callback, CallbackState
from runyard.model.errors import AddressRefused, OutboundFailed, RunyardError
from runyard.model.ids import CallbackId, RunId, encode_public_id
from runyard.outbound.addresses import read_address
from runyard.outbound.base import Outbound, OutboundLimits, OutboundRequest
from runyard.stores.contract.callbacks import CallbackEnd, CallbackHold
from runyard.telemetry import CALLBACK_DIED, MAINTENANCE_FAILED, emit

FIRST_PAUSES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
)
LONGEST_PAUSE = timedelta(hours=1)
MOST_TRIES = 28
"""About a day of hourly tries, then it is dead."""
JITTER = 0.1
HELD_FOR = timedelta(seconds=60)
"""How long a server that says nothing more keeps others from sending what it holds."""
LIMITS = OutboundLimits(
    connect=timedelta(seconds=10),
    pause=timedelta(seconds=10),
    total=timedelta(seconds=10),
    size=64 * 1024,
)
MOST_AT_ONCE = 192
"""Callbacks under way to all receivers."""
LANE_WIDTH = 32
"""Callbacks under way to one receiver."""
SLOW_LANE_WIDTH = 8
"""The same, once it was slow or did not answer."""
SLOW = timedelta(seconds=1)
MOST_HOSTS = 1_000
LONGEST_DETAIL = 1_000
TOLD_AT_ONCE = 500
MOST_AWAITED = 100_000
SHARED_LOOK = timedelta(seconds=5)
"""While runs are awaited that may end at another server, whose word of it may be lost."""
BUSY_LOOK = timedelta(seconds=1)
LONGEST_LOOK = timedelta(minutes=1)
"""A server that has nothing to do asks the database no more often than that."""
_GONE = 410
_TOO_BUSY = frozenset({429, 503})


def pause_after(tries: int, chance: float) -> timedelta | None:
    """How long to wait after so many failed tries, or None to give up.

    `chance` in [0, 1) spreads what failed together.
    """
    if tries >= MOST_TRIES:
        return None
    pause = FIRST_PAUSES[tries - 1] if tries <= len(FIRST_PAUSES) else LONGEST_PAUSE
    return pause * (1 + JITTER * (2 * chance - 1))


class Lane:
    """What is being sent to one receiver."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.queue: deque[Callback] = deque()
        self.under_way = 0
        self.is_slow = False
        self.has_more = False
        """Whether more was due than it had room for."""

    @property
    def width(self) -> int:
        """How many may be under way."""
        return SLOW_LANE_WIDTH if self.is_slow else LANE_WIDTH

    @property
    def room(self) -> int:
        """How many more to take in hand: what is sent next stands ready when a place is free."""
        return 2 * self.width - self.under_way - len(self.queue)

    @property
    def is_empty(self) -> bool:
        """Whether it can be forgotten."""
        return not self.queue and not self.under_way


class Couriers:
    """Sends callbacks."""

    def __init__(self, foundation: Foundation, callbacks: Callbacks, outbound: Outbound) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._callbacks = callbacks
        self._outbound = outbound
        self._awaited: dict[RunId, timedelta] = {}
        """Runs under way that have callbacks, as far as this server knows, and since when."""
        self._recounted_at = timedelta()
        self._wakeup = asyncio.Event()
        self._settle_wakeup = asyncio.Event()
        self._ends: list[CallbackEnd] = []
        self._in_hand: dict[CallbackId, Callback] = {}
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()
        """Lanes with a queue, in the order in which they may send."""
        self._under_way = 0
        self._sending: asyncio.TaskGroup | None = None
        self.delivered = 0
        """Since the start, for metrics."""
        self.failed = 0
        callbacks.on_awaited = self.expect
        callbacks.on_due = self._wakeup.set
        foundation.watch.on_ended.append(self.hear)

    def expect(self, runs: Sequence[RunId]) -> None:
        """These runs are being started and have callbacks."""
        if len(self._awaited) < MOST_AWAITED:
            self._awaited.update(dict.fromkeys(runs, self._clock.monotonic()))

    def hear(self, runs: Sequence[RunId]) -> None:
        """These runs have ended."""
        if self._awaited and not self._awaited.keys().isdisjoint(runs):
            self._wakeup.set()

    async def open(self) -> None:
        """Take up what an earlier life of this server left."""
        self.expect(await self._store.callbacks.awaited(MOST_AWAITED))
        if not self._store.is_shared:
            await self._store.callbacks.release(self._clock.now())

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._sending = group
            group.create_task(self._look_forever())
            group.create_task(self._settle_forever())

    async def close(self) -> None:
        """Put back what was not sent to its end."""
        now = self._clock.now()
        ends = [
            *self._ends,
            *(
                self._end(callback, CallbackState.DUE, due_at=now)
                for callback in self._in_hand.values()
            ),
        ]
        if ends:
            await self._store.callbacks.settle(ends)

    # ------------------------------------------------------------ ripen and hold

    async def _look_forever(self) -> None:
        while True:
            try:
                sleep = await self._look()
            except Exception as error:  # noqa: BLE001 - the supervisor of this duty
                detail = f"{type(error).__name__}: {error}"
                emit(MAINTENANCE_FAILED, duty="callbacks", detail=detail)
                sleep = AFTER_FAILURE
            await self._clock.wait(self._wakeup, sleep)

    async def _look(self) -> timedelta:
        """Do all there is to do; how long there will be nothing."""
        pending = await self._store.callbacks.pending()
        now = self._clock.now()
        if pending.has_ended:
            await self._ripen()
        if not self._callbacks.may_be_sent:
            return LONGEST_LOOK
        if pending.has_ended or (pending.next_due_at is not None and pending.next_due_at <= now):
            await self._take_in_hand()
            pending = await self._store.callbacks.pending()
        if pending.has_ended:
            return timedelta()
        longest = await self._longest_sleep()
        if any(lane.has_more for lane in self._lanes.values()):
            return min(longest, BUSY_LOOK)  # a place that becomes free wakes as well
        if pending.next_due_at is None:
            return longest
        return max(min(pending.next_due_at - self._clock.now(), longest), timedelta())

    async def _longest_sleep(self) -> timedelta:
        """Runs that end here are heard of. On a shared database they may end elsewhere, and their
        callbacks may be sent elsewhere; so who waits for some looks more often, and makes sure now
        and then that it still does.
        """
        if not self._store.is_shared or not self._awaited:
            return LONGEST_LOOK
        now = self._clock.monotonic()
        if now - self._recounted_at >= LONGEST_LOOK:
            self._recounted_at = now
            known = set(await self._store.callbacks.awaited(MOST_AWAITED))
            self._awaited = {
                run: since
                for run, since in self._awaited.items()
                if run in known or now - since < LONGEST_LOOK
            }
        return SHARED_LOOK

    async def _ripen(self) -> None:
        ended = await self._store.callbacks.ended_runs(TOLD_AT_ONCE)
        if ended:
            await self._store.callbacks.ripen(ended, self._clock.now())
            for run in ended:
                self._awaited.pop(run, None)

    async def _take_in_hand(self) -> None:
        now = self._clock.now()
        wanted: dict[CallbackId, Callback] = {}
        for lane in self._lanes.values():
            lane.has_more = False
        for host in await self._store.callbacks.due_hosts(now, MOST_HOSTS):
            lane = self._lanes.setdefault(host, Lane(host))
            if lane.room > 0:
                due = await self._store.callbacks.due(host, now, lane.room)
                lane.has_more = len(due) >= lane.room
                wanted |= {callback.id: callback for callback in due}
            else:
                lane.has_more = True
        if wanted:
            held = await self._hold(list(wanted.values()))
            self._queue([wanted[callback] for callback in held])
        self._forget_empty_lanes()

    async def _hold(self, callbacks: Sequence[Callback]) -> list[CallbackId]:
        now = self._clock.now()
        holds = [
            CallbackHold(
                run_id=callback.run_id,
                callback_id=callback.id,
                holder=self._store.incarnation,
                until=now + HELD_FOR,
            )
            for callback in callbacks
        ]
        return list(dict.fromkeys(await self._store.callbacks.hold(holds, now)))

    def _queue(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            lane = self._lanes[callback.host]
            if not lane.queue:
                self._turns.append(lane)
            lane.queue.append(callback)
            self._in_hand[callback.id] = callback
        self._send_next()

    def _forget_empty_lanes(self) -> None:
        for lane in [lane for lane in self._lanes.values() if lane.is_empty and not lane.has_more]:
            del self._lanes[lane.host]

    # ------------------------------------------------------------ send

    def _send_next(self) -> None:
        """Fill the free places, one callback of each lane after the other."""
        group = self._sending
        waiting: list[Lane] = []
        while group is not None and self._turns and self._under_way < MOST_AT_ONCE:
            lane = self._turns.popleft()
            if lane.under_way >= lane.width:
                waiting.append(lane)
                continue
            callback = lane.queue.popleft()
            if lane.queue:
                self._turns.append(lane)
            lane.under_way += 1
            self._under_way += 1
            group.create_task(self._send(lane, callback))
        self._turns.extend(waiting)

    async def _send(self, lane: Lane, callback: Callback) -> None:
        began_at = self._clock.monotonic()
        try:
            end = await self._outcome(callback)
        except Exception as error:  # noqa: BLE001 - one callback must not end all others
            end = self._failed(callback, f"{type(error).__name__}: {error}")
        took = self._clock.monotonic() - began_at
        lane.is_slow = took >= SLOW or end.answered is None
        lane.under_way -= 1
        self._under_way -= 1
        del self._in_hand[callback.id]
        self._ends.append(end)
        self._settle_wakeup.set()
        self._send_next()
        if lane.has_more and lane.room >= lane.width:
            self._wakeup.set()

    async def _outcome(self, callback: Callback) -> CallbackEnd:
        try:
            request = await self._request(callback)
            if request is None:
                return self._died(callback, "its run is gone")
            async with self._outbound.stream(request) as answer:
                code, headers = answer.status_code, answer.headers
                try:
                    async for _ in answer.parts():
                        pass  # read, so that the connection can be used again
                except OutboundFailed:
                    pass  # whatever it goes on to say, it has answered
        except AddressRefused as refusal:
            return self._died(callback, refusal.detail)
        except OutboundFailed as failure:
            return self._failed(callback, failure.detail)
        return self._answered(callback, code, headers)

    async def _request(self, callback: Callback) -> OutboundRequest | None:
        """What is sent now; None when the run is not there any more."""
        company = await self._directory.company_by_id(callback.company_id)
        body = await self._callbacks.body(company, callback)
        if body is None:
            return None
        signature = signed_headers(
            encode_public_id(callback.public_id),
            self._clock.now(),
            body,
            await self._callbacks.signing(company),
        )
        return OutboundRequest(
            address=read_address(callback.url),
            method="POST",
            headers={
                **self._callbacks.headers(company, callback),
                "Content-Type": "application/json",
                "User-Agent": "Runyard",
                **signature,
            },
            body=body,
            limits=LIMITS,
        )

    # ------------------------------------------------------------ settle

    def _answered(self, callback: Callback, code: int, headers: Mapping[str, str]) -> CallbackEnd:
        if 200 <= code < 300:
            self.delivered += 1
            return self._end(callback, CallbackState.DELIVERED, answered=code)
        if code == _GONE:
            return self._died(callback, "its receiver answered 410: it wants no more", code)
        least = _retry_after(headers) if code in _TOO_BUSY else timedelta()
        return self._failed(callback, f"its receiver answered {code}", code, least)

    def _failed(
        self,
        callback: Callback,
        detail: str,
        answered: int | None = None,
        least: timedelta = timedelta(),
    ) -> CallbackEnd:
        self.failed += 1
        pause = pause_after(callback.tries + 1, self._clock.chance())
        if pause is None:
            return self._died(callback, detail, answered)
        due_at = self._clock.now() + max(pause, least)
        return self._end(
            callback, CallbackState.DUE, answered=answered, detail=detail, due_at=due_at
        )

    def _died(self, callback: Callback, detail: str, answered: int | None = None) -> CallbackEnd:
        emit(
            CALLBACK_DIED,
            callback_id=callback.id,
            run_id=callback.run_id,
            host=callback.host,
            detail=detail,
        )
        return self._end(callback, CallbackState.DEAD, answered=answered, detail=detail)

    def _end(
        self,
        callback: Callback,
        state: CallbackState,
        *,
        answered: int | None = None,
        detail: str = "",
        due_at: datetime | None = None,
    ) -> CallbackEnd:
        return CallbackEnd(
            run_id=callback.run_id,
            callback_id=callback.id,
            holder=self._store.incarnation,
            tries=callback.tries + 1,
            state=state,
            due_at=due_at,
            ended_at=None if due_at is not None else self._clock.now(),
            answered=answered,
            detail=detail[:LONGEST_DETAIL],
        )

    async def _settle_forever(self) -> None:
        while True:
            await self._settle_wakeup.wait()
            self._settle_wakeup.clear()
            ends, self._ends = self._ends, []
            try:
                await until_done(
                    self._clock, "callbacks", partial(self._store.callbacks.settle, ends)
                )
            except RunyardError as error:  # they stay in hand, and become due again by themselves
                emit(MAINTENANCE_FAILED, duty="callbacks", detail=error.detail)
            if any(end.state is CallbackState.DUE for end in ends):
                self._wakeup.set()


def _retry_after(headers: Mapping[str, str]) -> timedelta:
    """How long a receiver asks to be left alone, as far as we follow it."""
    text = headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        return timedelta()
    return min(timedelta(seconds=int(text)), LONGEST_PAUSE)
