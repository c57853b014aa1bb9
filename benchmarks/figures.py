"""Measured values, what Runyard should reach against them, and the table that says so."""

import statistics
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from rich.table import Table


class System(StrEnum):
    """What was measured, as the table names it."""

    CELERY = "Celery + Redis"
    PGQUEUER = "pgqueuer + PostgreSQL"
    PROCRASTINATE = "Procrastinate + PostgreSQL"
    RUNYARD_SQLITE = "Runyard, SQLite"
    RUNYARD_POSTGRES = "Runyard, PostgreSQL"
    NODE_RED = "Node-RED"
    BENTOML = "BentoML"
    FASTAPI_CELERY = "FastAPI + Celery + Redis"
    CALLS = "Runyard, real-time calls, SQLite"
    RUNYARD_TWO = "Runyard, two servers and two workers, PostgreSQL"


class Metric(StrEnum):
    """What a figure says; the unit stands in brackets."""

    ONE_BY_ONE = "end to end, one by one, 16 producers [1/s]"
    ONE_BY_ONE_1 = "end to end, one by one, 1 producer [1/s]"
    BATCHED = "end to end, created 100 at a time [1/s]"
    ALONE_ONE_BY_ONE = "the same with one server: one by one, 16 producers [1/s]"
    ALONE_BATCHED = "the same with one server: created 100 at a time [1/s]"
    PICKUP_P50 = "pick-up p50 [ms]"
    PICKUP_P99 = "pick-up p99 [ms]"
    PEER_P50 = "call: over HTTP, alone, p50 [ms]"
    PEER_P99 = "call: over HTTP, at 16 connections, p99 [ms]"
    PEER_RATE = "call: over HTTP, at 16 connections [1/s]"
    FLUSH_P50 = "4 KB written and flushed to the disk, p50 [ms]"
    QUIET_P50 = "call: native, alone, 50 allocations and nothing else, p50 [ms]"
    BESIDE_P50 = "call: native, alone, while a slow task is called 16 at a time, p50 [ms]"
    FLOOR_P50 = "call: the floor alone, p50 [ms]"
    FLOOR_P99 = "call: the floor at 16 connections, p99 [ms]"
    FLOOR_RATE = "call: the floor at 16 connections [1/s]"
    CALL_P50 = "call: native, fast, alone, p50 [ms]"
    CALL_P99 = "call: native, fast, at 16 connections, p99 [ms]"
    CALL_RATE = "call: native, fast, at 16 connections [1/s]"
    DURABLE_P50 = "call: native, durable, alone, p50 [ms]"
    DURABLE_P99 = "call: native, durable, at 16 connections, p99 [ms]"
    DURABLE_RATE = "call: native, durable, at 16 connections [1/s]"
    EXECUTE_P50 = "call: execute, alone, p50 [ms]"
    EXECUTE_P99 = "call: execute, at 16 connections, p99 [ms]"
    EXECUTE_RATE = "call: execute, at 16 connections [1/s]"
    ONE_CPU_SERVER = "one by one: CPU of the server [us a run]"
    ONE_CPU_WRITER = "one by one: CPU of the writer [us a run]"
    ONE_CPU_CHILDREN = "one by one: CPU of the children [us a run]"
    MANY_CPU_SERVER = "100 at a time: CPU of the server [us a run]"
    MANY_CPU_WRITER = "100 at a time: CPU of the writer [us a run]"
    MANY_CPU_CHILDREN = "100 at a time: CPU of the children [us a run]"
    IDLE_WRITES = "idle: write transactions [1/min]"
    IDLE_CPU = "idle: CPU of the whole tree [% of a core]"
    IDLE_SERVER_MEMORY = "idle: server process [MB resident]"
    IDLE_WRITER_MEMORY = "idle: writer process [MB resident]"
    IDLE_ZYGOTE_MEMORY = "idle: zygote [MB resident]"
    IDLE_ZYGOTE_PROPORTIONAL = "idle: zygote [MB proportional]"
    IDLE_CHILD_MEMORY = "idle: largest child [MB resident]"
    IDLE_CHILD_PROPORTIONAL = "idle: largest child [MB proportional]"
    IDLE_TREE_MEMORY = "idle: whole tree [MB proportional]"


