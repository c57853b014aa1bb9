"""The page about states is the table of the state machine."""

from runyard.engine.transitions import TRANSITIONS
from tools.state_diagram import PAGE, diagram, page


def test_the_page_is_as_new_as_the_table() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_move_is_drawn() -> None:
    drawn = diagram()

    for state, moves in TRANSITIONS.items():
        for cause, target in moves.items():
            [arrow] = [line for line in drawn.splitlines() if f" {state} --> {target}:" in line]
            assert cause in arrow.partition(": ")[2].split(", ")
