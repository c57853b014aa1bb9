"""What a bundle's code says it needs, read without executing any of it.

Two places count: the block of PEP 723 at the top of a file

    # /// script
    # requires-python = ">=3.11"
    # dependencies = ["httpx>=0.27"]
    # ///

and `@task(..., requirements=["httpx>=0.27"])`, written out as a list of text. The environment of
a bundle must exist before its code can be imported, hence the reading.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from runyard.model.errors import CodeRefused
from runyard.sdk.bundles import Source
from runyard.sdk.tasks import valid_requirement

_OPENING = "# /// script"
_CLOSING = "# ///"
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
_OWN = "runyard"
"""The SDK is in every environment; the one that the worker has."""


class Parsed(NamedTuple):
    """A source file, read and parsed."""

    source: Source
    raw: bytes
    tree: ast.Module


def parse(source: Source) -> Parsed:
    """Read and parse a file; raises CodeRefused with the line of a syntax error."""
    raw = source.path.read_bytes()
    try:
        return Parsed(source, raw, ast.parse(raw, filename=source.shown))
    except SyntaxError as error:
        reason = f"syntax error: {error.msg}"
        raise CodeRefused(reason, file=source.shown, line=error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise CodeRefused(f"it cannot be parsed: {error}", file=source.shown) from None


def merged(requirements: Iterable[str]) -> tuple[str, ...]:
    """Requirements without repetition, sorted."""
    return tuple(sorted(set(requirements), key=lambda line: (line.lower(), line)))


def declared_by_file(parsed: Parsed) -> tuple[str, ...]:
    """What the file's PEP 723 block asks for; raises CodeRefused."""
    lines = parsed.raw.decode("utf-8", "replace").splitlines()
    openings = [place for place, line in enumerate(lines) if line.rstrip() == _OPENING]
    if not openings:
        return ()
    try:
        if len(openings) > 1:
            raise ValueError("there is more than one")
        return _read_block(_uncommented(lines[openings[0] + 1 :]))
    except ValueError as error:
        file, line = parsed.source.shown, openings[0] + 1
        raise CodeRefused(f"script block: {error}", file=file, line=line) from None


def _uncommented(lines: Sequence[str]) -> str:
    """The text of a block, which begins here, without the marks of its comment."""
    kept: list[str] = []
    for line in lines:
        if line.rstrip() == _CLOSING:
            return "\n".join(kept)
        if line != "#" and not line.startswith("# "):
            break
        kept.append(line[2:])
    raise ValueError(f"no line {_CLOSING!r} ends it")


def _read_block(text: str) -> tuple[str, ...]:
    block = tomllib.loads(text)
    wanted_python = block.get("requires-python")
    if isinstance(wanted_python, str) and not _is_this_python(wanted_python):
        version = ".".join(str(part) for part in sys.version_info[:3])
        raise ValueError(f"requires-python is {wanted_python!r}, and the worker has {version}")
    dependencies = block.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(d, str) for d in dependencies):
        raise ValueError("dependencies must be a list of text")
    return tuple(valid_requirement(d) for d in dependencies if not is_own(d))


def is_own(requirement: str) -> bool:
    name = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    return name is not None and name.group(1).lower() == _OWN


def _is_this_python(wanted: str) -> bool:
    """Whether this interpreter is among those a version specifier names."""
    return all(_holds(clause) for clause in wanted.split(",") if clause.strip())


def _holds(clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise ValueError(f"requires-python: {clause.strip()!r} is not understood")
    operator, digits, star = match.groups()
    wanted = tuple(int(part) for part in digits.split("."))
    here = tuple(sys.version_info[:3])
    prefix = here[: len(wanted)]
    padded = (*wanted, 0, 0)[: len(here)]
    match operator:
        case "==":
            return prefix == wanted if star else here == padded
        case "!=":
            return prefix != wanted if star else here != padded
        case "~=":
            return here >= padded and here[: len(wanted) - 1] == wanted[:-1]
        case ">=":
            return here >= padded
        case "<=":
            return here <= padded
        case ">":
            return here > padded
        case _:
            return here < padded


def declared_by_tasks(parsed: Parsed) -> tuple[str, ...]:
    """What the file's task decorators ask for; raises CodeRefused for what is not written out."""
    return tuple(
        requirement
        for keyword in _requirement_keywords(parsed.tree)
        for requirement in _literal(keyword, parsed.source.shown)
    )


def _requirement_keywords(tree: ast.Module) -> Iterator[ast.keyword]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call):
                    yield from (k for k in decorator.keywords if k.arg == "requirements")


def _literal(keyword: ast.keyword, shown: str) -> list[str]:
    line = keyword.value.lineno
    try:
        value: Any = ast.literal_eval(keyword.value)
    except ValueError:
        reason = "requirements= must be written out as a list of text: it is read before the code can be imported"
        raise CodeRefused(reason, file=shown, line=line) from None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise CodeRefused("requirements= must be a list of text", file=shown, line=line)
    try:
        return [valid_requirement(item) for item in value if not is_own(item)]
    except ValueError as error:
        raise CodeRefused(str(error), file=shown, line=line) from None