class Figure(msgspec.Struct, frozen=True):
    """One metric of one system: a value for every round."""

    system: System
    metric: Metric
    values: list[float]

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def summary(self) -> str:
        """The median, and the range where there were several rounds."""
        if len(self.values) == 1:
            return shown(self.value)
        return f"{shown(self.value)} ({shown(min(self.values))} to {shown(max(self.values))})"


class Skipped(msgspec.Struct, frozen=True):
    """A system that was not measured, and why."""

    system: System
    because: str


class Reference(msgspec.Struct, frozen=True):
    """A figure of a peer that a target is a multiple of."""

    system: System
    metric: Metric


class Target(msgspec.Struct, frozen=True):
    """Runyard's figure is at least (rates) or at most (times) a multiple of the best of the references."""

    system: System
    metric: Metric
    factor: float
    references: tuple[Reference, ...]


class Bound(msgspec.Struct, frozen=True):
    """Runyard's figure stays below a fixed number."""

    system: System
    metric: Metric
    below: float


class Verdict(msgspec.Struct, frozen=True):
    """One line of the table: Runyard beside a peer, or a peer or Runyard alone."""

    system: System
    metric: Metric
    value: float
    summary: str
    against: System | None = None
    reference: float | None = None
    ratio: float | None = None
    target: str = ""
    is_met: bool | None = None


_C, _Q, _P = System.CELERY, System.PGQUEUER, System.PROCRASTINATE
_LITE, _PG = System.RUNYARD_SQLITE, System.RUNYARD_POSTGRES
_TWO = System.RUNYARD_TWO
_CALLS = System.CALLS
_CELERY_RATES = (Reference(_C, Metric.ONE_BY_ONE), Reference(_C, Metric.ONE_BY_ONE_1))

TARGETS = (
    Target(_LITE, Metric.ONE_BY_ONE, 5, _CELERY_RATES),
    Target(_LITE, Metric.ONE_BY_ONE, 2.5, (Reference(_Q, Metric.ONE_BY_ONE),)),
    # Celery has no batches: starting one by one is all it can do.
    Target(_LITE, Metric.BATCHED, 10, _CELERY_RATES),
    Target(_LITE, Metric.BATCHED, 0.6, (Reference(_Q, Metric.BATCHED),)),
    Target(_PG, Metric.ONE_BY_ONE, 8, (Reference(_P, Metric.ONE_BY_ONE),)),
    Target(_TWO, Metric.ONE_BY_ONE, 0.9, (Reference(_TWO, Metric.ALONE_ONE_BY_ONE),)),
    Target(_TWO, Metric.BATCHED, 0.9, (Reference(_TWO, Metric.ALONE_BATCHED),)),
    Target(_CALLS, Metric.EXECUTE_P50, 1.5, (Reference(_CALLS, Metric.FLOOR_P50),)),
    Target(_CALLS, Metric.EXECUTE_P99, 3, (Reference(_CALLS, Metric.FLOOR_P99),)),
    Target(_CALLS, Metric.EXECUTE_RATE, 0.7, (Reference(_CALLS, Metric.FLOOR_RATE),)),
    Target(_CALLS, Metric.CALL_P50, 1.5, (Reference(_CALLS, Metric.FLOOR_P50),)),
    Target(_CALLS, Metric.CALL_RATE, 0.7, (Reference(_CALLS, Metric.FLOOR_RATE),)),
    Target(_CALLS, Metric.DURABLE_P50, 4, (Reference(_CALLS, Metric.FLOOR_P50),)),
    Target(_CALLS, Metric.BESIDE_P50, 1.5, (Reference(_CALLS, Metric.QUIET_P50),)),
    Target(_CALLS, Metric.EXECUTE_P50, 0.5, (Reference(System.NODE_RED, Metric.PEER_P50),)),
    Target(_CALLS, Metric.EXECUTE_RATE, 4, (Reference(System.NODE_RED, Metric.PEER_RATE),)),
    Target(_CALLS, Metric.EXECUTE_RATE, 10, (Reference(System.BENTOML, Metric.PEER_RATE),)),
    Target(_CALLS, Metric.EXECUTE_RATE, 10, (Reference(System.FASTAPI_CELERY, Metric.PEER_RATE),)),
    Target(
        _LITE,
        Metric.PICKUP_P50,
        0.5,
        (Reference(_C, Metric.PICKUP_P50), Reference(_Q, Metric.PICKUP_P50)),
    ),
)
BOUNDS = (
    Bound(_LITE, Metric.IDLE_WRITES, 2),
    Bound(_LITE, Metric.IDLE_CPU, 1),
    Bound(_LITE, Metric.IDLE_SERVER_MEMORY, 150),
    Bound(_LITE, Metric.IDLE_ZYGOTE_PROPORTIONAL, 15),
    Bound(_LITE, Metric.IDLE_CHILD_MEMORY, 15),
    Bound(_PG, Metric.IDLE_WRITES, 2),
    Bound(_PG, Metric.IDLE_CPU, 1),
)
_TIMES = frozenset(
    {
        Metric.PICKUP_P50,
        Metric.PICKUP_P99,
        Metric.CALL_P50,
        Metric.DURABLE_P50,
        Metric.EXECUTE_P50,
        Metric.EXECUTE_P99,
        Metric.BESIDE_P50,
    }
)


