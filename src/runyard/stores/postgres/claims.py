"""The claim strategy: lock the gates, then count and take in a second statement.

One statement cannot do it: its snapshot is older than the locks that it waits for, so that it would
count leases without those that the earlier holder of the lock has just taken. The gates of all
claims of a group are locked together and ordered by id, so that claims never deadlock.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

from runyard.stores.postgres.groups import Work
from runyard.stores.postgres.link import Bound, Row, Rows
from runyard.stores.postgres.statements import Shape, encode_numbers, encode_value

_token = itemgetter(6)

Shares: TypeAlias = Sequence[tuple[int, int, Sequence[int]]]
"""Company, count and gates of each."""


class BoundClaims:
    """The statements of the claims of a group: one that locks, then those that take."""

    def __init__(self, claims: Sequence[Work], shapes: Mapping[str, Shape]) -> None:
        rows = [work.piece.statements[0].rows[0] for work in claims]
        gate_ids = sorted({gate for row in rows for _, _, gates in row[4] for gate in gates})
        self.statements = [shapes["lock_gates"].bound_row([gate_ids])]
        self._claims = claims
        self._ends: list[int] = []
        for row in rows:
            self.statements.extend(_bind_claim(row, shapes["take_runs"]))
            self._ends.append(len(self.statements))

    def deliver(self, answers: Sequence[Rows]) -> None:
        """Give each claim its runs, in the order of their tokens."""
        place = 1
        for work, end in zip(self._claims, self._ends, strict=True):
            taken = [row for answer in answers[place:end] for row in answer]
            work.answers = [sorted(taken, key=_token)]
            work.cursor = len(work.piece.statements)
            place = end


def _bind_claim(row: Row, shape: Shape) -> Iterator[Bound]:
    session, worker, token, _, shares = row
    for part in _parts_of(shares):
        wanted = [
            (number, company, count, gate)
            for number, (company, count, gates) in enumerate(part)
            for gate in dict.fromkeys(gates)
        ]
        if wanted:
            encoded = [encode_numbers(column) for column in zip(*wanted, strict=True)]
            encoded += [encode_value(value) for value in (token, session, worker)]
            yield Bound(
                shape.prepared, [item[0] for item in encoded], [item[1] for item in encoded]
            )
        token += sum(count for _, count, _ in part)


def _parts_of(shares: Shares) -> Iterator[Shares]:
    """The shares in parts that name no gate twice: the room of a gate is counted once a statement."""
    part: list[tuple[int, int, Sequence[int]]] = []
    seen: set[int] = set()
    for share in shares:
        if not seen.isdisjoint(share[2]):
            yield part
            part, seen = [], set()
        part.append(share)
        seen.update(share[2])
    yield part
