"""A disk that is full and a database that goes away: clear refusals, and then everything goes on."""

import random
import resource
import time
from pathlib import Path

import pytest

from tests.faults.load import Load, check, eventually, furnish, writers
from tests.support.house import running_house
from tests.support.postgres import DURABLE, NoPostgres, private_postgres

SEED = 20_260_302
FULL = 4096
"""Bytes up to which files may grow while the disk is "full"."""


def limit_files(processes: list[int], size: int) -> None:
    """Let no file of these processes grow beyond this: for them that is a full disk."""
    for process in processes:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.timeout(1200)
def test_a_full_disk_refuses_starts_and_loses_nothing(tmp_path: Path) -> None:
    """R1, R2, R12"""
    load = Load()

    with running_house(tmp_path / "data", "--slots", "2") as house:
        furnish(house)
        with load.running() as history:
            load.house = house
            eventually(lambda: len(history.acknowledged) > 20, "nothing was started")
            limit_files(writers(house.process.pid), FULL)
            eventually(lambda: history.refusals.total() > 5, "nothing was refused")
            during = len(history.acknowledged)
            limit_files(writers(house.process.pid), resource.RLIM_INFINITY)
            eventually(lambda: len(history.acknowledged) > during + 20, "nothing goes on")
            load.rest()
            check(house, history, at_least=40)
        refused = dict(history.refusals)

    assert set(refused) <= {"StorageUnavailable", "Overloaded", "Busy"}, refused


@pytest.mark.timeout(1200)
def test_a_database_that_restarts_and_drops_connections_loses_nothing(
    tmp_path: Path, *, torture: bool
) -> None:
    """R1, R2, R3"""
    chance = random.Random(SEED)
    load = Load()

    try:
        starting = private_postgres(DURABLE)
        postgres = starting.__enter__()
    except NoPostgres as problem:
        pytest.skip(str(problem))
    try:
        dsn = postgres.create_database()
        with running_house(tmp_path / "data", "--slots", "2", "--database", dsn) as house:
            furnish(house)
            with load.running() as history:
                load.house = house
                for turn in range(20 if torture else 3):
                    before = len(history.acknowledged)
                    eventually(lambda: len(history.acknowledged) > before + 10, "stuck")  # noqa: B023 - used at once
                    time.sleep(chance.uniform(0.0, 0.3))
                    if turn % 3 == 0:
                        postgres.terminate_connections(dsn)
                    elif turn % 3 == 1:
                        postgres.crash()
                        postgres.start()
                    else:
                        postgres.stop()
                        time.sleep(chance.uniform(0.0, 1.0))
                        postgres.start()
                before = len(history.acknowledged)
                eventually(lambda: len(history.acknowledged) > before + 10, "stuck")
                load.rest()
                check(house, history, at_least=40)
    finally:
        starting.__exit__(None, None, None)
