"""A store as it looks after a month: made in bulk, in seconds, not by running anything.

`Size(1_000_000, 100_000)` gives, on an installation of five companies with twenty tasks each, five
workers and ten schedules:

- so many ended runs over thirty days, three fifths of them of the first company: 88 % returned, 3 %
  without a value, 1 % with logged errors, 6 % failed in one way or another, 2 % cancelled; four
  fifths started over the API, 15 % by schedules, the rest by a dialect; each with its input, most
  with an output, every fiftieth with an earlier attempt;
- of each of these twenty among them: runs of the fifth worker, runs whose code could not be loaded,
  restarts, runs of the task *Rare* and of the schedule *rare*;
- so many queued runs: four fifths cannot start (tasks that are not runnable, a company that is
  paused, a task at its limit), the rest wait in open queues;
- eight running runs, and, for each thousand queued ones, ten scheduled for next year, two parked
  and one waiting.

The same formulas on both databases. Indexes are made afterwards, as that takes a fraction of the time.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import apsw
import msgspec
import psycopg

from runyard.model.companies import Company
from runyard.model.ids import (
    CompanyId,
    GateId,
    ScheduleId,
    SessionId,
    TaskId,
    VersionId,
    WorkerId,
)
from runyard.model.schedules import Schedule, TriggerKind
from runyard.model.tasks import Declaration, Policies
from runyard.model.workers import Worker, WorkerState
from runyard.stores.codes import micros
from runyard.stores.contract.store import Store
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.stores.contract.workers import OpenedSession

COMPANIES = 5
TASKS = 20
WORKERS = 5
SCHEDULES = 10
RARE = 20
"""So many runs of each rare kind."""
RUNNING = 8
SPAN = timedelta(days=30)

RARE_TASK = 0
LIMITED_TASK = 14
CLOSED_TASKS = range(15, 20)
PAUSED_COMPANY = 4
OPEN_TASKS = 5
"""Tasks 1 to 5 of the other companies have a queue that may start."""


class Size(msgspec.Struct, frozen=True):
    """How many runs there are."""

    ended: int
    queued: int


class Town(msgspec.Struct, frozen=True):
    """The installation around the runs. Ids of one kind are consecutive."""

    now: datetime
    company: int
    task: int
    gate: int
    version: int
    worker: int
    session: int
    schedule: int
    run: int
    """The first id of the ended runs; the others follow."""
    size: Size

    def task_id(self, company: int, task: int) -> TaskId:
        """The id of a task by its numbers."""
        return TaskId(self.task + company * TASKS + task)

    def gate_id(self, company: int, task: int) -> GateId:
        """The id of a task's gate."""
        return GateId(self.gate + company * TASKS + task)

    def version_id(self, company: int, task: int) -> VersionId:
        """The id of a task's version."""
        return VersionId(self.version + company * TASKS + task)

    def company_id(self, company: int) -> CompanyId:
        """The id of a company by its number."""
        return CompanyId(self.company + company)


# ---------------------------------------------------------------- the installation


async def furnish(store: Store, size: Size) -> Town:
    """Companies, tasks, workers and schedules, made as anybody would make them."""
    total = size.ended + 2 * size.queued + 1000
    first = await store.reserve_ids(1000 + total)
    ids = itertools.count(first, 100)
    town = Town(
        now=await store.database_now(),
        company=next(ids),
        task=next(ids),
        gate=next(ids),
        version=next(ids),
        worker=next(ids),
        session=next(ids),
        schedule=next(ids),
        run=first + 1000,
        size=size,
    )
    for company in range(COMPANIES):
        await store.companies.create(_company(town, company))
        await store.tasks.deploy(_deploy(town, company))
    await store.companies.set_runnable(town.company_id(PAUSED_COMPANY), runnable=False)
    for task in CLOSED_TASKS:
        await store.tasks.set_runnable(town.company_id(0), town.task_id(0, task), runnable=False)
    for worker in range(WORKERS):
        await store.workers.register(_worker(town, worker))
        await store.workers.open_session(_session(town, worker), town.now)
    for schedule in range(SCHEDULES):
        await store.schedules.create(_schedule(town, schedule))
    return town


