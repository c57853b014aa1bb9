"""What a worker has said and must be able to say again, because its connection may break.

Ends are kept until they are said to be recorded: a server may die with what it has heard. Log lines
are kept until a heartbeat that was sent after them is confirmed, which tells that they have arrived;
they are outside the promise of durability. Everything else a worker can say again from what it
holds. Saying something twice does no harm: ends are known by their lease, lines by their numbers.
"""

from collections import deque
from collections.abc import Iterable

from runyard.protocol.frames import End, Ended, FromWorker, Lease, LogLines

MOST_LINES = 16 * 1024 * 1024
"""Bytes of log lines that are kept; beyond that the oldest can be lost with the connection."""
MUCH = 1024 * 1024
"""Bytes of lines after which a heartbeat should not wait for its time."""
FRAME_FILL = 4 * 1024 * 1024
"""Bytes of outputs in one frame, the last of which may be as large again."""
FRAME_OVERHEAD = 500
_LINE_OVERHEAD = 40


def in_frames(ends: Iterable[End]) -> list[Ended]:
    """These ends in as few frames as their outputs allow."""
    frames: list[list[End]] = []
    size = FRAME_FILL
    for end in ends:
        size += FRAME_OVERHEAD + (0 if end.output is None else len(bytes(end.output)))
        if size > FRAME_FILL:
            frames.append([])
            size = 0
        frames[-1].append(end)
    return [Ended(tuple(gathered)) for gathered in frames]


class Outbox:
    """One worker's."""

    def __init__(self) -> None:
        self._ends: dict[Lease, End] = {}
        self._lines: deque[tuple[LogLines, int]] = deque()
        self._size = 0
        self._since_beat = 0
        self._beats: deque[tuple[int, int]] = deque()
        """Numbers of heartbeats on their way, and how many kept frames came before each."""

    def keep(self, frame: FromWorker) -> None:
        """Something is said; it is kept if it may have to be said again."""
        if isinstance(frame, Ended):
            for end in frame.ends:
                self._ends[Lease(end.run_id, end.token)] = end
        elif isinstance(frame, LogLines):
            size = sum(len(line.text) + _LINE_OVERHEAD for line in frame.lines)
            self._lines.append((frame, size))
            self._size += size
            self._since_beat += size
            while self._size > MOST_LINES and len(self._lines) > 1:
                self._drop_oldest()

    def beat(self, number: int) -> None:
        """A heartbeat is sent after all that was said so far."""
        self._beats.append((number, len(self._lines)))
        self._since_beat = 0

    def confirmed(self, number: int) -> None:
        """It has arrived, and so has everything before it."""
        while self._beats and self._beats[0][0] <= number:
            _, before = self._beats.popleft()
            for _ in range(before):
                self._drop_oldest()

    def recorded(self, leases: tuple[Lease, ...]) -> None:
        """These ends need not be said again, nor what led to them."""
        for lease in leases:
            self._ends.pop(lease, None)

    def forget(self, leases: tuple[Lease, ...]) -> None:
        """Nobody wants to hear of these any more."""
        gone = set(leases)
        self.recorded(leases)
        self._lines = deque(
            kept for kept in self._lines if Lease(kept[0].run_id, kept[0].token) not in gone
        )
        self._size = sum(size for _, size in self._lines)
        self._beats.clear()

    def clear(self) -> None:
        """Nobody wants to hear of any of it."""
        self._ends.clear()
        self._lines.clear()
        self._beats.clear()
        self._size = self._since_beat = 0

    @property
    def ended(self) -> tuple[Lease, ...]:
        """Whose ends are not recorded yet, as far as is known."""
        return tuple(self._ends)

    @property
    def wants_heartbeat(self) -> bool:
        """Whether so much is kept that it should be asked what has arrived."""
        return self._since_beat > MUCH

    def again(self) -> list[FromWorker]:
        """All of it for a new connection, in an order in which it may be said."""
        self._beats.clear()
        frames: list[FromWorker] = [frame for frame, _ in self._lines]
        return frames + in_frames(self._ends.values())

    def _drop_oldest(self) -> None:
        if not self._lines:
            return
        _, size = self._lines.popleft()
        self._size -= size
        self._beats = deque((number, max(0, before - 1)) for number, before in self._beats)
