"""Writes docs/states.md from the state machine, so that the page cannot be wrong."""

from pathlib import Path

from runyard.engine.transitions import TRANSITIONS
from runyard.model import states
from runyard.model.states import FINAL_STATES, Cause, RunState

PAGE = Path(__file__).parents[1] / "docs" / "states.md"

INTRODUCTION = """\
# States of a run

This page is made by `make docs` from the table in `src/runyard/engine/transitions.py`, the only place that decides
which cause moves a run where. A test fails when the page is older than the table.
"""


def page() -> str:
    """The whole document."""
    return "\n".join((INTRODUCTION, diagram(), "## What holds a run", "", essay(), "", table(), ""))


def diagram() -> str:
    """Every move, as a Mermaid state diagram; moves between the same two states share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for state in RunState:
        for target in RunState:
            causes = causes_between(state, target)
            if causes:
                lines.append(f"    {state} --> {target}: {', '.join(causes)}")
    lines += [f"    {state} --> [*]" for state in RunState if state in FINAL_STATES]
    return "\n".join((*lines, "```", ""))


def causes_between(state: RunState, target: RunState) -> list[Cause]:
    """What moves a run from one state directly to another."""
    return [cause for cause, to in TRANSITIONS[state].items() if to is target]


def essay() -> str:
    """The states in words, as their module tells them."""
    assert states.__doc__ is not None
    _, _, words = states.__doc__.partition("\n\n")
    return "\n".join(("```text", words.strip(), "```"))


def table() -> str:
    """Cause by cause: out of which states, into which."""
    rows = ["## Causes", "", "| cause | moves a run out of | into |", "|---|---|---|"]
    for cause in Cause:
        sources = [state for state in RunState if cause in TRANSITIONS[state]]
        if sources:
            targets = dict.fromkeys(TRANSITIONS[state][cause] for state in sources)
            rows.append(f"| `{cause}` | {', '.join(sources)} | {', '.join(targets)} |")
    return "\n".join(rows)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
