"""Functions fit on a screen and modules in a head."""

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import modules, parsed, relative

LONGEST_FUNCTION = 60
"""Lines of code; blank lines, comments and the docstring are free."""
LONGEST_MODULE = 700
"""Lines, all of them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(function: Function) -> int:
    """How many lines of a function hold code of its own, those of inner functions included."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    lines: set[int] = set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.stmt | ast.expr):
                lines |= {node.lineno, node.end_lineno or node.lineno}
    return len(lines)


def test_only_code_is_counted() -> None:
    [function] = ast.parse(
        'def f():\n    """No."""\n\n    # no\n    x = [\n        1,\n    ]\n'
    ).body

    assert isinstance(function, Function)
    assert code_lines(function) == 3


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_function_is_too_long(path: Path) -> None:
    functions = (node for node in ast.walk(parsed(path)) if isinstance(node, Function))

    assert [
        f"{f.name}: {code_lines(f)}" for f in functions if code_lines(f) > LONGEST_FUNCTION
    ] == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE
