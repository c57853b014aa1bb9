"""The table of the state machine, asked about itself."""

import itertools

import pytest

from runyard.engine.transitions import TRANSITIONS, next_state, sources, target
from runyard.model.errors import IllegalTransition
from runyard.model.states import FINAL_STATES, Cause, RunState


def test_every_state_has_its_row_and_every_cause_leads_somewhere() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert {cause for moves in TRANSITIONS.values() for cause in moves} == set(Cause)


def test_nothing_leads_out_of_a_final_state() -> None:
    """R3"""
    assert {state for state, moves in TRANSITIONS.items() if not moves} == FINAL_STATES


def test_every_state_can_be_reached_and_left_for_good() -> None:
    """R2: no state is a trap."""
    firsts = {RunState.PARKED, RunState.PREPARING, RunState.SCHEDULED, RunState.QUEUED}
    for first in firsts:
        reached = {first}
        while more := {s for r in reached for s in TRANSITIONS[r].values()} - reached:
            reached |= more
        assert reached & FINAL_STATES == FINAL_STATES
    assert {s for moves in TRANSITIONS.values() for s in moves.values()} | firsts == set(RunState)


def test_every_run_that_has_not_ended_can_be_cancelled() -> None:
    assert set(sources(Cause.CANCELLED)) == set(RunState) - FINAL_STATES


@pytest.mark.parametrize(("state", "cause"), list(itertools.product(RunState, Cause)))
def test_the_questions_agree_with_the_table(state: RunState, cause: Cause) -> None:
    if cause in TRANSITIONS[state]:
        assert next_state(state, cause) is target(cause)
        assert state in sources(cause)
    else:
        assert state not in sources(cause)
        with pytest.raises(IllegalTransition, match=state.value):
            next_state(state, cause)


def test_a_cause_leads_to_one_state_only() -> None:
    for cause in Cause:
        assert len({m[cause] for m in TRANSITIONS.values() if cause in m}) == 1
