"""Names say what docs/glossary.md says, and avoid what it rules out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import REPOSITORY, SOURCE, modules, parsed, relative

GLOSSARY = REPOSITORY / "docs" / "glossary.md"

EMPTY_CLASS_NAME = re.compile(
    r"(Manager|Helper|Handler|Processor|Utils?|Common|Misc|Impl|Info|Data)$"
)
EMPTY_FUNCTION_NAME = re.compile(r"^_?(process|handle|do|perform|check)_")
EMPTY_MODULE_NAME = re.compile(r"^_?(utils?|helpers?|common|misc|managers?|handlers?)$")

CREATE_TABLE = re.compile(
    r"create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?(\w+)\s*\((.*?)\n\)", re.I | re.S
)
NOT_A_COLUMN = {"primary", "unique", "foreign", "check", "constraint", "exclude", "partition"}


def rows() -> list[tuple[str, str, str]]:
    """Word, meaning and words not used, for each concept."""
    table = re.findall(r"^\| (\*\*.+?) \| (.+) \| (.*) \|$", GLOSSARY.read_text(), re.M)
    return [(word, meaning, refused) for word, meaning, refused in table]


def refused_words() -> set[str]:
    return {word for _, _, refused in rows() for word in re.findall(r"`(\w+)`", refused)}


def words_of(name: str) -> set[str]:
    """The words a name is made of: `last_SeenAt` is last, seen, at."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return {part.lower() for part in parts}


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Classes, functions, fields and constants that a module or a class body defines."""
    for node in tree.body:
        yield from _names_of(node)


def _names_of(node: ast.stmt) -> Iterator[tuple[str, int]]:
    match node:
        case ast.ClassDef(name=name, body=body):
            yield name, node.lineno
            for inner in body:
                yield from _names_of(inner)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, node.lineno
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name, node.lineno
        case ast.Assign(targets=targets):
            yield from ((t.id, node.lineno) for t in targets if isinstance(t, ast.Name))


def table_names(text: str) -> Iterator[str]:
    """Tables of a schema and their columns."""
    for table, body in CREATE_TABLE.findall(re.sub(r"--[^\n]*", "", text)):
        yield table
        for line in body.splitlines():
            found = re.match(r'\s*"?([a-z_]\w*)"?\s+\w', line)
            if found and found[1].lower() not in NOT_A_COLUMN:
                yield found[1]


def complaints(path: Path, names: Iterator[tuple[str, int]]) -> list[str]:
    refused = refused_words()
    return [
        f"{relative(path)}:{line}: {name!r} uses {', '.join(sorted(words_of(name) & refused))}"
        for name, line in names
        if words_of(name) & refused
    ]


def test_the_glossary_has_a_row_for_each_concept() -> None:
    concepts = [word for entry, _, _ in rows() for word in re.findall(r"\*\*(.+?)\*\*", entry)]

    assert len(concepts) > 60
    assert {"company", "task", "run", "lease", "worker", "gate", "store"} <= set(concepts)


def test_no_word_is_both_used_and_refused() -> None:
    concepts = {word for entry, _, _ in rows() for word in re.findall(r"\*\*(\w+)\*\*", entry)}

    assert not concepts & refused_words()


def test_a_refused_word_in_a_name_is_found() -> None:
    tree = ast.parse("class JobQueue:\n    run_status: str\n    def ok(self): ...\n")

    found = complaints(REPOSITORY / "example.py", defined_names(tree))

    assert found == ["example.py:1: 'JobQueue' uses job", "example.py:2: 'run_status' uses status"]


def test_a_refused_word_in_a_schema_is_found() -> None:
    schema = "CREATE TABLE jobs (\n  id bigint, -- status\n  status text,\n  PRIMARY KEY (id)\n)"

    assert list(table_names(schema)) == ["jobs", "id", "status"]


@pytest.mark.parametrize("path", modules("model"), ids=relative)
def test_the_model_uses_the_words_of_the_glossary(path: Path) -> None:
    assert complaints(path, defined_names(parsed(path))) == []


@pytest.mark.parametrize("path", modules("engine"), ids=relative)
def test_public_names_of_the_engine_use_the_words_of_the_glossary(path: Path) -> None:
    public = ((name, line) for name, line in defined_names(parsed(path)) if name[0] != "_")

    assert complaints(path, public) == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.sql")), ids=relative)
def test_tables_and_columns_use_the_words_of_the_glossary(path: Path) -> None:
    assert complaints(path, ((name, 0) for name in table_names(path.read_text()))) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_name_says_nothing(path: Path) -> None:
    tree = parsed(path)
    classes = [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    functions = [
        n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert [name for name in classes if EMPTY_CLASS_NAME.search(name)] == []
    assert [name for name in functions if EMPTY_FUNCTION_NAME.search(name)] == []
    assert not EMPTY_MODULE_NAME.match(path.stem)
