"""What stands in one transaction, and in which order it is sent. Pure: no connection here.

The pieces of a group are split into waves: two pieces that name the same run stand in different
waves, in the order in which they were submitted, and a piece that names no run (a pause, a deploy,
staging) has a wave to itself. Within a wave the statements of all pieces that share a query become
one statement, its rows ordered by run id so that groups of several servers lock runs in one order.

A wave is sent in flights: everything that needs no answer of an earlier statement goes at once,
what follows on an answer goes in the next flight. Most groups take one flight for the guarded
statements and one for what follows them.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter

from runyard.stores.postgres.link import Bound, Row
from runyard.stores.postgres.statements import Shape
from runyard.stores.tables.pieces import CLAIM, Answer, Piece

_first = itemgetter(0)
_name = attrgetter("shape.name")


class Work:
    """A piece on its way through the database, and who waits for it."""

    __slots__ = ("answers", "cursor", "is_claim", "landed", "number", "piece", "run_ids")

    def __init__(
        self,
        number: int,
        piece: Piece,
        landed: "asyncio.Future[list[Answer]]",
        shapes: Mapping[str, Shape],
    ) -> None:
        self.number = number
        """Rises with every piece that was submitted."""
        self.piece = piece
        self.landed = landed
        self.is_claim = bool(piece.statements) and piece.statements[0].query == CLAIM
        self.run_ids = _run_ids_of(piece, shapes)
        self.answers: list[Answer] = []
        self.cursor = 0

    def rewind(self) -> None:
        """Forget what a transaction that was rolled back had answered."""
        self.answers = []
        self.cursor = 0

    def succeed(self) -> None:
        """Hand the answers to whoever waits."""
        if not self.landed.done():
            self.landed.set_result(self.answers)

    def fail(self, failure: BaseException) -> None:
        """Tell whoever waits why there are none."""
        if not self.landed.done():
            self.landed.set_exception(failure)


def _run_ids_of(piece: Piece, shapes: Mapping[str, Shape]) -> frozenset[int]:
    return frozenset(
        row[0]
        for statement in piece.statements
        if statement.query != CLAIM and shapes[statement.query].is_by_run
        for row in statement.rows
    )


class Group:
    """The pieces of one transaction."""

    def __init__(self, works: Sequence[Work]) -> None:
        self.works = works
        self.number = 0
        """Of the transaction on its lane; each try has its own."""
        self.is_committing = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.claims = [work for work in works if work.is_claim]
        self.waves, self.has_barrier = _waves_of(works)
        self.run_ids = frozenset[int]().union(*(work.run_ids for work in works))
        self.is_relaxed = all(work.piece.is_relaxed for work in works)

    def rewind(self) -> None:
        """Forget all that a transaction that was rolled back had answered."""
        self.is_committing = False
        for work in self.works:
            work.rewind()

    def must_follow(self, earlier: "Group") -> bool:
        """Whether nothing of this group may be sent before the earlier one has ended."""
        if self.has_barrier or earlier.has_barrier:
            return True
        return not self.run_ids.isdisjoint(earlier.run_ids)


def _waves_of(works: Iterable[Work]) -> tuple[list[list[Work]], bool]:
    waves: list[list[Work]] = []
    wave_of_run: dict[int, int] = {}
    floor = 0
    has_barrier = False
    for work in works:
        if work.is_claim:
            continue
        if work.run_ids:
            wave = max((wave_of_run.get(run, -1) for run in work.run_ids), default=-1) + 1
            wave = max(wave, floor)
            wave_of_run.update(dict.fromkeys(work.run_ids, wave))
        else:
            has_barrier = True
            wave = len(waves)
            floor = wave + 1
        while len(waves) <= wave:
            waves.append([])
        waves[wave].append(work)
    return waves, has_barrier


class Call:
    """One statement of a flight, and whose rows it carries."""

    __slots__ = ("rows", "shape", "shares")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.rows: list[Row] = []
        self.shares: list[tuple[Work, int, Sequence[Row]]] = []
        """The work, which of its statements, and the rows."""

    def bind(self) -> list[Bound]:
        """The call as it is sent: one statement, or one per row where it takes single values."""
        if not self.shape.encoders:
            return [self.shape.bound_row(row) for row in self.rows]
        if self.shape.is_by_run:
            self.rows.sort(key=_first)
        return [self.shape.bound(self.rows)]

    def deliver(self, answer: Answer) -> None:
        """Give each piece the part of the answer that its rows brought."""
        if len(self.shares) == 1:
            work, index, _ = self.shares[0]
            work.answers[index] = answer
            return
        if not answer:
            return
        found: dict[int, Answer] = {}
        for row in answer:
            found.setdefault(row[0], []).append(row)
        for work, index, rows in self.shares:
            work.answers[index] = [row for asked in rows for row in found.get(asked[0], ())]


class Flight:
    """The statements that go out together."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.unfinished: list[Work] = []
        """Works of the wave that have statements left for a later flight."""

    @property
    def answers(self) -> bool:
        """Whether anything in it answers."""
        return any(call.shape.answers for call in self.calls)

    @property
    def feeds(self) -> bool:
        """Whether anything in it changes what claims look at."""
        return any(call.shape.feeds for call in self.calls)


def next_flight(works: Sequence[Work], shapes: Mapping[str, Shape]) -> Flight:
    """What of these works can be sent now; their cursors move on."""
    flight = Flight()
    levels: list[dict[str, Call]] = []
    for work in works:
        start = work.cursor
        level = 0
        while (rows := _rows_to_send(work, start)) is not None:
            if rows:
                _add(levels, level, (work, rows), shapes)
                level += 1
            work.answers.append([])
            work.cursor += 1
        if work.cursor < len(work.piece.statements):
            flight.unfinished.append(work)
    for calls in levels:
        flight.calls.extend(sorted(calls.values(), key=_name))
    return flight


def _rows_to_send(work: Work, start: int) -> Sequence[Row] | None:
    """The rows of the work's next statement; None when it is at its end or must wait for answers."""
    statements = work.piece.statements
    index = work.cursor
    if index == len(statements):
        return None
    for earlier in range(index):
        needs = statements[earlier].needs
        if needs:
            if earlier >= start:
                return None
            if len(work.answers[earlier]) < needs:
                return ()
    statement = statements[index]
    follows = statement.follows
    if follows < 0:
        return statement.rows
    if follows >= start:
        return None
    accepted = {row[0] for row in work.answers[follows]}
    return [row for row in statement.rows if row[0] in accepted]


def _add(
    levels: list[dict[str, Call]],
    level: int,
    share: tuple[Work, Sequence[Row]],
    shapes: Mapping[str, Shape],
) -> None:
    work, rows = share
    if level == len(levels):
        levels.append({})
    shape = shapes[work.piece.statements[work.cursor].query]
    # Only rows that begin with their run can be told apart in a merged answer.
    name = shape.name if shape.is_by_run else f"{shape.name} {id(work)}"
    call = levels[level].get(name)
    if call is None:
        call = levels[level][name] = Call(shape)
    call.rows.extend(rows)
    call.shares.append((work, work.cursor, rows))


def feeds_later(works: Iterable[Work], shapes: Mapping[str, Shape]) -> bool:
    """Whether a statement that these works have not sent yet changes what claims look at."""
    return any(
        shapes[statement.query].feeds
        for work in works
        for statement in work.piece.statements[work.cursor :]
    )
