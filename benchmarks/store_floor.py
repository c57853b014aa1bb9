"""What the store itself costs: start, claim and finish of no-op runs, beside the same SQL in a bare loop.

Run it with `python -m benchmarks.store_floor [--runs 20000] [--group 100] [--folder DIR] [--database URL]`.
The bare loop executes the store's own statements in one process with one connection: what is above
it is the price of callers that wait one by one, of the socket and of decoding. On PostgreSQL the
bare loop is left out, and the CPU of the database's own processes is not counted.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from runyard.model.companies import Company
from runyard.model.ids import (
    CompanyId,
    GateId,
    RunId,
    SessionId,
    TaskId,
    VersionId,
    WorkerId,
)
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Declaration, Policies
from runyard.stores.contract.leases import Claim, ClaimedRun, Share
from runyard.stores.contract.runs import Beginning, Finish, NewRun
from runyard.stores.contract.store import Store
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.stores.contract.workers import OpenedSession
from runyard.stores.migrations import load_migrations
from runyard.stores.queries import SHARED, load_queries
from runyard.stores.sqlite.database import numbered
from runyard.stores.sqlite.store import open_sqlite
from runyard.stores.sqlite.writer import Writer, migrate, open_database
from runyard.stores.tables.pieces import Statement
from runyard.stores.tables.run_pieces import finish_piece, start_piece

_COMPANY, _TASK, _VERSION, _GATE = CompanyId(1), TaskId(2), VersionId(3), GateId(4)
_WORKER, _SESSION = WorkerId(5), SessionId(6)
_FIRST_RUN = 1000
_INPUT, _OUTPUT = b'{"zip":"76131"}', b'{"place":"Fort Worth"}'
_MICROS = 1_000_000
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Cost(msgspec.Struct):
    """What one way of doing it took."""

    name: str
    runs: int
    wall_seconds: float = 0.0
    own_seconds: float = 0.0
    """CPU of this process."""
    writer_seconds: float = 0.0
    """CPU of its children."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--group", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--database", default=None, help="address of a PostgreSQL database")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        costs = [asyncio.run(_through_store(folder, chosen.database, chosen.runs, chosen.group))]
        if chosen.database is None:
            costs.append(_bare_loop(folder / "bare.db", chosen.runs, chosen.group))
    Console().print(_table(costs))


async def _through_store(folder: Path, database: str | None, runs: int, group: int) -> Cost:
    """One caller per run and write, `group` of them at a time."""
    store = await _open(folder, database)
    await _prepare(store, _NOW)
    first = await store.reserve_ids(runs)
    cost = Cost("store", runs)
    with _measured(cost):
        for offset in range(0, runs, group):
            ids = range(first + offset, first + min(offset + group, runs))
            await _one_group(store, ids, _NOW)
    await store.close()
    return cost


async def _open(folder: Path, database: str | None) -> Store:
    if database is None:
        return await open_sqlite(folder / "store")
    from runyard.stores.postgres.store import open_postgres

    return await open_postgres(database, folder / "store")


async def _prepare(store: Store, now: datetime) -> None:
    company = Company(
        id=_COMPANY,
        uuid=UUID(int=1),
        slug="acme",
        name="Acme",
        time_zone="UTC",
        runnable=True,
        default_priority=50,
        retention=timedelta(days=30),
        queue_cap=1_000_000,
        weight=1,
        created_at=now,
    )
    await store.companies.create(company)
    await store.tasks.deploy(_deploy(now))
    await store.workers.open_session(
        OpenedSession(
            id=_SESSION,
            worker_id=_WORKER,
            server="here",
            lease_expires_at=now + timedelta(hours=1),
        ),
        now,
    )


def _deploy(now: datetime) -> Deploy:
    declaration = Declaration(
        name="No-op",
        key="No-op",
        path="Bots/No-op",
        description="",
        module="noop",
        function="noop",
        inputs=(),
        outputs=(),
        policies=Policies(),
        fingerprint="0",
    )
    change = TaskChange(
        id=_TASK,
        uuid=UUID(int=2),
        gate_id=_GATE,
        expected_version_id=None,
        version_id=_VERSION,
        version=1,
        declaration=declaration,
    )
    return Deploy(
        company_id=_COMPANY,
        bundle_name="bench",
        bundle_digest="0" * 64,
        bundle_size=1,
        changes=(change,),
        withdrawn=(),
        at=now,
    )


async def _one_group(store: Store, ids: range, now: datetime) -> None:
    starts = [asyncio.ensure_future(store.runs.start([_new_run(number, now)])) for number in ids]
    claiming = asyncio.ensure_future(store.leases.claim(_claim(ids[0], len(ids), now)))
    await asyncio.gather(*starts)
    claimed = await claiming
    assert len(claimed) == len(ids)
    beginnings = [Beginning(run.run_id, run.token, now) for run in claimed]
    beginning = asyncio.ensure_future(store.runs.begin(beginnings))
    finishes = [asyncio.ensure_future(store.runs.finish([_finish(run, now)])) for run in claimed]
    await asyncio.gather(beginning, *finishes)


