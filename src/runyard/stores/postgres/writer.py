"""The writer: pieces that wait become groups, and at most two groups are under way.

What it promises, and why two groups at once do not break it, stands in the package's docstring.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from operator import attrgetter

from runyard.model.errors import Overloaded
from runyard.stores.postgres.groups import Group, Work
from runyard.stores.postgres.lane import PATIENCE, Lane
from runyard.stores.postgres.statements import Shape
from runyard.stores.tables.pieces import Answer, Piece, WriteClass

MOST_WAITING = 5_000
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""Beyond either, new pieces are refused."""

_GROUP_PIECES = 400
_GROUP_BYTES = 4 * 1024 * 1024
_EAGER_PIECES = 32
"""So many are worth a group of their own while another is still being executed. Fewer wait until
that one is being committed: they would only make both groups small."""

_number = attrgetter("number")


class Writer:
    """All writing of one server to one database."""

    def __init__(self, lanes: Sequence[Lane], shapes: Mapping[str, Shape]) -> None:
        self.groups = 0
        """Committed or failed since the start."""
        self.pieces = 0
        self.waiting = 0
        self._waiting_bytes = 0
        self._lanes = lanes
        self._shapes = shapes
        self._queues: Mapping[WriteClass, deque[Work]] = {kind: deque() for kind in WriteClass}
        self._loop = asyncio.get_running_loop()
        self._carrying: set[asyncio.Task[None]] = set()
        self._is_scheduled = False
        self._submitted = 0

    def write(self, piece: Piece) -> "asyncio.Future[list[Answer]]":
        """Enqueue a piece now; the answers of its statements once it is committed."""
        is_too_large = self._waiting_bytes + piece.size > MOST_WAITING_BYTES
        if self.waiting >= MOST_WAITING or is_too_large:
            raise Overloaded
        landed: asyncio.Future[list[Answer]] = self._loop.create_future()
        self._submitted += 1
        self._queues[piece.write_class].append(Work(self._submitted, piece, landed, self._shapes))
        self.waiting += 1
        self._waiting_bytes += piece.size
        self._schedule()
        return landed

    async def close(self) -> None:
        """Bring all that waits to its end, then let go of the connections. A database that stays
        away is waited for as long as by any caller.
        """
        until = self._loop.time() + PATIENCE.total_seconds()
        while (self._carrying or self.waiting) and self._loop.time() < until:
            self._send_groups()
            if self._carrying:
                await asyncio.wait(self._carrying, timeout=until - self._loop.time())
        for lane in self._lanes:
            await lane.close()
        while self._carrying or self.waiting:
            self._send_groups()
            await asyncio.wait(self._carrying)

    def _schedule(self) -> None:
        """At the end of this turn of the loop, so that calls made in one turn share a group."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._send_groups)

    def _send_groups(self) -> None:
        self._is_scheduled = False
        for lane in self._lanes:
            if self.waiting and lane.group is None and self._is_worth_a_group():
                self._send_group(lane)

    def _is_worth_a_group(self) -> bool:
        """Whether what waits is to go now, and not with what will come meanwhile."""
        if self.waiting >= _EAGER_PIECES:
            return True
        return all(lane.group is None or lane.group.is_committing for lane in self._lanes)

    def _send_group(self, lane: Lane) -> None:
        earlier = next((other.group for other in self._lanes if other.group is not None), None)
        group = Group(self._take())
        lane.group = group
        task = self._loop.create_task(lane.carry(group, earlier, self._schedule))
        self._carrying.add(task)
        task.add_done_callback(lambda done: self._end(lane, group, done))

    def _end(self, lane: Lane, group: Group, done: "asyncio.Task[None]") -> None:
        self._carrying.discard(done)
        lane.group = None
        group.ended.set_result(None)
        self.groups += 1
        self.pieces += len(group.works)
        failure = None if done.cancelled() else done.exception()
        for work in group.works:
            work.fail(failure or asyncio.CancelledError("the store is closed"))
        if self.waiting:
            self._send_groups()

    def _take(self) -> list[Work]:
        """The next pieces, the most urgent classes first, in the order of their submission."""
        taken: list[Work] = []
        size = 0
        for queue in self._queues.values():
            while queue and len(taken) < _GROUP_PIECES and size < _GROUP_BYTES:
                work = queue.popleft()
                size += work.piece.size
                taken.append(work)
        self.waiting -= len(taken)
        self._waiting_bytes -= size
        taken.sort(key=_number)
        return taken
