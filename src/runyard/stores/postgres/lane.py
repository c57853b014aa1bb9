"""A lane: one writing connection, and how it brings a group to its end, whatever happens.

A group ends in one of three ways: committed, and every caller has its answers; failed for a reason
that is the group's own, and then each piece has been tried alone; or the database cannot be reached,
and then only groups that are known not to be committed are given up.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import psycopg
from psycopg import errors

from runyard.model.errors import RunyardError, StorageUnavailable
from runyard.stores.postgres.claims import BoundClaims
from runyard.stores.postgres.connecting import FOR_WRITING, Connector, DatabaseRefused, pause
from runyard.stores.postgres.groups import Call, Group, Work, feeds_later, next_flight
from runyard.stores.postgres.link import Bound, Link, LinkLost, Prepared, Rows
from runyard.stores.postgres.statements import Shape
from runyard.stores.tables.pieces import WriteRefused

_BEGIN = Bound(Prepared(b"begin", b"BEGIN"))
_COMMIT = Bound(Prepared(b"commit", b"COMMIT"))
_ROLLBACK = Bound(Prepared(b"rollback", b"ROLLBACK"))

_MOST_TRIES = 4
"""Of a transaction that lost against another one (deadlock, serialization)."""

PATIENCE = timedelta(seconds=10)
"""How long callers wait for a database that cannot be reached."""

_FIRST_BACK_OFF = 0.05
_LONGEST_BACK_OFF = 1.0

_LOST_AGAINST_ANOTHER = (errors.DeadlockDetected, errors.SerializationFailure)
_PASSING = ("25006", "53", "55", "57", "58", "40")
"""SQLSTATE beginnings of conditions that pass: read-only, no room, locked, cancelled, I/O."""


class Lane:
    """One writing connection."""

    def __init__(self, lane_id: int, connector: Connector, shapes: Mapping[str, Shape]) -> None:
        self.group: Group | None = None
        """What is under way."""
        self._id = lane_id
        self._connector = connector
        self._shapes = shapes
        self._link: Link | None = None
        self._number = 0
        self._unreachable_since: float | None = None
        self._is_closing = False

    async def open(self) -> None:
        """Connect. Raises what connecting raises."""
        self._link = await self._connect()

    async def close(self) -> None:
        """Let go. What is under way ends soon, though perhaps not well."""
        self._is_closing = True
        if self._link is not None:
            await self._link.close()

    async def carry(
        self, group: Group, earlier: Group | None, on_committing: Callable[[], None]
    ) -> None:
        """Bring a group to its end: each of its pieces is answered, or failed."""
        if earlier is not None and group.must_follow(earlier):
            await earlier.ended
        tries = 0
        while True:
            try:
                await self._transact(group, earlier, on_committing)
            except LinkLost:
                if await self._was_committed(group):
                    break
                group.rewind()
                if not await self._reopen(PATIENCE):
                    _fail(group.works, StorageUnavailable("the database cannot be reached"))
                    return
            except psycopg.Error as problem:
                await self._roll_back()
                group.rewind()
                tries += 1
                if not isinstance(problem, _LOST_AGAINST_ANOTHER) or tries == _MOST_TRIES:
                    await self._carry_apart(group, problem, on_committing)
                    return
            else:
                break
        for work in group.works:
            work.succeed()

    async def _carry_apart(
        self, group: Group, problem: psycopg.Error, on_committing: Callable[[], None]
    ) -> None:
        """Replay the pieces of a failed group one by one, so that only the guilty one fails."""
        if len(group.works) == 1:
            _fail(group.works, _failure_of(problem))
            return
        for work in group.works:
            await self.carry(Group([work]), None, on_committing)

    # ------------------------------------------------------------ one transaction

    async def _transact(
        self, group: Group, earlier: Group | None, on_committing: Callable[[], None]
    ) -> None:
        link = self._link
        if link is None or not link.is_open:
            raise LinkLost("not connected")
        self._number += 1
        group.number = self._number
        transaction = _Transaction(link, self._opening(group), self._shapes)
        calls, claims = await self._send_guarded(transaction, group, earlier)
        if claims:
            if earlier is not None and not earlier.ended.done():
                await transaction.send(calls)
                await earlier.ended
                calls = []
            if any(call.shape.answers or call.shape.feeds for call in calls):
                await transaction.send(calls, claims)
                calls = []
            else:
                await transaction.send((), claims)
        elif any(call.shape.answers for call in calls):
            await transaction.send(calls)
            calls = []
        group.is_committing = True
        on_committing()
        await transaction.commit(calls)

    async def _send_guarded(
        self, transaction: "_Transaction", group: Group, earlier: Group | None
    ) -> tuple[list[Call], list[Work]]:
        """Send all flights but the last; its calls, and the claims if they are still to be sent."""
        calls: list[Call] = []
        claims = group.claims
        for index, wave in enumerate(group.waves):
            works: Sequence[Work] = wave
            while works:
                flight = next_flight(works, self._shapes)
                calls.extend(flight.calls)
                works = flight.unfinished
                if works:
                    rest = [*works, *(work for later in group.waves[index + 1 :] for work in later)]
                    now = claims if self._may_claim(earlier, rest) else []
                    await transaction.send(calls, now)
                    calls = []
                    claims = [] if now else claims
        return calls, claims

    def _may_claim(self, earlier: Group | None, rest: Iterable[Work]) -> bool:
        """Whether claims would see all that they must see."""
        if earlier is not None and not earlier.ended.done():
            return False
        return not feeds_later(rest, self._shapes)

    def _opening(self, group: Group) -> list[Bound]:
        mark = self._shapes["mark_relaxed_group" if group.is_relaxed else "mark_group"]
        return [_BEGIN, mark.bound_row((self._id, group.number))]

    async def _roll_back(self) -> None:
        if self._link is None or not self._link.is_open:
            return
        try:
            await self._link.send([_ROLLBACK])
        except (LinkLost, psycopg.Error):
            await self._link.close()

    # ------------------------------------------------------------ a lost connection

    async def _connect(self) -> Link:
        """A connection that counts runs in rows of this lane."""
        return await self._connector.open_link((*FOR_WRITING, f"SET runyard.lane = {self._id}"))

    async def _was_committed(self, group: Group) -> bool:
        """What became of a group whose connection broke. Asked until the database answers, or the
        lane is closed: then nobody knows, and StorageUnavailable says so.
        """
        if not group.is_committing:
            return False
        while True:
            if not await self._reopen(None):
                raise StorageUnavailable(
                    "the store was closed while the database was away;"
                    " whether this was written is unknown"
                )
            assert self._link is not None
            try:
                query = self._shapes["marked_group"].bound_row((self._id,))
                [rows] = await self._link.send([query])
            except (LinkLost, psycopg.Error):
                await self._link.close()
            else:
                return bool(rows) and rows[0][0] == group.number

    async def _reopen(self, patience: timedelta | None) -> bool:
        """Connect again; False when the patience is at its end."""
        if self._link is not None and self._link.is_open:
            return True
        loop = asyncio.get_running_loop()
        began = self._unreachable_since = self._unreachable_since or loop.time()
        back_off = _FIRST_BACK_OFF
        while not self._is_closing:
            try:
                self._link = await self._connect()
            except (psycopg.Error, DatabaseRefused):
                if patience is not None and loop.time() - began > patience.total_seconds():
                    return False
                await pause(back_off)
                back_off = min(2 * back_off, _LONGEST_BACK_OFF)
            else:
                self._unreachable_since = None
                return True
        return False


class _Transaction:
    """Flights of one transaction; the opening statements go out with the first."""

    def __init__(self, link: Link, opening: list[Bound], shapes: Mapping[str, Shape]) -> None:
        self._link = link
        self._opening = opening
        self._shapes = shapes

    async def send(self, calls: Sequence[Call], claims: Sequence[Work] = ()) -> None:
        """Send these, and give every piece its answers."""
        bound = BoundClaims(claims, self._shapes) if claims else None
        answers = await self._send(calls, bound.statements if bound else ())
        if bound:
            bound.deliver(answers)

    async def commit(self, calls: Sequence[Call]) -> None:
        """Send these, which answer nothing, and end the transaction."""
        await self._send(calls, [_COMMIT])

    async def _send(self, calls: Sequence[Call], last: Sequence[Bound]) -> list[Rows]:
        """The answers of the last statements; the calls' own are delivered."""
        statements, self._opening = self._opening, []
        place = len(statements)
        ends = []
        for call in calls:
            statements.extend(call.bind())
            ends.append(len(statements))
        answers = await self._link.send([*statements, *last])
        for call, end in zip(calls, ends, strict=True):
            call.deliver([row for answer in answers[place:end] for row in answer])
            place = end
        return answers[place:]


def _fail(works: Iterable[Work], failure: Exception) -> None:
    for work in works:
        work.fail(failure)


def _failure_of(problem: psycopg.Error) -> RunyardError:
    words = str(problem).partition("\n")[0]
    if (problem.sqlstate or "").startswith(_PASSING):
        return StorageUnavailable(f"the database cannot write now: {words}")
    return WriteRefused(words)
