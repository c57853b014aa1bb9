"""kill -9 at any moment, under load: nothing that was acknowledged is lost or done twice (R1-R3)."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.doomed import POINTS
from tests.faults.load import (
    PATIENCE,
    Load,
    check,
    children_of_the_worker,
    eventually,
    furnish,
    kill,
)
from tests.support.house import House, running_house

SEED = 20_260_301


@pytest.fixture(params=["sqlite", "postgres"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    """A data folder, and the options of a server over either database."""
    if request.param == "sqlite":
        return tmp_path / "data", ()
    return tmp_path / "data", ("--database", request.getfixturevalue("postgres_dsn"))


@pytest.mark.timeout(1200)
def test_a_server_killed_again_and_again_loses_nothing(
    options: tuple[Path, tuple[str, ...]], *, torture: bool
) -> None:
    """R1, R2, R3"""
    data, words = options
    chance = random.Random(SEED)
    load = Load()

    with load.running() as history:
        for life in range(40 if torture else 3):
            with running_house(data, *words, "--slots", "2") as house:
                if life == 0:
                    furnish(house)
                before = len(history.acknowledged)
                load.house = house
                eventually(lambda: len(history.acknowledged) > before, "nothing was started")  # noqa: B023 - used at once
                time.sleep(chance.uniform(0.0, 1.0))
                load.house = None
                kill(house.process.pid)
                house.process.wait()
        with running_house(data, *words, "--slots", "2") as house:
            load.house = house
            time.sleep(0.5)
            load.rest()
            check(house, history, at_least=20)


@pytest.mark.timeout(1200)
def test_a_server_killed_at_a_named_point_of_a_runs_life_loses_nothing(
    options: tuple[Path, tuple[str, ...]], *, torture: bool
) -> None:
    """R1, R2, R3: before, during and after each write that a run's life consists of."""
    data, words = options
    chance = random.Random(SEED)
    points = [*POINTS] * 5 if torture else chance.sample(POINTS, 5)
    load = Load(seconds=0.05)

    with load.running() as history:
        with running_house(data, *words, "--slots", "2") as house:
            furnish(house)
        for point in points:
            doom = f"{point} {chance.randint(5, 10)}"  # later than what a server does as it opens
            with running_house(
                data, *words, "--slots", "2", program="tests.faults.doomed", DOOMED=doom
            ) as house:
                load.house = house
                killed = house.process.wait(PATIENCE)
                load.house = None
            assert killed == -signal.SIGKILL, f"{doom}: it ended with {killed}"
        with running_house(data, *words, "--slots", "2") as house:
            load.house = house
            time.sleep(0.5)
            load.rest()
            check(house, history, at_least=5)


@pytest.mark.timeout(1200)
def test_children_killed_at_any_moment_take_nothing_with_them(
    tmp_path: Path, *, torture: bool
) -> None:
    """R2: their own runs fail, with the cause that says so; everything else goes on."""
    chance = random.Random(SEED)
    load = Load(seconds=0.05)

    with running_house(tmp_path / "data", "--slots", "2") as house:
        furnish(house)
        with load.running() as history:
            load.house = house
            for _ in range(200 if torture else 12):
                eventually(lambda: bool(children_of_the_worker(house.process.pid)), "no child")
                time.sleep(chance.uniform(0.05, 0.3))
                if children := children_of_the_worker(house.process.pid):
                    kill(chance.choice(children))
            load.rest()
            runs = check(house, history, at_least=10, may_fail=True)

    causes = {run.cause for run in runs if not run.has_succeeded}
    assert causes <= {"killed_outside"}


def stop_one_child(house: House) -> int:
    """Stop a child that executes, as a debugger might; which."""
    eventually(lambda: bool(children_of_the_worker(house.process.pid)), "no child")
    child = children_of_the_worker(house.process.pid)[0]
    kill(child, signal.SIGSTOP)
    return child


@pytest.mark.timeout(1200)
def test_a_child_that_stands_still_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    """R2, R7: it occupies its slot no longer than its timeout."""
    load = Load(task="Brief")

    with running_house(tmp_path / "data", "--slots", "1") as house:
        furnish(house)
        with load.running() as history:
            load.house = house
            eventually(lambda: bool(history.done), "nothing was executed")
            stopped = stop_one_child(house)
            eventually(
                lambda: stopped not in children_of_the_worker(house.process.pid), "still there"
            )
            count = len(history.done)
            eventually(lambda: len(history.done) > count + 1, "nothing goes on")
            load.rest()
            runs = check(house, history, at_least=2, may_fail=True)

    assert {run.cause for run in runs if not run.has_succeeded} <= {"timed_out"}
