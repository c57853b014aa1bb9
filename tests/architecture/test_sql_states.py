"""States that stand as numbers in SQL agree with the table of transitions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.engine.transitions import TRANSITIONS
from runyard.model.states import FINAL_STATES, RunState
from runyard.stores.codes import FIRST_FINAL_CODE, STATE_CODES, STATES
from tests.architecture.tree import SOURCE, relative

SET_STATE = re.compile(r"\bSET\s+state\s*=\s*(\d+)", re.I)
STATE_IS = re.compile(r"\bstate\s*=\s*(\d+)", re.I)
STATE_IN = re.compile(r"\bstate\s+IN\s*\(([\d,\s]+)\)", re.I)


def statements(path: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each query of a file, without comments."""
    for part in re.split(r"^--\s*name:\s*", path.read_text(), flags=re.M)[1:]:
        name = re.match(r"\w+", part)
        assert name is not None
        yield name.group(), re.sub(r"--[^\n]*", "", part.partition("\n")[2])


def moves_of(statement: str) -> tuple[set[RunState], RunState] | None:
    """Out of which states and into which a statement moves runs, as far as numbers say so."""
    target = SET_STATE.search(statement)
    if target is None or not re.search(r"\bUPDATE\s+runs\b", statement, re.I):
        return None
    guards = statement[target.end() :].partition("WHERE")[2]
    codes = {int(code) for code in STATE_IS.findall(guards)}
    codes |= {int(c) for listed in STATE_IN.findall(guards) for c in listed.split(",")}
    return {STATES[code] for code in codes}, STATES[int(target[1])]


def query_files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.sql") if "migrations" not in str(path.parent))


def test_every_state_has_a_code_and_the_final_ones_are_the_last() -> None:
    assert set(STATE_CODES) == set(RunState)
    assert {s for s, code in STATE_CODES.items() if code >= FIRST_FINAL_CODE} == FINAL_STATES


def test_moves_are_read_from_a_statement() -> None:
    statement = "UPDATE runs SET state = 3 WHERE id IN (SELECT id FROM runs WHERE state IN (0, 2))"

    assert moves_of(statement) == ({RunState.PARKED, RunState.SCHEDULED}, RunState.QUEUED)
    assert moves_of("SELECT 1 FROM runs WHERE state = 3") is None


@pytest.mark.parametrize("path", query_files(), ids=relative)
def test_no_statement_makes_a_move_that_the_table_does_not_have(path: Path) -> None:
    moves = {name: moves_of(statement) for name, statement in statements(path)}

    wrong = [
        f"{name}: {source} to {move[1]}"
        for name, move in moves.items()
        if move is not None
        for source in move[0]
        if move[1] not in TRANSITIONS[source].values()
    ]
    assert wrong == []
