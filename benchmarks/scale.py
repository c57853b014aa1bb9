"""What a full store costs: the same work on a million runs and on ten thousand, side by side.

`python -m benchmarks.scale [--ended 1000000] [--queued 100000] [--only sqlite] [--json FILE]`. Both stores are
made by `benchmarks.population`, alike but for the number of runs; the small one holds just enough
for nearly every list to fill a page of twenty (the table says where not). The two are open at once, and every operation is measured
on one and on the other in turn, so that other work on the machine hits both. Files are in memory:
no flush hides what the store itself costs.

A deep page begins in the middle of the month.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import machine, services
from benchmarks.population import (
    CLOSED_TASKS,
    LIMITED_TASK,
    PAUSED_COMPANY,
    SPAN,
    TASKS,
    Size,
    Town,
    fill_postgres,
    fill_sqlite,
    furnish,
)
from benchmarks.scale_filters import Wanted, lists
from runyard.engine.clock import SystemClock
from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.maintenance import PRUNED_AT_ONCE
from runyard.model.companies import Company
from runyard.model.ids import RunId, SessionId, WorkerId
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState
from runyard.stores.contract.leases import Claim, ClaimedRun, Share
from runyard.stores.contract.listing import Position, RunFilter
from runyard.stores.contract.runs import Beginning, Finish, NewRun
from runyard.stores.contract.store import Store
from runyard.stores.postgres.store import open_postgres
from runyard.stores.sqlite.store import open_sqlite

FULL = Size(1_000_000, 100_000)
SMALL = Size(10_000, 1_000)
ROUNDS = 20
REPEATS = 5
PAGE = 20
AT_ONCE = 8
PRUNED = 2_000
PRODUCERS = 16
TARGET = 1.5
_MICROS = 1_000_000

Work = Callable[["Place"], Awaitable[object]]
"""What is measured. A number that it answers is how many runs it showed."""


class Ratio(msgspec.Struct, frozen=True):
    """An operation on both stores, in microseconds."""

    database: str
    operation: str
    small: float
    full: float
    shown: tuple[int, int] | None = None
    """How many runs a list showed on each."""

    @property
    def ratio(self) -> float:
        """How much longer it takes on the full store."""
        return self.full / self.small


class Place:
    """An open store, its installation, and an engine that only looks at it."""

    def __init__(self, store: Store, town: Town, engine: Engine) -> None:
        self.store = store
        self.town = town
        self.engine = engine
        self.next_token = 1_000_000
        self.next_id = 0
        self.claimed: list[ClaimedRun] = []
        self.waiting: dict[str, tuple[Company, Run]] = {}

    @property
    def middle(self) -> Position:
        """A place in the middle of the month."""
        return Position(self.town.now - SPAN / 2, RunId(0))


# ---------------------------------------------------------------- the operations


async def start_one(place: Place) -> None:
    """One run into an open queue."""
    await place.store.runs.start([_new_run(place)])


async def claim_eight(place: Place) -> None:
    """Eight runs of one company, looking at all of its queues, the closed ones and the full one too."""
    gates = tuple(place.town.gate_id(0, task) for task in range(TASKS))
    share = Share(company_id=place.town.company_id(0), count=AT_ONCE, gate_ids=gates)
    claim = Claim(
        session_id=SessionId(place.town.session + 1),
        worker_id=WorkerId(place.town.worker + 1),
        first_token=place.next_token,
        shares=(share,),
        at=place.town.now,
    )
    place.next_token += AT_ONCE
    place.claimed = await place.store.leases.claim(claim)
    assert len(place.claimed) == AT_ONCE


async def finish_eight(place: Place) -> None:
    """The eight runs that were claimed last."""
    now = place.town.now
    beginning = place.store.runs.begin(
        [Beginning(run.run_id, run.token, now) for run in place.claimed]
    )
    ending = place.store.runs.finish([_finish(place, run) for run in place.claimed])
    _, ended = await asyncio.gather(beginning, ending)
    assert len(ended) == AT_ONCE


async def start_eight(place: Place) -> None:
    """As many as were claimed, so that no queue runs dry."""
    await place.store.runs.start([_new_run(place) for _ in range(AT_ONCE)])


def _new_run(place: Place) -> NewRun:
    run = RunId(place.next_id)
    place.next_id += 1
    now = place.town.now
    return NewRun(
        id=run,
        public_id=run.to_bytes(16, "big"),
        company_id=place.town.company_id(0),
        task_id=place.town.task_id(0, 1),
        version_id=place.town.version_id(0, 1),
        gate_id=place.town.gate_id(0, 1),
        state=RunState.QUEUED,
        priority=50,
        rank=0,
        created_at=now,
        queued_at=now,
        input=b'{"zip":"76131"}',
    )


def _finish(place: Place, run: ClaimedRun) -> Finish:
    return Finish(
        run_id=run.run_id,
        company_id=run.company_id,
        token=run.token,
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        outcome=Outcome.RETURNED,
        finished_at=place.town.now,
        begun_at=place.town.now,
        output=b'{"place":"Fort Worth"}',
    )


def listing(wanted: Wanted, *, is_deep: bool = False) -> Work:
    """A page of a list with its total."""

    async def work(place: Place) -> int:
        after = place.middle if is_deep else None
        company = place.town.company_id(0)
        page = await place.store.runs.page(company, wanted.filter(place.town), after, PAGE)
        assert is_deep or len(page.runs) >= wanted.fewest
        return len(page.runs)

    return work


def explaining(kind: str) -> Work:
    """Why a queued run of this kind does not run."""

    async def work(place: Place) -> None:
        company, run = place.waiting[kind]
        assert await place.engine.explain.why(company, run)

    return work


async def count_before(place: Place) -> None:
    """How many go first, asked for the last run of a long queue."""
    _, run = place.waiting["at its limit"]
    await place.store.queues.queued_before(run.company_id, run.gate_id, run.rank, run.id)


async def prune_all(place: Place, most: int) -> float:
    """Seconds a run, when runs of the first company are pruned as retention does it."""
    company, gone = place.town.company_id(0), 0
    began = time.perf_counter()
    while gone < most:
        count = await place.store.runs.prune(company, None, place.town.now, PRUNED_AT_ONCE)
        gone += count
        if count < PRUNED_AT_ONCE:
            break
    return (time.perf_counter() - began) / gone


async def start_all(place: Place, count: int) -> float:
    """Seconds a run, when so many are started one by one by sixteen callers."""

    async def caller() -> None:
        for _ in range(count // PRODUCERS):
            await start_one(place)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(PRODUCERS)))
    return (time.perf_counter() - began) / count


_WAITING = {
    "of a closed task": (0, CLOSED_TASKS[0]),
    "of a paused company": (PAUSED_COMPANY, 1),
    "at its limit": (0, LIMITED_TASK),
    "in an open queue": (0, 1),
}


def _changes() -> Iterator[tuple[str, Work]]:
    """What writes. They are measured in turn, because each works on what the one before has made."""
    yield "start", start_one
    yield "start 8", start_eight
    yield "claim 8", claim_eight
    yield "finish 8", finish_eight
    yield "stage, nothing due", lambda place: place.store.runs.stage(place.town.now, 500)


def _reads() -> Iterator[tuple[str, Work]]:
    """What only reads."""
    for kind in _WAITING:
        yield f"explain a run {kind}", explaining(kind)
    yield "explain: place in a queue", count_before
    for wanted in lists():
        yield f"list: {wanted.name}", listing(wanted)
        if wanted.has_middle:
            yield f"list: {wanted.name}, deep", listing(wanted, is_deep=True)
    yield (
        "state counts of a company",
        lambda place: place.store.queues.state_counts(place.town.company_id(0)),
    )
    yield (
        "counts behind the gates of a company",
        lambda place: place.store.queues.gate_loads(place.town.company_id(0)),
    )
    yield "queued totals", lambda place: place.store.queues.queued_totals()
    yield "occupied gates", lambda place: place.store.queues.occupied_gates()
    yield "statistics", lambda place: place.store.statistics()
    yield "next due", lambda place: place.store.queues.next_due_at()
    yield "look for abandoned runs", lambda place: place.store.leases.abandoned(place.town.now, 200)
    yield "doctor: breaches", lambda place: place.store.runs.breaches(place.town.now, 20)


# ---------------------------------------------------------------- measuring


async def measured(database: str, small: Place, full: Place) -> list[Ratio]:
    """Every operation on both, a few times on one, then on the other, for many rounds."""
    found = [await _measured_one(database, name, work, small, full) for name, work in _reads()]
    changes = list(_changes())
    times: dict[tuple[str, Place], list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in changes:
            for place in (small, full):
                times.setdefault((name, place), []).append((await _timed(work, place))[0])
    found += [
        Ratio(database, name, _median(times[name, small]), _median(times[name, full]))
        for name, _ in changes
    ]
    return [*found, *await _retention(database, small, full)]


async def _measured_one(database: str, name: str, work: Work, small: Place, full: Place) -> Ratio:
    times: dict[Place, list[float]] = {small: [], full: []}
    shown: dict[Place, object] = {}
    for number in range(2 if name in _SLOW else ROUNDS):
        for place in (small, full) if number % 2 else (full, small):
            for _ in range(REPEATS):
                spent, shown[place] = await _timed(work, place)
                times[place].append(spent)
    return Ratio(
        database,
        name,
        _median(times[small]),
        _median(times[full]),
        _counts(shown[small], shown[full]),
    )


_SLOW = frozenset({"doctor: breaches"})
"""Takes seconds on a full store."""


def _counts(small: object, full: object) -> tuple[int, int] | None:
    return (small, full) if isinstance(small, int) and isinstance(full, int) else None


async def _timed(work: Work, place: Place) -> tuple[float, object]:
    began = time.perf_counter()
    answer = await work(place)
    return time.perf_counter() - began, answer


def _median(times: Sequence[float]) -> float:
    return statistics.median(times) * _MICROS


async def _retention(database: str, small: Place, full: Place) -> list[Ratio]:
    """Starting and pruning, microseconds a run: pruning has to keep up with what arrives."""
    found = []
    for name, work in (("start, 16 callers, a run", start_all), ("prune, a run", prune_all)):
        times = [await work(place, PRUNED) * _MICROS for place in (small, full)]
        found.append(Ratio(database, name, *times))
    return found


@contextlib.asynccontextmanager
async def sqlite_place(folder: Path, size: Size) -> AsyncIterator[Place]:
    """A SQLite store of this size."""
    store = await open_sqlite(folder)
    town = await furnish(store, size)
    await store.close()
    fill_sqlite(folder / "runyard.db", town)
    async with _opened(await open_sqlite(folder), town) as place:
        yield place


@contextlib.asynccontextmanager
async def postgres_place(dsn: str, folder: Path, size: Size) -> AsyncIterator[Place]:
    """A PostgreSQL store of this size."""
    store = await open_postgres(dsn, folder)
    town = await furnish(store, size)
    fill_postgres(dsn, town)
    async with _opened(store, town) as place:
        yield place


@contextlib.asynccontextmanager
async def _opened(store: Store, town: Town) -> AsyncIterator[Place]:
    """The place around an open store. Its engine's loops do not run: nothing happens by itself."""
    place = Place(store, town, Engine(store, SystemClock(), EngineSettings(server="benchmark")))
    place.next_id = await store.reserve_ids(100_000)
    for kind, (company, task) in _WAITING.items():
        known = await place.engine.companies.load(f"company-{company}")
        wanted = RunFilter(task_id=town.task_id(company, task), states=(RunState.QUEUED,))
        page = await store.runs.page(known.id, wanted, None, 1)
        place.waiting[kind] = (known, page.runs[0])
    try:
        yield place
    finally:
        await store.close()