def _new_run(number: int, now: datetime) -> NewRun:
    return NewRun(
        id=RunId(number),
        public_id=number.to_bytes(16, "big"),
        company_id=_COMPANY,
        task_id=_TASK,
        version_id=_VERSION,
        gate_id=_GATE,
        state=RunState.QUEUED,
        priority=50,
        rank=number,
        created_at=now,
        queued_at=now,
        input=_INPUT,
    )


def _claim(first_token: int, count: int, now: datetime) -> Claim:
    share = Share(company_id=_COMPANY, count=count, gate_ids=(_GATE,))
    return Claim(
        session_id=_SESSION, worker_id=_WORKER, first_token=first_token, shares=(share,), at=now
    )


def _finish(run: ClaimedRun, now: datetime) -> Finish:
    return Finish(
        run_id=run.run_id,
        company_id=run.company_id,
        token=run.token,
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        outcome=Outcome.RETURNED,
        finished_at=now,
        begun_at=now,
        output=_OUTPUT,
    )


# ---------------------------------------------------------------- the bare loop


def _bare_loop(path: Path, runs: int, group: int) -> Cost:
    """The same statements in the same groups, merged, without callers."""
    queries = {
        name: numbered(query)
        for name, query in load_queries("sqlite3", SHARED, _folder("queries")).items()
    }
    db = open_database(str(path))
    migrate(db, load_migrations(_folder("migrations")))
    db.execute(
        "INSERT INTO gates VALUES (?, ?, ?, 1, 1, NULL, '[]', 0, 0)", (_GATE, _COMPANY, _TASK)
    )
    writer = Writer(db, queries)
    cost = Cost("bare loop", runs)
    with _measured(cost):
        for offset in range(0, runs, group):
            ids = range(_FIRST_RUN + offset, _FIRST_RUN + min(offset + group, runs))
            news = [_new_run(number, _NOW) for number in ids]
            columns = [(new.input, None) for new in news]
            gates = (_GATE,)
            claim = (_SESSION, _WORKER, ids[0], 0, ((_COMPANY, len(ids), gates),))
            starting = start_piece(news, columns, None).statements
            _run(writer, [starting, (Statement("claim_runs", (claim,)),)])
            claimed = [ClaimedRun(*_claimed_values(number)) for number in ids]
            finishes = [_finish(run, _NOW) for run in claimed]
            values = [(finish.output, None) for finish in finishes]
            beginnings = [(run.run_id, run.token, 0) for run in claimed]
            ending = finish_piece(finishes, values).statements
            _run(writer, [(Statement("begin_attempt", beginnings),), ending])
            if writer.needs_checkpoint:
                writer.checkpoint()
    assert db.execute("SELECT count(*) FROM runs WHERE state = 6").get == runs
    db.close()
    return cost


def _claimed_values(number: int) -> tuple[object, ...]:
    public_id = number.to_bytes(16, "big")
    return (number, public_id, _COMPANY, _TASK, _VERSION, _GATE, number, 0, number, _INPUT)


def _run(writer: Writer, pieces: Sequence[Sequence[Statement]]) -> None:
    plain = [
        [msgspec.to_builtins(statement, builtin_types=(bytes,)) for statement in piece]
        for piece in pieces
    ]
    _, errors = writer.run(plain, is_relaxed=False)
    assert not errors, errors


def _folder(name: str) -> Path:
    import runyard.stores.sqlite

    return Path(runyard.stores.sqlite.__file__).parent / name


@contextmanager
def _measured(cost: Cost) -> Iterator[None]:
    before = _usage()
    wall = time.perf_counter()
    yield
    cost.wall_seconds = time.perf_counter() - wall
    own, children = _usage()
    cost.own_seconds = own - before[0]
    cost.writer_seconds = children - before[1]


def _usage() -> tuple[float, float]:
    """CPU seconds of this process and of its children so far."""
    mine = os.getpid()
    usages = {usage.id: usage.cpu for usage in machine.family(mine)}
    return usages.pop(mine), sum(usages.values())


def _table(costs: Sequence[Cost]) -> Table:
    table = Table(
        "",
        "runs/s",
        "us/run",
        "own CPU us/run",
        "writers' CPU us/run",
        title="start, claim, begin, finish",
    )
    for cost in costs:
        wall, own, writer = (
            f"{seconds / cost.runs * _MICROS:.1f}"
            for seconds in (cost.wall_seconds, cost.own_seconds, cost.writer_seconds)
        )
        table.add_row(cost.name, f"{cost.runs / cost.wall_seconds:,.0f}", wall, own, writer)
    return table


if __name__ == "__main__":
    main()
