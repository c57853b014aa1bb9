"""Functions fit on a screen and modules in a head.

What counts are lines that hold code. Blank lines, comments and docstrings are free: nobody should
save on those.
"""

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import modules, parsed, relative

LONGEST_FUNCTION = 60
LONGEST_MODULE = 600

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_documentation(node: ast.AST) -> bool:
    """Whether a statement is a string that only people read."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def code_lines(root: ast.AST) -> int:
    """How many lines below a node hold code, those of inner functions included."""
    lines: set[int] = set()
    waiting = list(ast.iter_child_nodes(root))
    while waiting:
        node = waiting.pop()
        if is_documentation(node):
            continue
        if isinstance(node, ast.stmt | ast.expr | ast.alias):
            lines |= {node.lineno, node.end_lineno or node.lineno}
        waiting.extend(ast.iter_child_nodes(node))
    return len(lines)


def test_only_code_is_counted() -> None:
    [function] = ast.parse(
        'def f():\n    """No."""\n\n    # no\n    x = [\n        1,\n    ]\n'
    ).body

    assert code_lines(function) == 3


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_function_is_too_long(path: Path) -> None:
    functions = (node for node in ast.walk(parsed(path)) if isinstance(node, Function))

    assert [
        f"{f.name}: {code_lines(f)}" for f in functions if code_lines(f) > LONGEST_FUNCTION
    ] == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_module_is_too_long(path: Path) -> None:
    assert code_lines(parsed(path)) <= LONGEST_MODULE