def _company(town: Town, number: int) -> Company:
    return Company(
        id=town.company_id(number),
        uuid=UUID(int=number + 1),
        slug=f"company-{number}",
        name=f"Company {number}",
        time_zone="UTC",
        runnable=True,
        default_priority=50,
        retention=SPAN * 2,
        queue_cap=1_000_000,
        weight=1,
        created_at=town.now - SPAN,
    )


def _deploy(town: Town, company: int) -> Deploy:
    changes = tuple(
        TaskChange(
            id=town.task_id(company, task),
            uuid=UUID(int=company * TASKS + task + 1),
            gate_id=town.gate_id(company, task),
            expected_version_id=None,
            version_id=town.version_id(company, task),
            version=1,
            declaration=_declaration(task),
        )
        for task in range(TASKS)
    )
    return Deploy(
        company_id=town.company_id(company),
        bundle_name="work",
        bundle_digest=f"{company:064d}",
        bundle_size=1,
        changes=changes,
        withdrawn=(),
        at=town.now - SPAN,
    )


def _declaration(task: int) -> Declaration:
    name = "Rare" if task == RARE_TASK else f"Task {task}"
    return Declaration(
        name=name,
        key=name,
        path=f"Bots/{name}",
        description="",
        module="work",
        function="work",
        inputs=(),
        outputs=(),
        policies=Policies(concurrency=1 if task == LIMITED_TASK else None),
        fingerprint="0",
    )


def _worker(town: Town, number: int) -> Worker:
    return Worker(
        id=WorkerId(town.worker + number),
        company_id=None,
        name=f"worker-{number}",
        state=WorkerState.ALLOWED,
        version="0",
        host="host",
        os="linux",
        address="127.0.0.1",
        slots=2,
        labels=(),
        created_at=town.now - SPAN,
        last_seen_at=None,
        draining=False,
    )


def _session(town: Town, number: int) -> OpenedSession:
    return OpenedSession(
        id=SessionId(town.session + number),
        worker_id=WorkerId(town.worker + number),
        server="benchmark",
        lease_expires_at=town.now + timedelta(hours=1),
    )


def _schedule(town: Town, number: int) -> Schedule:
    return Schedule(
        id=ScheduleId(town.schedule + number),
        company_id=town.company_id(0),
        task_id=town.task_id(0, 1),
        name="rare" if number == 0 else f"schedule {number}",
        kind=TriggerKind.CRON,
        cron="0 0 * * *",
        time_zone="UTC",
        interval=None,
        input=b"{}",
        priority=None,
        enabled=False,
        next_fire_at=None,
        last_fire_at=None,
        created_at=town.now - SPAN,
    )


# ---------------------------------------------------------------- the runs


