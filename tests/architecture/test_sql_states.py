"""States that stand as numbers in SQL agree with the table of transitions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.engine.transitions import TRANSITIONS
from runyard.model.states import FINAL_STATES, RunState
from runyard.stores.codes import CAUSE_CODES, END_CODES, FIRST_FINAL_CODE, STATE_CODES, STATES
from tests.architecture.tree import SOURCE, relative

SET_STATE = re.compile(r"\bSET\s+state\s*=\s*(\d+)", re.I)
STATE_IS = re.compile(r"\bstate\s*=\s*(\d+)", re.I)
STATE_IN = re.compile(r"\bstate\s+IN\s*\(([\d,\s]+)\)", re.I)
CAUSE_IN = re.compile(r"\bcause\s+IN\s*\(([\d,\s]+)\)", re.I)


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


def test_the_causes_of_each_end_are_those_of_the_table() -> None:
    ends: dict[int, set[int]] = {STATE_CODES[state]: set() for state in FINAL_STATES}
    for moves in TRANSITIONS.values():
        for cause, state in moves.items():
            if state in FINAL_STATES:
                ends[STATE_CODES[state]].add(CAUSE_CODES[cause])

    assert ends == END_CODES


@pytest.mark.parametrize("path", query_files(), ids=relative)
def test_statements_that_name_the_causes_of_ends_name_all_of_them(path: Path) -> None:
    every_end = {code for codes in END_CODES.values() for code in codes}
    for name, statement in statements(path):
        for listed in CAUSE_IN.findall(statement):
            assert {int(code) for code in listed.split(",")} == every_end, name
