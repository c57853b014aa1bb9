"""A short torture: everything struck once or twice, and every promise held (R1-R7, R9, R11)."""

from pathlib import Path

import pytest

from tests.faults.convoy import Plan
from tests.faults.torture import torture
from tests.support.postgres import DURABLE, NoPostgres, private_postgres

SEED = 20_261_125
SHORT = 30.0
LEASE = "5s"


@pytest.mark.timeout(600)
def test_whatever_is_struck_on_sqlite_every_promise_holds(tmp_path: Path) -> None:
    """A server with a worker in it, and a worker of its own."""
    plan = Plan(servers=1, workers=1, lease=LEASE)

    figures = torture(tmp_path, plan, None, seconds=SHORT, seed=SEED)

    assert figures.breaches == [], "\n".join(figures.lines())
    assert sum(run.has_succeeded for run in figures.runs) >= 100
    assert sum(figures.evidence.strikes.values()) >= 5


@pytest.mark.timeout(600)
def test_whatever_is_struck_on_postgresql_every_promise_holds(tmp_path: Path) -> None:
    """Two servers without workers in them, and two workers."""
    plan = Plan(servers=2, workers=2, slots=0, lease=LEASE)
    try:
        starting = private_postgres(DURABLE)
        postgres = starting.__enter__()
    except NoPostgres as problem:
        pytest.skip(str(problem))
    try:
        figures = torture(tmp_path, plan, postgres, seconds=SHORT, seed=SEED)
    finally:
        starting.__exit__(None, None, None)

    assert figures.breaches == [], "\n".join(figures.lines())
    assert sum(run.has_succeeded for run in figures.runs) >= 100
    assert sum(figures.evidence.strikes.values()) >= 5