def verdicts(figures: Sequence[Figure]) -> list[Verdict]:
    """Every target and bound that could be judged, then every figure on its own."""
    found = {(figure.system, figure.metric): figure for figure in figures}
    judged = [_against_peers(target, found) for target in TARGETS]
    judged += [_against_bound(bound, found) for bound in BOUNDS]
    alone = [
        Verdict(figure.system, figure.metric, figure.value, figure.summary) for figure in figures
    ]
    return [verdict for verdict in judged if verdict is not None] + alone


Found = dict[tuple[System, Metric], Figure]


def _against_peers(target: Target, found: Found) -> Verdict | None:
    ours = found.get((target.system, target.metric))
    theirs = [
        (found[reference.system, reference.metric].value, reference.system)
        for reference in target.references
        if (reference.system, reference.metric) in found
    ]
    if ours is None or not theirs:
        return None
    is_time = target.metric in _TIMES
    reference, peer = min(theirs) if is_time else max(theirs)
    ratio = ours.value / reference
    return Verdict(
        target.system,
        target.metric,
        ours.value,
        ours.summary,
        against=peer,
        reference=reference,
        ratio=ratio,
        target=f"{'<=' if is_time else '>='} {target.factor:g}x",
        is_met=ratio <= target.factor if is_time else ratio >= target.factor,
    )


def _against_bound(bound: Bound, found: Found) -> Verdict | None:
    ours = found.get((bound.system, bound.metric))
    if ours is None:
        return None
    return Verdict(
        bound.system,
        bound.metric,
        ours.value,
        ours.summary,
        target=f"< {bound.below:g}",
        is_met=ours.value < bound.below,
    )


def table(found: Sequence[Verdict]) -> Table:
    """The verdicts for a terminal."""
    drawn = Table("measured", "metric", "value", "peer", "its value", "ratio", "target", "met")
    for number in (2, 4, 5):
        drawn.columns[number].justify = "right"
    for verdict in found:
        drawn.add_row(
            verdict.system,
            verdict.metric.replace("[", "\\["),
            verdict.summary,
            verdict.against or "",
            shown(verdict.reference),
            "" if verdict.ratio is None else f"{verdict.ratio:.2f}",
            verdict.target,
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[verdict.is_met],
        )
    return drawn


def markdown(found: Sequence[Verdict]) -> str:
    """The verdicts for a page of the documentation."""
    lines = ["| measured | metric | value | peer | its value | ratio | target | met |"]
    lines.append("|---" * 8 + "|")
    for verdict in found:
        cells = [
            verdict.system,
            verdict.metric,
            verdict.summary,
            verdict.against or "",
            shown(verdict.reference),
            "" if verdict.ratio is None else f"{verdict.ratio:.2f}",
            verdict.target,
            {True: "yes", False: "no", None: ""}[verdict.is_met],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: float | None) -> str:
    """A number with three digits that matter."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
