"""The strategy of a claim, inside the writer's transaction.

For each share: ask the gates (closed ones drop out, limits less live leases leave some room), look
at the head of each gate's queue, and take runs by the smallest (rank + offset, id). Only heads are
ever read, so the cost does not depend on how many runs wait or are blocked.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import apsw

Row: TypeAlias = Sequence[Any]

_BEFORE_ALL = -(2**62)


def claim_runs(db: apsw.Connection, queries: Mapping[str, str], claim: Row) -> list[Row]:
    """Lease runs to a session; the rows that `claim_runs` answers (see `tables/pieces.py`)."""
    session, worker, first_token, _, shares = claim
    claimed: list[Row] = []
    taken: list[Row] = []
    for company, count, gates in shares:
        for gate, head in _choose(db, queries, company, count, gates):
            rank, run, public_id, task, version, attempt, value, digest = head
            token = first_token + len(claimed)
            taken.append((run, token, session, worker))
            claimed.append(
                (run, public_id, company, task, version, gate, token, attempt, rank, value, digest)
            )
        # Before the next share looks: it may name the same company again.
        db.executemany(queries["take_run"], taken)
        taken.clear()
    return claimed


def recover_claim(db: apsw.Connection, queries: Mapping[str, str], claim: Row) -> list[Row]:
    """A claim whose answer got lost: what it has taken, else what it takes now."""
    session, _, first_token, _, shares = claim
    end_token = first_token + sum(count for _, count, _ in shares)
    found: list[Row] = []
    found += db.execute(queries["claimed_runs"], (session, first_token, end_token)).fetchall()
    return found or claim_runs(db, queries, claim)


def _choose(
    db: apsw.Connection, queries: Mapping[str, str], company: int, count: int, gates: Row
) -> list[tuple[int, Row]]:
    """Up to `count` runs of open gates, smallest (rank + offset, id) first, with their gates."""
    lines = [
        _line(db, queries, gate, offset, min(count, room))
        for gate in dict.fromkeys(gates)
        for offset, room in _opening(db, queries, company, gate, count)
    ]
    merged = lines[0] if len(lines) == 1 else heapq.merge(*lines, key=lambda entry: entry[0])
    chosen = []
    for _, gate, head in merged:
        chosen.append((gate, head))
        if len(chosen) == count:
            break
    return chosen


def _opening(
    db: apsw.Connection, queries: Mapping[str, str], company: int, gate: int, count: int
) -> Iterator[tuple[int, int]]:
    """The gate's offset and how many of its runs may start now, if any may."""
    row = db.execute(queries["open_gate"], (company, gate)).fetchone()
    if row is None:
        return
    limit, offset = row
    if limit is None:
        yield offset, count
        return
    running = db.execute(queries["count_running"], (gate,)).get
    if limit > running:
        yield offset, limit - running


def _line(
    db: apsw.Connection, queries: Mapping[str, str], gate: int, offset: int, most: int
) -> Iterator[tuple[tuple[int, int], int, Row]]:
    """The gate's queue from its head, `most` runs at most, read in two steps: usually one gate
    among many gives only its first run.
    """
    place = (_BEFORE_ALL, _BEFORE_ALL)
    for step in (1, most - 1):
        if step == 0:
            return
        heads: list[Any] = db.execute(queries["queue_heads"], (gate, *place, step)).fetchall()
        for head in heads:
            yield (head[0] + offset, head[1]), gate, head
        if len(heads) < step:
            return
        place = (heads[-1][0], heads[-1][1])