def fill_sqlite(path: Path, town: Town) -> None:
    """Put the runs into a database file that no server has open."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -500000")
    try:
        with db:
            _fill(lambda sql: db.execute(sql).fetchall(), town, _SQLITE)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        db.close()


def fill_postgres(dsn: str, town: Town) -> None:
    """Put the runs into a database; its statistics are those that autovacuum would gather."""
    with psycopg.connect(dsn) as connection:

        def execute(sql: str) -> list[tuple[str, ...]]:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

        execute("SET maintenance_work_mem = '256MB'")
        _fill(execute, town, _POSTGRES)
        connection.commit()
        connection.autocommit = True
        execute("VACUUM ANALYZE")
        execute("CHECKPOINT")


class _Words(msgspec.Struct, frozen=True):
    """What the two databases call the same."""

    numbers: str
    public_id: str
    indexes: str


_SQLITE = _Words(
    numbers=(
        "(WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted"
        " WHERE n + 1 < {count}) SELECT n FROM counted) AS numbers"
    ),
    public_id="unhex(printf('%032x', {id}))",
    indexes=(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        " AND tbl_name IN ('runs', 'run_inputs', 'run_outputs')"
    ),
)
_POSTGRES = _Words(
    numbers="generate_series(0::bigint, {count} - 1) AS numbers (n)",
    public_id="decode(lpad(to_hex({id}), 32, '0'), 'hex')",
    indexes=(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
        " AND tablename IN ('runs', 'run_inputs', 'run_outputs') AND indexname NOT LIKE '%_pkey'"
    ),
)

_COLUMNS = (
    "id, public_id, company_id, task_id, version_id, gate_id, state, cause, priority, rank, level,"
    " restarted_from, trigger, schedule_id, created_at, due_at, queued_at, started_at, finished_at,"
    " attempt, begun_at, worker_id, session_id, lease_token, outcome"
)


def _fill(execute: Callable[[str], Sequence[Sequence[str]]], town: Town, words: _Words) -> None:
    indexes = execute(words.indexes)
    for name, _ in indexes:
        execute(f"DROP INDEX {name}")
    for statement in _statements(town, words):
        execute(statement)
    for _, definition in indexes:
        execute(definition)


def _statements(town: Town, words: _Words) -> Iterator[str]:
    ended, queued = town.size.ended, town.size.queued
    aside = max(queued // 1000, 10) * 13
    yield _ended(town, words)
    yield _queued(town, words, town.run + ended)
    yield _running(town, words, town.run + ended + queued)
    yield _aside(town, words, town.run + ended + queued + RUNNING, aside)
    yield """INSERT INTO run_inputs (run_id, value) SELECT id, '{"zip":"76131"}' FROM runs"""
    yield (
        "INSERT INTO run_outputs (run_id, value) "
        """SELECT id, '{"place":"Fort Worth"}' FROM runs WHERE cause IN (20, 22)"""
    )
    yield (
        "INSERT INTO run_counts (company_id, task_id, state, cause, lane, count)"
        " SELECT company_id, task_id, state, coalesce(cause, 0), 0, count(*) FROM runs"
        " GROUP BY company_id, task_id, state, coalesce(cause, 0)"
    )
    yield (
        "INSERT INTO attempts (run_id, number, worker_id, lease_token, begun_at, finished_at, outcome)"
        " SELECT id, 1, worker_id, 1, begun_at, finished_at, 1 FROM runs"
        " WHERE state >= 6 AND id % 50 = 0"
    )


def _ended(town: Town, words: _Words) -> str:
    count = town.size.ended
    step = max(count // RARE, 10)
    rare = [f"n % {step} = {step // 2 + kind}" for kind in range(5)]
    pace = SPAN // timedelta(microseconds=1) // count
    created = f"{micros(town.now - SPAN)} + n * {pace}"
    begun = f"{created} + 20000"
    ended = f"{created} + 1000000 + n * 7919 % 60000000"
    cause = (
        f"CASE WHEN {rare[1]} THEN 27 WHEN n * 104729 % 1000 < 880 THEN 20"
        " WHEN n * 104729 % 1000 < 910 THEN 21 WHEN n * 104729 % 1000 < 920 THEN 22"
        " WHEN n * 104729 % 1000 < 960 THEN 23 WHEN n * 104729 % 1000 < 970 THEN 24"
        " WHEN n * 104729 % 1000 < 980 THEN 25 ELSE 26 END"
    )
    trigger = (
        f"CASE WHEN {rare[2]} THEN 2 WHEN {rare[4]} OR n * 1299709 % 1000 < 150 THEN 1"
        " WHEN n * 1299709 % 1000 < 200 THEN 3 ELSE 0 END"
    )
    drawn = (
        f"SELECT n, CASE WHEN {' OR '.join(rare)} OR n * 7919 % 1000 < 600 THEN 0"
        f" ELSE 1 + n * 7919 % {COMPANIES - 1} END AS company,"
        f" CASE WHEN {rare[3]} THEN {RARE_TASK} ELSE 1 + n * 31 % {TASKS - 1} END AS task,"
        f" {cause} AS cause, {trigger} AS trigger FROM {words.numbers.format(count=count)}"
    )
    schedule = f"CASE WHEN {rare[4]} THEN 0 ELSE 1 + n * 13 % {SCHEDULES - 1} END"
    worker = f"CASE WHEN {rare[0]} THEN {WORKERS - 1} ELSE n * 17 % {WORKERS - 1} END"
    return f"""
    INSERT INTO runs ({_COLUMNS})
    SELECT {town.run} + n, {words.public_id.format(id=f"{town.run} + n")},
           {town.company} + company, {town.task} + company * {TASKS} + task,
           {town.version} + company * {TASKS} + task, {town.gate} + company * {TASKS} + task,
           CASE WHEN cause < 23 THEN 6 WHEN cause = 26 THEN 8 ELSE 7 END, cause, 50,
           {created}, 0, CASE WHEN trigger = 2 THEN {town.run} END, trigger,
           CASE WHEN trigger = 1 THEN {town.schedule} + {schedule} END,
           {created}, NULL, {created}, {begun}, {ended}, 1, {begun}, {town.worker} + {worker},
           NULL, 1, CASE WHEN cause < 23 THEN 0 ELSE 1 END
      FROM ({drawn}) AS drawn ORDER BY n
    """


def _queued(town: Town, words: _Words, first: int) -> str:
    """By fifths: two in closed tasks, one in a paused company, one at a limit, one in open queues."""
    count = town.size.queued
    pace = timedelta(days=1) // timedelta(microseconds=1) // count
    created = f"{micros(town.now - timedelta(days=1))} + n * {pace}"
    closed, paused, limited = 2 * count // 5, 3 * count // 5, 4 * count // 5
    drawn = (
        f"SELECT n, CASE WHEN n < {closed} THEN 0 WHEN n < {paused} THEN {PAUSED_COMPANY}"
        f" WHEN n < {limited} THEN 0 ELSE n % {PAUSED_COMPANY} END AS company,"
        f" CASE WHEN n < {closed} THEN {CLOSED_TASKS[0]} + n % {len(CLOSED_TASKS)}"
        f" WHEN n < {paused} THEN n % {TASKS} WHEN n < {limited} THEN {LIMITED_TASK}"
        f" ELSE 1 + n / 4 % {OPEN_TASKS} END AS task FROM {words.numbers.format(count=count)}"
    )
    values = f"3, NULL, 50, {created}, 0, NULL, 0, NULL, {created}, NULL, {created}"
    return _insert(town, words, first, f"{values}, {_NOT_BEGUN}", drawn)


def _running(town: Town, words: _Words, first: int) -> str:
    drawn = (
        f"SELECT n, 0 AS company, CASE WHEN n = 0 THEN {LIMITED_TASK} ELSE n END AS task"
        f" FROM {words.numbers.format(count=RUNNING)}"
    )
    at = micros(town.now) - 1_000_000
    lease = f"{town.worker}, {town.session}, 1 + n, NULL"
    values = f"4, NULL, 50, {at}, 0, NULL, 0, NULL, {at}, NULL, {at}, {at}, NULL, 1, {at}, {lease}"
    return _insert(town, words, first, values, drawn)


def _aside(town: Town, words: _Words, first: int, count: int) -> str:
    state = "CASE WHEN n % 13 < 10 THEN 2 WHEN n % 13 < 12 THEN 0 ELSE 5 END"
    at, due = micros(town.now - timedelta(hours=1)), micros(town.now + timedelta(days=365))
    drawn = f"SELECT n, 0 AS company, 1 + n % 9 AS task FROM {words.numbers.format(count=count)}"
    values = (
        f"{state}, NULL, 50, {at}, 0, NULL, 0, NULL, {at} + n, "
        f"CASE WHEN n % 13 < 10 THEN {due} + n END, NULL, {_NOT_BEGUN}"
    )
    return _insert(town, words, first, values, drawn)


_NOT_BEGUN = "NULL, NULL, 0, NULL, NULL, NULL, 0, NULL"


def _insert(town: Town, words: _Words, first: int, values: str, drawn: str) -> str:
    return f"""
    INSERT INTO runs ({_COLUMNS})
    SELECT {first} + n, {words.public_id.format(id=f"{first} + n")}, {town.company} + company,
           {town.task} + company * {TASKS} + task, {town.version} + company * {TASKS} + task,
           {town.gate} + company * {TASKS} + task, {values}
      FROM ({drawn}) AS drawn ORDER BY n
    """