async def measure_sqlite(folder: Path, size: Size) -> list[Ratio]:
    """All ratios on SQLite."""
    async with (
        sqlite_place(folder / "small", SMALL) as small,
        sqlite_place(folder / "full", size) as full,
    ):
        return await measured("SQLite", small, full)


async def measure_postgres(folder: Path, size: Size) -> list[Ratio]:
    """All ratios on PostgreSQL; one server has both databases."""
    with services.postgres(folder) as server:
        small_dsn, full_dsn = (server.create_database(name) for name in ("small", "full"))
        async with (
            postgres_place(small_dsn, folder / "small", SMALL) as small,
            postgres_place(full_dsn, folder / "full", size) as full,
        ):
            return await measured("PostgreSQL", small, full)


MEASUREMENTS = {"sqlite": measure_sqlite, "postgres": measure_postgres}


def table(found: Sequence[Ratio]) -> Table:
    """The ratios, those beyond the target marked."""
    headings = ("database", "operation", "shown", "small \\[us]", "full \\[us]", "ratio")
    drawn = Table(*headings, f"<= {TARGET}")
    for column in drawn.columns[2:6]:
        column.justify = "right"
    for ratio in found:
        met = "[green]yes[/]" if ratio.ratio <= TARGET else "[red]no[/]"
        shown = "" if ratio.shown is None else f"{ratio.shown[0]}, {ratio.shown[1]}"
        times = (shown, f"{ratio.small:,.0f}", f"{ratio.full:,.0f}", f"{ratio.ratio:.2f}")
        drawn.add_row(ratio.database, ratio.operation, *times, met)
    return drawn


def main() -> None:
    """Measure, and print one table. A missed target is a finding, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--ended", type=int, default=FULL.ended)
    parser.add_argument("--queued", type=int, default=FULL.queued)
    parser.add_argument("--only", choices=list(MEASUREMENTS))
    parser.add_argument(
        "--folder", type=Path, default=Path("/dev/shm"), help="where files are made"
    )
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    console = Console(width=160)
    console.print(machine.described())
    found: list[Ratio] = []
    for name, measure in MEASUREMENTS.items():
        if chosen.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="runyard-scale-", dir=chosen.folder) as made:
                folder = Path(made)
                folder.chmod(0o755)
                found += asyncio.run(measure(folder, Size(chosen.ended, chosen.queued)))
    console.print(table(found))
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


if __name__ == "__main__":
    main()
